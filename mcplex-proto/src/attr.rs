//! Every name a span of mcplex carries, in one table.
//!
//! The page `docs/reference/telemetry.md` is written from the tables here, so the code and the
//! page cannot disagree. Code never spells a name by hand: `tracing` takes a constant in braces.
//!
//! ```
//! use mcplex_proto::attr;
//!
//! let upstream = "telegram";
//! let span = tracing::info_span!(
//!     target: attr::TARGET_LIFE,
//!     parent: None,
//!     attr::CONNECT,
//!     { attr::OTEL_NAME } = format!("{} {upstream}", attr::CONNECT),
//!     { attr::LIFECYCLE } = attr::LIFECYCLE_CONNECT,
//!     { attr::UPSTREAM_NAME } = upstream,
//!     { attr::UPSTREAM_INCARNATION } = 1_u64,
//!     // Known only at the end: declared now, recorded then.
//!     { attr::ERROR_TYPE } = tracing::field::Empty,
//!     { attr::OTEL_STATUS_CODE } = tracing::field::Empty,
//! );
//! span.record(attr::ERROR_TYPE, attr::ERROR_TIMEOUT);
//! span.record(attr::OTEL_STATUS_CODE, attr::STATUS_ERROR);
//! ```
//!
//! How long such a span may live, and what may be its parent, is told in [`crate::trace`].

/// A name, what kind of value it has, and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// The name as it is exported.
    pub name: &'static str,
    /// The kind of value: `string`, `int`, `double` or `bool`.
    pub kind: &'static str,
    /// One sentence for the reference page.
    pub meaning: &'static str,
}

/// Declares constants and the table that documents them, from the same lines.
macro_rules! words {
    (
        $(#[$about:meta])* $table:ident;
        $( #[doc = $meaning:literal] $name:ident: $kind:ident = $value:literal; )+
    ) => {
        $( #[doc = $meaning] pub const $name: &str = $value; )+
        $(#[$about])*
        pub const $table: &[Word] = &[
            $( Word { name: $value, kind: stringify!($kind), meaning: $meaning } ),+
        ];
    };
}

mod catalogue;
mod scope;

pub use catalogue::{Kind, SPANS, SpanDoc};
pub use scope::{
    SCOPE_ADMIN, SCOPE_PROGRAM, SCOPE_ROUTER, SCOPE_STDIO, SCOPE_SUPERVISOR, SCOPES,
    TARGET_HANDSHAKE, TARGET_LIFE, TARGET_LIFECYCLE, TARGET_OPERATOR, TARGET_REQUEST,
    TARGET_ROUTED, TARGET_SPAWN, TARGET_STARTUP, scope_of,
};

/// The span from the start of mcplex until every first connect was settled.
pub const STARTUP: &str = "mcplex.startup";
/// The span of one connect: child started and handshake done, or not.
pub const CONNECT: &str = "mcplex.connect";
/// The span of starting the child process, inside a connect.
pub const SPAWN: &str = "mcplex.spawn";
/// The span that marks the end of an incarnation that nobody asked for.
pub const DEATH: &str = "mcplex.death";
/// The span from a death to the next connect: the backoff and the connect itself.
pub const RESPAWN: &str = "mcplex.respawn";
/// The span that marks the death that opened the breaker.
pub const TRIP: &str = "mcplex.trip";
/// The span of closing the breaker again.
pub const RESET: &str = "mcplex.reset";
/// The span of an end somebody asked for.
pub const STOP: &str = "mcplex.stop";
/// The span of starting an upstream is no step by itself, but a part of a connect.
pub const LIFECYCLE_SPAWN: &str = "spawn";

/// The `tracing` name of a server span; the exported name is [`OTEL_NAME`].
pub const SERVER: &str = "mcplex.request.server";
/// The `tracing` name of a client span; the exported name is [`OTEL_NAME`].
pub const CLIENT: &str = "mcplex.request.client";

/// Sets the exported name of a span, which may contain the upstream or the tool.
pub const OTEL_NAME: &str = "otel.name";
/// Sets the kind of a span: [`KIND_SERVER`] or [`KIND_CLIENT`]; internal if absent.
pub const OTEL_KIND: &str = "otel.kind";
/// Sets the status of a span: [`STATUS_ERROR`], or absent.
pub const OTEL_STATUS_CODE: &str = "otel.status_code";
/// Sets the text that goes with an error status.
pub const OTEL_STATUS_DESCRIPTION: &str = "otel.status_description";
/// The kind of a span that answers a request.
pub const KIND_SERVER: &str = "server";
/// The kind of a span that sends a request.
pub const KIND_CLIENT: &str = "client";
/// The status of a failed span; set if and only if [`ERROR_TYPE`] is.
pub const STATUS_ERROR: &str = "error";

/// `mcplex.lifecycle` of the startup span.
pub const LIFECYCLE_STARTUP: &str = "startup";
/// `mcplex.lifecycle` of a connect span.
pub const LIFECYCLE_CONNECT: &str = "connect";
/// `mcplex.lifecycle` of a death span.
pub const LIFECYCLE_DEATH: &str = "death";
/// `mcplex.lifecycle` of a respawn span.
pub const LIFECYCLE_RESPAWN: &str = "respawn";
/// `mcplex.lifecycle` of a trip span.
pub const LIFECYCLE_TRIP: &str = "trip";
/// `mcplex.lifecycle` of a reset span.
pub const LIFECYCLE_RESET: &str = "reset";
/// `mcplex.lifecycle` of a stop span.
pub const LIFECYCLE_STOP: &str = "stop";

/// In a log line: which lifecycle step it tells of, one of [`EVENTS`].
pub const EVENT: &str = "event";

words! {
    /// Names of the log lines that tell of a lifecycle step; beside them stand `trace_id` and
    /// `span_id` of its span, where spans are exported.
    EVENTS;
    /// An upstream is connected (info).
    EVENT_CONNECT: value = "mcplex.upstream.connect";
    /// An incarnation ended that nobody asked to end (warn).
    EVENT_DEATH: value = "mcplex.upstream.death";
    /// It will be started again (info).
    EVENT_RESPAWN: value = "mcplex.upstream.respawn";
    /// Its breaker opened (error).
    EVENT_TRIP: value = "mcplex.upstream.trip";
    /// Its breaker closed (info).
    EVENT_RESET: value = "mcplex.upstream.reset";
}

words! {
    /// Attributes of the semantic conventions that mcplex uses.
    CONVENTIONS;
    /// The MCP method of the request or notification.
    MCP_METHOD_NAME: string = "mcp.method.name";
    /// The protocol revision both sides agreed on.
    MCP_PROTOCOL_VERSION: string = "mcp.protocol.version";
    /// The session as the header of HTTP names it; never of revisions without sessions.
    MCP_SESSION_ID: string = "mcp.session.id";
    /// The resource that is read or subscribed to.
    MCP_RESOURCE_URI: string = "mcp.resource.uri";
    /// The tool that is called.
    GEN_AI_TOOL_NAME: string = "gen_ai.tool.name";
    /// The prompt that is fetched.
    GEN_AI_PROMPT_NAME: string = "gen_ai.prompt.name";
    /// `execute_tool`, for tool calls only.
    GEN_AI_OPERATION_NAME: string = "gen_ai.operation.name";
    /// The JSON-RPC id of the request, as text without quotes.
    JSONRPC_REQUEST_ID: string = "jsonrpc.request.id";
    /// The JSON-RPC error code of the answer, if it is an error.
    RPC_RESPONSE_STATUS_CODE: string = "rpc.response.status_code";
    /// Why the span failed; present if and only if it did.
    ERROR_TYPE: string = "error.type";
    /// `pipe` for stdio, `tcp` for HTTP.
    NETWORK_TRANSPORT: string = "network.transport";
    /// `http`, where it is that.
    NETWORK_PROTOCOL_NAME: string = "network.protocol.name";
    /// The version of it.
    NETWORK_PROTOCOL_VERSION: string = "network.protocol.version";
    /// The host of an upstream over HTTP, as it is configured.
    SERVER_ADDRESS: string = "server.address";
    /// The port of it.
    SERVER_PORT: int = "server.port";
    /// The address of a client over HTTP.
    CLIENT_ADDRESS: string = "client.address";
    /// The port of it.
    CLIENT_PORT: int = "client.port";
    /// The method of an operator's request.
    HTTP_REQUEST_METHOD: string = "http.request.method";
    /// The path of the admin API that it is for, with the names of its parameters.
    HTTP_ROUTE: string = "http.route";
    /// How it was answered.
    HTTP_RESPONSE_STATUS_CODE: int = "http.response.status_code";
    /// The path it asked for.
    URL_PATH: string = "url.path";
    /// `http`; the control socket speaks it too.
    URL_SCHEME: string = "url.scheme";
    /// The program of the child, without its folder and its arguments.
    PROCESS_EXECUTABLE_NAME: string = "process.executable.name";
    /// The process id of the child.
    PROCESS_PID: int = "process.pid";
    /// The exit code, if the child exited by itself.
    PROCESS_EXIT_CODE: int = "process.exit.code";
}

words! {
    /// Attributes of mcplex itself.
    ATTRIBUTES;
    /// Which lifecycle step the span is; present on lifecycle spans only.
    LIFECYCLE: string = "mcplex.lifecycle";
    /// How many upstreams are started with mcplex.
    UPSTREAM_COUNT: int = "mcplex.upstream.count";
    /// The configured name of the upstream.
    UPSTREAM_NAME: string = "mcplex.upstream.name";
    /// Which of the upstream's children, where it has several; absent for the first one.
    UPSTREAM_MEMBER: string = "mcplex.upstream.member";
    /// Which life of the upstream, from 1.
    UPSTREAM_INCARNATION: int = "mcplex.upstream.incarnation";
    /// How the upstream is reached: `stdio` or `http`.
    UPSTREAM_TRANSPORT: string = "mcplex.upstream.transport";
    /// How the upstream is: `ready`, `degraded`, `idle`, `recovering`, `tripped` or `stopped`.
    UPSTREAM_STATE: string = "mcplex.upstream.state";
    /// How long the incarnation lived, in seconds.
    UPSTREAM_UPTIME_S: double = "mcplex.upstream.uptime_s";
    /// How the request ended: `ok`, `error`, `cancelled` or `rejected`.
    REQUEST_OUTCOME: string = "mcplex.request.outcome";
    /// Which try of the same call this is, from 2; absent on the first.
    REQUEST_ATTEMPT: int = "mcplex.request.attempt";
    /// Whether a list was answered from what was read before, without waiting for an upstream.
    CACHE_HIT: bool = "mcplex.cache.hit";
    /// Which `subscriptions/listen` it is, or is told in: the id of that request.
    SUBSCRIPTION_ID: string = "mcplex.subscription.id";
    /// How many tools were listed when the upstream had connected.
    TOOL_COUNT: int = "mcplex.tool.count";
    /// In an event: the last lines that the upstream wrote to its log.
    STDERR_TEXT: string = "mcplex.stderr.text";
    /// How many calls the death took with it.
    REQUESTS_IN_FLIGHT: int = "mcplex.requests.in_flight";
    /// The trace of the lifecycle span that made this request fail.
    CAUSE_TRACE_ID: string = "mcplex.cause.trace_id";
    /// The lifecycle span that made this request fail.
    CAUSE_SPAN_ID: string = "mcplex.cause.span_id";
    /// Why it connects: `startup`, `respawn`, `trial`, `reset`, `restart`, `lazy`, `reload`, `era`.
    CONNECT_REASON: string = "mcplex.connect.reason";
    /// How long the start waited for its turn on this host, in milliseconds.
    CONNECT_WAIT_MS: int = "mcplex.connect.wait_ms";
    /// How long it took until the process ran, in milliseconds.
    CONNECT_SPAWN_MS: int = "mcplex.connect.spawn_ms";
    /// How long the handshake took after that, in milliseconds.
    CONNECT_HANDSHAKE_MS: int = "mcplex.connect.handshake_ms";
    /// How the upstream is spoken to: `legacy` (a session) or `modern` (each request by itself).
    ERA: string = "mcplex.era";
    /// How that came to be known: `probed`, `remembered`, `configured`, `silence` or `ended`.
    ERA_VERDICT: string = "mcplex.era.verdict";
    /// Whether it is the trial of an open breaker.
    CONNECT_TRIAL: bool = "mcplex.connect.trial";
    /// `exit`, `signal`, `lost`, `stdout_eof`, `protocol_error`, `health_timeout` or `connect_failed`.
    DEATH_REASON: string = "mcplex.death.reason";
    /// What its last words give away about why, if they do.
    DEATH_PROBABLE_CAUSE: string = "mcplex.death.probable_cause";
    /// The method of a call that was in flight at an earlier death too.
    SUSPECT_METHOD: string = "mcplex.suspect.method";
    /// The tool, prompt or resource of that call.
    SUSPECT_NAME: string = "mcplex.suspect.name";
    /// The most memory that one process of the child held, in bytes.
    PROCESS_PEAK_MEMORY: int = "mcplex.process.peak_memory";
    /// Processor time of the child and its processes, in seconds.
    PROCESS_CPU_S: double = "mcplex.process.cpu_s";
    /// Whether the kernel says that it ended the child for lack of memory.
    PROCESS_OUT_OF_MEMORY: bool = "mcplex.process.out_of_memory";
    /// The last step that the end needed: `ended`, `eof`, `term` or `kill`.
    STOP_STAGE: string = "mcplex.stop.stage";
    /// The signal that ended the child, such as `SIGKILL`.
    PROCESS_EXIT_SIGNAL: string = "mcplex.process.exit_signal";
    /// Which respawn this is since the breaker was last quiet, from 1.
    RESPAWN_ATTEMPT: int = "mcplex.respawn.attempt";
    /// The wait before the connect, in milliseconds.
    RESPAWN_BACKOFF_MS: int = "mcplex.respawn.backoff_ms";
    /// How many deaths the breaker counts, this one included.
    BREAKER_DEATHS_IN_WINDOW: int = "mcplex.breaker.deaths_in_window";
    /// How many deaths the window may hold; one more trips.
    BREAKER_THRESHOLD: int = "mcplex.breaker.threshold";
    /// The length of the window, in seconds.
    BREAKER_WINDOW_S: double = "mcplex.breaker.window_s";
    /// The breaker after the step: `closed`, `open` or `half_open`.
    BREAKER_STATE: string = "mcplex.breaker.state";
    /// The breaker before the step: `closed`, `open` or `half_open`.
    BREAKER_PREVIOUS_STATE: string = "mcplex.breaker.previous_state";
    /// When a trial is allowed, in seconds; absent if never.
    BREAKER_RETRY_AFTER_S: double = "mcplex.breaker.retry_after_s";
    /// Why the breaker closed: `manual`, `half_open` or `config_reload`.
    RESET_REASON: string = "mcplex.reset.reason";
    /// On a link: what it points to.
    LINK_KIND: string = "mcplex.link.kind";
}

words! {
    /// Values of `error.type`; a JSON-RPC error is its code as text instead.
    ERROR_TYPES;
    /// The tool answered with `isError: true`.
    ERROR_TOOL: value = "tool_error";
    /// No answer came in time.
    ERROR_TIMEOUT: value = "timeout";
    /// The caller gave up.
    ERROR_CANCELLED: value = "cancelled";
    /// The upstream died while the call was in flight.
    ERROR_UPSTREAM_DIED: value = "mcplex.upstream_died";
    /// The breaker of the upstream is open.
    ERROR_UPSTREAM_TRIPPED: value = "mcplex.upstream_tripped";
    /// The upstream is not connected now.
    ERROR_UPSTREAM_UNAVAILABLE: value = "mcplex.upstream_unavailable";
    /// The upstream broke the protocol.
    ERROR_PROTOCOL: value = "mcplex.protocol_error";
    /// The program does not exist.
    ERROR_SPAWN_NOT_FOUND: value = "mcplex.spawn.not_found";
    /// The program may not be executed.
    ERROR_SPAWN_PERMISSION_DENIED: value = "mcplex.spawn.permission_denied";
    /// The process table or the descriptor table is full.
    ERROR_SPAWN_TOO_MANY_OPEN_FILES: value = "mcplex.spawn.too_many_open_files";
    /// There is no answer where the upstream should be.
    ERROR_UNREACHABLE: value = "mcplex.unreachable";
    /// The upstream does not accept who asks.
    ERROR_UNAUTHORIZED: value = "mcplex.unauthorized";
    /// The upstream was there and no longer is.
    ERROR_CONNECTION_LOST: value = "mcplex.connection_lost";
    /// The child exited by itself.
    ERROR_PROCESS_EXIT: value = "process_exit";
    /// A signal ended the child.
    ERROR_PROCESS_SIGNAL: value = "process_signal";
    /// In metrics about telemetry itself: there was no room for what was to leave.
    ERROR_QUEUE_FULL: value = "queue_full";
    /// Anything else.
    ERROR_OTHER: value = "_OTHER";
}

words! {
    /// Events inside spans.
    SPAN_EVENTS;
    /// In a death, where `stderr_tail` is set: the last lines, without secrets, 2 KiB at most.
    SPAN_EVENT_STDERR: value = "mcplex.upstream.stderr_tail";
}

words! {
    /// Values of `mcplex.link.kind`.
    LINK_KINDS;
    /// The connect that began the incarnation.
    LINK_CONNECT: value = "connect";
    /// The connect of the incarnation before.
    LINK_PREVIOUS_CONNECT: value = "previous_connect";
    /// The death that made this fail, or an earlier death in the window.
    LINK_DEATH: value = "death";
    /// The trip that refused this, or that is undone.
    LINK_TRIP: value = "trip";
    /// A call that was in flight at the death.
    LINK_IN_FLIGHT: value = "in_flight";
    /// The `subscriptions/listen` that a notification belongs to.
    LINK_LISTEN: value = "listen";
    /// The span that the caller named, where its trace is linked to and not gone on with.
    LINK_CALLER: value = "caller";
    /// The span that the headers of HTTP name, where `_meta` names another one.
    LINK_AMBIENT: value = "ambient";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_declared_once() {
        let mut seen = BTreeSet::new();
        for word in CONVENTIONS.iter().chain(ATTRIBUTES) {
            assert!(seen.insert(word.name), "{} is declared twice", word.name);
        }
    }

    #[test]
    fn spans_use_declared_attributes_only() {
        let declared: BTreeSet<_> =
            CONVENTIONS.iter().chain(ATTRIBUTES).map(|word| word.name).collect();
        for span in SPANS {
            for attribute in span.attributes {
                assert!(declared.contains(attribute), "{}: {attribute}", span.name);
            }
            for event in span.events {
                assert!(SPAN_EVENTS.iter().any(|word| word.name == *event), "{event}");
            }
        }
    }

    #[test]
    fn own_attributes_are_under_the_own_prefix() {
        for word in ATTRIBUTES {
            assert!(word.name.starts_with("mcplex."), "{}", word.name);
        }
        for word in CONVENTIONS {
            assert!(!word.name.starts_with("mcplex."), "{}", word.name);
        }
    }

    #[test]
    fn meanings_are_sentences() {
        let words =
            [CONVENTIONS, ATTRIBUTES, SPAN_EVENTS, ERROR_TYPES, LINK_KINDS, SCOPES].concat();
        let meanings = words.iter().map(|word| word.meaning);
        for meaning in meanings.chain(SPANS.iter().map(|span| span.meaning)) {
            assert!(meaning.ends_with('.'), "{meaning}");
        }
    }
}
