//! What a message of one revision looks like in another.
//!
//! Pure functions from JSON text to JSON text: no I/O, no clock, no state. Each changes what the
//! other revision forbids or demands and nothing else; `None` means that the bytes can stay as they
//! are. Members that no revision knows are never taken out: no schema forbids them.
//!
//! | module | what |
//! | --- | --- |
//! | [`result`] | the result of a call |
//! | [`item`] | a tool as it stands in a list |
//! | [`error`] | the error of a call |
//! | [`question`] | what a server asks its client, and what that answers |
//! | [`task`] | a call that outlasts its request |
//! | [`capability`] | what a client says it can do |
//!
//! ```
//! use mcplex_proto::{raw::Raw, version::Version};
//! use mcplex_translate::result;
//!
//! let modern = Raw::parse(r#"{"resultType":"complete","content":[],"structuredContent":[1.50]}"#)?;
//! let legacy = result::to_client("tools/call", &modern, Version::V2026_07_28, Version::V2025_06_18, None);
//! assert_eq!(
//!     legacy.expect("the eras differ").as_str(),
//!     r#"{"content":[{"type":"text","text":"[1.50]"}],"structuredContent":{"result":[1.50]}}"#
//! );
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod capability;
mod content;
mod draft;
pub mod error;
pub mod item;
pub mod question;
pub mod result;
pub mod task;
