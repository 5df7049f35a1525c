//! What is told of a call when it has ended, gathered on its way.

use crate::{asker::Asker, lists::Kind, params::Params, router::lock, session::DownstreamSession};
use mcplex_proto::{
    attr,
    audit::{Arguments, Audited, Auditor, short, short_name},
    edit,
    error::ErrorObject,
    message::{Outcome, Request},
    method,
    raw::{self, Raw},
    trace::{self, TraceContext},
    upstream::{Incarnation, UNAVAILABLE_META, UpstreamError, UpstreamName},
};
use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};
use tracing::Span;

/// How much of a URI is kept.
const URI: usize = 1024;

/// A call whose end will be told, when this is dropped.
pub(crate) struct Noted {
    auditor: Arc<dyn Auditor>,
    begun: Duration,
    call: Mutex<Option<Audited>>,
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noted").field("call", &self.call).finish_non_exhaustive()
    }
}

/// Whether a request is a call: what mcplex answers by itself is none.
fn is_call(method: &str) -> bool {
    let is_own = matches!(
        method,
        method::INITIALIZE | method::PING | method::SET_LEVEL | method::DISCOVER | method::LISTEN
    );
    !is_own && Kind::of(method).is_none()
}

impl Noted {
    /// Begins with what is known from the request, where anybody wants to hear of it.
    pub(crate) fn of(
        session: &DownstreamSession,
        asker: Option<&Asker>,
        request: &Request,
        params: &Params<'_>,
        span: &Span,
    ) -> Option<Box<Self>> {
        let auditor = session.shared.auditor.get().filter(|_| is_call(&request.method))?;
        let member = |name| params.get(name);
        let uri = member("uri").and_then(raw::string);
        let info = asker.and_then(|asker| asker.info.as_ref());
        let says = |name| short_name(edit::member(info?.as_str(), name)?);
        let about = || {
            let reference = member("ref")?;
            edit::member(reference.get(), "name").or_else(|| edit::member(reference.get(), "uri"))
        };
        let named = member("name").or_else(|| member("taskId")).or_else(about);
        let arguments = member("arguments").or_else(|| member("argument"));
        let call = Audited {
            principal: session.arrival.principal.clone(),
            session: session.is_long().then_some(session.number.0),
            client: says("name"),
            client_version: says("version"),
            method: match method::intern(&request.method) {
                Cow::Owned(unknown) => Cow::Owned(short(&unknown)),
                known @ Cow::Borrowed(_) => known,
            },
            name: named.and_then(short_name),
            uri: uri.map(|uri| uri.chars().take(URI).collect()),
            arguments: arguments.map(|arguments| Arguments::of(arguments.get())),
            upstream: None,
            own_name: None,
            outcome: "",
            error: None,
            code: None,
            duration: Duration::ZERO,
            bytes_in: request.params.as_ref().map_or(0, |params| params.bytes().len()),
            bytes_out: 0,
            trace_id: trace_id(span, params),
            incarnation: None,
            attempts: 0,
        };
        let (auditor, begun) = (auditor.clone(), auditor.now());
        Some(Box::new(Self { auditor, begun, call: Mutex::new(Some(call)) }))
    }

    fn with(&self, change: impl FnOnce(&mut Audited)) {
        if let Some(call) = &mut *lock(&self.call) {
            change(call);
        }
    }

    /// It is for this upstream, which knows what is meant by this name.
    pub(crate) fn goes_to(&self, upstream: &UpstreamName, own_name: Option<&str>) {
        self.with(|call| {
            call.upstream = Some(upstream.clone());
            call.own_name = own_name.map(short).or_else(|| call.name.clone());
        });
    }

    /// It was made for its upstream.
    pub(crate) fn sent(&self) {
        self.with(|call| call.attempts += 1);
    }

    /// This life of the upstream has it; the last one that is named answered, or took it with it.
    pub(crate) fn is_with(&self, incarnation: Incarnation) {
        self.with(|call| call.incarnation = Some(incarnation));
    }

    /// How it ended; the first word counts, because what follows is how it is told.
    pub(crate) fn ended(
        &self,
        outcome: &'static str,
        error: Option<Cow<'static, str>>,
        code: Option<i64>,
    ) {
        self.with(|call| {
            if call.outcome.is_empty() {
                (call.outcome, call.error, call.code) = (outcome, error, code);
                // What was refused no life has had, although one was meant.
                call.incarnation = call.incarnation.filter(|_| outcome != "rejected");
            }
        });
    }

    /// What the client is told.
    pub(crate) fn told(&self, outcome: &Outcome) {
        self.with(|call| {
            let (Outcome::Result(text) | Outcome::Error(text)) = outcome;
            call.bytes_out = text.bytes().len();
            if call.code.is_none() && call.outcome != "ok" {
                call.code = code(outcome);
            }
            if call.attempts == 0 {
                refused_here(call, outcome);
            }
        });
    }
}

/// The trace of a request: the one it is recorded in, or the one its client began.
fn trace_id(span: &Span, params: &Params<'_>) -> Option<String> {
    if let Some(context) = trace::context_of(span) {
        return Some(context.trace_id_hex());
    }
    let parent = raw::string(params.meta("traceparent")?)?;
    Some(TraceContext::parse(&parent, None)?.trace_id_hex())
}

/// The code of an error, also of one that stands in the result of a tool.
fn code(outcome: &Outcome) -> Option<i64> {
    match outcome {
        Outcome::Error(error) => Some(ErrorObject::read(error).code),
        Outcome::Result(result) => edit::member(own(result)?, "code")?.get().parse().ok(),
    }
}

/// What mcplex says in a result of its own.
fn own(result: &Raw) -> Option<&str> {
    let meta = edit::member(result.as_str(), "_meta")?;
    Some(edit::member(meta.get(), UNAVAILABLE_META)?.get())
}

/// A call that no upstream was asked for was refused, if it failed.
fn refused_here(call: &mut Audited, outcome: &Outcome) {
    if call.outcome == "error" {
        call.outcome = "rejected";
        if let Some((_, kind)) = call.code.and_then(UpstreamError::of_code) {
            call.error = Some(Cow::Borrowed(kind));
        }
    }
    // Nobody knows the tool, but by its name it can only be one of a server that is down.
    if let (None, Outcome::Result(result)) = (&call.upstream, outcome) {
        let server = own(result).and_then(|own| edit::member(own, "server"));
        let server = server.and_then(raw::string);
        call.upstream = server.and_then(|name| UpstreamName::new(&name).ok());
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let Some(mut call) = lock(&self.call).take() else { return };
        if call.outcome.is_empty() {
            call.outcome = "cancelled";
            call.error = Some(Cow::Borrowed(attr::ERROR_CANCELLED));
        }
        call.duration = self.auditor.now().saturating_sub(self.begun);
        self.auditor.ended(call);
    }
}
