//! The two spans of a request: what a client asked, and what an upstream was asked for it.
//!
//! Neither span is ever entered; each ends when it is dropped. Without an exporter no field is
//! computed. What is measured of a request travels with its span, in [`Watched`].

use mcplex_proto::{
    attr, edit,
    error::ErrorObject,
    message::{Outcome, Request},
    method,
    raw::{self, Raw},
    trace::{self, TraceContext},
    upstream::{Reply, UpstreamError, UpstreamName},
    version::Version,
};
use tracing::{Span, field::Empty};

use crate::{measure::Watched, params::Params};

/// What a request is about, for the names of its spans.
#[derive(Clone, Copy, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) tool: Option<&'a str>,
    pub(crate) prompt: Option<&'a str>,
    pub(crate) uri: Option<&'a str>,
}

impl Subject<'_> {
    fn title(&self, method: &str) -> String {
        match self.tool.or(self.prompt) {
            Some(name) => format!("{method} {name}"),
            None => method.to_owned(),
        }
    }

    fn operation(&self) -> Option<&'static str> {
        self.tool.map(|_| "execute_tool")
    }
}

/// The span of a client's request; its parent is the one the client named in `_meta`.
pub(crate) fn server(
    request: &Request,
    params: &Params<'_>,
    network: &'static str,
    version: Option<Version>,
) -> Watched {
    Watched::asked(server_span(request, params, network, version), request, network, version)
}

fn server_span(
    request: &Request,
    params: &Params<'_>,
    network: &'static str,
    version: Option<Version>,
) -> Span {
    if !tracing::span_enabled!(target: attr::TARGET_REQUEST, tracing::Level::INFO) {
        return Span::none();
    }
    let name = || params.get("name").and_then(raw::string);
    let uri = || params.get("uri").and_then(raw::string);
    let (tool, prompt) = match &*request.method {
        method::TOOLS_CALL => (name(), None),
        method::PROMPTS_GET => (None, name()),
        _ => (None, None),
    };
    let uri = uri();
    let subject = Subject { tool: tool.as_deref(), prompt: prompt.as_deref(), uri: uri.as_deref() };
    let span = tracing::info_span!(
        target: attr::TARGET_REQUEST,
        parent: None,
        attr::SERVER,
        { attr::OTEL_NAME } = subject.title(&request.method),
        { attr::OTEL_KIND } = attr::KIND_SERVER,
        { attr::MCP_METHOD_NAME } = &*request.method,
        { attr::MCP_PROTOCOL_VERSION } = version.map(Version::as_str),
        { attr::MCP_RESOURCE_URI } = subject.uri,
        { attr::GEN_AI_TOOL_NAME } = subject.tool,
        { attr::GEN_AI_PROMPT_NAME } = subject.prompt,
        { attr::GEN_AI_OPERATION_NAME } = subject.operation(),
        { attr::JSONRPC_REQUEST_ID } = %request.id,
        { attr::NETWORK_TRANSPORT } = network,
        { attr::UPSTREAM_NAME } = Empty,
        { attr::REQUEST_OUTCOME } = Empty,
        { attr::RPC_RESPONSE_STATUS_CODE } = Empty,
        { attr::ERROR_TYPE } = Empty,
        { attr::CAUSE_TRACE_ID } = Empty,
        { attr::CAUSE_SPAN_ID } = Empty,
        { attr::OTEL_STATUS_CODE } = Empty,
        { attr::OTEL_STATUS_DESCRIPTION } = Empty,
    );
    if let Some(caller) = caller(params) {
        trace::set_parent(&span, &caller);
    }
    span
}

fn caller(params: &Params<'_>) -> Option<TraceContext> {
    let parent = raw::string(params.meta("traceparent")?)?;
    let state = params.meta("tracestate").and_then(raw::string);
    TraceContext::parse(&parent, state.as_deref())
}

/// The span of a request to an upstream, under the names the upstream knows.
pub(crate) fn client(
    server: &Watched,
    method: &str,
    subject: Subject<'_>,
    id: u64,
    upstream: &UpstreamName,
) -> Span {
    if server.span.is_disabled() {
        return Span::none();
    }
    server.span.record(attr::UPSTREAM_NAME, upstream.as_str());
    tracing::info_span!(
        target: attr::TARGET_REQUEST,
        parent: &server.span,
        attr::CLIENT,
        { attr::OTEL_NAME } = subject.title(method),
        { attr::OTEL_KIND } = attr::KIND_CLIENT,
        { attr::MCP_METHOD_NAME } = method,
        { attr::MCP_RESOURCE_URI } = subject.uri,
        { attr::GEN_AI_TOOL_NAME } = subject.tool,
        { attr::GEN_AI_PROMPT_NAME } = subject.prompt,
        { attr::GEN_AI_OPERATION_NAME } = subject.operation(),
        { attr::JSONRPC_REQUEST_ID } = %id,
        { attr::UPSTREAM_NAME } = upstream.as_str(),
        { attr::UPSTREAM_INCARNATION } = Empty,
        { attr::RPC_RESPONSE_STATUS_CODE } = Empty,
        { attr::ERROR_TYPE } = Empty,
        { attr::OTEL_STATUS_CODE } = Empty,
        { attr::OTEL_STATUS_DESCRIPTION } = Empty,
    )
}

/// Codes with which a server says that the client is at fault: no failure of whoever answers so.
///
/// By the conventions they fail the span of the client alone. They are: not JSON, no request, no such
/// method, bad parameters, no such resource.
const OF_THE_CLIENT: [i64; 5] = [-32_700, -32_600, -32_601, -32_602, -32_002];

/// Writes down how a client's request ended that was answered.
pub(crate) fn ended(server: &Watched, outcome: &Outcome) {
    write_end(server, outcome, |code| !OF_THE_CLIENT.contains(&code));
}

/// The same for a request at an upstream, where every error is a failure.
pub(crate) fn ended_there(client: &Watched, outcome: &Outcome) {
    write_end(client, outcome, |_| true);
}

fn write_end(watched: &Watched, outcome: &Outcome, is_failure: impl Fn(i64) -> bool) {
    let span = &watched.span;
    if span.is_disabled() && !watched.is_measured() {
        return;
    }
    let failed = |error: &str| {
        span.record(attr::ERROR_TYPE, error);
        span.record(attr::OTEL_STATUS_CODE, attr::STATUS_ERROR);
    };
    match outcome {
        Outcome::Result(raw) if is_tool_error(raw) => {
            span.record(attr::REQUEST_OUTCOME, "error");
            failed(attr::ERROR_TOOL);
            watched.failed(attr::ERROR_TOOL);
        }
        Outcome::Result(_) => {
            span.record(attr::REQUEST_OUTCOME, "ok");
            watched.succeeded();
        }
        Outcome::Error(raw) => {
            let ErrorObject { code, message, .. } = ErrorObject::read(raw);
            let text = code.to_string();
            span.record(attr::REQUEST_OUTCOME, "error");
            span.record(attr::RPC_RESPONSE_STATUS_CODE, &*text);
            let is_failure = is_failure(code);
            if is_failure {
                failed(&text);
                span.record(attr::OTEL_STATUS_DESCRIPTION, &*message);
            }
            watched.answered(code, is_failure);
        }
    }
}

/// Writes down on both spans what the upstream answered.
pub(crate) fn answered(server: &Watched, client: &Watched, reply: &Reply) {
    client.span.record(attr::UPSTREAM_INCARNATION, reply.from.0);
    server.came_from(reply.from);
    ended_there(client, &reply.outcome);
    ended(server, &reply.outcome);
}

/// Writes down on both spans that there was no answer, and why; not what the client reads
/// instead, which may be a tool's result.
pub(crate) fn failed(server: &Watched, client: &Watched, error: &UpstreamError, refusal: &Outcome) {
    if error.was_refused() {
        server.refused(error.kind());
    } else {
        server.failed(error.kind());
    }
    client.failed(error.kind());
    let (server, client) = (&server.span, &client.span);
    if server.is_disabled() {
        return;
    }
    if let Outcome::Error(raw) = refusal {
        let code = ErrorObject::read(raw).code.to_string();
        server.record(attr::RPC_RESPONSE_STATUS_CODE, &*code);
    }
    let outcome = if error.was_refused() { "rejected" } else { "error" };
    server.record(attr::REQUEST_OUTCOME, outcome);
    for span in [server, client] {
        span.record(attr::ERROR_TYPE, error.kind());
        span.record(attr::OTEL_STATUS_CODE, attr::STATUS_ERROR);
    }
    if let Some(cause) = error.cause() {
        let kind = if error.was_refused() { attr::LINK_TRIP } else { attr::LINK_DEATH };
        server.record(attr::CAUSE_TRACE_ID, cause.trace_id_hex());
        server.record(attr::CAUSE_SPAN_ID, cause.span_id_hex());
        trace::link(server, cause, kind);
        trace::link(client, cause, kind);
    }
}

/// Writes down on both spans that the client gave up.
pub(crate) fn cancelled(server: &Watched, client: &Watched) {
    left(server);
    client.failed(attr::ERROR_CANCELLED);
    client.span.record(attr::ERROR_TYPE, attr::ERROR_CANCELLED);
    client.span.record(attr::OTEL_STATUS_CODE, attr::STATUS_ERROR);
}

/// Writes down that the client gave up what no upstream was asked for.
pub(crate) fn left(server: &Watched) {
    server.failed(attr::ERROR_CANCELLED);
    server.span.record(attr::REQUEST_OUTCOME, "cancelled");
}

/// Whether a call came to nothing.
pub(crate) fn is_failure(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Result(raw) => is_tool_error(raw),
        Outcome::Error(_) => true,
    }
}

fn is_tool_error(result: &Raw) -> bool {
    edit::member(result.as_str(), "isError").is_some_and(|value| value.get() == "true")
}
