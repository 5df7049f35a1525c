//! The two spans of a request: what a client asked, and what an upstream was asked for it.
//!
//! Neither span is ever entered; each ends when it is dropped. Without an exporter no field is
//! computed. What is measured of a request travels with its span, in [`Watched`]. `there` has
//! the spans of what upstreams are asked, `notes` those of notifications, `own` those of what mcplex asks
//! by itself and of what upstreams ask.

use mcplex_proto::{
    attr::{self, Kind},
    edit,
    error::ErrorObject,
    message::{Outcome, Request},
    method,
    peer::protocol_over,
    raw::{self, Raw},
    trace::{self, TraceContext, Value},
    upstream::{Reply, UpstreamError, UpstreamName},
    version::{Era, Version},
};
use std::{borrow::Cow, cell::OnceCell};
use tracing::{Span, field::Empty};

use crate::{
    measure::Watched, options::IncomingContext, params::Params, session::DownstreamSession,
};

mod notes;
mod own;
mod there;

pub(crate) use notes::{Note, from_client, from_upstream, to_client, to_upstream};
pub(crate) use own::{Asked, Why, asked, not_heard, not_listed, own, posed};
pub(crate) use there::{To, again, client};

/// What a request is about, for the names of its spans.
#[derive(Clone, Copy, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) tool: Option<&'a str>,
    pub(crate) prompt: Option<&'a str>,
    pub(crate) uri: Option<&'a str>,
}

impl Subject<'_> {
    /// The exported name of a span.
    fn title<'a>(&self, method: &'a str) -> Cow<'a, str> {
        match self.tool.or(self.prompt) {
            Some(of) => [method, of].join(" ").into(),
            None => method.into(),
        }
    }

    fn operation(&self) -> Option<Value> {
        self.tool.map(|_| "execute_tool".into())
    }
}

/// A text that only this span has.
fn text(text: &str) -> Value {
    text.to_owned().into()
}

/// A link that is written when its span ends: behind those that say why it failed.
#[derive(Debug)]
pub(crate) struct Later {
    span: Span,
    to: TraceContext,
    kind: &'static str,
}

impl Drop for Later {
    fn drop(&mut self) {
        trace::link(&self.span, &self.to, self.kind);
    }
}

/// Whether request spans are exported.
fn is_on() -> bool {
    tracing::span_enabled!(target: attr::TARGET_ROUTED, tracing::Level::INFO)
}

/// The span of a client's request, where its origin says that it belongs.
pub(crate) fn server(
    session: &DownstreamSession,
    request: &Request,
    params: &Params<'_>,
    version: Option<Version>,
) -> Watched {
    let network = session.client.network();
    if !is_on() {
        return Watched::asked(Span::none(), request, network, version);
    }
    let (span, context, later) = server_span(session, request, params, (network, version));
    if let Some(context) = context.as_ref().filter(|context| context.is_sampled()) {
        session.client.traced(&request.id, context);
    }
    Watched::asked(span, request, network, version).within(context, later)
}

fn server_span(
    session: &DownstreamSession,
    request: &Request,
    params: &Params<'_>,
    (network, version): (&'static str, Option<Version>),
) -> (Span, Option<TraceContext>, Option<Later>) {
    let name = named_in(&request.method, params);
    let is_tool = request.method == method::TOOLS_CALL;
    let (tool, prompt) = if is_tool { (name, None) } else { (None, name) };
    let uri = params.get("uri").and_then(raw::string);
    let subject = Subject { tool: tool.as_deref(), prompt: prompt.as_deref(), uri: uri.as_deref() };
    let origin = session.client.origin(Some(&request.id));
    let has_session = version.is_none_or(|version| version.era() == Era::Legacy);
    let protocol = protocol_over(network);
    let is_listen = request.method == method::LISTEN;
    let span = undescribed(&subject.title(&request.method));
    let incoming = session.shared.options().incoming_context;
    let later = heed(&span, incoming, named(params), origin.trace);
    let address = origin.address.as_ref();
    let context = trace::describe(
        &span,
        [
            (attr::MCP_METHOD_NAME, Some(request.method.clone().into())),
            (attr::MCP_PROTOCOL_VERSION, version.map(|version| version.as_str().into())),
            (attr::MCP_SESSION_ID, origin.session.as_ref().filter(|_| has_session).map(Into::into)),
            (attr::MCP_RESOURCE_URI, subject.uri.map(text)),
            (attr::GEN_AI_TOOL_NAME, subject.tool.map(text)),
            (attr::GEN_AI_PROMPT_NAME, subject.prompt.map(text)),
            (attr::GEN_AI_OPERATION_NAME, subject.operation()),
            (attr::JSONRPC_REQUEST_ID, Some(request.id.bare().to_string().into())),
            (attr::NETWORK_TRANSPORT, Some(network.into())),
            (attr::NETWORK_PROTOCOL_NAME, protocol.map(|(name, _)| name.into())),
            (attr::NETWORK_PROTOCOL_VERSION, protocol.map(|(_, version)| version.into())),
            (attr::CLIENT_ADDRESS, address.map(|address| (&address.host).into())),
            (attr::CLIENT_PORT, address.map(|address| address.port.into())),
            (attr::SUBSCRIPTION_ID, is_listen.then(|| request.id.bare().to_string().into())),
        ],
    );
    (span, context, later)
}

/// The tool or prompt that a request is about, as it is written in it.
pub(crate) fn named_in<'a>(method: &str, params: &Params<'a>) -> Option<Cow<'a, str>> {
    match method {
        method::TOOLS_CALL | method::PROMPTS_GET => params.get("name").and_then(raw::string),
        method::COMPLETE => edit::member(params.get("ref")?.get(), "name").and_then(raw::string),
        _ => None,
    }
}

/// The span of a client's request under its exported name, before its parent is known.
fn undescribed(title: &str) -> Span {
    tracing::info_span!(
        target: attr::TARGET_ROUTED,
        parent: None,
        attr::SERVER,
        { attr::OTEL_NAME } = title,
        { attr::OTEL_KIND } = attr::KIND_SERVER,
        { attr::MCP_METHOD_NAME } = Empty,
        { attr::MCP_PROTOCOL_VERSION } = Empty,
        { attr::MCP_SESSION_ID } = Empty,
        { attr::MCP_RESOURCE_URI } = Empty,
        { attr::GEN_AI_TOOL_NAME } = Empty,
        { attr::GEN_AI_PROMPT_NAME } = Empty,
        { attr::GEN_AI_OPERATION_NAME } = Empty,
        { attr::JSONRPC_REQUEST_ID } = Empty,
        { attr::NETWORK_TRANSPORT } = Empty,
        { attr::NETWORK_PROTOCOL_NAME } = Empty,
        { attr::NETWORK_PROTOCOL_VERSION } = Empty,
        { attr::CLIENT_ADDRESS } = Empty,
        { attr::CLIENT_PORT } = Empty,
        { attr::SUBSCRIPTION_ID } = Empty,
        { attr::UPSTREAM_NAME } = Empty,
        { attr::CACHE_HIT } = Empty,
        { attr::REQUEST_OUTCOME } = Empty,
        { attr::RPC_RESPONSE_STATUS_CODE } = Empty,
        { attr::ERROR_TYPE } = Empty,
        { attr::CAUSE_TRACE_ID } = Empty,
        { attr::CAUSE_SPAN_ID } = Empty,
        { attr::OTEL_STATUS_CODE } = Empty,
        { attr::OTEL_STATUS_DESCRIPTION } = Empty,
    )
}

/// Puts a span where a caller says that it belongs, as far as that is heeded.
fn heed(
    span: &Span,
    incoming: IncomingContext,
    named: Option<TraceContext>,
    ambient: Option<TraceContext>,
) -> Option<Later> {
    let later = |to, kind| Later { span: span.clone(), to, kind };
    match incoming {
        IncomingContext::Ignore => None,
        IncomingContext::Link => named.or(ambient).map(|to| later(to, attr::LINK_CALLER)),
        IncomingContext::Parent => {
            let (parent, other) = match (named, ambient) {
                (Some(named), ambient) => {
                    let other = ambient.filter(|other| other.span_id() != named.span_id());
                    (Some(named), other)
                }
                (None, ambient) => (ambient, None),
            };
            if let Some(parent) = parent {
                trace::set_parent(span, &parent);
            }
            other.map(|to| later(to, attr::LINK_AMBIENT))
        }
    }
}

/// The span that `_meta` names.
fn named(params: &Params<'_>) -> Option<TraceContext> {
    let parent = raw::string(params.meta("traceparent")?)?;
    let state = params.meta("tracestate").and_then(raw::string);
    TraceContext::parse(&parent, state.as_deref())
}

/// The request opened a session of this revision.
pub(crate) fn greeted(server: &Watched, version: Option<Version>) {
    if let Some(version) = version {
        trace::describe(
            &server.span,
            [(attr::MCP_PROTOCOL_VERSION, Some(version.as_str().into()))],
        );
    }
}

/// A list was asked for; `has_waited` for upstreams that had not come yet.
pub(crate) fn listed(server: &Watched, has_waited: bool) {
    trace::describe(&server.span, [(attr::CACHE_HIT, Some((!has_waited).into()))]);
}

/// Codes with which a server says that the client is at fault: no failure of whoever answers so.
///
/// By the conventions they fail the span of the client alone. They are: not JSON, no request, no such
/// method, bad parameters, no such resource.
const OF_THE_CLIENT: [i64; 5] = [-32_700, -32_600, -32_601, -32_602, -32_002];

/// An answer, and what it says of how its request ended.
///
/// It is looked through to its end for that, so only where somebody wants to know, and once for both
/// spans of a call.
struct Answer<'a> {
    outcome: &'a Outcome,
    ending: OnceCell<Ending>,
}

enum Ending {
    Well,
    /// A tool says that it failed.
    Tool,
    Error {
        code: i64,
        text: String,
        message: String,
    },
}

impl<'a> Answer<'a> {
    fn new(outcome: &'a Outcome) -> Self {
        Self { outcome, ending: OnceCell::new() }
    }

    fn ending(&self) -> &Ending {
        self.ending.get_or_init(|| match self.outcome {
            Outcome::Result(raw) if is_tool_error(raw) => Ending::Tool,
            Outcome::Result(_) => Ending::Well,
            Outcome::Error(raw) => {
                let ErrorObject { code, message, .. } = ErrorObject::read(raw);
                Ending::Error { code, text: code.to_string(), message }
            }
        })
    }
}

/// Writes down how a client's request ended that was answered.
pub(crate) fn ended(server: &Watched, outcome: &Outcome) {
    write_end(server, &Answer::new(outcome), Kind::Server);
}

/// The same for a request at an upstream, where every error is a failure.
pub(crate) fn ended_there(client: &Watched, outcome: &Outcome) {
    write_end(client, &Answer::new(outcome), Kind::Client);
}

fn write_end(watched: &Watched, answer: &Answer<'_>, kind: Kind) {
    let span = &watched.span;
    if span.is_disabled() && !watched.is_measured() || !watched.is_first_word() {
        return;
    }
    // A client span has none.
    let outcome = |outcome: &'static str| {
        if kind == Kind::Server {
            trace::describe(span, [(attr::REQUEST_OUTCOME, Some(outcome.into()))]);
        }
    };
    match answer.ending() {
        Ending::Well => {
            outcome("ok");
            watched.succeeded();
        }
        Ending::Tool => {
            outcome("error");
            fail(span, attr::ERROR_TOOL);
            watched.failed(attr::ERROR_TOOL);
        }
        Ending::Error { code, text, message } => {
            outcome("error");
            span.record(attr::RPC_RESPONSE_STATUS_CODE, &**text);
            let is_failure = kind == Kind::Client || !OF_THE_CLIENT.contains(code);
            if is_failure {
                fail(span, text);
                span.record(attr::OTEL_STATUS_DESCRIPTION, &**message);
            }
            watched.answered(*code, is_failure);
        }
    }
}

/// Writes down why a span failed.
fn fail(span: &Span, error: &str) {
    span.record(attr::ERROR_TYPE, error);
    span.record(attr::OTEL_STATUS_CODE, attr::STATUS_ERROR);
}

/// Writes down what made it fail, first among its links.
fn blame(span: &Span, error: &UpstreamError) {
    let Some(cause) = error.cause() else { return };
    let is_trip = matches!(error, UpstreamError::Tripped { .. });
    let kind = if is_trip { attr::LINK_TRIP } else { attr::LINK_DEATH };
    span.record(attr::CAUSE_TRACE_ID, cause.trace_id_hex());
    span.record(attr::CAUSE_SPAN_ID, cause.span_id_hex());
    trace::link(span, cause, kind);
}

/// Writes down on both spans what the upstream answered.
pub(crate) fn answered(server: &Watched, client: &Watched, reply: &Reply, is_sure: bool) {
    if !is_sure {
        client.span.record(attr::UPSTREAM_INCARNATION, reply.from.0);
    }
    server.is_with(reply.from);
    let answer = Answer::new(&reply.outcome);
    write_end(client, &answer, Kind::Client);
    write_end(server, &answer, Kind::Server);
}

/// Writes down on both spans that there was no answer, and why; not what the client reads
/// instead, which may be a tool's result.
pub(crate) fn failed(
    server: &Watched,
    (client, is_sure): (&Watched, bool),
    error: &UpstreamError,
    refusal: &Outcome,
) {
    unanswered(client, error, is_sure);
    if let Some(from) = error.from() {
        server.is_with(from);
    }
    refused(server, error, refusal);
}

/// Writes down that a request to an upstream was not answered.
///
/// `is_sure` says that it was known which life would get it.
pub(crate) fn unanswered(client: &Watched, error: &UpstreamError, is_sure: bool) {
    client.failed(error.kind());
    if !client.span.is_disabled() && client.is_first_word() {
        if let (Some(from), false) = (error.from(), is_sure) {
            client.span.record(attr::UPSTREAM_INCARNATION, from.0);
        }
        fail(&client.span, error.kind());
        client.span.record(attr::OTEL_STATUS_DESCRIPTION, error.to_string());
        blame(&client.span, error);
    }
}

/// Writes down that a client's request comes to nothing, before anything was sent for it.
pub(crate) fn rejected(server: &Watched, upstream: &UpstreamName, error: &UpstreamError) {
    if !server.has_tried() {
        server.span.record(attr::UPSTREAM_NAME, upstream.as_str());
    }
    refused(server, error, &Outcome::Error(Raw::of(&error.to_client())));
}

fn refused(server: &Watched, error: &UpstreamError, refusal: &Outcome) {
    if error.was_refused() {
        server.refused(error.kind());
    } else {
        server.failed(error.kind());
    }
    let span = &server.span;
    if span.is_disabled() || !server.is_first_word() {
        return;
    }
    if let Outcome::Error(raw) = refusal {
        let code = ErrorObject::read(raw).code.to_string();
        span.record(attr::RPC_RESPONSE_STATUS_CODE, &*code);
    }
    let outcome = if error.was_refused() { "rejected" } else { "error" };
    span.record(attr::REQUEST_OUTCOME, outcome);
    fail(span, error.kind());
    span.record(attr::OTEL_STATUS_DESCRIPTION, error.to_string());
    blame(span, error);
}

/// Writes down on both spans that the client gave up.
pub(crate) fn cancelled(server: &Watched, client: &Watched) {
    for watched in [server, client] {
        watched.failed(attr::ERROR_CANCELLED);
        given_up(watched);
    }
}

/// Writes down that nobody waits for a request any more, unless it has ended.
pub(crate) fn given_up(watched: &Watched) {
    if watched.is_first_word() {
        // Which a client span does not have.
        watched.span.record(attr::REQUEST_OUTCOME, "cancelled");
        fail(&watched.span, attr::ERROR_CANCELLED);
    }
}

/// Whether a call came to nothing.
pub(crate) fn is_failure(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Result(raw) => is_tool_error(raw),
        Outcome::Error(_) => true,
    }
}

fn is_tool_error(result: &Raw) -> bool {
    let text = result.as_str();
    // Nearly every answer says nothing of it, and some are large; a name can be written with escapes.
    let may_say = text.contains("isError") || text.contains("\\u");
    may_say && edit::member(text, "isError").is_some_and(|value| value.get() == "true")
}
