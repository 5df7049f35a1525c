//! Keeps one MCP server alive, or gives up on it.
