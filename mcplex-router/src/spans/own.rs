//! Spans of what mcplex asks an upstream by itself, and of what upstreams ask clients.

use super::{Subject, To, ended, ended_there, fail, heed, is_on, named};
use crate::{
    lists::ListError, measure::Watched, options::IncomingContext, params::Params,
    session::DownstreamSession,
};
use mcplex_proto::{
    attr,
    message::{Outcome, Request},
    peer::protocol_over,
    trace::{self, TraceContext},
    version::Version,
};
use mcplex_translate::question::Question;
use tracing::{Span, field, field::Empty};

/// Why mcplex asks something by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is part of a connect.
    Connect,
    /// A life that is connected is asked again, or for something that lasts.
    Upkeep,
}

/// The span of a request of mcplex itself.
pub(crate) fn own(method: &'static str, id: u64, to: To<'_>, why: Why) -> Watched {
    let watched = |span| Watched::own(span, method, to.upstream, (to.version(), to.peer));
    if !is_on() {
        return watched(Span::none());
    }
    let span = to.span(&Span::none(), method, Subject::default());
    let connect = to.peer.and_then(|peer| peer.connect.as_ref());
    match (why, connect) {
        (Why::Connect, Some(connect)) => trace::set_parent(&span, connect),
        (Why::Upkeep, Some(connect)) => trace::link(&span, connect, attr::LINK_CONNECT),
        (_, None) => {}
    }
    let context = to.describe(&span, method.into(), Subject::default(), (Some(id), 1));
    watched(span).within(context, None)
}

/// A `subscriptions/listen` of ours ended before it was acknowledged; that is no failure where it was
/// no longer wanted.
pub(crate) fn not_heard(listen: &Watched, is_unwanted: bool) {
    let kind = if is_unwanted { attr::ERROR_CANCELLED } else { attr::ERROR_UPSTREAM_UNAVAILABLE };
    listen.failed(kind);
    if listen.is_first_word() {
        fail(&listen.span, kind);
    }
}

/// A list could not be read when its upstream had connected.
pub(crate) fn not_listed(connect: &Span, error: &ListError) {
    let kind = match error {
        ListError::Upstream(error) => error.kind().to_owned(),
        ListError::Refused { error, .. } => error.code.to_string(),
        ListError::Malformed { .. } => attr::ERROR_PROTOCOL.to_owned(),
    };
    fail(connect, &kind);
    connect.record(attr::OTEL_STATUS_DESCRIPTION, error.to_string());
}

/// The span of a request of an upstream to a client; it belongs where the upstream says, or else to
/// the call that it came in.
pub(crate) fn asked(
    from: To<'_>,
    request: &Request,
    call: Option<TraceContext>,
    incoming: IncomingContext,
) -> Watched {
    if !is_on() {
        return Watched::unmeasured(Span::none());
    }
    let params = Params::read(request.params.as_ref());
    let peer = from.peer;
    let protocol = peer.and_then(|peer| protocol_over(peer.network));
    let span = tracing::info_span!(
        target: attr::TARGET_ROUTED,
        parent: None,
        attr::SERVER,
        { attr::OTEL_NAME } = &*request.method,
        { attr::OTEL_KIND } = attr::KIND_SERVER,
        { attr::MCP_METHOD_NAME } = &*request.method,
        { attr::MCP_PROTOCOL_VERSION } = from.version().map(Version::as_str),
        { attr::MCP_SESSION_ID } = peer.and_then(mcplex_proto::peer::Peer::session).map(|name| &**name),
        { attr::JSONRPC_REQUEST_ID } = %request.id.bare(),
        { attr::NETWORK_TRANSPORT } = peer.map(|peer| peer.network),
        { attr::NETWORK_PROTOCOL_NAME } = protocol.map(|(name, _)| name),
        { attr::NETWORK_PROTOCOL_VERSION } = protocol.map(|(_, version)| version),
        { attr::UPSTREAM_NAME } = from.upstream.as_str(),
        { attr::UPSTREAM_INCARNATION } = peer.map(|peer| peer.incarnation.0),
        { attr::REQUEST_OUTCOME } = Empty,
        { attr::RPC_RESPONSE_STATUS_CODE } = Empty,
        { attr::ERROR_TYPE } = Empty,
        { attr::OTEL_STATUS_CODE } = Empty,
        { attr::OTEL_STATUS_DESCRIPTION } = Empty,
    );
    // The call is a span of our own: whoever it came from, what is asked in it belongs to it.
    let later = match named(&params) {
        None => {
            call.iter().for_each(|call| trace::set_parent(&span, call));
            None
        }
        named => heed(&span, incoming, named, None),
    };
    let context = trace::context_of(&span);
    Watched::unmeasured(span).within(context, later)
}

/// The span of a question to a client.
pub(crate) fn posed(
    session: &DownstreamSession,
    parent: Option<&TraceContext>,
    question: &Question,
    id: u64,
) -> Watched {
    if !is_on() {
        return Watched::unmeasured(Span::none());
    }
    let span = client_side(session, &question.method, parent, Some(id), None);
    let context = trace::context_of(&span);
    Watched::unmeasured(span).within(context, None)
}

/// The span of what is sent to a client.
pub(super) fn client_side(
    session: &DownstreamSession,
    method: &str,
    parent: Option<&TraceContext>,
    id: Option<u64>,
    uri: Option<&str>,
) -> Span {
    let network = session.client.network();
    let origin = session.client.origin(None);
    let protocol = protocol_over(network);
    let version = session.greeting().map(|greeting| greeting.version);
    let span = tracing::info_span!(
        target: attr::TARGET_ROUTED,
        parent: None,
        attr::CLIENT,
        { attr::OTEL_NAME } = method,
        { attr::OTEL_KIND } = attr::KIND_CLIENT,
        { attr::MCP_METHOD_NAME } = method,
        { attr::MCP_PROTOCOL_VERSION } = version.map(Version::as_str),
        { attr::MCP_SESSION_ID } = origin.session.as_deref().filter(|_| version.is_some()),
        { attr::MCP_RESOURCE_URI } = uri,
        { attr::JSONRPC_REQUEST_ID } = id.map(field::display),
        { attr::NETWORK_TRANSPORT } = network,
        { attr::NETWORK_PROTOCOL_NAME } = protocol.map(|(name, _)| name),
        { attr::NETWORK_PROTOCOL_VERSION } = protocol.map(|(_, version)| version),
        { attr::SUBSCRIPTION_ID } = Empty,
        { attr::RPC_RESPONSE_STATUS_CODE } = Empty,
        { attr::ERROR_TYPE } = Empty,
        { attr::OTEL_STATUS_CODE } = Empty,
        { attr::OTEL_STATUS_DESCRIPTION } = Empty,
    );
    parent.into_iter().for_each(|parent| trace::set_parent(&span, parent));
    span
}

/// The spans of a question on its way: of the upstream that asks, where it asked by a request, and
/// of the client that is asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) server: Option<Watched>,
    pub(crate) client: Watched,
}

impl Asked {
    /// The question was answered, or never will be.
    pub(crate) fn ended(&self, outcome: &Outcome) {
        ended_there(&self.client, outcome);
        if let Some(server) = &self.server {
            ended(server, outcome);
        }
    }

    /// Nobody wants the answer any more.
    pub(crate) fn withdrawn(&self) {
        for watched in self.server.iter().chain([&self.client]) {
            if watched.is_first_word() {
                fail(&watched.span, attr::ERROR_CANCELLED);
            }
        }
    }

    /// The client could not be reached with it; gives the span of who asked.
    pub(crate) fn unsent(self) -> Option<Watched> {
        if self.client.is_first_word() {
            fail(&self.client.span, attr::ERROR_OTHER);
        }
        self.server
    }
}
