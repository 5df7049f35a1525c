//! A gateway whose calls of tools are told.

use super::{Calls, Ended, NAME, lock, unix_ms};
use mcplex_proto::{
    attr,
    downstream::{Arrival, Client, Gateway, Session},
    edit,
    error::ErrorObject,
    header::HeaderParams,
    id::Id,
    message::{Message, Notification, Outcome, Request, Response},
    method,
    peer::Origin,
    raw::{self, Raw},
    trace::{self, TraceContext},
    upstream::{UNAVAILABLE_META, UpstreamError},
    version::Version,
};
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
};
use tokio::time::Instant;

/// Who has a tool of this name.
pub type Owner = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A gateway whose calls of tools are told.
pub struct Counting {
    gateway: Arc<dyn Gateway>,
    calls: Calls,
    owner: Owner,
}

impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counting").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl Counting {
    /// The same gateway, with its calls told.
    #[must_use]
    pub fn new(gateway: Arc<dyn Gateway>, calls: Calls, owner: Owner) -> Self {
        Self { gateway, calls, owner }
    }
}

impl Gateway for Counting {
    fn open(&self, client: Arc<dyn Client>, arrival: Arrival) -> Arc<dyn Session> {
        let client = Arc::new(TracedClient::new(client));
        let session = self.gateway.open(Arc::<TracedClient>::clone(&client), arrival);
        Arc::new(CountedSession {
            session,
            client,
            calls: self.calls.clone(),
            owner: Arc::clone(&self.owner),
        })
    }

    fn header_params(&self, tool: &str) -> Option<Arc<HeaderParams>> {
        self.gateway.header_params(tool)
    }
}

/// A client, and in which traces its calls of tools are told.
pub(super) struct TracedClient {
    client: Arc<dyn Client>,
    /// Of calls that are on their way; without a trace until their span has begun.
    pub(super) traces: Mutex<BTreeMap<Id, Option<String>>>,
}

impl TracedClient {
    pub(super) fn new(client: Arc<dyn Client>) -> Self {
        Self { client, traces: Mutex::default() }
    }
}

impl Client for TracedClient {
    fn send(&self, message: Message, about: Option<&Id>) -> bool {
        self.client.send(message, about)
    }

    fn network(&self) -> &'static str {
        self.client.network()
    }

    fn origin(&self, about: Option<&Id>) -> Origin {
        self.client.origin(about)
    }

    fn traced(&self, about: &Id, span: &TraceContext) {
        if let Some(trace) = lock(&self.traces).get_mut(about) {
            *trace = Some(span.trace_id_hex());
        }
        self.client.traced(about, span);
    }
}

/// A session whose calls of tools are told.
pub(super) struct CountedSession {
    pub(super) session: Arc<dyn Session>,
    pub(super) client: Arc<TracedClient>,
    pub(super) calls: Calls,
    pub(super) owner: Owner,
}

impl Session for CountedSession {
    // Written out, so that what is no call costs no second box.
    fn request<'a, 'f>(&'a self, request: Request) -> Answered<'f>
    where
        'a: 'f,
        Self: 'f,
    {
        if request.method == method::TOOLS_CALL {
            Box::pin(self.counted(request))
        } else {
            self.session.request(request)
        }
    }

    fn notification(&self, notification: Notification) {
        self.session.notification(notification);
    }

    fn response(&self, response: Response) {
        self.session.response(response);
    }

    fn version(&self) -> Option<Version> {
        self.session.version()
    }

    fn drain(&self) {
        self.session.drain();
    }

    fn close(&self) {
        self.session.close();
    }
}

/// The answer of a session, when it has come.
type Answered<'f> = Pin<Box<dyn Future<Output = Option<Response>> + Send + 'f>>;

impl CountedSession {
    async fn counted(&self, request: Request) -> Option<Response> {
        let (tool, trace_id) = asked(request.params.as_ref());
        let id = trace::is_on().then(|| request.id.clone());
        if let Some(id) = &id {
            lock(&self.client.traces).insert(id.clone(), None);
        }
        // Told when it is dropped, so also when nobody waits for the answer any more.
        let mut running = Running { of: self, id, tool, trace_id, begun: now(), end: CANCELLED };
        let response = self.session.request(request).await;
        running.end = outcome(response.as_ref());
        response
    }
}

/// How a call ended, and with what kind of error.
type End = (&'static str, Option<String>);

/// How a call ends for which no answer is wanted.
const CANCELLED: End = ("cancelled", None);

/// A call that is on its way.
struct Running<'a> {
    of: &'a CountedSession,
    /// Its id, where it may be in a trace of ours.
    id: Option<Id>,
    tool: String,
    /// The trace that the client named.
    trace_id: Option<String>,
    begun: Instant,
    end: End,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let duration = self.begun.elapsed();
        let (outcome, error_type) = std::mem::replace(&mut self.end, CANCELLED);
        // Where it is told is better to know than where the client tells of it.
        let own = self.id.as_ref().and_then(|id| lock(&self.of.client.traces).remove(id)?);
        self.of.calls.tell(Ended {
            number: 0,
            at_ms: unix_ms(),
            upstream: (self.of.owner)(&self.tool),
            tool: std::mem::take(&mut self.tool),
            outcome: outcome.to_owned(),
            error_type,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            trace_id: own.or_else(|| self.trace_id.take()),
        });
    }
}

/// The name of the tool, and the trace.
pub(super) fn asked(params: Option<&Raw>) -> (String, Option<String>) {
    let members = params.and_then(|params| edit::members(params.as_str())).unwrap_or_default();
    let of = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
    let tool = of("name").and_then(raw::string).unwrap_or_default();
    let tool = tool.chars().take(NAME).collect();
    let parent = of("_meta").and_then(|meta| edit::member(meta.get(), "traceparent"));
    let parent = parent.and_then(raw::string);
    // The second of its four parts, as W3C has them.
    let trace = parent.and_then(|parent| parent.split('-').nth(1).map(str::to_owned));
    (tool, trace.filter(|trace| trace.len() == 32))
}

/// What came of a call.
pub(super) fn outcome(response: Option<&Response>) -> End {
    let Some(response) = response else { return CANCELLED };
    match &response.outcome {
        Outcome::Error(error) => of_code(ErrorObject::read(error).code),
        Outcome::Result(result) => {
            let of = |name: &str| edit::member(result.as_str(), name);
            if of("isError").is_none_or(|is_error| is_error.get() != "true") {
                return ("ok", None);
            }
            let own = of("_meta").and_then(|meta| edit::member(meta.get(), UNAVAILABLE_META));
            let code = own.and_then(|own| edit::member(own.get(), "code")?.get().parse().ok());
            code.map_or_else(|| ("error", Some(attr::ERROR_TOOL.to_owned())), of_code)
        }
    }
}

/// What a code of JSON-RPC is in the words of the spans.
fn of_code(code: i64) -> End {
    let (was_refused, kind) = UpstreamError::of_code(code)
        .map_or_else(|| (false, code.to_string()), |(refused, kind)| (refused, kind.to_owned()));
    (if was_refused { "rejected" } else { "error" }, Some(kind))
}

/// For how long something took.
#[expect(clippy::disallowed_methods, reason = "measured for people; nothing is decided by it")]
fn now() -> Instant {
    Instant::now()
}
