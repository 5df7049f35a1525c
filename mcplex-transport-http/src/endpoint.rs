//! One HTTP request: who may ask, what is asked, and of which session.

use crate::{
    accept::Accept,
    alarm::Alarms,
    clock::Clock,
    cors::Page,
    duplex, envelope,
    guard::Guard,
    mailbox::STANDALONE,
    options::Options,
    payload::Budget,
    post, reply,
    reply::{Refusal, Reply},
    session::Live,
    sse::EventId,
    stream::EventStream,
};
use hyper::{
    HeaderMap, Method, Request as HttpRequest, StatusCode, body::Incoming, header,
    header::HeaderValue,
};
use mcplex_proto::{
    downstream::{Doorman, Gateway, Principal, Verdict},
    version::Version,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::runtime::Handle;

/// The header that names the last event a client has seen.
const LAST_EVENT_ID: &str = "last-event-id";

mod sessions;

use self::sessions::Sessions;

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
    /// What bodies take that are still coming in.
    pub(crate) bodies: Budget,
    pub(crate) alarms: Alarms,
    guard: Guard,
    gateway: Arc<dyn Gateway>,
    doorman: Option<Arc<dyn Doorman>>,
    clock: Clock,
    sessions: Mutex<Sessions>,
}

impl Endpoint {
    pub(crate) fn new(doors: Doors, options: Options, runtime: Handle) -> Self {
        let Doors { bound, gateway, doorman } = doors;
        let guard = Guard::new(bound, &options);
        let sessions = Mutex::new(Sessions::default());
        let bodies = Budget::new(&options);
        let alarms = Alarms::default();
        Self {
            options,
            runtime,
            bodies,
            alarms,
            guard,
            gateway,
            doorman,
            clock: Clock::start(),
            sessions,
        }
    }

    /// Serves one request.
    ///
    /// Every request is a future that is copied when it is made: what few requests need is boxed,
    /// so that the many stay small.
    pub(crate) async fn serve(
        self: Arc<Self>,
        request: HttpRequest<Incoming>,
    ) -> Result<Reply, Infallible> {
        Ok(match Page::of(&self.guard, request.headers()) {
            None => self.answer(request).await.unwrap_or_else(Refusal::into_reply),
            Some(page) => Box::pin(self.serve_page(page, request)).await,
        })
    }

    /// Serves one request of a page in a browser.
    async fn serve_page(self: Arc<Self>, page: Page, request: HttpRequest<Incoming>) -> Reply {
        let preflight = match self.objection(&request) {
            None => Page::preflight(request.method(), request.headers()),
            Some(_) => None,
        };
        let mut reply = match preflight {
            Some(reply) => reply,
            None => self.answer(request).await.unwrap_or_else(Refusal::into_reply),
        };
        page.share(&mut reply);
        reply
    }

    fn objection(&self, request: &HttpRequest<Incoming>) -> Option<&'static str> {
        self.guard.objection(request.uri(), request.headers())
    }

    async fn answer(self: Arc<Self>, request: HttpRequest<Incoming>) -> Result<Reply, Refusal> {
        if let Some(why) = self.objection(&request) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, &why));
        }
        let path = request.uri().path();
        let is_duplex = self.options.sse_path.as_deref() == Some(path);
        if path != self.options.path && !is_duplex {
            let told = self.doorman.as_ref().filter(|_| path.starts_with(WELL_KNOWN));
            let told = told.filter(|_| request.method() == Method::GET);
            let told = told.and_then(|doorman| doorman.metadata(path));
            let nothing = "nothing is served under this path";
            let refused = || Refusal::new(StatusCode::NOT_FOUND, &nothing);
            return told.map(reply::json_text).ok_or_else(refused);
        }
        let principal = self.admit(request.headers()).await?;
        match *request.method() {
            Method::GET if is_duplex => duplex::open(&self, &request, principal),
            Method::POST if is_duplex => Box::pin(duplex::post(&self, request, &principal)).await,
            _ if is_duplex => {
                Err(Refusal::not_allowed("only GET and POST are served", "GET, POST"))
            }
            Method::POST => post::serve(&self, request, principal).await,
            // Stateless revisions have nothing but POST.
            Method::GET | Method::DELETE if envelope::names_modern(request.headers()) => {
                Err(Refusal::not_allowed("this revision has only POST", "POST"))
            }
            Method::GET => self.listen(request.headers(), &principal),
            Method::DELETE => self.delete(request.headers(), &principal),
            _ => {
                let why = "only GET, POST and DELETE are served";
                Err(Refusal::not_allowed(why, "GET, POST, DELETE"))
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
            Verdict::Refused { status, why, www_authenticate, .. } => {
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
}

pub(crate) fn unavailable(why: &str) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, &why).with(header::RETRY_AFTER, "5")
}

fn lost() -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, &"Last-Event-ID names no stream of this session")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, F: Future>(_: impl FnOnce(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// It is copied into its connection with every request; it was 3.5 KB before it was looked at.
    #[test]
    fn the_future_of_a_request_is_small() {
        let bytes = size(Endpoint::serve);
        assert!(bytes <= 2048, "{bytes} bytes");
    }
}
