//! Says whether an MCP message is one that its protocol revision allows, and why not.
//!
//! The schemas of all revisions are inside; nothing is fetched. Their unions let nearly everything
//! pass, so the definition is chosen by what a message is: a request or notification by its method,
//! a result by the method it answers and by `resultType`. What no schema says (a legacy result that
//! carries stateless members, an error code that may not be emitted) is checked beside them.
//!
//! - [`revision`]: one definition of one revision;
//! - [`judge`]: one message of one side of one revision;
//! - [`witness`]: all messages of a connection, both ways, whatever revisions are spoken on it;
//! - [`generate`]: values that fit a definition, for tests that want many.
//!
//! ```
//! use mcplex_proto::version::Version;
//! use mcplex_schema::{judge, judge::Side};
//! use serde_json::json;
//!
//! let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {} });
//! let complaints = judge::call(Side::Client, &message, Version::V2025_11_25);
//! assert!(complaints[0].contains("name"), "{complaints:?}");
//! ```

pub mod generate;
pub mod judge;
pub mod revision;
mod tasks;
pub mod witness;
