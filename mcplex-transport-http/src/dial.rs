//! Reaches an MCP server over HTTP, whichever revision it speaks.
//!
//! One connection of the supervisor is one legacy session, or the belief that a modern server is
//! there. Messages become POSTs, and what the server answers becomes messages again. Nothing here
//! decides which era a server belongs to: each message says by itself how it is to be sent.
//!
//! | message | how it is sent |
//! | --- | --- |
//! | a request with an envelope in `_meta` | a POST that stands for itself: `Mcp-*` headers, no session |
//! | `initialize` | a POST; where it is refused as unknown, the older HTTP+SSE is tried |
//! | any other | a POST of the session that `initialize` opened, or one to the address that HTTP+SSE gave |
//! | `notifications/cancelled` of a request with an envelope | not at all: its stream is closed |
//!
//! # What is a death
//!
//! A server over HTTP has no process that we could watch, so this is a rule and not a fact. It is
//! dead when
//!
//! - no connection to it can be had, neither for a message nor after one broke: refused, no such
//!   name, no TLS, or nothing within 10 s;
//! - it has forgotten the session (404 that is not about the method, or 400 to a stream of the session
//!   that it had served);
//! - it was a stateless one and no longer answers as such (400, 404 or 405, to `server/discover` too);
//! - it no longer accepts who asks (401), neither for a call nor when it is asked whether it is there;
//! - the one stream of HTTP+SSE has ended.
//!
//! Anything else is the misfortune of one call: a 401 to it alone, 5xx, 429, 403 and other refusals, an answer that
//! breaks off while the server is still there, an answer that is too long. An idle server that is
//! gone shows at its event stream at once, else at the next probe; one that hangs shows at the
//! probe alone. While a session is being opened there is no call to blame, and each of these is a
//! failed connect.
//!
//! Credentials of clients never come here: what goes out are the headers of the configuration and
//! what an [`Authorize`] gives.

mod authorize;
pub use authorize::{Authorize, Retry};

mod target;
pub use target::{Remote, Style};

mod transport;
pub use transport::HttpTransport;

mod connector;

mod wire;

mod trouble;

mod halves;

mod events;

mod pump;

mod talk;

mod answer;

mod era;

mod relearn;

mod older;

mod listen;

mod tools;

mod lifeline;
