//! MCP servers that misbehave on purpose, and an OTLP receiver, for tests.
