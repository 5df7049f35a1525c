//! The words every mcplex crate speaks, and the traits the layers meet at.
