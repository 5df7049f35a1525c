//! Reaches an MCP server that is a child process, over its stdin and stdout.
//!
//! It never decides when a child is started or started again: that is the supervisor's.

mod command;
mod group;
mod inbox;
mod incoming;
mod lifeline;
mod outbox;
mod outgoing;
mod resolve;
mod spawn;
mod transport;
mod words;

pub use command::Command;
pub use resolve::resolve;
pub use transport::StdioTransport;
pub use words::TARGET_STDERR;
