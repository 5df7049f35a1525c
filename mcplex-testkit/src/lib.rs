//! MCP servers that misbehave on purpose, and an OTLP receiver, for tests.

mod fake;
pub mod otlp;

pub use fake::fake_server;
