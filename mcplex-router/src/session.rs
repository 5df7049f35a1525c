//! One downstream client: its handshake, its calls, and what it is asked.
//!
//! A session is *open* from its birth, *greeted* once `initialize` was answered, *ready* once the
//! client said `initialized`, and *closed* in the end. Legacy requests are served from greeted on;
//! nobody speaks to a client unasked before it is ready. A stateless request says itself who asks:
//! it is served in any state but closed, and reads nothing of what came before it.

use crate::{
    asker::Asker,
    asks::Asked,
    audit::Noted,
    calls::{self, Planned},
    here,
    isolation::Place,
    level::Level,
    link::Link,
    listen::Listens,
    lists::Kind,
    measure::Watched,
    member::Member,
    params::Params,
    router::{Shared, lock},
    shape::Flaw,
    spans::{self, Note},
    subscribers::Subscriber,
    target::{self, Local},
    words,
};
use async_trait::async_trait;
use futures_channel::oneshot;
use mcplex_proto::{
    attr,
    downstream::{Arrival, Client, Principal, Session, Stay},
    error::ErrorObject,
    id::Id,
    message::{Extra, Message, Notification, Outcome, Request, Response},
    method,
    metric::{self, Metric},
    modern::{self, Class},
    peer::network_labels,
    raw::{self, Raw},
    trace::TraceContext,
    version::{Era, Version},
};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

/// Tells sessions of one router apart; later ones compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionNumber(pub(crate) u64);

/// One client.
pub(crate) struct DownstreamSession {
    pub(crate) number: SessionNumber,
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: Arc<dyn Client>,
    pub(crate) arrival: Arrival,
    /// Whose member it uses where members are not shared.
    pub(crate) place: Place,
    /// All who prove nothing are one person.
    pub(crate) is_single: bool,
    pub(crate) state: Mutex<State>,
    me: Weak<Self>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// What `initialize` said.
    pub(crate) greeting: Option<Arc<Asker>>,
    /// When that was, where numbers are kept.
    pub(crate) greeted_at: Option<Duration>,
    /// It said `initialized`; some say it before they were greeted, and that counts later.
    is_ready: bool,
    pub(crate) is_closed: bool,
    /// What `logging/setLevel` said last.
    pub(crate) level: Option<Level>,
    /// Calls on their way, by the client's id.
    calls: BTreeMap<Id, Going>,
    /// What lasts until it is ended, by the client's id.
    pub(crate) listens: Listens,
    /// What the client was asked, by our id.
    pub(crate) asked: BTreeMap<u64, Asked>,
    pub(crate) next_ask: u64,
}

impl State {
    /// Whether a request with this id is being served.
    pub(crate) fn is_used(&self, id: &Id) -> bool {
        self.calls.contains_key(id) || self.listens.contains_key(id)
    }
}

#[derive(Debug)]
struct Going {
    link: Arc<Link>,
    member: Arc<Member>,
    /// The id it has at the upstream; none between two rounds.
    id: Option<u64>,
    /// Ends the wait for its answer; `None` once it was cancelled.
    cancel: Option<oneshot::Sender<()>>,
}

impl Going {
    /// Tells the upstream that nobody wants the answer, and whoever waits for it.
    ///
    /// Told here and not by who waits: a listener may drop the wait with the session.
    fn cancel(&mut self, reason: Option<&Raw>) {
        let Some(cancel) = self.cancel.take() else { return };
        if let (Some(upstream), Some(id)) = (self.member.upstream(), self.id) {
            let parent = self.member.flight(id).and_then(|flight| flight.trace);
            calls::cancel(&self.link, &**upstream, (id, parent.as_ref()), reason);
        }
        // Refused means that the answer is on its way already.
        let _waits: Result<(), ()> = cancel.send(());
    }
}

impl fmt::Debug for DownstreamSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownstreamSession").field("number", &self.number).finish_non_exhaustive()
    }
}

impl DownstreamSession {
    pub(crate) fn new(
        number: SessionNumber,
        shared: Arc<Shared>,
        client: Arc<dyn Client>,
        arrival: Arrival,
    ) -> Arc<Self> {
        let place = shared.place_of(number, &arrival);
        let is_single = shared.options().single_user;
        Arc::new_cyclic(|me| Self {
            number,
            place,
            is_single,
            shared,
            client,
            arrival,
            state: Mutex::default(),
            me: me.clone(),
        })
    }

    /// Whether it may be spoken to unasked; who came for one request never is.
    pub(crate) fn is_ready(&self) -> bool {
        let state = lock(&self.state);
        self.is_long() && state.is_ready && state.greeting.is_some()
    }

    /// Who asks in this session, once `initialize` was answered.
    pub(crate) fn greeting(&self) -> Option<Arc<Asker>> {
        lock(&self.state).greeting.clone()
    }

    /// What `logging/setLevel` said last.
    pub(crate) fn level(&self) -> Option<Level> {
        lock(&self.state).level
    }

    /// It as a subscriber, by itself or with one of its `subscriptions/listen`.
    pub(crate) fn subscriber(&self, listen: Option<Id>) -> Subscriber {
        Subscriber { session: self.number, listen, place: self.place }
    }

    /// Whether its one request may be anybody's.
    pub(crate) fn proves_nothing(&self) -> bool {
        let is_known = self.is_single || matches!(self.arrival.principal, Principal::Known(_));
        !self.is_long() && !is_known
    }

    /// Whether it outlasts the request it was opened for.
    pub(crate) fn is_long(&self) -> bool {
        self.arrival.stay == Stay::Long
    }

    /// Sends a notification to the client, with a span for it; `listen` is the
    /// `subscriptions/listen` that it is told in.
    pub(crate) fn notify(
        &self,
        notification: Notification,
        parent: Option<&TraceContext>,
        (about, listen): (Option<&Id>, Option<&Id>),
    ) -> bool {
        let listen = listen.map(|id| (id, self.listen_span(id)));
        let (_span, told) = spans::to_client(self, parent, listen, notification);
        self.tell(told.into(), about)
    }

    /// Sends a message to the client; `false` when it cannot be reached.
    pub(crate) fn tell(&self, message: Message, about: Option<&Id>) -> bool {
        self.client.send(message, about)
    }

    pub(crate) fn me(&self) -> Arc<Self> {
        self.me.upgrade().expect("whoever calls a method holds the session")
    }

    /// Notes that a call is on its way; the receiver resolves when it is cancelled.
    ///
    /// `None` when the client has a call with this id already, or has left.
    pub(crate) fn begin(
        &self,
        about: &Id,
        (link, member): (&Arc<Link>, &Arc<Member>),
        id: u64,
    ) -> Option<oneshot::Receiver<()>> {
        let mut state = lock(&self.state);
        if state.is_closed || state.is_used(about) {
            return None;
        }
        let (cancel, cancelled) = oneshot::channel();
        state.calls.insert(
            about.clone(),
            Going {
                link: link.clone(),
                member: member.clone(),
                id: Some(id),
                cancel: Some(cancel),
            },
        );
        Some(cancelled)
    }

    /// Notes that a call has another id at its upstream, or none; `false` when it was cancelled.
    pub(crate) fn redirect(&self, about: &Id, id: Option<u64>) -> bool {
        let mut state = lock(&self.state);
        let Some(going) = state.calls.get_mut(about) else { return false };
        going.id = id;
        going.cancel.is_some()
    }

    /// Whether the client has left.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).is_closed
    }

    /// Forgets a call that is no longer on its way.
    pub(crate) fn end(&self, id: &Id) {
        lock(&self.state).calls.remove(id);
    }

    /// Waits for upstreams that are still starting, if the request may be about one of them; `true`
    /// when it has.
    async fn await_arrivals(&self, request: &Request) -> bool {
        let shared = &self.shared;
        let is_list = Kind::ALL.iter().any(|kind| kind.method() == request.method);
        let options = shared.options();
        let limit = if is_list { options.first_list_wait } else { options.arrival_wait };
        let is_missed = || {
            let params = Params::read(request.params.as_ref());
            is_list || target::leads_nowhere(&shared.catalog(), request, &params)
        };
        let must_wait = !limit.is_zero() && is_missed();
        if must_wait {
            shared.arrivals.wait(is_missed, shared.clock.sleep(limit)).await;
        }
        must_wait
    }

    /// The span of a request, and whether it had to wait for upstreams that were starting.
    async fn arrived(&self, span: Watched, request: &Request) -> Box<(Watched, bool)> {
        let has_waited = self.await_arrivals(request).await;
        Box::new((span, has_waited))
    }

    /// Who asks: the session, or the request itself; `None` before a session is greeted.
    fn asker(&self, request: &Request) -> Result<Option<Arc<Asker>>, ErrorObject> {
        match modern::classify(request.params.as_ref())? {
            Class::Legacy => Ok(self.greeting()),
            Class::Modern(envelope) => Ok(Some(Arc::new(Asker::of_request(*envelope)))),
        }
    }

    fn span(&self, version: Option<Version>, request: &Request, asker: Option<&Asker>) -> Watched {
        let params = Params::read(request.params.as_ref());
        let span = spans::server(self, request, &params, version);
        span.noted(|span| Noted::of(self, asker, request, &params, span))
    }

    /// Answers here and now, or takes the request to an upstream.
    async fn serve(
        &self,
        asker: Option<Arc<Asker>>,
        mut request: Request,
        early: Early,
    ) -> Option<(Outcome, Extra)> {
        let is_modern = asker.as_ref().is_some_and(|asker| asker.era() == Era::Modern);
        let version = asker.as_ref().map(|asker| asker.version);
        if is_modern && request.method == method::LISTEN {
            let span = early.map_or_else(|| self.span(version, &request, None), |early| early.0);
            let outcome = match &asker {
                Some(asker) => Box::pin(self.listen(asker, &request, span)).await,
                None => None,
            };
            return Some((outcome?, Extra::default()));
        }
        if request.method == method::TASKS_LIST && self.lists_tasks(version) {
            let span = early.map_or_else(|| self.span(version, &request, None), |early| early.0);
            let local = Box::pin(self.list_tasks(request.params.as_ref())).await;
            let outcome = words::outcome(local);
            spans::ended(&span, &outcome);
            return Some((outcome, Extra::default()));
        }
        let (span, plan) = self.plan(asker.as_ref(), &mut request, early);
        let local = match plan {
            Ok(planned) => {
                let answer = calls::run(self, planned, request, &span).await;
                span.told(answer.as_ref().map(|(outcome, _)| outcome));
                return answer;
            }
            Err(local) => local,
        };
        let outcome = words::outcome(local);
        spans::ended(&span, &outcome);
        span.told(Some(&outcome));
        Some((outcome, Extra::default()))
    }

    /// Answers a request, or says how it gets to an upstream; parameters that hold nulls are put
    /// right first.
    fn plan(
        &self,
        asker: Option<&Arc<Asker>>,
        request: &mut Request,
        early: Early,
    ) -> (Watched, Result<Planned, Local>) {
        let version = asker.map(|asker| asker.version);
        let params = Params::read(request.params.as_ref());
        let flaw = match params.flaw(&request.method, version) {
            Some(Flaw::Nulls(clean)) => {
                request.params = Some(clean);
                return self.plan(asker, request, early);
            }
            Some(Flaw::Wrong(error)) => Some(Err(error)),
            None => None,
        };
        let has_waited = early.as_ref().is_some_and(|early| early.1);
        let early = early.map(|early| early.0);
        let span = early.unwrap_or_else(|| {
            spans::server(self, request, &params, version)
                .noted(|span| Noted::of(self, asker.map(|asker| &**asker), request, &params, span))
        });
        let local = flaw.or_else(|| self.here(asker, request, &params));
        if local.is_some() && Kind::of(&request.method).is_some() {
            spans::listed(&span, has_waited);
        }
        if version.is_none() && request.method == method::INITIALIZE {
            spans::greeted(&span, self.version());
        }
        let plan = match (local, asker) {
            (Some(local), _) => Err(local),
            (None, Some(asker)) => calls::plan(self, asker, request, &params, &span, None),
            (None, None) => Err(Err(here::not_greeted())),
        };
        (span, plan)
    }

    fn became_ready(&self, note: &Note) {
        lock(&self.state).is_ready = true;
        // An upstream that asked for roots before anybody was there may ask again now.
        let has_roots = self.greeting().is_some_and(|greeting| greeting.can(&["roots"]));
        if has_roots {
            self.roots_changed(None, note);
        }
    }

    /// Tells all upstreams; if another client is there whose roots they would mix up, only those
    /// members that serve no other.
    fn roots_changed(&self, params: Option<Raw>, note: &Note) {
        let ready = self.shared.sessions().into_iter().filter(|session| session.is_ready()).count();
        let changed = Notification::new(method::ROOTS_CHANGED, params);
        if ready == 1 {
            self.shared.tell_upstreams(self.number, &changed, note);
        } else {
            self.shared.tell_own(self.number, &changed, note);
        }
    }

    fn cancel(&self, params: &Params<'_>) {
        let Some(id) = params.get("requestId").and_then(Id::read) else { return };
        let reason =
            params.get("reason").and_then(|reason| Raw::parse(reason.get().to_owned()).ok());
        let mut state = lock(&self.state);
        // The entries stay until what they are for has ended, so that its end never removes a later
        // one.
        if let Some(listening) = state.listens.get_mut(&id) {
            listening.cancel();
        }
        if let Some(going) = state.calls.get_mut(&id) {
            going.cancel(reason.as_ref());
        }
    }
}

#[async_trait]
impl Session for DownstreamSession {
    async fn request(&self, request: Request) -> Option<Response> {
        let asker = match self.asker(&request) {
            Ok(asker) => asker,
            Err(error) => {
                let outcome = Outcome::Error(Raw::of(&error));
                let span = self.span(None, &request, None);
                spans::ended(&span, &outcome);
                span.told(Some(&outcome));
                return Some(Response::new(Some(request.id), outcome));
            }
        };
        let mut early = None;
        if let (Some(asker), false) = (&asker, self.shared.arrivals.is_over()) {
            let span = self.span(Some(asker.version), &request, Some(asker));
            // Boxed, as all that few requests need: every request is copied when it is made.
            early = Some(Box::pin(self.arrived(span, &request)).await);
        }
        let id = request.id.clone();
        let (outcome, extra) = self.serve(asker, request, early).await?;
        Some(Response { id: Some(id), outcome, extra })
    }

    fn notification(&self, notification: Notification) {
        let params = Params::read(notification.params.as_ref());
        let note = spans::from_client(self, &notification, &params);
        match &*notification.method {
            method::INITIALIZED => self.became_ready(&note),
            method::CANCELLED => self.cancel(&params),
            method::PROGRESS => self.asked_progressed(&notification, &params),
            // Stateless clients have none, and strangers nothing that it could be about.
            other if self.greeting().is_none() || is_stateless(&notification) => {
                tracing::debug!(method = other, "a notification of no session was dropped");
            }
            method::ROOTS_CHANGED => self.roots_changed(notification.params.clone(), &note),
            // What else is known is for servers to say; by what is not only one can be meant.
            _ if is_unknown(&notification) && self.shared.catalog().links().len() == 1 => {
                self.shared.tell_upstreams(self.number, &notification, &note);
            }
            other => tracing::debug!(method = other, "a notification for nobody was dropped"),
        }
    }

    fn response(&self, response: Response) {
        self.answered(response);
    }

    fn version(&self) -> Option<Version> {
        lock(&self.state).greeting.as_ref().map(|greeting| greeting.version)
    }

    fn drain(&self) {
        self.end_listens();
    }

    fn close(&self) {
        let (calls, asked, had_level) = {
            let mut state = lock(&self.state);
            if let (Some(since), Some(greeting)) = (state.greeted_at.take(), &state.greeting) {
                let version = (attr::MCP_PROTOCOL_VERSION, Some(greeting.version.as_str()));
                let [network, protocol, of_protocol] = network_labels(Some(self.client.network()));
                let labels = [version, network, protocol, of_protocol];
                metric::since(Metric::ServerSession, since, &labels);
            }
            state.is_closed = true;
            state.is_ready = false;
            state.listens.clear();
            let had_level = state.level.take().is_some();
            (std::mem::take(&mut state.calls), std::mem::take(&mut state.asked), had_level)
        };
        let reason = Raw::of("the client has left");
        for (_, mut going) in calls {
            going.cancel(Some(&reason));
        }
        for (_, asked) in asked {
            let error = ErrorObject::new(
                mcplex_proto::error::INTERNAL_ERROR,
                "the client left before it answered",
            );
            asked.answer(Outcome::Error(Raw::of(&error)), Extra::default());
        }
        self.shared.forget(self.number);
        // What a request listened to ends with the wait for its answer, and else it set up nothing.
        if self.is_long() {
            self.shared.suspensions.left(self.number);
            self.shared.ledger.left(self);
            self.shared.left(self);
        }
        if had_level {
            self.shared.level_changed();
        }
    }
}

/// The span of a request that had to wait before anything was done for it, and whether it has.
type Early = Option<Box<(Watched, bool)>>;

fn is_stateless(notification: &Notification) -> bool {
    modern::named_version(notification.params.as_ref()).is_some()
}

fn is_unknown(notification: &Notification) -> bool {
    matches!(method::intern(&notification.method), Cow::Owned(_))
}

/// Reads the URI a notification or request is about.
pub(crate) fn uri_of(params: &Params<'_>) -> Option<String> {
    params.get("uri").and_then(raw::string).map(|uri| uri.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<'a, A: 'a, B, C, D, F: Future>(_: impl FnOnce(&'a A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// It is copied when it is made, with every request; it was 4.4 KB before it was looked at.
    #[test]
    fn the_future_of_a_request_is_small() {
        let bytes = size(DownstreamSession::serve);
        assert!(bytes <= 2048, "{bytes} bytes");
    }
}
