//! One downstream client: its handshake, its calls, and what it is asked.
//!
//! A session is *open* from its birth, *greeted* once `initialize` was answered, *ready* once the
//! client said `initialized`, and *closed* in the end. Requests are served from greeted on;
//! nobody speaks to a client unasked before it is ready.

use crate::{
    asks::Asked,
    calls,
    level::Level,
    lists::Kind,
    member::Member,
    params::Params,
    router::{Shared, lock},
    spans, target,
};
use async_trait::async_trait;
use futures_channel::oneshot;
use mcplex_proto::{
    downstream::{Arrival, Client, Session},
    edit,
    error::ErrorObject,
    handshake::title,
    id::Id,
    message::{Extra, Message, Notification, Outcome, Request, Response},
    method,
    raw::{self, Raw},
    version::Version,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, Weak},
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
    pub(crate) state: Mutex<State>,
    me: Weak<Self>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    greeting: Option<Arc<Greeting>>,
    /// It said `initialized`; some say it before they were greeted, and that counts later.
    is_ready: bool,
    pub(crate) is_closed: bool,
    /// What `logging/setLevel` said last.
    pub(crate) level: Option<Level>,
    /// Calls on their way, by the client's id.
    calls: BTreeMap<Id, Going>,
    /// What the client was asked, by our id.
    pub(crate) asked: BTreeMap<u64, Asked>,
    pub(crate) next_ask: u64,
}

/// What a client said of itself.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) version: Version,
    pub(crate) capabilities: Raw,
}

#[derive(Debug)]
struct Going {
    member: Arc<Member>,
    /// The id it has at the upstream.
    id: u64,
    /// Ends the wait for its answer; `None` once it was cancelled.
    cancel: Option<oneshot::Sender<()>>,
}

impl Going {
    /// Tells the upstream that nobody wants the answer, and whoever waits for it.
    ///
    /// Told here and not by who waits: a listener may drop the wait with the session.
    fn cancel(&mut self, reason: Option<&Raw>) {
        let Some(cancel) = self.cancel.take() else { return };
        if let Some(upstream) = self.member.upstream() {
            calls::cancel(&**upstream, self.id, reason);
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
        Arc::new_cyclic(|me| Self {
            number,
            shared,
            client,
            arrival,
            state: Mutex::default(),
            me: me.clone(),
        })
    }

    pub(crate) fn is_ready(&self) -> bool {
        let state = lock(&self.state);
        state.is_ready && state.greeting.is_some()
    }

    pub(crate) fn greeting(&self) -> Option<Arc<Greeting>> {
        lock(&self.state).greeting.clone()
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
        member: &Arc<Member>,
        id: u64,
    ) -> Option<oneshot::Receiver<()>> {
        let mut state = lock(&self.state);
        if state.is_closed || state.calls.contains_key(about) {
            return None;
        }
        let (cancel, cancelled) = oneshot::channel();
        state
            .calls
            .insert(about.clone(), Going { member: member.clone(), id, cancel: Some(cancel) });
        Some(cancelled)
    }

    /// Whether the client has left.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).is_closed
    }

    /// Forgets a call that is no longer on its way.
    pub(crate) fn end(&self, id: &Id) {
        lock(&self.state).calls.remove(id);
    }

    fn initialize(&self, params: &Params<'_>) -> Result<Raw, ErrorObject> {
        let (_, wanted) = params.string("protocolVersion")?;
        let version = Version::answer(&wanted);
        let object = |name| params.get(name).map_or("{}", |value| value.get());
        let capabilities = Raw::parse(object("capabilities").to_owned()).map_err(|error| {
            ErrorObject::invalid_params(format_args!("`capabilities`: {error}"))
        })?;
        tracing::info!(session = self.number.0, %version, client = title(object("clientInfo")),
            network = self.client.network(), principal = %self.arrival.principal, "a client arrived");
        let mut state = lock(&self.state);
        if state.greeting.is_some() {
            return Err(ErrorObject::invalid_request(&"the session is initialized already"));
        }
        state.greeting = Some(Arc::new(Greeting { version, capabilities }));
        drop(state);
        Ok(self.shared.greet(version))
    }

    /// Whatever can be answered here and now; the rest goes to an upstream.
    fn serve(&self, request: &Request, params: &Params<'_>) -> Option<Result<Raw, ErrorObject>> {
        let list = |kind| Some(self.list(params, kind));
        if self.version().is_none()
            && !matches!(&*request.method, method::INITIALIZE | method::PING)
        {
            let why = "the first request of a session must be `initialize`";
            return Some(Err(ErrorObject::invalid_request(&why)));
        }
        match &*request.method {
            method::INITIALIZE => Some(self.initialize(params)),
            method::PING => Some(Ok(Raw::empty_object())),
            method::TOOLS_LIST => list(Kind::Tools),
            method::PROMPTS_LIST => list(Kind::Prompts),
            method::RESOURCES_LIST => list(Kind::Resources),
            method::TEMPLATES_LIST => list(Kind::Templates),
            method::SET_LEVEL => Some(self.set_level(params)),
            _ => None,
        }
    }

    /// Waits for upstreams that are still starting, if the request may be about one of them.
    async fn await_arrivals(&self, request: &Request) {
        let shared = &self.shared;
        let is_list = Kind::ALL.iter().any(|kind| kind.method() == request.method);
        let options = shared.options();
        let limit = if is_list { options.first_list_wait } else { options.arrival_wait };
        let is_missed = || {
            let params = Params::read(request.params.as_ref());
            is_list || target::leads_nowhere(&shared.catalog(), request, &params)
        };
        if self.version().is_some() && !limit.is_zero() && is_missed() {
            shared.arrivals.wait(is_missed, shared.clock.sleep(limit)).await;
        }
    }

    fn list(&self, params: &Params<'_>, kind: Kind) -> Result<Raw, ErrorObject> {
        // Every list is one page, so no cursor was ever given out.
        match params.get("cursor") {
            Some(cursor) if cursor.get() != "null" => {
                Err(ErrorObject::invalid_params("`cursor` is not one that was given out"))
            }
            _ => Ok(self.shared.catalog().result(kind)),
        }
    }

    fn set_level(&self, params: &Params<'_>) -> Result<Raw, ErrorObject> {
        let (_, name) = params.string("level")?;
        let level = Level::read(&name)
            .ok_or_else(|| ErrorObject::invalid_params("`level` is not a level of syslog"))?;
        lock(&self.state).level = Some(level);
        self.shared.level_changed();
        Ok(Raw::empty_object())
    }

    fn became_ready(&self) {
        lock(&self.state).is_ready = true;
        // An upstream that asked for roots before anybody was there may ask again now.
        let has_roots = self.greeting().is_some_and(|greeting| greeting.can(&["roots"]));
        if has_roots {
            self.roots_changed(None);
        }
    }

    /// Tells all upstreams; if another client is there whose roots they would mix up, only those
    /// members that serve no other.
    fn roots_changed(&self, params: Option<Raw>) {
        let ready = self.shared.sessions().into_iter().filter(|session| session.is_ready()).count();
        let changed = Notification::new(method::ROOTS_CHANGED, params).into();
        if ready == 1 {
            self.shared.tell_upstreams(self.number, &changed);
        } else {
            self.shared.tell_own(self.number, &changed);
        }
    }

    fn cancel(&self, params: &Params<'_>) {
        let Some(id) = params.get("requestId").and_then(Id::read) else { return };
        let reason =
            params.get("reason").and_then(|reason| Raw::parse(reason.get().to_owned()).ok());
        // The entry stays until the call has ended, so that its end never removes a later call.
        if let Some(going) = lock(&self.state).calls.get_mut(&id) {
            going.cancel(reason.as_ref());
        }
    }
}

impl Greeting {
    /// Whether the client has a capability, or one inside it.
    pub(crate) fn can(&self, path: &[&str]) -> bool {
        let mut at = self.capabilities.as_str();
        for name in path {
            match edit::member(at, name) {
                Some(found) if !matches!(found.get(), "null" | "false") => at = found.get(),
                Some(_) | None => return false,
            }
        }
        true
    }
}

#[async_trait]
impl Session for DownstreamSession {
    async fn request(&self, request: Request) -> Option<Response> {
        if !self.shared.arrivals.is_over() {
            self.await_arrivals(&request).await;
        }
        let (span, plan) = {
            let params = Params::read(request.params.as_ref());
            let span = spans::server(&request, &params, self.client.network(), self.version());
            let plan = match self.serve(&request, &params) {
                Some(outcome) => Err(outcome),
                None => calls::plan(self, &request, &params, &span),
            };
            (span, plan)
        };
        let Request { id, params, .. } = request;
        // What the upstream gets holds its own share; ours would keep a large body alive.
        drop(params);
        let (outcome, extra) = match plan {
            Ok(planned) => planned.run(&span).await?,
            Err(local) => {
                let outcome = match local {
                    Ok(result) => Outcome::Result(result),
                    Err(error) => Outcome::Error(Raw::of(&error)),
                };
                spans::ended(&span, &outcome);
                (outcome, Extra::default())
            }
        };
        Some(Response { id: Some(id), outcome, extra })
    }

    fn notification(&self, notification: Notification) {
        let params = Params::read(notification.params.as_ref());
        match &*notification.method {
            method::INITIALIZED => self.became_ready(),
            method::CANCELLED => self.cancel(&params),
            method::PROGRESS => self.asked_progressed(&notification, &params),
            method::ROOTS_CHANGED => self.roots_changed(notification.params.clone()),
            // Only one upstream can be meant by what we do not know.
            _ if self.shared.catalog().links().len() == 1 => {
                self.shared.tell_upstreams(self.number, &notification.into());
            }
            other => tracing::debug!(method = other, "an unknown notification was dropped"),
        }
    }

    fn response(&self, response: Response) {
        self.answered(response);
    }

    fn version(&self) -> Option<Version> {
        lock(&self.state).greeting.as_ref().map(|greeting| greeting.version)
    }

    fn drain(&self) {}

    fn close(&self) {
        let (calls, asked, had_level) = {
            let mut state = lock(&self.state);
            state.is_closed = true;
            state.is_ready = false;
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
        self.shared.left(self.number);
        if had_level {
            self.shared.level_changed();
        }
    }
}

/// Reads the URI a notification or request is about.
pub(crate) fn uri_of(params: &Params<'_>) -> Option<String> {
    params.get("uri").and_then(raw::string).map(|uri| uri.into_owned())
}
