//! Reaches an MCP server that is a child process, over its stdin and stdout.
