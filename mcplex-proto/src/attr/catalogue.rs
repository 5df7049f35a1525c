//! Every span that mcplex exports: what it means, where it hangs, and what it may carry.

// The table is made of nearly all of these names.
use super::*;

/// The kind of a span, in the words of OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work of mcplex itself.
    Internal,
    /// A request that mcplex answers.
    Server,
    /// A request that mcplex sends.
    Client,
}

/// What the reference page says about one span.
#[derive(Clone, Copy, Debug)]
pub struct SpanDoc {
    /// The exported name; words in braces are replaced.
    pub name: &'static str,
    /// The kind of the span.
    pub kind: Kind,
    /// One sentence for the reference page.
    pub meaning: &'static str,
    /// Which parts of mcplex make it.
    pub scopes: &'static [&'static str],
    /// Which span is its parent.
    pub parent: &'static str,
    /// Which spans it links to, the most useful first.
    pub links: &'static str,
    /// The attributes it may carry.
    pub attributes: &'static [&'static str],
    /// The events inside it.
    pub events: &'static [&'static str],
}

impl SpanDoc {
    /// What a span says of itself that has nothing to tell but this.
    const NONE: Self = Self {
        name: "",
        kind: Kind::Internal,
        meaning: "",
        scopes: &[SCOPE_SUPERVISOR],
        parent: "none",
        links: "none",
        attributes: &[],
        events: &[],
    };

    /// What the table says of an exported span.
    #[must_use]
    pub fn of(name: &str, kind: Kind) -> Option<&'static Self> {
        let first = |name: &'static str| name.split(' ').next().unwrap_or_default();
        let is_note = name.starts_with("notifications/");
        let is_it = |doc: &&Self| {
            doc.kind == kind
                && match first(doc.name) {
                    "{mcp.method.name}" => !is_note && !is_http(name),
                    "notifications/{what}" => is_note,
                    "{http.request.method}" => is_http(name),
                    step => name.split(' ').next() == Some(step),
                }
        };
        SPANS.iter().find(is_it)
    }
}

/// Whether a name begins with a method of HTTP; those of MCP have small letters.
fn is_http(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
}

/// What spans of requests and notifications have in common, on either side.
macro_rules! told {
    ($($own:ident),* $(,)?) => {
        &[
            MCP_METHOD_NAME,
            MCP_PROTOCOL_VERSION,
            MCP_SESSION_ID,
            MCP_RESOURCE_URI,
            NETWORK_TRANSPORT,
            NETWORK_PROTOCOL_NAME,
            NETWORK_PROTOCOL_VERSION,
            UPSTREAM_NAME,
            UPSTREAM_INCARNATION,
            SUBSCRIPTION_ID,
            $($own),*
        ]
    };
}

/// Every span mcplex exports.
pub const SPANS: &[SpanDoc] = &[
    SpanDoc {
        name: "{mcp.method.name} {target}",
        kind: Kind::Server,
        meaning: "A request that came: of a client, or of an upstream that asks a client; the target is the \
                  tool or prompt, if there is one. The errors -32700, -32600, -32601, -32602 and -32002 \
                  are the asker's fault and do not fail it; that of `subscriptions/listen` ends with its \
                  acknowledgement.",
        scopes: &[SCOPE_ROUTER],
        parent: "the span that `traceparent` in `_meta` names, else that of the headers of HTTP, unless \
                 `telemetry.incoming_context` says otherwise; of an upstream's request else the call \
                 that it belongs to; else none",
        links: "the trip that refused it, the death that killed it, or the one that its upstream had not \
                got over; then the span that the headers name, or with `incoming_context = \"link\"` \
                the one that is no parent",
        attributes: told![
            CLIENT_ADDRESS,
            CLIENT_PORT,
            ERROR_TYPE,
            GEN_AI_TOOL_NAME,
            GEN_AI_PROMPT_NAME,
            GEN_AI_OPERATION_NAME,
            JSONRPC_REQUEST_ID,
            RPC_RESPONSE_STATUS_CODE,
            REQUEST_OUTCOME,
            CACHE_HIT,
            CAUSE_TRACE_ID,
            CAUSE_SPAN_ID,
        ],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "{mcp.method.name} {target}",
        kind: Kind::Client,
        meaning: "A request that is sent: to an upstream, under the name the upstream knows, one for \
                  each try; or to a client, for an upstream that asks it.",
        scopes: &[SCOPE_ROUTER, SCOPE_SUPERVISOR],
        parent: "the server span; of `server/discover`, `initialize` and the lists that are read after \
                 them the connect; of lists that are read later, and of our own `subscriptions/listen`, \
                 none",
        links: "the death that killed it, the trip that refused it, or the death that its upstream had \
                not got over; of what is asked later and for nobody the connect",
        attributes: told![
            SERVER_ADDRESS,
            SERVER_PORT,
            ERROR_TYPE,
            GEN_AI_TOOL_NAME,
            GEN_AI_PROMPT_NAME,
            GEN_AI_OPERATION_NAME,
            JSONRPC_REQUEST_ID,
            RPC_RESPONSE_STATUS_CODE,
            REQUEST_ATTEMPT,
            CAUSE_TRACE_ID,
            CAUSE_SPAN_ID,
        ],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "notifications/{what}",
        kind: Kind::Server,
        meaning: "A notification that came from a client or from an upstream, and was heeded or handed \
                  on; not of `notifications/progress` and `notifications/message`, which belong to a \
                  call and may come by the thousand.",
        scopes: &[SCOPE_ROUTER],
        parent: "as of a request",
        links: "the `subscriptions/listen` it was told in",
        attributes: told![],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "notifications/{what}",
        kind: Kind::Client,
        meaning: "A notification that is sent, to an upstream or to a client; with the same exceptions, and \
                  without the `notifications/initialized` that ends a handshake.",
        scopes: &[SCOPE_ROUTER],
        parent: "the span of what brought it about, if that has one",
        links: "the `subscriptions/listen` it is told in",
        attributes: told![SERVER_ADDRESS, SERVER_PORT],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "{http.request.method} {http.route}",
        kind: Kind::Server,
        meaning: "An operator's request of the admin API or the control socket that changes something.",
        scopes: &[SCOPE_ADMIN],
        parent: "the span that the header `traceparent` names, else none",
        attributes: &[
            HTTP_REQUEST_METHOD,
            HTTP_ROUTE,
            HTTP_RESPONSE_STATUS_CODE,
            URL_PATH,
            URL_SCHEME,
            ERROR_TYPE,
        ],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "mcplex.startup",
        kind: Kind::Internal,
        meaning: "The start of mcplex, until every upstream is connected or its first connect failed.",
        scopes: &[SCOPE_PROGRAM],
        attributes: &[LIFECYCLE, UPSTREAM_COUNT],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "mcplex.connect {upstream}",
        kind: Kind::Internal,
        meaning: "One connect: the child is started, the handshake done and the lists read, or one of \
                  these failed.",
        parent: "the startup, the respawn or the reset that led to it; of one that a call waits for \
                 the server span of that call; else none",
        links: "the connect of the incarnation before",
        attributes: &[
            LIFECYCLE,
            UPSTREAM_NAME,
            UPSTREAM_MEMBER,
            UPSTREAM_INCARNATION,
            UPSTREAM_TRANSPORT,
            CONNECT_REASON,
            CONNECT_TRIAL,
            CONNECT_WAIT_MS,
            CONNECT_SPAWN_MS,
            CONNECT_HANDSHAKE_MS,
            MCP_PROTOCOL_VERSION,
            TOOL_COUNT,
            ERA,
            ERA_VERDICT,
            PROCESS_PID,
            ERROR_TYPE,
        ],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "mcplex.spawn {upstream}",
        kind: Kind::Internal,
        meaning: "The start of the child process.",
        scopes: &[SCOPE_STDIO],
        parent: "the connect",
        attributes: &[
            LIFECYCLE,
            UPSTREAM_NAME,
            UPSTREAM_MEMBER,
            UPSTREAM_INCARNATION,
            UPSTREAM_TRANSPORT,
            PROCESS_PID,
            PROCESS_EXECUTABLE_NAME,
            ERROR_TYPE,
        ],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "mcplex.death {upstream}",
        kind: Kind::Internal,
        meaning: "The end of an incarnation that nobody asked for; closed at once.",
        links: "the connect of that incarnation, then up to 8 of the calls in flight, of which \
                `mcplex.requests.in_flight` is the number: those of clients first, and of these such as \
                were in flight at an earlier death too, then the latest",
        attributes: &[
            LIFECYCLE,
            UPSTREAM_NAME,
            UPSTREAM_MEMBER,
            UPSTREAM_INCARNATION,
            UPSTREAM_TRANSPORT,
            DEATH_REASON,
            DEATH_PROBABLE_CAUSE,
            SUSPECT_METHOD,
            SUSPECT_NAME,
            PROCESS_PID,
            PROCESS_EXIT_CODE,
            PROCESS_EXIT_SIGNAL,
            PROCESS_PEAK_MEMORY,
            PROCESS_CPU_S,
            PROCESS_OUT_OF_MEMORY,
            UPSTREAM_UPTIME_S,
            REQUESTS_IN_FLIGHT,
            BREAKER_DEATHS_IN_WINDOW,
            BREAKER_THRESHOLD,
            BREAKER_WINDOW_S,
            ERROR_TYPE,
        ],
        events: &[SPAN_EVENT_STDERR],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "mcplex.respawn {upstream}",
        kind: Kind::Internal,
        meaning: "The backoff after a death and the connect that follows.",
        parent: "the death",
        links: "the connect of the incarnation before",
        attributes: &[
            LIFECYCLE,
            UPSTREAM_NAME,
            UPSTREAM_MEMBER,
            UPSTREAM_INCARNATION,
            UPSTREAM_TRANSPORT,
            RESPAWN_ATTEMPT,
            RESPAWN_BACKOFF_MS,
            ERROR_TYPE,
        ],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "mcplex.trip {upstream}",
        kind: Kind::Internal,
        meaning: "The breaker opened: no respawn follows this death.",
        parent: "the death that tripped it",
        links: "the other deaths in the window, up to 16",
        attributes: &[
            LIFECYCLE,
            UPSTREAM_NAME,
            UPSTREAM_MEMBER,
            UPSTREAM_INCARNATION,
            UPSTREAM_TRANSPORT,
            BREAKER_STATE,
            BREAKER_PREVIOUS_STATE,
            BREAKER_DEATHS_IN_WINDOW,
            BREAKER_THRESHOLD,
            BREAKER_WINDOW_S,
            BREAKER_RETRY_AFTER_S,
            ERROR_TYPE,
        ],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "mcplex.reset {upstream}",
        kind: Kind::Internal,
        meaning: "The breaker closed again; a connect follows, and if that fails this has.",
        parent: "the operator's request that asked for it, else none",
        links: "the trip",
        attributes: &[
            LIFECYCLE,
            UPSTREAM_NAME,
            UPSTREAM_MEMBER,
            UPSTREAM_INCARNATION,
            UPSTREAM_TRANSPORT,
            RESET_REASON,
            BREAKER_STATE,
            BREAKER_PREVIOUS_STATE,
            ERROR_TYPE,
        ],
        ..SpanDoc::NONE
    },
    SpanDoc {
        name: "mcplex.stop {upstream}",
        kind: Kind::Internal,
        meaning: "An end somebody asked for, until nothing is left; never an error.",
        links: "the connect of that incarnation",
        attributes: &[
            LIFECYCLE,
            UPSTREAM_NAME,
            UPSTREAM_MEMBER,
            UPSTREAM_INCARNATION,
            UPSTREAM_TRANSPORT,
            PROCESS_PID,
            UPSTREAM_UPTIME_S,
            STOP_STAGE,
        ],
        ..SpanDoc::NONE
    },
];
