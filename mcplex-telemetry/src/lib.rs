//! Logs to stderr and spans out to OTLP for mcplex.
