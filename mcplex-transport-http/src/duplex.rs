//! HTTP with SSE, as revision 2024-11-05 has it: one stream to the client, POSTs from it.
//!
//! The stream is the session. Its first event says where to post; everything the client is told,
//! answers included, comes as further events, and with the stream all of it ends. Clients of later
//! revisions that still travel this way are served as well: the revision is the session's affair.

use crate::{
    accept::Accept,
    endpoint::Endpoint,
    envelope,
    line::{Line, Reader},
    origin, payload,
    payload::Payload,
    post, reply,
    reply::{Refusal, Reply},
    sse,
};
use bytes::Bytes;
use hyper::{HeaderMap, Request as HttpRequest, StatusCode, Uri, body::Incoming};
use mcplex_proto::{
    downstream::{Principal, Session},
    message::{Message, Request},
    method, modern,
};
use std::{
    fmt,
    future::Future as _,
    slice,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};
use tokio::{runtime::Handle, task::JoinSet};

/// The parameter that names a session in the URI of a POST.
const SESSION: &str = "session=";

/// A session whose stream is open.
pub(crate) struct Duplex {
    pub(crate) id: Box<str>,
    /// Who opened it; nobody else can post to it.
    pub(crate) principal: Principal,
    session: Arc<dyn Session>,
    line: Arc<Line>,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    /// One for each call in flight; ended with the session.
    tasks: JoinSet<()>,
    in_flight: usize,
    /// The stream ends with the last of them.
    is_draining: bool,
}

/// GET: opens a session and its stream.
pub(crate) fn open(
    endpoint: &Arc<Endpoint>,
    request: &HttpRequest<Incoming>,
    principal: Principal,
) -> Result<Reply, Refusal> {
    if !Accept::read(request.headers()).sse {
        let why = "Accept must allow text/event-stream";
        return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, &why));
    }
    let origin = origin::of(request.extensions(), request.headers());
    let duplex = endpoint.open_duplex(principal, origin)?;
    let path = endpoint.options.sse_path.as_deref().unwrap_or_default();
    let first = sse::endpoint(&format!("{path}?{SESSION}{}", duplex.id));
    let line = Arc::clone(&duplex.line);
    let reader = Reader::new(line, first.into(), endpoint.options.keepalive);
    Ok(reply::events_in(DuplexStream { endpoint: Arc::clone(endpoint), duplex, reader }))
}

/// POST: messages of a client, which are answered on its stream.
pub(crate) async fn post(
    endpoint: &Arc<Endpoint>,
    request: HttpRequest<Incoming>,
    principal: &Principal,
) -> Result<Reply, Refusal> {
    let (head, mut body) = request.into_parts();
    post::check_type(&head.headers)?;
    let Some(id) = named(&head.uri) else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, &"the URI names no session"));
    };
    // Whoever names none that is open need not send its body.
    endpoint.find_duplex(id, principal)?;
    let bytes =
        payload::read(&head.headers, &mut body, &endpoint.bodies, &endpoint.options).await?;
    let payload = payload::parse(bytes, &endpoint.options)?;
    let duplex = endpoint.find_duplex(id, principal)?;
    check_era(&head.headers, &payload, endpoint)?;
    let messages = match payload {
        Payload::One(message) => vec![message],
        Payload::Batch(messages) => {
            post::check_batch(&*duplex.session, &messages)?;
            messages
        }
    };
    duplex.take(messages, endpoint)?;
    Ok(reply::empty(StatusCode::ACCEPTED))
}

/// Refuses what is of a stateless revision: it would be served past the check of its headers.
///
/// `initialize` is not: a client that is lost between the eras must be able to begin anew.
fn check_era(headers: &HeaderMap, payload: &Payload, endpoint: &Endpoint) -> Result<(), Refusal> {
    let messages = match payload {
        Payload::One(message) => slice::from_ref(message),
        Payload::Batch(messages) => messages,
    };
    let begins = |request: &Request| {
        request.method == method::INITIALIZE
            && modern::named_version(request.params.as_ref()).is_none()
    };
    let id = match messages {
        [Message::Request(request)] if begins(request) => return Ok(()),
        [Message::Request(request)] => Some(&request.id),
        _ => None,
    };
    if !envelope::has_modern(headers, messages) {
        return Ok(());
    }
    let path = &endpoint.options.path;
    let why = format!("messages of this revision are posted to {path}, and not to a stream's path");
    Err(Refusal::new(StatusCode::BAD_REQUEST, &why).naming(id))
}

fn named(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix(SESSION))
}

impl Duplex {
    pub(crate) fn new(
        id: Box<str>,
        principal: Principal,
        session: Arc<dyn Session>,
        line: Arc<Line>,
    ) -> Self {
        Self { id, principal, session, line, calls: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().expect("nothing panics while it holds the calls")
    }

    /// Hands messages to the gateway in their order.
    fn take(self: &Arc<Self>, messages: Vec<Message>, endpoint: &Endpoint) -> Result<(), Refusal> {
        let asked =
            messages.iter().filter(|message| matches!(message, Message::Request(_))).count();
        if asked > 0 && self.line.is_full() {
            return Err(post::busy("answers wait that nobody reads"));
        }
        if asked > 0 && self.lock().in_flight + asked > endpoint.options.max_calls {
            return Err(post::busy("too many calls are in flight"));
        }
        for message in messages {
            match message {
                Message::Request(request) => self.begin(request, &endpoint.runtime),
                Message::Notification(notification) => self.session.notification(notification),
                Message::Response(response) => self.session.response(response),
            }
        }
        Ok(())
    }

    /// Begins a call right now: what it was asked comes before all that the client says later.
    fn begin(self: &Arc<Self>, request: Request, runtime: &Handle) {
        self.lock().in_flight += 1;
        let (session, done) = (Arc::clone(&self.session), Done(Arc::clone(self)));
        let mut call = Box::pin(async move {
            if let Some(answer) = session.request(request).await {
                done.0.line.answer(&answer.into());
            }
            drop(done);
        });
        if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            let mut calls = self.lock();
            while calls.tasks.try_join_next().is_some() {}
            // Its first poll there leaves the waker that counts.
            calls.tasks.spawn_on(call, runtime);
        }
    }

    /// From now on the stream ends as soon as no call is in flight.
    pub(crate) fn drain(&self) {
        self.session.drain();
        let mut calls = self.lock();
        calls.is_draining = true;
        if calls.in_flight == 0 {
            self.line.end();
        }
    }

    /// Ends the session: its stream ends, its calls are forgotten.
    pub(crate) fn close(&self) {
        self.line.end();
        self.session.close();
        self.lock().tasks.abort_all();
    }
}

/// Counts a call down, also when its task ends early.
struct Done(Arc<Duplex>);

impl Drop for Done {
    fn drop(&mut self) {
        let mut calls = self.0.lock();
        calls.in_flight -= 1;
        if calls.is_draining && calls.in_flight == 0 {
            self.0.line.end();
        }
    }
}

/// The stream of a session; the session ends with it.
pub(crate) struct DuplexStream {
    endpoint: Arc<Endpoint>,
    duplex: Arc<Duplex>,
    reader: Reader,
}

impl fmt::Debug for DuplexStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reader.fmt(f)
    }
}

impl DuplexStream {
    /// The next bytes, or `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.reader.poll_bytes(cx)
    }
}

impl Drop for DuplexStream {
    fn drop(&mut self) {
        self.endpoint.forget_duplex(&self.duplex);
    }
}
