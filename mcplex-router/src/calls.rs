//! Requests of clients on their way to an upstream.

use crate::{
    asker::Asker,
    hop::{Hop, Introduction},
    link::Link,
    member::{Flight, Member},
    options::DownReply,
    params::{Params, Rewrite},
    refresh,
    session::{DownstreamSession, uri_of},
    spans::{self, Subject},
    target::{self, Aim, Local, Target},
    words,
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
    upstream::{Call, Reply, Upstream, UpstreamError},
    version::{Era, Version},
};
use std::{borrow::Cow, sync::Arc};
use tracing::Span;

/// URLs of one such error that are remembered; people open one or two.
const MAX_ELICITATIONS: usize = 16;

/// A call that is ready to go.
pub(crate) struct Planned {
    letter: Letter,
    waiting: Waiting,
    /// Its upstream runs, so that it is of the era that the call was written for.
    is_sure: bool,
}

/// What leaves for the upstream.
struct Letter {
    call: Call,
    upstream: Arc<dyn Upstream>,
    cancelled: oneshot::Receiver<()>,
}

/// What stays here until the answer comes.
struct Waiting {
    asker: Arc<Asker>,
    upstream: Arc<dyn Upstream>,
    method: Cow<'static, str>,
    era: Era,
    /// The revision of the upstream, if it is certain.
    version: Option<Version>,
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
        if link.unsubscribe(uri, &session.subscriber(None)) {
            return;
        }
        if link.subscriptions(link.home(session.place)).contains(uri) {
            refresh::subscribed(link, session.place, uri, true);
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

/// Finds the upstream of a request and writes the request in its words, for the era that is given
/// or else for the one that it belongs to as far as it ever said.
pub(crate) fn plan(
    session: &DownstreamSession,
    asker: &Arc<Asker>,
    request: &Request,
    params: &Params<'_>,
    span: &Span,
    era: Option<Era>,
) -> Result<Planned, Local> {
    written(session, asker, request, params, span, era)
        .map_err(|local| words::own(local, asker, || session.shared.identity()))
}

fn written(
    session: &DownstreamSession,
    asker: &Arc<Asker>,
    request: &Request,
    params: &Params<'_>,
    span: &Span,
    era: Option<Era>,
) -> Result<Planned, Local> {
    let target = target::find(session, request, params)?;
    let link = &target.link;
    let member = link
        .member_for(&session.shared, session.place, target.aim.stays())
        .map_err(|error| refuse(session, &target.aim, &error))?;
    let Some(upstream) = member.upstream().cloned() else {
        return Err(Err(ErrorObject::new(
            mcplex_proto::error::UPSTREAM_UNAVAILABLE,
            format!("Upstream {} is not there yet. The call was not sent; try again.", link.name),
        )));
    };
    let id = upstream.mint();
    let Some(cancelled) = session.begin(&request.id, &member, id) else {
        if session.is_closed() && session.is_long() {
            // What was made for it just now would stay for ever.
            link.leave(session.place);
        }
        let why = "a request with this id is being served, or the session is closed";
        return Err(Err(ErrorObject::invalid_request(&why)));
    };
    let version = version_of(&*upstream, link);
    let era = era.or_else(|| version.map(Version::era)).unwrap_or(Era::Legacy);
    if let Some(local) = subscribes(session, &target, era) {
        session.end(&request.id);
        return Err(local);
    }
    let client = client_span(span, request, params, &target, id);
    let context = trace::context_of(&client);
    let token = params.token().map(Raw::of);
    let rewrite = Rewrite {
        name: target.name.as_ref().map(|(member, name)| (*member, &**name)),
        token: token.is_some().then_some(id),
        traceparent: context.as_ref().map(TraceContext::to_traceparent),
        hop: hop(session, asker, era),
    };
    let params = params.rewrite(&rewrite).or_else(|| request.params.clone());
    let about = request.id.clone();
    let flight = Flight {
        session: session.me(),
        asker: asker.clone(),
        about: about.clone(),
        token,
        progress: f64::MIN,
    };
    member.takes_off(id, flight);
    log_for(session, asker, link, &member, era);
    let subscribes = target.aim.subscribes();
    let is_sure = member.is_up();
    let in_flight =
        InFlight { session: session.me(), link: target.link, member, id, about, subscribes };
    let waiting = Waiting {
        asker: asker.clone(),
        upstream: upstream.clone(),
        method: request.method.clone(),
        era,
        version: version.filter(|version| is_sure && version.era() == era),
        span: client,
        in_flight,
        aim: target.aim,
    };
    let (method, extra) = (request.method.clone(), request.extra.clone());
    let (timeout, is_upkeep) = (None, false);
    let call = Call { id, method, params, extra, timeout, trace: context, is_upkeep, era };
    Ok(Planned { letter: Letter { call, upstream, cancelled }, waiting, is_sure })
}

/// The revision an upstream speaks, or spoke when it was last there.
fn version_of(upstream: &dyn Upstream, link: &Link) -> Option<Version> {
    let info = upstream.server_info().or_else(|| link.lists().info.clone());
    info.map(|info| info.version)
}

/// Notes a subscription; gives the answer when the upstream needs no request for that.
fn subscribes(session: &DownstreamSession, target: &Target<'_>, era: Era) -> Option<Local> {
    let link = &target.link;
    let is_new = match &target.aim {
        Aim::Subscribe(uri) => link.subscribe(uri, &session.subscriber(None)),
        Aim::Unsubscribe => true,
        Aim::Tool | Aim::Other => return None,
    };
    if is_new && era == Era::Modern {
        // What is listened to there changes as a whole.
        link.watch.raise();
    }
    (!is_new || era == Era::Modern).then(|| Ok(Raw::empty_object()))
}

/// What the upstream is to read of who asks.
fn hop(session: &DownstreamSession, asker: &Asker, era: Era) -> Hop {
    match (asker.era(), era) {
        (Era::Legacy, Era::Legacy) => Hop::Silent,
        (Era::Modern, Era::Legacy) => Hop::Strip,
        (from, Era::Modern) => {
            let level = match from {
                Era::Legacy => session.level(),
                Era::Modern => asker.level,
            };
            Hop::Introduce(Introduction::of(asker, level, &session.shared.identity()))
        }
    }
}

/// A legacy upstream is told how much of its log is wanted, and not in the call.
fn log_for(
    session: &DownstreamSession,
    asker: &Asker,
    link: &Link,
    member: &Arc<Member>,
    era: Era,
) {
    if let (Era::Legacy, Some(level)) = (era, asker.level)
        && member.wishes(level)
    {
        session.shared.ask_for_log(link, member);
    }
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
    let name: Option<String> =
        renamed.or_else(|| params.get("name").and_then(raw::string).map(Cow::into_owned));
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

/// Takes a call to its upstream and brings the answer; `None` when the client cancelled and wants
/// none.
pub(crate) async fn run(
    session: &DownstreamSession,
    planned: Planned,
    request: Request,
    server: &Span,
) -> Option<(Outcome, Extra)> {
    let Planned { letter, waiting, is_sure } = planned;
    // What the upstream gets holds its own share; ours would keep a large body alive. It is needed
    // only while nobody can say for which era the call has to be written.
    let kept = (!is_sure).then_some(request);
    let answer = letter.send().await;
    let now = match &answer {
        Some(Err(UpstreamError::OtherEra { now, .. })) => *now,
        _ => return waiting.end(answer, server),
    };
    let Some(request) = kept else { return waiting.end(answer, server) };
    let asker = waiting.asker.clone();
    // Its id is free for the second try.
    drop(waiting);
    let again = {
        let params = Params::read(request.params.as_ref());
        plan(session, &asker, &request, &params, server, Some(now))
    };
    match again {
        Ok(Planned { letter, waiting, .. }) => {
            let answer = letter.send().await;
            waiting.end(answer, server)
        }
        Err(local) => {
            let outcome = words::outcome(local);
            spans::ended(server, &outcome);
            Some((outcome, Extra::default()))
        }
    }
}

impl Letter {
    /// Waits for the answer; `None` when the client cancelled or was dropped.
    async fn send(self) -> Option<Result<Reply, UpstreamError>> {
        match select(self.upstream.call(self.call), self.cancelled).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        }
    }
}

impl Waiting {
    /// Writes the answer in the words of who asked.
    fn end(
        mut self,
        answer: Option<Result<Reply, UpstreamError>>,
        server: &Span,
    ) -> Option<(Outcome, Extra)> {
        let reply = match answer {
            None => {
                spans::cancelled(server, &self.span);
                return None;
            }
            Some(Err(error)) => return Some((self.refusal(&error, server), Extra::default())),
            Some(Ok(reply)) => reply,
        };
        match &reply.outcome {
            Outcome::Result(_) => self.in_flight.subscribes = None,
            Outcome::Error(error) => self.in_flight.note_elicitations(error),
        }
        spans::answered(server, &self.span, &reply);
        let from = self.version();
        let session = &self.in_flight.session;
        let outcome = words::answer(reply.outcome, &self.method, from, &self.asker, || {
            session.shared.identity()
        });
        Some((outcome, reply.extra))
    }

    fn refusal(&self, error: &UpstreamError, server: &Span) -> Outcome {
        let session = &self.in_flight.session;
        let local = refuse(session, &self.aim, error);
        let local = words::own(local, &self.asker, || session.shared.identity());
        let refusal = words::outcome(local);
        spans::failed(server, &self.span, error, &refusal);
        refusal
    }

    /// The revision of who answered: of the era that the call was written for.
    fn version(&self) -> Version {
        let now = || version_of(&*self.upstream, &self.in_flight.link);
        let known = self.version.or_else(now).filter(|version| version.era() == self.era);
        known.unwrap_or(match self.era {
            Era::Legacy => Version::LATEST_LEGACY,
            Era::Modern => Version::LATEST_MODERN,
        })
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
