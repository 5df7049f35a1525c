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

pub mod guard;

mod resolve;

mod script;

mod spawn;

mod child;

mod transport;

mod outgoing;

mod outbox;

mod incoming;

mod inbox;

mod lifeline;

mod group;

#[cfg(target_os = "linux")]
mod guarded;

#[cfg(target_os = "linux")]
mod orphans;

#[cfg(target_os = "linux")]
mod leftovers;

#[cfg(target_os = "linux")]
mod cookie;

#[cfg(target_os = "linux")]
mod trees;

#[cfg(target_os = "linux")]
mod usage;

#[cfg(target_os = "linux")]
mod limit;

#[cfg(target_os = "linux")]
mod sys;

mod words;

mod serve;

mod batch;

mod process;

pub use command::Command;
#[cfg(target_os = "linux")]
pub use leftovers::{LeftBehind, sweep_leftovers};
#[cfg(target_os = "linux")]
pub use limit::raise_descriptor_limit;
#[cfg(target_os = "linux")]
pub use orphans::Orphans;
pub use process::{Input, Output, process_input, process_output};
pub use resolve::resolve;
pub use script::check_interpreter;
pub use serve::{Left, Options, serve_stdio};
pub use transport::StdioTransport;
pub use words::TARGET_STDERR;
