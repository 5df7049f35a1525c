//! Reaches an MCP server that is a child process, over its stdin and stdout.
//!
//! It never decides when a child is started or started again: that is the supervisor's. What it
//! does promise is that nothing of a child is left when it says so, as far as the platform lets it:
//!
//! | platform | what ends with a server | and when we are killed |
//! | --- | --- | --- |
//! | Linux, under a [`guard`] | every process that it started, whatever they did to get away | the same, after the same steps |
//! | Linux without, other Unix | its process group; what left the group stays | nothing |
//! | Windows | its job object: every process that it started | the same, at once |
//!
//! Only Linux is tested. The code for other Unix systems and for Windows compiles, and was never run
//! by its authors. Processes in uninterruptible sleep outlast everything; then a close says so.
//!
//! Read it in this order: [`Command`] (what is started), [`resolve`](fn@resolve) and `spawn` (how),
//! `outgoing` and `incoming` (what is said), `lifeline` and `guarded` (how it ends), [`guard`] (the
//! process between), and from there `group`, `orphans`, `leftovers` and `words`. The other way
//! round, [`serve_stdio`] serves a client that has started *us*.
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
#![cfg(any(unix, windows))]

mod command;

pub mod guard;

mod resolve;

mod elsewhere;

#[cfg(unix)]
mod script;

#[cfg(unix)]
mod spawn;

mod child;

mod transport;

mod outgoing;

mod outbox;

mod incoming;

mod inbox;

#[cfg(unix)]
mod lifeline;

#[cfg(unix)]
mod group;

#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
mod linux;

mod rate;

mod words;

mod serve;

mod backlog;

mod batch;

#[cfg(unix)]
mod process;

#[cfg(windows)]
mod streams;

pub use command::Command;
pub use elsewhere::elsewhere;
#[cfg(target_os = "linux")]
pub use linux::{LeftBehind, Orphans, raise_descriptor_limit, sweep_leftovers};
#[cfg(unix)]
pub use process::{Input, Output, process_input, process_output};
pub use resolve::resolve;
#[cfg(unix)]
pub use script::check_interpreter;
pub use serve::{Left, Options, serve_stdio};
#[cfg(windows)]
pub use streams::{Input, Output, process_input, process_output};
pub use transport::StdioTransport;
pub use words::TARGET_STDERR;
