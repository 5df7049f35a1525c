//! MCP servers that misbehave on purpose, and an OTLP receiver, for tests.

mod fake;

pub use fake::fake_server;
pub mod otlp;
