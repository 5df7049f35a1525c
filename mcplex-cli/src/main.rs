//! The `mcplex` binary: one MCP endpoint in front of many MCP servers, supervised.

fn main() {}
