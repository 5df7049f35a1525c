//! Reaches an MCP server that is a child process, over its stdin and stdout.
//!
//! It never decides when a child is started or started again: that is the supervisor's. It runs
//! on Unix only.
//!
//! Read it in this order: [`Command`] (what is started), [`resolve`](fn@resolve) and `spawn` (how),
//! `outgoing` and `incoming` (what is said), `lifeline` (how it ends), and from there `group` and
//! `words`. The other way round, [`serve_stdio`] serves a client that has started *us*.
//!
//! ```
//! use futures_util::StreamExt as _;
//! use mcplex_proto::{
//!     transport::{Ending, Grace, Received, Transport as _},
//!     upstream::UpstreamName,
//! };
//! use mcplex_transport_stdio::{Command, StdioTransport};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let line = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
//! let command = Command::new(UpstreamName::new("echo")?, "echo").with_args([line]);
//! let mut connection = StdioTransport::new(command).connect().await?;
//! let said = connection.incoming.next().await;
//! assert!(matches!(said, Some(Received::Message(_))));
//!
//! drop((connection.outgoing, connection.incoming));
//! let closed = connection.lifeline.close(Grace::default()).await;
//! assert_eq!(closed.ending, Ending::Exited(0));
//! # Ok(())
//! # }
//! ```
#![cfg(unix)]

mod command;

mod resolve;

mod script;

mod spawn;

mod transport;

mod outgoing;

mod outbox;

mod incoming;

mod inbox;

mod lifeline;

mod group;

mod words;

mod serve;

mod batch;

mod process;

pub use command::Command;
pub use process::{Input, Output, process_input, process_output};
pub use resolve::resolve;
pub use script::check_interpreter;
pub use serve::{Left, Options, serve_stdio};
pub use transport::StdioTransport;
pub use words::TARGET_STDERR;
