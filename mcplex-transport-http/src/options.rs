//! Every bound of the listener, with its default and where that comes from.

use mcplex_proto::frame;
use std::time::Duration;

/// How the listener behaves; plain data, to be filled by whoever read a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The path of the endpoint; `/mcp`, as the examples of the specification.
    pub path: String,
    /// Where clients of revision 2024-11-05 open their stream, and post to; `/sse`, as the official
    /// SDKs of that time have it. `None` serves only the one path.
    pub sse_path: Option<String>,
    /// Values of `Host` that are served, as `name` (any port) or `name:port`; none.
    ///
    /// A listener bound to a loopback address also serves every loopback name. Any other one
    /// serves only what is listed here, so that a web page cannot rebind its name to us.
    pub allowed_hosts: Vec<String>,
    /// Values of `Origin` that are served, such as `https://example.com`; none.
    ///
    /// Requests without `Origin` do not come from a web page and are served. A listener bound to
    /// a loopback address also serves requests of loopback origins. Browsers let only pages of the
    /// origins named here read what is answered.
    pub allowed_origins: Vec<String>,
    /// The largest body of a request, in bytes; 64 MiB.
    ///
    /// Four times the longest line of a stdio upstream, for arguments with files in them.
    pub max_body: usize,
    /// The most bytes of bodies in memory that are still coming in; 256 MiB, four of the largest.
    /// One more piece gets 503 and `Retry-After`.
    ///
    /// What comes in one piece is not counted: it is bounded by connections times the read buffer.
    pub max_bodies: usize,
    /// How often values may stand inside each other in a body; 512, see [`frame::MAX_DEPTH`].
    pub max_depth: usize,
    /// The largest head of a request, in bytes; 128 KiB, at least [`Self::LEAST_HEAD`].
    ///
    /// Common servers take 8 KiB to 64 KiB; arguments that are repeated in headers need more. It is
    /// also the most that is read at once.
    pub max_head: usize,
    /// The most messages in one batch; 1000. Real batches hold a handful.
    pub max_batch: usize,
    /// The most open connections; 1024, the usual limit of open files of a process.
    ///
    /// More of them wait in the backlog of the system.
    pub max_connections: usize,
    /// The most sessions; 256, of which a person needs a handful. One more gets 503 and
    /// `Retry-After`.
    pub max_sessions: usize,
    /// The most calls in flight in one session; 1024. One more gets 429 and `Retry-After`.
    pub max_calls: usize,
    /// The most `subscriptions/listen` of stateless clients that are open at once; 256, one for each
    /// session that could be. One more gets 503 and `Retry-After`.
    ///
    /// Each holds a connection, so the bound leaves connections for calls.
    pub max_listens: usize,
    /// How long a session may stay without a request, a stream or a call; 30 min.
    ///
    /// Long enough for a person to think, short enough that forgotten sessions do not pile up.
    pub session_idle: Duration,
    /// How long an answer is awaited before the response becomes a stream; 1 s.
    ///
    /// Shorter than the time after which a silent response makes people and proxies nervous.
    pub json_wait: Duration,
    /// How often a silent stream gets a comment; 15 s, as the HTML standard advises.
    pub keepalive: Duration,
    /// How long a connection may be silent between requests, and a head may take; 75 s.
    ///
    /// Longer than the idle time of the pools of common clients, so that they close first and no
    /// request meets a connection that is just being closed.
    pub head_timeout: Duration,
    /// How long the whole body of a request may take; 30 s. Slower ones get 408.
    pub read_timeout: Duration,
    /// How long a client may take nothing of what is written for it; 60 s, as nginx waits.
    ///
    /// A connection that is stuck for longer is closed: nobody reads there any more.
    pub write_timeout: Duration,
    /// How many events of a session are kept for a client that resumes; 1024.
    ///
    /// As many events may wait for a client that has no stream open; then the oldest notifications
    /// make room.
    pub replay_events: usize,
    /// How many bytes of events are kept, and how many may wait; 4 MiB each per session.
    pub replay_bytes: usize,
    /// How long calls may still run after the stop; 5 s, half of what container runtimes wait.
    pub drain: Duration,
}

impl Options {
    /// The least that `max_head` can be: 8 KiB, which the HTTP library reads at once anyway.
    pub const LEAST_HEAD: usize = 8 * 1024;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/mcp".to_owned(),
            sse_path: Some("/sse".to_owned()),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body: 64 * 1024 * 1024,
            max_bodies: 256 * 1024 * 1024,
            max_depth: frame::MAX_DEPTH,
            max_head: 128 * 1024,
            max_batch: 1000,
            max_connections: 1024,
            max_sessions: 256,
            max_calls: 1024,
            max_listens: 256,
            session_idle: Duration::from_secs(30 * 60),
            json_wait: Duration::from_secs(1),
            keepalive: Duration::from_secs(15),
            head_timeout: Duration::from_secs(75),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            replay_events: 1024,
            replay_bytes: 4 * 1024 * 1024,
            drain: Duration::from_secs(5),
        }
    }
}
