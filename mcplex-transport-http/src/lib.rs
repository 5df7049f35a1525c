//! Serves MCP clients over Streamable HTTP.
