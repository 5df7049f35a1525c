//! Requests of clients on their way to an upstream.
//!
//! `worker` finds who does one, `errand` holds its two halves, `retry` reads what it brings of an earlier try, `converse`
//! and `rounds` hold calls in which the upstream asks something, and `bridged` answers that mean
//! something else to a client of the other era.

mod across;
mod awaited;
mod bridged;
mod converse;
mod errand;
mod job;
mod retry;
mod rounds;
mod steps;
mod worker;

pub(crate) use self::{converse::Coming, errand::Errand};

use self::{
    errand::{Answer, Berth, OtherEra, Seat, Turned, Waiting},
    retry::Brought,
    worker::Worker,
};
use crate::{
    asker::Asker,
    hop::{Carry, Hop, Introduction},
    link::Link,
    measure::Watched,
    member::{Flight, Member},
    options::{DownReply, Propagate},
    params::{Params, Rewrite},
    session::{DownstreamSession, uri_of},
    spans::{self, Subject, To},
    suspend::Ticket,
    talk::Talk,
    target::{self, Aim, Local, Target},
    tasks::{self, Role},
    words,
};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use mcplex_proto::{
    edit,
    error::ErrorObject,
    message::{Extra, Notification, Request},
    method,
    peer::Peer,
    raw::Raw,
    trace::TraceContext,
    upstream::{Call, Traced, Upstream, UpstreamError},
    version::{Era, Version},
};
use mcplex_translate::question;
use std::{borrow::Cow, sync::Arc};
use tracing::Span;

/// A call that is ready to go; boxed in parts, because it moves through every future on its way.
pub(crate) struct Planned {
    waiting: Box<Waiting>,
    way: Way,
}

/// How a call gets its answer.
enum Way {
    /// It leaves for the upstream.
    Sent(Letter),
    /// It is there already, and was suspended.
    Resumed { talk: Arc<Talk>, coming: Coming, cancelled: oneshot::Receiver<()>, ticket: Ticket },
}

/// What leaves for the upstream.
struct Letter {
    call: Box<Call>,
    cancelled: oneshot::Receiver<()>,
}

/// Finds the upstream of a request and writes the request in its words, for the era that is given
/// or else for the one that it belongs to as far as it ever said.
pub(crate) fn plan(
    session: &DownstreamSession,
    asker: &Arc<Asker>,
    request: &Request,
    params: &Params<'_>,
    span: &Watched,
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
    span: &Watched,
    era: Option<Era>,
) -> Result<Planned, Local> {
    let brought = match retry::read(session, asker, request, params)? {
        Brought::Call(held) => {
            span.goes_to(&held.errand.link().name, || own_name(session, request, params));
            return converse::resume(session, asker, request, params, held);
        }
        other @ (Brought::Nothing | Brought::Answers | Brought::State { .. }) => other,
    };
    let target = target_of(session, asker, request, params, span)?;
    let Worker { member, upstream, lease } =
        Worker::find(session, asker, (request, params), &target, (era, span))?;
    let link = &target.link;
    let version = version_of(&*upstream, link);
    let era = era.or_else(|| version.map(Version::era)).unwrap_or(Era::Legacy);
    brought.check(&link.name, era).map_err(Err)?;
    let task = job::role(&target, asker, request, params, era).map_err(Err)?;
    let id = upstream.mint();
    let cancelled = begin(session, link, &request.id, &member, id)?;
    let may_ask = asker.era() == Era::Modern && question::may_need_input(&request.method);
    let mut seat = Seat::of(session, asker, request, params, may_ask);
    if let Some(local) = subscribes(session, &target, era) {
        return Err(local);
    }
    seat.subscribes = target.aim.subscribes().map(|uri| (link.clone(), uri));
    let is_sure = member.is_up();
    let peer = if is_sure && is_told(span) { upstream.peer() } else { None };
    let client = client_span(span, request, params, &target, (id, version, peer.as_deref()));
    let context = client.context().cloned();
    let rewrite = Rewrite {
        name: target.name.as_ref().map(|(member, name)| (*member, &**name)),
        token: seat.token.is_some().then_some(id),
        carry: carry(link, context.as_ref()),
        hop: hop(session, asker, era, task.is_some()),
    };
    let rewritten = params.rewrite(&rewrite).or_else(|| request.params.clone());
    let rewritten = brought.apply(asker, era, rewritten);
    let rewritten = tasks::fitted(rewritten, asker, (&request.method, era), task.as_ref());
    log_for(session, asker, link, &member, era);
    let is_job = task.is_none() && era == Era::Legacy && job::is_wanted(&target, params);
    let talk = (may_ask && era == Era::Legacy).then(Arc::<Talk>::default);
    tasks::reads(session, &target, (&request.method, &member), id);
    let berth = Berth::new(session.shared.clone(), target.link, member, talk.clone(), lease);
    berth.take_off(id, Flight { trace: context.clone(), ..seat.flight(talk.as_ref()) });
    let errand = Errand {
        has_to_be_task: task == Some(Role::Makes) && asker.era() == Era::Legacy,
        task,
        is_job,
        upstream,
        method: request.method.clone(),
        era,
        version: version.filter(|version| is_sure && version.era() == era),
        span: client,
        knows_life: peer.is_some(),
        aim: target.aim,
        berth,
        talk,
    };
    let trace = context.map(|sent| Traced { sent, asked: span.context().cloned() });
    let call = letter(request, (id, era), rewritten, trace);
    let waiting = Box::new(Waiting { seat, errand, may_be_rewritten: !is_sure });
    Ok(Planned { waiting, way: Way::Sent(Letter { call: Box::new(call), cancelled }) })
}

/// Where the request goes, which is noted.
fn target_of<'a>(
    session: &DownstreamSession,
    asker: &Arc<Asker>,
    request: &Request,
    params: &Params<'a>,
    span: &Watched,
) -> Result<Target<'a>, Local> {
    let target = match tasks::names_one(&request.method) {
        true => tasks::find(session, asker, &request.method, params)?,
        false => target::find(session, request, params, span)?,
    };
    span.goes_to(&target.link.name, || target.own_name());
    Ok(target)
}

/// The name by which the upstream of a request knows what is asked for.
fn own_name(session: &DownstreamSession, request: &Request, params: &Params<'_>) -> Option<String> {
    // Only looked up: that it is no longer listed says nothing of this request.
    let silent = Watched::unmeasured(Span::none());
    target::find(session, request, params, &silent).ok()?.own_name()
}

/// Whether anybody hears of who answers.
fn is_told(span: &Watched) -> bool {
    !span.span.is_disabled() || span.is_measured()
}

/// What an upstream is sent of a client's request.
fn letter(
    request: &Request,
    (id, era): (u64, Era),
    params: Option<Raw>,
    trace: Option<Traced>,
) -> Call {
    let (method, extra) = (request.method.clone(), request.extra.clone());
    Call { id, method, params, extra, timeout: None, trace, is_upkeep: false, era }
}

/// Notes that the call is on its way; the receiver resolves when it is cancelled.
fn begin(
    session: &DownstreamSession,
    link: &Arc<Link>,
    about: &mcplex_proto::id::Id,
    member: &Arc<Member>,
    id: u64,
) -> Result<oneshot::Receiver<()>, Local> {
    session.begin(about, (link, member), id).ok_or_else(|| {
        if session.is_closed() && session.is_long() {
            // What was made for it just now would stay for ever.
            link.leave(session.place);
        }
        id_in_use()
    })
}

/// What an upstream reads of the trace.
pub(crate) fn carry(link: &Link, context: Option<&TraceContext>) -> Carry {
    let Propagate { trace, baggage } = link.propagate();
    let own = context.filter(|_| trace);
    Carry {
        traceparent: own.map(TraceContext::to_traceparent),
        tracestate: own.and_then(|own| own.tracestate().map(str::to_owned)),
        drops_trace: !trace,
        drops_baggage: !baggage,
    }
}

fn id_in_use() -> Local {
    let why = "a request with this id is being served, or the session is closed";
    Err(ErrorObject::invalid_request(&why))
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
fn hop(session: &DownstreamSession, asker: &Asker, era: Era, is_of_task: bool) -> Hop {
    match (asker.era(), era) {
        (Era::Legacy, Era::Legacy) => Hop::Silent,
        (Era::Modern, Era::Legacy) => Hop::Strip,
        (from, Era::Modern) => {
            let level = match from {
                Era::Legacy => session.level(),
                Era::Modern => asker.level,
            };
            let introduction = Introduction::of(asker, level, &session.shared.identity());
            let is_new = is_of_task && from == Era::Legacy;
            // It is the call that says here what a stateless client says of itself.
            Hop::Introduce(if is_new { introduction.with_tasks() } else { introduction })
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

pub(crate) fn client_span(
    server: &Watched,
    request: &Request,
    params: &Params<'_>,
    target: &Target<'_>,
    (id, version, peer): (u64, Option<Version>, Option<&Peer>),
) -> Watched {
    let upstream = &target.link.name;
    let carried = (version, peer);
    if let Some(peer) = peer {
        server.is_with(peer.incarnation);
    }
    if server.span.is_disabled() && !server.is_measured() {
        return server.sent(Span::none(), upstream, (None, None), carried);
    }
    let asked = spans::named_in(&request.method, params);
    let name: Option<String> = target.own_name().or_else(|| asked.clone().map(Cow::into_owned));
    let uri = uri_of(params);
    let is_tool = target.aim == Aim::Tool;
    // What a task is called is no name: no two spans would have the same.
    let is_prompt = asked.is_some() && !is_tool;
    let subject = Subject {
        tool: name.as_deref().filter(|_| is_tool),
        prompt: name.as_deref().filter(|_| is_prompt),
        uri: uri.as_deref(),
    };
    let to = To { upstream, peer, version };
    let (span, context) = spans::client(server, request.method.clone(), subject, id, to);
    server.sent(span, upstream, (asked.as_deref(), name.as_deref()), carried).within(context, None)
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
    server: &Watched,
) -> Answer {
    // What the upstream gets holds its own share; ours would keep a large body alive. It is needed
    // only while nobody can say for which era the call has to be written.
    let kept = planned.waiting.may_be_rewritten.then_some(request);
    let asker = planned.waiting.seat.asker.clone();
    match planned.go(server).await {
        Ok(answer) => answer,
        Err(OtherEra(now)) => {
            let request = kept.expect("only a call that may be written again comes back");
            Box::pin(run_again(session, &asker, request, server, now)).await
        }
    }
}

/// Takes a call to its upstream that turned out to belong to this era.
async fn run_again(
    session: &DownstreamSession,
    asker: &Arc<Asker>,
    request: Request,
    server: &Watched,
    now: Era,
) -> Answer {
    let again = {
        let params = Params::read(request.params.as_ref());
        plan(session, asker, &request, &params, server, Some(now))
    };
    let refused = match again {
        Ok(mut planned) => {
            planned.waiting.may_be_rewritten = false;
            match planned.go(server).await {
                Ok(answer) => return answer,
                Err(OtherEra(_)) => Err(ErrorObject::invalid_request(&"it was written again once")),
            }
        }
        Err(local) => local,
    };
    let outcome = words::outcome(refused);
    spans::ended(server, &outcome);
    Some((outcome, Extra::default()))
}

impl Planned {
    /// Waits for the answer.
    ///
    /// Every request is a future that holds all that may come of it, and is copied when it is made;
    /// what few calls need is boxed, so that the many stay small.
    async fn go(self, server: &Watched) -> Turned {
        let Self { waiting, way } = self;
        let letter = match way {
            Way::Sent(letter) => letter,
            Way::Resumed { talk, coming, cancelled, ticket } => {
                let before = Some(ticket);
                let talked = converse::converse(*waiting, talk, coming, cancelled, before, server);
                return Box::pin(talked).await;
            }
        };
        let era = waiting.errand.era;
        if matches!(waiting.errand.task, Some(Role::Names(_))) && waiting.seat.asker.era() != era {
            return Box::pin(across::play(*waiting, letter, server)).await;
        }
        let is_interactive = question::may_need_input(&waiting.errand.method);
        if let Some(talk) = waiting.errand.talk.clone() {
            let Letter { call, cancelled } = letter;
            let upstream = waiting.errand.upstream.clone();
            let coming: Coming = match waiting.errand.is_job {
                true => job::run(&waiting.errand, *call),
                false => Box::pin(async move { upstream.call(*call).await }),
            };
            let talked = converse::converse(*waiting, talk, coming, cancelled, None, server);
            return Box::pin(talked).await;
        }
        if is_interactive && era == Era::Modern && waiting.seat.asker.era() == Era::Legacy {
            return Box::pin(rounds::play(*waiting, letter, server)).await;
        }
        let Letter { call, mut cancelled } = letter;
        let answer = match waiting.errand.is_job {
            true => unless(&mut cancelled, job::run(&waiting.errand, *call)).await,
            false => unless(&mut cancelled, waiting.errand.upstream.call(*call)).await,
        };
        waiting.end(answer, server)
    }
}

/// What comes, unless the client cancels before that or is gone.
async fn unless<T>(
    cancelled: &mut oneshot::Receiver<()>,
    coming: impl Future<Output = T> + Unpin,
) -> Option<T> {
    match select(coming, cancelled).await {
        Either::Left((came, _)) => Some(came),
        Either::Right(_) => None,
    }
}

/// Tells an upstream that an answer is no longer wanted; `parent` is what that belongs to.
pub(crate) fn cancel(
    link: &Link,
    upstream: &dyn Upstream,
    (id, parent): (u64, Option<&TraceContext>),
    reason: Option<&Raw>,
) {
    let id = id.to_string();
    let mut members = vec![("requestId", &*id)];
    if let Some(reason) = reason {
        members.push(("reason", reason.as_str()));
    }
    let params = edit::object(members);
    let cancelled = Notification::new(method::CANCELLED, Some(params));
    spans::to_upstream(link, upstream, parent, cancelled);
}
