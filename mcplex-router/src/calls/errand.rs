//! The two halves of a call: the client's request that is open, and the request at the upstream.
//!
//! Usually both end together. A call that is suspended leaves its first half behind, and gets
//! another with the retry.

use super::{bridged, cancel, job::Place, refuse, version_of};
use crate::{
    asker::Asker,
    crew::Lease,
    link::Link,
    measure::Watched,
    member::{Flight, Member},
    params::Params,
    refresh,
    router::{Shared, lock},
    session::DownstreamSession,
    spans::{self, To},
    talk::Talk,
    target::Aim,
    tasks::Role,
    words,
};
use mcplex_proto::{
    error::{ErrorObject, URL_ELICITATION_REQUIRED},
    id::Id,
    message::{Extra, Outcome},
    raw::{self, Raw},
    upstream::{Reply, Traced, Upstream, UpstreamError},
    version::{Era, Version},
};
use mcplex_translate as translate;
use std::{borrow::Cow, sync::Arc};

/// A client's request that waits for its answer.
pub(crate) struct Seat {
    pub(super) session: Arc<DownstreamSession>,
    pub(super) asker: Arc<Asker>,
    /// The id the client gave it.
    pub(super) about: Id,
    /// Its progress token as JSON.
    pub(super) token: Option<Raw>,
    /// Its parameters, where a retry may follow that has to be like it.
    pub(super) params: Option<Raw>,
    /// The resource whose first subscriber this is, until the upstream agrees.
    pub(super) subscribes: Option<(Arc<Link>, String)>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((link, uri)) = &self.subscribes {
            self.give_up(link, uri);
        }
        self.session.end(&self.about);
    }
}

impl Seat {
    /// The subscription did not come about; whoever joined it meanwhile was told that it had.
    fn give_up(&self, link: &Arc<Link>, uri: &str) {
        let session = &self.session;
        if link.unsubscribe(uri, &session.subscriber(None)) {
            return;
        }
        if link.subscriptions(link.home(session.place)).contains(uri) {
            refresh::subscribed(link, session.place, uri, true);
        }
    }

    /// An error may ask the client to open URLs first; it will want to hear when that is done.
    fn note_elicitations(&self, link: &Link, error: &Raw) {
        if !self.asker.hears_of_urls() {
            return;
        }
        let error = ErrorObject::read(error);
        if error.code != URL_ELICITATION_REQUIRED {
            return;
        }
        for elicitation in translate::error::elicitations(&error) {
            if let Some(id) = elicitation["elicitationId"].as_str() {
                link.elicits(id.to_owned(), self.session.number);
            }
        }
    }

    /// Who mcplex says it is.
    pub(super) fn identity(&self) -> Raw {
        self.session.shared.identity()
    }
}

/// A request at an upstream.
pub(crate) struct Errand {
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) method: Cow<'static, str>,
    pub(super) era: Era,
    /// The revision of the upstream, if it is certain.
    pub(super) version: Option<Version>,
    pub(super) span: Watched,
    /// Its span says which life gets it.
    pub(super) knows_life: bool,
    pub(super) aim: Aim,
    pub(super) berth: Berth,
    /// What the upstream asks meanwhile, where it may ask a stateless client.
    pub(super) talk: Option<Arc<Talk>>,
    pub(super) task: Option<Role>,
    /// The client reads nothing but a task.
    pub(super) has_to_be_task: bool,
    /// The upstream runs the tool as a task or not at all, and the client asked for none.
    pub(super) is_job: bool,
}

/// Keeps a call in its member's table, and its talk open, for as long as it lasts.
pub(crate) struct Berth {
    shared: Arc<Shared>,
    pub(super) link: Arc<Link>,
    pub(super) member: Arc<Member>,
    /// The id it has there; another one in each round, none between two of them.
    id: Place,
    talk: Option<Arc<Talk>>,
    /// Ends the member with the call.
    _lease: Option<Lease>,
}

impl Drop for Berth {
    fn drop(&mut self) {
        // Whoever still is in flight has no answer and no longer waits for one.
        if let Some(id) = lock(&self.id).take()
            && self.member.gives_up(id)
        {
            self.shared.given_up.raise();
        }
        if let Some(talk) = &self.talk {
            talk.close("the call has ended");
        }
    }
}

impl Berth {
    pub(super) fn new(
        shared: Arc<Shared>,
        link: Arc<Link>,
        member: Arc<Member>,
        talk: Option<Arc<Talk>>,
        lease: Option<Lease>,
    ) -> Self {
        Self { shared, link, member, id: Place::default(), talk, _lease: lease }
    }

    /// Where that id stands.
    pub(super) fn place(&self) -> Place {
        self.id.clone()
    }

    /// The id of its request at the upstream, while there is one.
    pub(super) fn current(&self) -> Option<u64> {
        *lock(&self.id)
    }

    /// It has a request at the upstream.
    pub(super) fn take_off(&self, id: u64, flight: Flight) {
        *lock(&self.id) = Some(id);
        self.member.takes_off(id, flight);
    }

    /// Its request at the upstream has ended; the id that it had there, and what it was.
    pub(super) fn land(&self) -> Option<(u64, Flight)> {
        let id = lock(&self.id).take()?;
        Some((id, self.member.lands(id)?))
    }

    /// No request of the client is open for it.
    pub(super) fn park(&self) {
        if let Some(id) = self.current() {
            self.member.parks(id);
        }
    }

    /// This request of the client is open for it.
    pub(super) fn aboard(&self, seat: &Seat) {
        if let Some(id) = self.current() {
            self.member.takes_off(id, seat.flight(self.talk.as_ref()));
        }
    }
}

impl Errand {
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.berth.link
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// Closes what the upstream asks.
    pub(crate) fn close_talk(&self, why: &str) {
        if let Some(talk) = &self.talk {
            talk.close(why);
        }
    }

    /// Its upstream has answered, and nobody reads it.
    pub(crate) fn has_ended(&self) {
        self.berth.land();
    }

    /// Tells the upstream that the answer is no longer wanted.
    pub(crate) fn cancel(&self, reason: Option<&Raw>) {
        if let Some(id) = self.berth.current() {
            let parent = self.span.context();
            cancel(self.link(), &*self.upstream, (id, parent), reason);
        }
    }

    /// Its upstream answered with a question: that ends this request, and the call goes on.
    pub(super) fn has_asked(&self, answer: &Result<Reply, UpstreamError>) {
        if let Ok(reply) = answer {
            spans::ended_there(&self.span, &reply.outcome);
        }
    }

    /// The request of the next try, with a span of its own; gives what it says of that.
    pub(super) fn tries_again(
        &mut self,
        server: &Watched,
        id: u64,
        params: Raw,
    ) -> (Raw, Option<Traced>) {
        let link = self.link().clone();
        let peer = self.upstream.peer();
        let to = To { upstream: &link.name, peer: peer.as_deref(), version: self.version };
        self.knows_life = peer.is_some();
        if let Some(peer) = &peer {
            server.is_with(peer.incarnation);
        }
        let carried = (to.version, peer.as_deref());
        let (span, context) = spans::again(server, self.method.clone(), Some(&params), id, to);
        let name = Params::read(Some(&params)).get("name").and_then(raw::string);
        let name = name.as_deref();
        let next = server.sent(span, &link.name, (name, name), carried);
        self.span = next.within(context.clone(), None);
        let Some(sent) = context else { return (params, None) };
        let told = link.propagate().trace.then(|| sent.written_into(&params));
        let trace = Traced { sent, asked: server.context().cloned() };
        (told.unwrap_or(params), Some(trace))
    }

    /// What the reader of our own answers asked for: who wants a task reads no tool's result.
    fn reader(&self) -> &Aim {
        match self.task {
            Some(Role::Makes) if self.has_to_be_task => &Aim::Other,
            _ => &self.aim,
        }
    }

    /// The revision of who answered: of the era that the call was written for.
    pub(super) fn version(&self) -> Version {
        let now = || version_of(&*self.upstream, &self.berth.link);
        let known = self.version.or_else(now).filter(|version| version.era() == self.era);
        known.unwrap_or(match self.era {
            Era::Legacy => Version::LATEST_LEGACY,
            Era::Modern => Version::LATEST_MODERN,
        })
    }
}

/// A call as a whole.
pub(super) struct Waiting {
    pub(super) seat: Seat,
    pub(super) errand: Errand,
    /// Its upstream may be of the other era than the call was written for.
    pub(super) may_be_rewritten: bool,
}

/// What comes of a client's request; `None` when it was cancelled and wants no answer.
pub(crate) type Answer = Option<(Outcome, Extra)>;

/// The call was not sent, because the upstream belongs to this era now.
pub(super) struct OtherEra(pub(super) Era);

/// The answer, unless the call has to be written again.
pub(super) type Turned = Result<Answer, OtherEra>;

impl Waiting {
    /// Writes the answer in the words of who asked.
    pub(super) fn end(
        mut self,
        answer: Option<Result<Reply, UpstreamError>>,
        server: &Watched,
    ) -> Turned {
        // What it asks after it took too long may still be about this call.
        let landed = match answer {
            None | Some(Err(UpstreamError::Timeout { .. })) => None,
            Some(_) => self.errand.berth.land(),
        };
        let reply = match answer {
            None => {
                spans::cancelled(server, &self.errand.span);
                return Ok(None);
            }
            Some(Err(error @ UpstreamError::OtherEra { now, .. })) if self.may_be_rewritten => {
                spans::unanswered(&self.errand.span, &error, true);
                return Err(OtherEra(now));
            }
            Some(Err(error)) => {
                return Ok(Some((self.refusal(&error, server), Extra::default())));
            }
            Some(Ok(Reply { outcome, extra, from })) => {
                let named = format_args!("upstream {}", self.errand.link().name);
                Reply { outcome: words::sound(outcome, named), extra, from }
            }
        };
        match &reply.outcome {
            Outcome::Result(_) => self.seat.subscribes = None,
            Outcome::Error(error) => self.seat.note_elicitations(&self.errand.berth.link, error),
        }
        spans::answered(server, &self.errand.span, &reply, self.errand.knows_life);
        let outcome = match bridged::answer(&self, reply.outcome, landed) {
            Ok(outcome) => outcome,
            Err(outcome) => {
                let from = self.errand.version();
                let Self { seat, errand, .. } = &self;
                words::answer(outcome, &errand.method, from, &seat.asker, || seat.identity())
            }
        };
        Ok(Some((outcome, reply.extra)))
    }

    fn refusal(&self, error: &UpstreamError, server: &Watched) -> Outcome {
        let Seat { session, asker, .. } = &self.seat;
        let local = refuse(session, self.errand.reader(), error);
        let local = words::own(local, asker, || session.shared.identity());
        let refusal = words::outcome(local);
        let client = (&self.errand.span, self.errand.knows_life);
        spans::failed(server, client, error, &refusal);
        refusal
    }

    /// Ends the call with an error of our own, which models read where they called a tool.
    pub(super) fn fail(self, error: ErrorObject, server: &Watched) -> Turned {
        let local = match self.errand.reader() {
            Aim::Tool => Ok(Raw::of(&serde_json::json!({
                "content": [{ "type": "text", "text": error.message }],
                "isError": true,
            }))),
            Aim::Subscribe(_) | Aim::Unsubscribe | Aim::Other => Err(error),
        };
        let outcome = words::outcome(words::own(local, &self.seat.asker, || self.seat.identity()));
        spans::ended_there(&self.errand.span, &outcome);
        spans::ended(server, &outcome);
        Ok(Some((outcome, Extra::default())))
    }
}
