//! The file that a person writes for mcplex.
