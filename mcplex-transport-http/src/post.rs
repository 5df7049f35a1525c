//! A POST: messages for the gateway, and its answers as JSON or as a stream.

use crate::{
    accept,
    accept::Accept,
    endpoint::Endpoint,
    envelope, exchange,
    mailbox::{Refused, Signal},
    origin, payload,
    payload::Payload,
    reply,
    reply::{Refusal, Reply},
    session::Live,
    stream::EventStream,
    work::{Answer, Work},
};
use futures_util::Stream as _;
use hyper::{
    HeaderMap, Request as HttpRequest, StatusCode, body::Incoming, header, header::HeaderValue,
};
use mcplex_proto::{
    downstream::{Principal, Session},
    id::Id,
    message::{Message, Outcome, Request},
    method,
    peer::Origin,
    version::{Era, Version},
};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Serves a POST.
///
/// What needs no waiting is done outside of the future, which is copied with every request.
pub(crate) fn serve(
    endpoint: &Arc<Endpoint>,
    request: HttpRequest<Incoming>,
    principal: Principal,
) -> impl Future<Output = Result<Reply, Refusal>> + Send {
    let (head, mut body) = request.into_parts();
    let origin = origin::of(&head.extensions, &head.headers);
    let headers = head.headers;
    let accept = check_type(&headers).and_then(|()| taken(&headers));
    async move {
        let accept = accept?;
        let read = payload::read(&headers, &mut body, &endpoint.bodies, &endpoint.options);
        let payload = payload::parse(read.await?, &endpoint.options)?;
        match begin(endpoint, &headers, (payload, origin), principal, accept)? {
            Begun::Done => Ok(reply::empty(StatusCode::ACCEPTED)),
            Begun::Waits(answer) => answer.await,
            Begun::Asks(id, answer) => answer.await.map_err(|refusal| refusal.naming(Some(&id))),
        }
    }
}

/// What the client can read.
fn taken(headers: &HeaderMap) -> Result<Accept, Refusal> {
    let accept = Accept::read(headers);
    if accept.json || accept.sse {
        return Ok(accept);
    }
    let why = "Accept must allow application/json or text/event-stream";
    Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, &why))
}

/// What is done once a message was taken.
enum Begun<'a> {
    /// Nothing more.
    Done,
    /// The answers to a batch are awaited.
    Waits(Coming<'a>),
    /// The answer to one request is.
    Asks(Id, Coming<'a>),
}

/// What a client is told in the end.
type Coming<'a> = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send + 'a>>;

/// Takes what was posted.
fn begin<'a>(
    endpoint: &'a Arc<Endpoint>,
    headers: &HeaderMap,
    (payload, origin): (Payload, Origin),
    principal: Principal,
    accept: Accept,
) -> Result<Begun<'a>, Refusal> {
    match payload {
        Payload::One(Message::Request(request)) => {
            let id = request.id.clone();
            let asks = (request, origin);
            match begin_request(endpoint, headers, asks, principal, accept) {
                Ok(answer) => Ok(Begun::Asks(id, answer)),
                Err(refusal) => Err(refusal.naming(Some(&id))),
            }
        }
        Payload::One(Message::Notification(notification)) => {
            let era = envelope::of_notification(headers, &notification);
            // Of stateless clients none is known: who no longer wants an answer closes its stream.
            if era.map_err(|error| Refusal::bad(&error))? == Era::Legacy {
                endpoint.find(headers, &principal)?.session.notification(notification);
            }
            Ok(Begun::Done)
        }
        Payload::One(Message::Response(response)) => {
            if envelope::names_modern(headers) {
                let why = "this revision has no responses of clients";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, &why));
            }
            endpoint.find(headers, &principal)?.session.response(response);
            Ok(Begun::Done)
        }
        Payload::Batch(messages) => {
            if envelope::has_modern(headers, &messages) {
                let why = "this revision has no batches";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, &why));
            }
            let live = endpoint.find(headers, &principal)?;
            check_batch(&*live.session, &messages)?;
            let requests = tell(&live, messages);
            if requests.is_empty() {
                return Ok(Begun::Done);
            }
            let waiting = Waiting::begin(endpoint, &live, (requests, origin), accept)?;
            Ok(Begun::Waits(Box::pin(waiting.reply(accept, true))))
        }
    }
}

/// Whether the body is said to be JSON as it is on its way between programs.
pub(crate) fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = |why: &str| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, &why);
    if !accept::is_json(headers) {
        return Err(refused("Content-Type must be application/json"));
    }
    if let Some(charset) = accept::foreign_charset(headers) {
        return Err(refused(&format!("JSON is UTF-8, and not {charset:?}")));
    }
    if let Some(coding) = accept::coding(headers) {
        let why = format!("bodies are taken as they are, and not with Content-Encoding {coding:?}");
        return Err(refused(&why).with(header::ACCEPT_ENCODING, "identity"));
    }
    Ok(())
}

fn begin_request<'a>(
    endpoint: &'a Arc<Endpoint>,
    headers: &HeaderMap,
    (request, origin): (Request, Origin),
    principal: Principal,
    accept: Accept,
) -> Result<Coming<'a>, Refusal> {
    let era = envelope::of_request(headers, &request, endpoint.gateway());
    match era.map_err(|error| Refusal::bad(&error))? {
        Era::Modern => {
            Ok(Box::pin(exchange::serve(endpoint, (request, origin), principal, accept)))
        }
        Era::Legacy if request.method == method::INITIALIZE => {
            // A client that still names a session we have forgotten needs a new one.
            if endpoint.knows(headers, &principal) {
                return Err(Refusal::new(StatusCode::BAD_REQUEST, &"the session is open already"));
            }
            Ok(Box::pin(initialize(endpoint, (request, origin), principal, accept)))
        }
        Era::Legacy => {
            let live = endpoint.find(headers, &principal)?;
            let waiting = Waiting::begin(endpoint, &live, (vec![request], origin), accept)?;
            Ok(Box::pin(waiting.reply(accept, false)))
        }
    }
}

/// Whether this session may send these messages at once.
pub(crate) fn check_batch(session: &dyn Session, messages: &[Message]) -> Result<(), Refusal> {
    if session.version() != Some(Version::V2025_03_26) {
        let why = "only sessions of revision 2025-03-26 have batches";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, &why));
    }
    let opens = |message: &Message| matches!(message, Message::Request(request) if request.method == method::INITIALIZE);
    if messages.iter().any(opens) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, &"`initialize` must stand alone"));
    }
    Ok(())
}

/// Opens a session, and closes it again when the gateway does not accept the client.
async fn initialize(
    endpoint: &Arc<Endpoint>,
    (request, origin): (Request, Origin),
    principal: Principal,
    accept: Accept,
) -> Result<Reply, Refusal> {
    let live = endpoint.open(principal)?;
    let mut waiting = match Waiting::begin(endpoint, &live, (vec![request], origin), accept) {
        Ok(waiting) => waiting,
        Err(refusal) => {
            endpoint.forget(&live);
            return Err(refusal);
        }
    };
    let end = waiting.wait(endpoint.patience(accept)).await;
    let is_refused = |(_, answer): &Answer| !matches!(answer, Some(answer) if matches!(answer.outcome, Outcome::Result(_)));
    let has_failed = matches!(end, End::Done) && waiting.answers.iter().any(is_refused);
    let mut reply = waiting.into_reply(end, false)?;
    if has_failed {
        endpoint.forget(&live);
    } else {
        let id = HeaderValue::from_str(&live.id).expect("a session id is visible ASCII");
        reply.headers_mut().insert(reply::SESSION_ID, id);
    }
    Ok(reply)
}

/// Hands messages to the gateway in their order, and gives back the requests among them.
fn tell(live: &Live, messages: Vec<Message>) -> Vec<Request> {
    let mut requests = Vec::new();
    for message in messages {
        match message {
            Message::Request(request) => requests.push(request),
            Message::Notification(notification) => live.session.notification(notification),
            Message::Response(response) => live.session.response(response),
        }
    }
    requests
}

/// A POST whose calls are run by the task of its connection.
///
/// When that task ends first (the client has left), the calls go on in the session.
struct Waiting {
    endpoint: Arc<Endpoint>,
    live: Arc<Live>,
    track: u64,
    ids: Vec<Id>,
    work: Option<Work>,
    answers: Vec<Answer>,
}

/// How waiting for answers in line ended.
enum End {
    /// All answers are there, and nothing but answers.
    Done,
    /// The rest comes as a stream.
    Stream,
    /// The session has ended.
    Closed,
}

impl Waiting {
    fn begin(
        endpoint: &Arc<Endpoint>,
        live: &Arc<Live>,
        (requests, origin): (Vec<Request>, Origin),
        accept: Accept,
    ) -> Result<Self, Refusal> {
        let ids: Vec<_> = requests.iter().map(|request| request.id.clone()).collect();
        let track = {
            let mut mailbox = live.outlet.lock();
            let track = mailbox.begin(&ids, accept.sse).map_err(refuse)?;
            mailbox.came_from(track, origin);
            track
        };
        let work = Some(Work::new(&live.session, requests));
        let (endpoint, live) = (Arc::clone(endpoint), Arc::clone(live));
        Ok(Self { endpoint, live, track, ids, work, answers: Vec::new() })
    }

    /// Waits for the answers, and gives them as the client can read them.
    async fn reply(mut self, accept: Accept, is_batch: bool) -> Result<Reply, Refusal> {
        let end = self.wait(self.endpoint.patience(accept)).await;
        self.into_reply(end, is_batch)
    }

    /// Runs the calls until all are answered or a stream is needed; `patience` is how long
    /// JSON is still worth waiting for, without an end if the client reads nothing else.
    async fn wait(&mut self, patience: Option<Duration>) -> End {
        let endpoint = Arc::clone(&self.endpoint);
        let mut alarm = None;
        poll_fn(|cx| {
            if self.poll_work(cx).is_ready() {
                let is_json = patience != Some(Duration::ZERO)
                    && self.live.outlet.lock().end(self.track, &self.ids);
                return Poll::Ready(if is_json { End::Done } else { End::Stream });
            }
            match self.live.outlet.lock().watch(self.track, cx.waker()) {
                Signal::Closed => return Poll::Ready(End::Closed),
                Signal::Stream => return Poll::Ready(End::Stream),
                Signal::Wait => {}
            }
            let Some(patience) = patience else { return Poll::Pending };
            if patience.is_zero() {
                return Poll::Ready(End::Stream);
            }
            let alarm = alarm.get_or_insert_with(|| endpoint.alarms.set(patience));
            alarm.poll(cx).map(|()| End::Stream)
        })
        .await
    }

    /// Ready when all calls have ended.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.work else { return Poll::Ready(()) };
        while let Some(answer) = std::task::ready!(Pin::new(&mut *work).poll_next(cx)) {
            self.answers.push(answer);
        }
        self.work = None;
        Poll::Ready(())
    }

    fn into_reply(mut self, end: End, is_batch: bool) -> Result<Reply, Refusal> {
        match end {
            End::Done => {
                let answers = std::mem::take(&mut self.answers).into_iter();
                let messages: Vec<Message> =
                    answers.filter_map(|(_, answer)| answer.map(Into::into)).collect();
                Ok(match &*messages {
                    // Cancelled by the client, which wants no answer.
                    [] => reply::empty(StatusCode::ACCEPTED),
                    [message] if !is_batch => reply::json(message),
                    messages => reply::json_array(messages),
                })
            }
            End::Stream => self.into_stream(),
            End::Closed => {
                self.work = None;
                Err(gone())
            }
        }
    }

    fn into_stream(mut self) -> Result<Reply, Refusal> {
        let Some(place) = self.live.outlet.lock().stream(self.track) else {
            self.work = None;
            return Err(gone());
        };
        for (id, answer) in std::mem::take(&mut self.answers) {
            self.live.outlet.answer(&id, answer.map(Into::into).as_ref());
        }
        match self.work.take() {
            Some(work) => self.live.adopt(self.track, work, &self.endpoint.runtime),
            None => self.live.outlet.finish(self.track),
        }
        let is_primed = self.endpoint.primes(&self.live);
        let outlet = Arc::clone(&self.live.outlet);
        Ok(reply::events(EventStream::new(
            outlet,
            place,
            is_primed,
            self.endpoint.options.keepalive,
        )))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        self.live.outlet.lock().abandon(self.track);
        if std::thread::panicking() {
            // A call that panicked cannot go on.
            self.live.outlet.lock().end(self.track, &self.ids);
            return;
        }
        for (id, _) in self.answers.drain(..) {
            self.live.outlet.answer(&id, None);
        }
        self.live.adopt(self.track, work, &self.endpoint.runtime);
    }
}

fn refuse(why: Refused) -> Refusal {
    match why {
        Refused::Closed => gone(),
        Refused::Full => busy("too many calls are in flight"),
        Refused::Duplicate => {
            Refusal::new(StatusCode::BAD_REQUEST, &"a call with this id is in flight")
        }
    }
}

/// The answer to whoever asks for too much at once.
pub(crate) fn busy(why: &str) -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, &why).with(header::RETRY_AFTER, "1")
}

/// The answer to whoever names a session that is no more.
pub(crate) fn gone() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, &"there is no such session")
}
