//! Serves MCP clients over HTTP: sessions of the revisions up to 2025-11-25, and stateless requests
//! of 2026-07-28, on one endpoint and at the same time.
//!
//! It carries messages between clients and a [`Gateway`](mcplex_proto::downstream::Gateway): it
//! never answers a request itself, never reads a payload, and knows no upstream. The other way round,
//! [`dial`] reaches a server over HTTP.
//!
//! Read it in this order: [`options`] (every bound, with its default), `listener` (connections and
//! their end), `endpoint` (one HTTP request), `post` (which era a message is of, and calls of
//! sessions, answered as JSON or as a stream), `session` (one client), `mailbox` (what waits for a
//! client, what can be replayed); then `envelope`, `exchange` and `line`, which are all that a
//! stateless request needs; `duplex` (revision 2024-11-05, on a path of its own); then the small pure parts `guard`, `accept`, `origin`, `sse`.
//!
//! ```no_run
//! # async fn run(gateway: std::sync::Arc<dyn mcplex_proto::downstream::Gateway>) -> std::io::Result<()> {
//! use mcplex_transport_http::{HttpListener, Options};
//!
//! let listener = HttpListener::bind("127.0.0.1:8080".parse().expect("an address"))?;
//! let stop = async { drop(tokio::signal::ctrl_c().await) };
//! listener.serve(gateway, Options::default(), stop).await;
//! # Ok(())
//! # }
//! ```

pub mod options;
pub use options::Options;

mod listener;
pub use listener::HttpListener;

mod endpoint;

mod post;

mod envelope;

mod exchange;

mod line;

mod duplex;

mod steady;

mod payload;

mod work;

mod session;

mod outlet;

mod mailbox;

mod stream;

mod reply;

mod guard;

mod accept;

mod alarm;

mod origin;

mod sse;

mod clock;

mod cors;

pub mod dial;
