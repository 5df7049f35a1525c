//! Spans of notifications: short ones, because nobody waits for anything.
//!
//! `notifications/progress` and `notifications/message` have none: they belong to a call, which has
//! one, and a server may send thousands of them in a second.

use super::{Subject, To, heed, is_on, named, own::client_side};
use crate::{
    link::Link, member::Member, options::IncomingContext, params::Params,
    session::DownstreamSession,
};
use mcplex_proto::{
    attr,
    id::Id,
    message::Notification,
    method, modern,
    peer::{Peer, protocol_over},
    raw::{self, Raw},
    trace::{self, TraceContext},
    upstream::Upstream,
    version::Version,
};
use tracing::{Span, field, field::Empty};

/// A notification that came, until it has been dealt with.
#[derive(Debug, Default)]
pub(crate) struct Note {
    _later: Option<super::Later>,
    _span: Option<Span>,
    context: Option<TraceContext>,
}

impl Note {
    fn of(span: Span, later: Option<super::Later>) -> Self {
        let context = trace::context_of(&span);
        Self { _later: later, _span: Some(span), context }
    }

    /// Where what follows from it belongs.
    pub(crate) fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }
}

/// Whether notifications of a kind have spans.
fn is_traced(method: &str) -> bool {
    is_on() && !matches!(method, method::PROGRESS | method::LOG_MESSAGE)
}

/// A client has sent a notification.
pub(crate) fn from_client(
    session: &DownstreamSession,
    notification: &Notification,
    params: &Params<'_>,
) -> Note {
    if !is_traced(&notification.method) {
        return Note::default();
    }
    let network = session.client.network();
    let origin = session.client.origin(None);
    let version = session.greeting().map(|greeting| greeting.version);
    let protocol = protocol_over(network);
    let span = tracing::info_span!(
        target: attr::TARGET_ROUTED,
        parent: None,
        attr::SERVER,
        { attr::OTEL_NAME } = &*notification.method,
        { attr::OTEL_KIND } = attr::KIND_SERVER,
        { attr::MCP_METHOD_NAME } = &*notification.method,
        { attr::MCP_PROTOCOL_VERSION } = version.map(Version::as_str),
        { attr::MCP_SESSION_ID } = origin.session.as_deref().filter(|_| version.is_some()),
        { attr::NETWORK_TRANSPORT } = network,
        { attr::NETWORK_PROTOCOL_NAME } = protocol.map(|(name, _)| name),
        { attr::NETWORK_PROTOCOL_VERSION } = protocol.map(|(_, version)| version),
    );
    let incoming = session.shared.options().incoming_context;
    let later = heed(&span, incoming, named(params), origin.trace);
    Note::of(span, later)
}

/// An upstream has sent a notification; `listen` is the stream that it came on, if it is one of ours.
pub(crate) fn from_upstream(
    link: &Link,
    member: &Member,
    notification: &Notification,
    params: &Params<'_>,
    (incoming, listen): (IncomingContext, Option<TraceContext>),
) -> Note {
    if !is_traced(&notification.method) {
        return Note::default();
    }
    let peer = member.upstream().and_then(|upstream| upstream.peer());
    let peer = peer.as_deref();
    let protocol = peer.and_then(|peer| protocol_over(peer.network));
    let uri = params.get("uri").and_then(raw::string);
    let span = tracing::info_span!(
        target: attr::TARGET_ROUTED,
        parent: None,
        attr::SERVER,
        { attr::OTEL_NAME } = &*notification.method,
        { attr::OTEL_KIND } = attr::KIND_SERVER,
        { attr::MCP_METHOD_NAME } = &*notification.method,
        { attr::MCP_PROTOCOL_VERSION } = peer.map(|peer| peer.version.as_str()),
        { attr::MCP_SESSION_ID } = peer.and_then(Peer::session).map(|name| &**name),
        { attr::MCP_RESOURCE_URI } = uri.as_deref(),
        { attr::NETWORK_TRANSPORT } = peer.map(|peer| peer.network),
        { attr::NETWORK_PROTOCOL_NAME } = protocol.map(|(name, _)| name),
        { attr::NETWORK_PROTOCOL_VERSION } = protocol.map(|(_, version)| version),
        { attr::UPSTREAM_NAME } = link.name.as_str(),
        { attr::UPSTREAM_INCARNATION } = peer.map(|peer| peer.incarnation.0),
        { attr::SUBSCRIPTION_ID } = Empty,
    );
    let later = heed(&span, incoming, named(params), None);
    if let Some(mark) = params.meta(modern::SUBSCRIPTION_ID).and_then(Id::read) {
        span.record(attr::SUBSCRIPTION_ID, field::display(mark.bare()));
    }
    listen.iter().for_each(|listen| trace::link(&span, listen, attr::LINK_LISTEN));
    Note::of(span, later)
}

/// The span of a notification to a client, and the notification as it says where it belongs.
///
/// `listen` is the `subscriptions/listen` that it is told in, with its span.
pub(crate) fn to_client(
    session: &DownstreamSession,
    parent: Option<&TraceContext>,
    listen: Option<(&Id, Option<TraceContext>)>,
    notification: Notification,
) -> (Option<Span>, Notification) {
    if !is_traced(&notification.method) {
        return (None, notification);
    }
    let params = Params::read(notification.params.as_ref());
    let uri = params.get("uri").and_then(raw::string);
    let span = client_side(session, &notification.method, parent, None, uri.as_deref());
    if let Some((id, listen)) = listen {
        span.record(attr::SUBSCRIPTION_ID, field::display(id.bare()));
        listen.iter().for_each(|listen| trace::link(&span, listen, attr::LINK_LISTEN));
    }
    let told = traced(&span, &notification);
    (Some(span), told)
}

/// Sends a notification to an upstream, where it belongs to what was going on.
pub(crate) fn to_upstream(
    link: &Link,
    upstream: &dyn Upstream,
    parent: Option<&TraceContext>,
    notification: Notification,
) {
    if !is_traced(&notification.method) {
        return upstream.send(None, notification.into());
    }
    let peer = upstream.peer();
    let to = To { upstream: &link.name, peer: peer.as_deref(), version: None };
    let span = to.span(&Span::none(), &notification.method, Subject::default());
    parent.into_iter().for_each(|parent| trace::set_parent(&span, parent));
    to.describe(&span, notification.method.clone(), Subject::default(), (None, 1));
    let told = match link.propagate().trace {
        true => traced(&span, &notification),
        false => notification,
    };
    upstream.send(None, told.into());
}

/// The same notification with where its span stands.
fn traced(span: &Span, notification: &Notification) -> Notification {
    let params = notification.params.clone().unwrap_or_else(Raw::empty_object);
    let context = trace::context_of(span);
    let told = context.map(|context| context.written_into(&params));
    let params = told.unwrap_or(params);
    Notification { params: Some(params), ..notification.clone() }
}
