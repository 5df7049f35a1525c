//! Requests of clients on their way to an upstream.

use crate::{
    link::Link,
    member::{Flight, Member},
    options::DownReply,
    params::{Params, Rewrite},
    refresh,
    session::{DownstreamSession, uri_of},
    spans::{self, Subject},
    target::{self, Aim, Local, Target},
};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use mcplex_proto::{
    edit,
    error::{ErrorObject, URL_ELICITATION_REQUIRED},
    id::Id,
    message::{Extra, Notification, Outcome, Request},
    method,
    raw::{self, Raw},
    trace::{self, TraceContext},
    upstream::{Call, Upstream, UpstreamError},
    version::Era,
};
use std::sync::Arc;
use tracing::Span;

/// URLs of one such error that are remembered; people open one or two.
const MAX_ELICITATIONS: usize = 16;

/// A call that is ready to go.
pub(crate) struct Planned {
    call: Call,
    upstream: Arc<dyn Upstream>,
    cancelled: oneshot::Receiver<()>,
    span: Span,
    in_flight: InFlight,
    aim: Aim,
}

/// Keeps a call in the tables for as long as somebody waits for it.
struct InFlight {
    session: Arc<DownstreamSession>,
    link: Arc<Link>,
    member: Arc<Member>,
    id: u64,
    about: Id,
    /// The resource whose first subscriber this is, until the upstream agrees.
    subscribes: Option<String>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(uri) = &self.subscribes {
            self.give_up(uri);
        }
        self.session.end(&self.about);
        self.member.lands(self.id);
    }
}

impl InFlight {
    /// The subscription did not come about; whoever joined it meanwhile was told that it had.
    fn give_up(&self, uri: &str) {
        let Self { link, session, .. } = self;
        if link.unsubscribe(uri, session.number) {
            return;
        }
        let home = link.home(session.number);
        let is_wanted = link.subscriptions(home).iter().any(|wanted| wanted == uri);
        let member = link.member(home).filter(|_| is_wanted);
        if let Some(upstream) = member.as_ref().and_then(|member| member.upstream()) {
            refresh::subscribe(&**upstream, uri);
        }
    }

    /// An error may ask the client to open URLs first; it will want to hear when that is done.
    fn note_elicitations(&self, error: &Raw) {
        let error = ErrorObject::read(error);
        if error.code != URL_ELICITATION_REQUIRED {
            return;
        }
        let elicitations = error.data.as_ref().and_then(|data| data["elicitations"].as_array());
        for elicitation in elicitations.into_iter().flatten().take(MAX_ELICITATIONS) {
            if let Some(id) = elicitation["elicitationId"].as_str() {
                self.link.elicits(id.to_owned(), self.session.number);
            }
        }
    }
}

/// Finds the upstream of a request and writes the request in its words.
pub(crate) fn plan(
    session: &DownstreamSession,
    request: &Request,
    params: &Params<'_>,
    span: &Span,
) -> Result<Planned, Local> {
    let target = target::find(session, request, params)?;
    let link = &target.link;
    let member = link
        .member_for(&session.shared, session.number, target.aim.stays())
        .map_err(|error| refuse(session, &target.aim, &error))?;
    let Some(upstream) = member.upstream().cloned() else {
        return Err(Err(ErrorObject::new(
            mcplex_proto::error::UPSTREAM_UNAVAILABLE,
            format!("Upstream {} is not there yet. The call was not sent; try again.", link.name),
        )));
    };
    let id = upstream.mint();
    let Some(cancelled) = session.begin(&request.id, &member, id) else {
        if session.is_closed() {
            // What was made for it just now would stay for ever.
            link.leave(session.number);
        }
        let why = "a request with this id is being served, or the session is closed";
        return Err(Err(ErrorObject::invalid_request(&why)));
    };
    if let Aim::Subscribe(uri) = &target.aim
        && !link.subscribe(uri, session.number)
    {
        session.end(&request.id);
        return Err(Ok(Raw::empty_object()));
    }
    let client = client_span(span, request, params, &target, id);
    let context = trace::context_of(&client);
    let token = params.token().map(Raw::of);
    let rewrite = Rewrite {
        name: target.name.as_ref().map(|(member, name)| (*member, &**name)),
        token: token.is_some().then_some(id),
        traceparent: context.as_ref().map(TraceContext::to_traceparent),
    };
    let params = params.rewrite(&rewrite).or_else(|| request.params.clone());
    let flight =
        Flight { session: session.me(), about: request.id.clone(), token, progress: f64::MIN };
    member.takes_off(id, flight);
    let subscribes = match &target.aim {
        Aim::Subscribe(uri) => Some(uri.clone()),
        Aim::Tool | Aim::Unsubscribe | Aim::Other => None,
    };
    let about = request.id.clone();
    let in_flight =
        InFlight { session: session.me(), link: target.link, member, id, about, subscribes };
    let call = Call {
        id,
        method: request.method.clone(),
        params,
        extra: request.extra.clone(),
        timeout: None,
        trace: context,
        is_upkeep: false,
        era: upstream.server_info().map_or(Era::Legacy, |info| info.version.era()),
    };
    Ok(Planned { call, upstream, cancelled, span: client, in_flight, aim: target.aim })
}

fn client_span(
    server: &Span,
    request: &Request,
    params: &Params<'_>,
    target: &Target<'_>,
    id: u64,
) -> Span {
    if server.is_disabled() {
        return Span::none();
    }
    let renamed = target.name.as_ref().and_then(|(_, name)| serde_json::from_str(name).ok());
    let name: Option<String> = renamed
        .or_else(|| params.get("name").and_then(raw::string).map(std::borrow::Cow::into_owned));
    let uri = uri_of(params);
    let is_tool = target.aim == Aim::Tool;
    let subject = Subject {
        tool: name.as_deref().filter(|_| is_tool),
        prompt: name.as_deref().filter(|_| !is_tool),
        uri: uri.as_deref(),
    };
    spans::client(server, &request.method, subject, id, &target.link.name)
}

/// What a client reads when its upstream gave no answer.
pub(crate) fn refuse(session: &DownstreamSession, aim: &Aim, error: &UpstreamError) -> Local {
    match (aim, session.shared.options().down_reply) {
        (Aim::Tool, DownReply::Result) => Ok(error.to_tool_result()),
        (Aim::Tool | Aim::Subscribe(_) | Aim::Unsubscribe | Aim::Other, _) => {
            Err(error.to_client())
        }
    }
}

impl Planned {
    /// Waits for the answer; `None` when the client cancelled and wants none.
    pub(crate) async fn run(self, server: &Span) -> Option<(Outcome, Extra)> {
        let Self { call, upstream, cancelled, span, mut in_flight, aim } = self;
        let answer = match select(upstream.call(call), cancelled).await {
            Either::Left((answer, _)) => answer,
            Either::Right((Ok(()), _)) => {
                spans::cancelled(server, &span);
                return None;
            }
            // The session was dropped; nobody is left to answer.
            Either::Right((Err(oneshot::Canceled), _)) => return None,
        };
        match answer.as_ref().map(|reply| &reply.outcome) {
            Ok(Outcome::Result(_)) => in_flight.subscribes = None,
            Ok(Outcome::Error(error)) => in_flight.note_elicitations(error),
            Err(_) => {}
        }
        match answer {
            Ok(reply) => {
                spans::answered(server, &span, &reply);
                Some((reply.outcome, reply.extra))
            }
            Err(error) => {
                let refusal = refuse(&in_flight.session, &aim, &error)
                    .map_or_else(|error| Outcome::Error(Raw::of(&error)), Outcome::Result);
                spans::failed(server, &span, &error, &refusal);
                Some((refusal, Extra::default()))
            }
        }
    }
}

/// Tells an upstream that an answer is no longer wanted.
pub(crate) fn cancel(upstream: &dyn Upstream, id: u64, reason: Option<&Raw>) {
    let id = id.to_string();
    let mut members = vec![("requestId", &*id)];
    if let Some(reason) = reason {
        members.push(("reason", reason.as_str()));
    }
    let params = edit::object(members);
    upstream.send(None, Notification::new(method::CANCELLED, Some(params)).into());
}
