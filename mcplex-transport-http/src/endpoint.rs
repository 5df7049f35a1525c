//! One HTTP request: who may ask, what is asked, and of which session.

use crate::{
    accept::Accept,
    clock::Clock,
    guard::Guard,
    mailbox::STANDALONE,
    options::Options,
    outlet::Outlet,
    post, reply,
    reply::{Refusal, Reply, SESSION_ID},
    session,
    session::Live,
    sse::EventId,
    stream::EventStream,
};
use hyper::{
    HeaderMap, Method, Request as HttpRequest, StatusCode, body::Incoming, header,
    header::HeaderValue,
};
use mcplex_proto::{
    downstream::{Arrival, Client, Doorman, Gateway, Principal, Stay, Verdict},
    version::{Era, Version},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::runtime::Handle;

/// The header that names the revision.
const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The header that names the last event a client has seen.
const LAST_EVENT_ID: &str = "last-event-id";

/// Below this, a doorman tells where tokens are to be had.
const WELL_KNOWN: &str = "/.well-known/";

/// Between what a listener stands.
pub(crate) struct Doors {
    pub(crate) bound: SocketAddr,
    pub(crate) gateway: Arc<dyn Gateway>,
    pub(crate) doorman: Option<Arc<dyn Doorman>>,
}

/// What all connections share.
pub(crate) struct Endpoint {
    pub(crate) options: Options,
    pub(crate) runtime: Handle,
    guard: Guard,
    gateway: Arc<dyn Gateway>,
    doorman: Option<Arc<dyn Doorman>>,
    clock: Clock,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    by_id: BTreeMap<Box<str>, Arc<Live>>,
    is_draining: bool,
}

impl Endpoint {
    pub(crate) fn new(doors: Doors, options: Options, runtime: Handle) -> Self {
        let Doors { bound, gateway, doorman } = doors;
        let guard = Guard::new(bound, &options);
        let sessions = Mutex::new(Sessions::default());
        Self { options, runtime, guard, gateway, doorman, clock: Clock::start(), sessions }
    }

    /// Serves one request.
    pub(crate) async fn serve(self: Arc<Self>, request: HttpRequest<Incoming>) -> Reply {
        self.answer(request).await.unwrap_or_else(Refusal::into_reply)
    }

    async fn answer(self: Arc<Self>, request: HttpRequest<Incoming>) -> Result<Reply, Refusal> {
        if let Some(why) = self.guard.objection(request.uri(), request.headers()) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, &why));
        }
        let path = request.uri().path();
        if path != self.options.path {
            let told = self.doorman.as_ref().filter(|_| path.starts_with(WELL_KNOWN));
            let told = told.filter(|_| request.method() == Method::GET);
            let told = told.and_then(|doorman| doorman.metadata(path));
            let nothing = "nothing is served under this path";
            let refused = || Refusal::new(StatusCode::NOT_FOUND, &nothing);
            return told.map(reply::json_text).ok_or_else(refused);
        }
        let principal = self.admit(request.headers()).await?;
        match *request.method() {
            Method::POST => post::serve(&self, request, principal).await,
            Method::GET => self.listen(request.headers(), &principal),
            Method::DELETE => self.delete(request.headers(), &principal),
            _ => {
                let why = "only GET, POST and DELETE are served";
                let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, &why);
                Err(refusal.with(header::ALLOW, "GET, POST, DELETE"))
            }
        }
    }

    /// On whose behalf a request is served, if it is.
    async fn admit(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let Some(doorman) = &self.doorman else { return Ok(Principal::Anybody) };
        let mut told = headers.get_all(header::AUTHORIZATION).iter();
        let (first, second) = (told.next(), told.next());
        if second.is_some() {
            let why = "there must be one Authorization at most";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, &why));
        }
        match doorman.admit(first.map(HeaderValue::as_bytes)).await {
            Verdict::Admitted(principal) => Ok(principal),
            Verdict::Refused { status, why, www_authenticate } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
                let challenge = www_authenticate.and_then(|text| HeaderValue::try_from(text).ok());
                let refusal = Refusal::new(status, &why);
                Err(match challenge {
                    Some(challenge) => refusal.with_value(header::WWW_AUTHENTICATE, challenge),
                    None => refusal,
                })
            }
        }
    }

    /// GET: the standalone stream, or any stream from where the client lost it.
    fn listen(&self, headers: &HeaderMap, principal: &Principal) -> Result<Reply, Refusal> {
        if !Accept::read(headers).sse {
            let why = "Accept must allow text/event-stream";
            return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, &why));
        }
        let live = self.find(headers, principal)?;
        if self.lock().is_draining {
            return Err(unavailable("no new streams: the listener stops"));
        }
        let last = match headers.get(LAST_EVENT_ID) {
            None => None,
            Some(last) => Some(last.to_str().ok().and_then(EventId::read).ok_or_else(lost)?),
        };
        let (stream, after) = last.map_or((STANDALONE, None), |id| (id.stream, Some(id.number)));
        let (place, earlier) = live.outlet.lock().attach(stream, after).ok_or_else(lost)?;
        if let Some(earlier) = earlier {
            earlier.wake();
        }
        let is_primed = last.is_none() && self.primes(&live);
        let outlet = Arc::clone(&live.outlet);
        Ok(reply::events(EventStream::new(outlet, place, is_primed, self.options.keepalive)))
    }

    /// DELETE: the end of a session.
    fn delete(&self, headers: &HeaderMap, principal: &Principal) -> Result<Reply, Refusal> {
        let live = self.find(headers, principal)?;
        self.forget(&live);
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    /// Opens a session that only this principal can use.
    pub(crate) fn open(&self, principal: Principal) -> Result<Arc<Live>, Refusal> {
        let id = session::mint_id().map_err(|error| {
            tracing::error!(%error, "no random bytes for a session id");
            unavailable("no session id can be made")
        })?;
        self.check_room(&self.lock())?;
        let outlet = Arc::new(Outlet::new(&self.options));
        let client: Arc<dyn Client> = Arc::<Outlet>::clone(&outlet);
        // Outside of the lock: this is foreign code.
        let arrival = Arrival { principal: principal.clone(), stay: Stay::Long };
        let session = self.gateway.open(client, arrival);
        let now = self.clock.millis();
        let live = Arc::new(Live::new(id.clone(), principal, session, outlet, now));
        let mut sessions = self.lock();
        if let Err(refusal) = self.check_room(&sessions) {
            drop(sessions);
            live.close();
            return Err(refusal);
        }
        sessions.by_id.insert(id, Arc::clone(&live));
        tracing::debug!(sessions = sessions.by_id.len(), "session opened");
        Ok(live)
    }

    fn check_room(&self, sessions: &Sessions) -> Result<(), Refusal> {
        if sessions.is_draining {
            return Err(unavailable("no new sessions: the listener stops"));
        }
        if sessions.by_id.len() >= self.options.max_sessions {
            return Err(unavailable("too many sessions are open"));
        }
        Ok(())
    }

    /// The session a request belongs to; that of another principal is none.
    ///
    /// The header may name another revision than the one that `initialize` agreed on: there are
    /// clients that always send the same, and servers need only refuse what they do not speak.
    pub(crate) fn find(
        &self,
        headers: &HeaderMap,
        principal: &Principal,
    ) -> Result<Arc<Live>, Refusal> {
        let Some(id) = headers.get(SESSION_ID) else {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, &"Mcp-Session-Id is missing"));
        };
        let live = id.to_str().ok().and_then(|id| self.lock().by_id.get(id).cloned());
        let live = live.filter(|live| live.principal == *principal).ok_or_else(post::gone)?;
        if let Some(wanted) = headers.get(PROTOCOL_VERSION) {
            let wanted = wanted.to_str().ok().and_then(|text| text.parse::<Version>().ok());
            if wanted.is_none_or(|wanted| wanted.era() != Era::Legacy) {
                let why = "MCP-Protocol-Version names no revision that has sessions";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, &why));
            }
        }
        live.touch(self.clock.millis());
        Ok(live)
    }

    /// Whether the request names a session of this principal that is open.
    pub(crate) fn knows(&self, headers: &HeaderMap, principal: &Principal) -> bool {
        let id = headers.get(SESSION_ID).and_then(|id| id.to_str().ok());
        let is_own = |live: &Arc<Live>| live.principal == *principal;
        id.is_some_and(|id| self.lock().by_id.get(id).is_some_and(is_own))
    }

    /// Ends a session, once.
    pub(crate) fn forget(&self, live: &Live) {
        let known = self.lock().by_id.remove(&live.id);
        if let Some(live) = known {
            live.close();
        }
    }

    /// How long an answer as JSON is awaited; `None` is without end.
    pub(crate) fn patience(&self, accept: Accept) -> Option<Duration> {
        match (accept.json, accept.sse) {
            (true, true) => Some(self.options.json_wait),
            (true, false) => None,
            (false, _) => Some(Duration::ZERO),
        }
    }

    /// Whether streams of this session begin with an event without data.
    ///
    /// Clients of earlier revisions take the empty data for a message and fail.
    pub(crate) fn primes(&self, live: &Live) -> bool {
        live.session.version() >= Some(Version::V2025_11_25)
    }

    /// How often [`Self::sweep`] is due: late by a quarter of the idle time, a minute at most.
    pub(crate) fn sweep_every(&self) -> Duration {
        let most = Duration::from_secs(60);
        (self.options.session_idle / 4).clamp(Duration::from_millis(1), most)
    }

    /// Ends the sessions nobody used for too long.
    pub(crate) fn sweep(&self) {
        let now = self.clock.millis();
        let bound = u64::try_from(self.options.session_idle.as_millis()).unwrap_or(u64::MAX);
        let mut ended = Vec::new();
        self.lock().by_id.retain(|_, live| {
            if live.outlet.lock().is_busy() {
                live.touch(now);
            }
            let is_over = live.idle(now) >= bound;
            if is_over {
                ended.push(Arc::clone(live));
            }
            !is_over
        });
        for live in ended {
            live.close();
        }
    }

    /// From now on no session and no stream is opened; standalone streams end.
    pub(crate) fn drain(&self) {
        let live: Vec<_> = {
            let mut sessions = self.lock();
            sessions.is_draining = true;
            sessions.by_id.values().cloned().collect()
        };
        for live in live {
            live.outlet.end_standalone();
        }
    }

    /// Ends all sessions.
    pub(crate) fn close(&self) {
        let sessions = std::mem::take(&mut self.lock().by_id);
        for live in sessions.into_values() {
            live.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().expect("nothing panics while it holds the sessions")
    }
}

fn unavailable(why: &str) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, &why).with(header::RETRY_AFTER, "5")
}

fn lost() -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, &"Last-Event-ID names no stream of this session")
}
