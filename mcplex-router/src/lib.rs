//! Makes many MCP servers look like one.
