//! Requests of HTTP to one server: what they carry, and who may see them.

use super::{
    authorize::{Advice, Retry},
    connector::{Connector, Dialer, Pipe, Tasks, innermost},
    target::{Target, uri},
    trouble::{Trouble, unauthorized},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::{client::legacy::Client, rt::TokioTimer};
use mcplex_proto::{message, method, modern, raw, raw::Raw, version::Version};
use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use url::Url;

/// How long an unused connection is kept: below the 5 s after which Node and uvicorn close theirs,
/// so that no request meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(4);

/// Redirects that are followed in a row; a slash that is missing takes one.
const REDIRECTS: u32 = 3;

pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const PLAIN: HeaderValue = HeaderValue::from_static("identity");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("mcplex/", env!("CARGO_PKG_VERSION")));

/// One server, and what is open with it.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) target: Target,
    dialer: Dialer,
    client: Client<Connector, Full<Bytes>>,
    tasks: Tasks,
    mode: Mutex<Mode>,
    /// The server has answered what opens the talk with it.
    is_open: AtomicBool,
}

/// What requests without an envelope belong to.
#[derive(Clone, Debug, Default)]
pub(crate) enum Mode {
    /// Nothing.
    #[default]
    Stateless,
    /// A session of Streamable HTTP.
    Session(Session),
    /// A stream of HTTP+SSE, whose other way is this address.
    Older(Url),
}

/// What `initialize` opened.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: Option<HeaderValue>,
    /// The revision both sides speak, as the server wrote it, where requests have to name it.
    version: Option<HeaderValue>,
}

impl Wire {
    pub(crate) fn new(target: Target, dialer: Dialer, first: Pipe) -> Self {
        let tasks = Tasks::default();
        let first = Arc::new(Mutex::new(Some(first)));
        let client = Client::builder(tasks.clone())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(Connector { dialer: dialer.clone(), first });
        let (mode, is_open) = (Mutex::default(), AtomicBool::new(false));
        Self { target, dialer, client, tasks, mode, is_open }
    }

    /// Whether a request opens the talk with the server: there is no call to blame for what comes of
    /// it. Later the same request is one like any other, such as a probe.
    pub(crate) fn is_opening(&self, request: &message::Request) -> bool {
        matches!(&*request.method, method::INITIALIZE | method::DISCOVER)
            && !self.is_open.load(Ordering::Relaxed)
    }

    /// The server has answered that request with a result.
    pub(crate) fn opened(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mode(&self) -> Mode {
        self.lock().clone()
    }

    /// The session, if there is one with a name.
    pub(crate) fn session_id(&self) -> Option<HeaderValue> {
        match &*self.lock() {
            Mode::Session(session) => session.id.clone(),
            Mode::Stateless | Mode::Older(_) => None,
        }
    }

    /// A session is open: `result` answered `initialize`, and `id` came with it.
    pub(crate) fn adopt(&self, id: Option<HeaderValue>, result: &Raw) {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            protocol_version: String,
        }
        let Some(Answer { protocol_version }) = result.get() else { return };
        let mut mode = self.lock();
        if let Mode::Older(_) = *mode {
            return;
        }
        let version = protocol_version.parse::<Version>().ok();
        let named = version.filter(|version| *version >= Version::V2025_06_18);
        let version = named.and_then(|version| HeaderValue::from_str(version.as_str()).ok());
        *mode = Mode::Session(Session { id, version });
    }

    /// Messages go to this address from now on, and answers come on the stream that named it.
    pub(crate) fn become_older(&self, post: Url) {
        *self.lock() = Mode::Older(post);
    }

    /// Sends a message; `own` are the headers that it alone has.
    pub(crate) async fn post(
        &self,
        body: Bytes,
        mut own: HeaderMap,
    ) -> Result<Response<Incoming>, Trouble> {
        own.insert(header::CONTENT_TYPE, JSON);
        own.insert(header::ACCEPT, BOTH);
        let url = match &*self.lock() {
            Mode::Older(url) => url.clone(),
            Mode::Stateless | Mode::Session(_) => self.target.url.clone(),
        };
        self.send(Method::POST, url, own, body).await
    }

    /// Opens a stream, or goes on with one.
    pub(crate) async fn get(&self, last_id: Option<&str>) -> Result<Response<Incoming>, Trouble> {
        let mut own = self.session_headers();
        own.insert(header::ACCEPT, EVENTS);
        if let Some(id) = last_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            own.insert(LAST_EVENT_ID, id);
        }
        self.send(Method::GET, self.target.url.clone(), own, Bytes::new()).await
    }

    /// Tells the server that the session is no longer needed; what it answers does not matter.
    pub(crate) async fn delete(&self) -> Result<StatusCode, Trouble> {
        let own = self.session_headers();
        let url = self.target.url.clone();
        self.send(Method::DELETE, url, own, Bytes::new()).await.map(|response| response.status())
    }

    /// Whether a connection can still be had.
    pub(crate) async fn look(&self) -> Result<(), io::Error> {
        self.dialer.dial().await.map(drop)
    }

    /// Closes all connections.
    pub(crate) fn close(&self) {
        self.tasks.abort();
    }

    /// The headers that say which session a request belongs to.
    pub(crate) fn session_headers(&self) -> HeaderMap {
        let mut own = HeaderMap::new();
        if let Mode::Session(Session { id, version }) = &*self.lock() {
            own.extend(id.clone().map(|id| (SESSION_ID, id)));
            own.extend(version.clone().map(|version| (VERSION, version)));
        }
        own
    }

    async fn send(
        &self,
        method: Method,
        mut url: Url,
        own: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Trouble> {
        let mut may_retry = true;
        let mut redirects = 0;
        // Both kinds of repetition are counted.
        loop {
            let proof = match &self.target.authorize {
                Some(authorize) => {
                    let proof = authorize.authorization().await;
                    proof.map_err(|error| Trouble::Refused(error, None))?
                }
                None => None,
            };
            let proof = proof.as_ref();
            let mut response = self.send_once(&method, &url, (&own, proof), body.clone()).await?;
            let status = response.status();
            if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                && std::mem::take(&mut may_retry)
                && let Some(authorize) = &self.target.authorize
            {
                let challenge = response.headers().get(header::WWW_AUTHENTICATE);
                match authorize.refused(proof, status, challenge).await {
                    Retry::Again => continue,
                    Retry::Never { advice: Some(advice) } => {
                        response.extensions_mut().insert(Advice(advice));
                    }
                    Retry::Never { advice: None } => {}
                }
            }
            if status == StatusCode::UNAUTHORIZED {
                let advice = response.extensions().get::<Advice>();
                let error = unauthorized(&self.target, status, advice);
                return Err(Trouble::Refused(error, Some(status)));
            }
            match self.follow(&method, &url, &response) {
                Some(next) if redirects < REDIRECTS => {
                    url = next;
                    redirects += 1;
                }
                Some(_) | None => return Ok(response),
            }
        }
    }

    /// Where a redirect leads, if it may be followed: our headers are for one origin, and a POST
    /// stays one only where the status says so.
    fn follow(&self, method: &Method, at: &Url, response: &Response<Incoming>) -> Option<Url> {
        let keeps_method = matches!(
            response.status(),
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        let is_moved = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER
        );
        let becomes_get = is_moved && method == Method::GET;
        if !keeps_method && !becomes_get {
            return None;
        }
        let next = response.headers().get(header::LOCATION)?.to_str().ok()?;
        at.join(next).ok().filter(|next| self.target.is_same_origin(next))
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &Url,
        (own, proof): (&HeaderMap, Option<&HeaderValue>),
        body: Bytes,
    ) -> Result<Response<Incoming>, Trouble> {
        let mut headers = self.target.headers.clone();
        headers.entry(header::USER_AGENT).or_insert(AGENT);
        // Without a word on it any coding of a body would be as good, and none is read here.
        headers.entry(header::ACCEPT_ENCODING).or_insert(PLAIN);
        if let Some(mut proof) = proof.cloned() {
            proof.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, proof);
        }
        for (name, value) in own {
            headers.insert(name, value.clone());
        }
        let uri = uri(url).ok_or_else(|| Trouble::Broke(io::Error::other("a bad address")))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.client.request(request).await.map_err(|error| {
            let cause = innermost(&error);
            if error.is_connect() { Trouble::Away(cause) } else { Trouble::Broke(cause) }
        })
    }

    /// Locks for a moment, never over a wait; what it holds is replaced as a whole.
    fn lock(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request stands for itself.
pub(crate) fn is_modern(request: &message::Request) -> bool {
    let Some(params) = &request.params else { return false };
    // Nearly every legacy request is done with here.
    memchr::memmem::find(params.bytes(), b"protocolVersion").is_some()
        && modern::named_version(Some(params)).is_some()
}

/// The headers of a request that stands for itself, without those of its arguments.
pub(crate) fn modern_headers(request: &message::Request) -> HeaderMap {
    let mut own = HeaderMap::new();
    let params = request.params.as_ref();
    let mut put = |name: HeaderName, value: &str| {
        let value = HeaderValue::from_str(&mcplex_proto::header::encode(value));
        own.extend(value.ok().map(|value| (name, value)));
    };
    if let Some(version) = modern::named_version(params).and_then(raw::string) {
        put(VERSION, &version);
    }
    put(METHOD, &request.method);
    let member = mcplex_proto::header::name_member(&request.method);
    let member = member
        .zip(params)
        .and_then(|(member, params)| mcplex_proto::edit::member(params.as_str(), member));
    if let Some(name) = member.and_then(raw::string) {
        put(NAME, &name);
    }
    own
}
