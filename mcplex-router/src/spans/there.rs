//! Spans of what upstreams are asked.

use super::{Subject, named_in, text};
use crate::{measure::Watched, params::Params};
use mcplex_proto::{
    attr, method,
    peer::{Peer, protocol_over},
    raw::{self, Raw},
    trace::{self, TraceContext},
    upstream::UpstreamName,
    version::Version,
};
use std::borrow::Cow;
use tracing::{Span, field::Empty};

/// To whom a request goes.
#[derive(Clone, Copy)]
pub(crate) struct To<'a> {
    pub(crate) upstream: &'a UpstreamName,
    /// The life that gets it, as far as that is certain.
    pub(crate) peer: Option<&'a Peer>,
    /// The revision it is written in, as far as that is known.
    pub(crate) version: Option<Version>,
}

impl To<'_> {
    pub(super) fn version(&self) -> Option<Version> {
        self.peer.map(|peer| peer.version).or(self.version)
    }

    /// A span of what is sent there; its parent is that of a span which is not disabled, or nobody.
    ///
    /// It is described once its parent is known.
    pub(super) fn span(&self, parent: &Span, method: &str, subject: Subject<'_>) -> Span {
        tracing::info_span!(
            target: attr::TARGET_ROUTED,
            parent: parent,
            attr::CLIENT,
            { attr::OTEL_NAME } = &*subject.title(method),
            { attr::OTEL_KIND } = attr::KIND_CLIENT,
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
            { attr::SERVER_ADDRESS } = Empty,
            { attr::SERVER_PORT } = Empty,
            { attr::UPSTREAM_NAME } = Empty,
            { attr::UPSTREAM_INCARNATION } = Empty,
            { attr::REQUEST_ATTEMPT } = Empty,
            { attr::SUBSCRIPTION_ID } = Empty,
            { attr::RPC_RESPONSE_STATUS_CODE } = Empty,
            { attr::ERROR_TYPE } = Empty,
            { attr::CAUSE_TRACE_ID } = Empty,
            { attr::CAUSE_SPAN_ID } = Empty,
            { attr::OTEL_STATUS_CODE } = Empty,
            { attr::OTEL_STATUS_DESCRIPTION } = Empty,
        )
    }

    /// Says on a span what is sent there, and tells where it stands; `attempt` counts from 1.
    pub(super) fn describe(
        &self,
        span: &Span,
        method: Cow<'static, str>,
        subject: Subject<'_>,
        (id, attempt): (Option<u64>, u32),
    ) -> Option<TraceContext> {
        let peer = self.peer;
        let place = peer.map(|peer| &peer.place);
        let protocol = peer.and_then(|peer| protocol_over(peer.network));
        trace::describe(
            span,
            [
                (attr::MCP_METHOD_NAME, Some(method.into())),
                (attr::MCP_PROTOCOL_VERSION, self.version().map(|version| version.as_str().into())),
                (attr::MCP_SESSION_ID, peer.and_then(Peer::session).map(Into::into)),
                (attr::MCP_RESOURCE_URI, subject.uri.map(text)),
                (attr::GEN_AI_TOOL_NAME, subject.tool.map(text)),
                (attr::GEN_AI_PROMPT_NAME, subject.prompt.map(text)),
                (attr::GEN_AI_OPERATION_NAME, subject.operation()),
                (attr::JSONRPC_REQUEST_ID, id.map(|id| id.to_string().into())),
                (attr::NETWORK_TRANSPORT, peer.map(|peer| peer.network.into())),
                (attr::NETWORK_PROTOCOL_NAME, protocol.map(|(name, _)| name.into())),
                (attr::NETWORK_PROTOCOL_VERSION, protocol.map(|(_, version)| version.into())),
                (attr::SERVER_ADDRESS, place.and_then(|place| place.host.as_ref()).map(Into::into)),
                (attr::SERVER_PORT, place.and_then(|place| place.port).map(Into::into)),
                (attr::UPSTREAM_NAME, Some(self.upstream.into())),
                (attr::UPSTREAM_INCARNATION, peer.map(|peer| peer.incarnation.0.into())),
                (attr::REQUEST_ATTEMPT, Some(attempt.into()).filter(|_| attempt > 1)),
            ],
        )
    }
}

/// A span that has begun, and where it stands if it is exported.
pub(crate) type Begun = (Span, Option<TraceContext>);

/// The span of a request to an upstream, under the names the upstream knows; one for each try.
pub(crate) fn client(
    server: &Watched,
    method: Cow<'static, str>,
    subject: Subject<'_>,
    id: u64,
    to: To<'_>,
) -> Begun {
    if server.span.is_disabled() {
        return (Span::none(), None);
    }
    let attempt = server.tries();
    let span = to.span(&server.span, &method, subject);
    let context = to.describe(&span, method, subject, (Some(id), attempt));
    if attempt == 1 {
        trace::describe(&server.span, [(attr::UPSTREAM_NAME, Some(to.upstream.into()))]);
    }
    (span, context)
}

/// The span of another try of a call, whose request was answered with a question.
pub(crate) fn again(
    server: &Watched,
    method: Cow<'static, str>,
    params: Option<&Raw>,
    id: u64,
    to: To<'_>,
) -> Begun {
    if server.span.is_disabled() {
        return (Span::none(), None);
    }
    let params = Params::read(params);
    let name = named_in(&method, &params);
    let uri = params.get("uri").and_then(raw::string);
    let is_tool = method == method::TOOLS_CALL;
    let subject = Subject {
        tool: name.as_deref().filter(|_| is_tool),
        prompt: name.as_deref().filter(|_| !is_tool),
        uri: uri.as_deref(),
    };
    client(server, method, subject, id, to)
}
