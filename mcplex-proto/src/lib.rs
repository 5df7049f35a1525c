//! The words every mcplex crate speaks, and the traits the layers meet at.
//!
//! It contains no I/O, reads no clock and knows no async runtime: messages are parsed from and
//! written to bytes that somebody else moves, and every trait here is implemented elsewhere.
//!
//! Read it in this order: [`message`] (one JSON-RPC message; payloads stay unread), [`raw`] and
//! [`edit`] (JSON text and how a few members of it are changed), [`frame`] (bytes to lines) and [`sse`] (bytes to
//! events), then
//! the boundaries: [`transport`] (how an upstream is reached), [`upstream`] (what a supervised
//! upstream offers) with [`report`] (what is known of a death) and
//! [`redact`](mod@redact) and [`plain`] (what is left out of it), [`downstream`] (what a listener and a
//! gateway owe each other),
//! [`audit`] (who is told of every call).
//!
//! It stands alone: with `std` and pipes it makes a client, a server and a proxy for all revisions,
//! each an example of this crate in less than 150 lines.
//!
//! | example | what it shows |
//! | --- | --- |
//! | `client` | opens a server of either era with [`handshake`] and calls a tool |
//! | `server` | serves both eras on one pipe, told apart by [`modern::classify`] |
//! | `proxy` | renames a tool by an [`edit`] and leaves every other byte as it was |
//!
//! ```
//! use mcplex_proto::message::Message;
//!
//! let line = br#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{"n":1.50}}"#;
//! let Message::Request(request) = Message::parse(line.to_vec().into())? else { unreachable!() };
//! assert_eq!(request.params.expect("it has some").as_str(), r#"{"n":1.50}"#);
//! # Ok::<(), mcplex_proto::message::BadMessage>(())
//! ```

pub mod raw;

pub mod id;

pub mod message;

pub mod edit;

pub mod frame;

pub mod sse;

pub mod error;

pub mod method;

pub mod version;

pub mod modern;

pub mod header;

pub mod handshake;

pub mod attr;

pub mod trace;

pub mod metric;

pub mod peer;

pub mod transport;

pub mod report;

pub mod redact;

pub mod plain;

pub mod upstream;

pub mod downstream;

pub mod audit;
