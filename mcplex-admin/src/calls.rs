//! The calls of tools: the last ones, and figures of each tool.
//!
//! It stands between listeners and the gateway and sees what clients see: the name a client used,
//! what it was answered, and how long that took as the client felt it. It reads no payload but the
//! name of the tool and whether the result is a failure.

use async_trait::async_trait;
use mcplex_proto::{
    attr,
    downstream::{Arrival, Client, Gateway, Session},
    edit,
    error::{self, ErrorObject},
    header::HeaderParams,
    message::{Notification, Outcome, Request, Response},
    method,
    raw::{self, Raw},
    upstream::UNAVAILABLE_META,
    version::Version,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// Calls that are kept: what a person reads back over, and some 100 KiB.
const KEPT: usize = 500;

/// Tools that are counted one by one; the rest is one line. Twice what the largest fleet seen had.
const TOOLS: usize = 1024;

/// The name of that line; no tool can have it, because it has a space.
const OTHERS: &str = "other tools";

/// How much of a name is kept; clients may call by any name.
const NAME: usize = 128;

/// Upper ends of the parts of a histogram, in microseconds: three per power of ten from 0.1 ms to
/// a minute, so that a figure read from it is off by half at most.
const ENDS: [u64; 19] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 40_000_000, 60_000_000,
];

/// A call that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// Counts all calls, from 1.
    pub number: u64,
    /// When it ended, in milliseconds of Unix time.
    pub at_ms: u64,
    /// The tool, as the client calls it.
    pub tool: String,
    /// Whose tool it is, if anybody has it.
    pub upstream: Option<String>,
    /// `ok`, `error`, `rejected` (it was not sent) or `cancelled`.
    pub outcome: String,
    /// What kind of error, in the words of the spans.
    pub error_type: Option<String>,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The trace it belongs to, if the client began one.
    pub trace_id: Option<String>,
}

/// Figures of one tool since mcplex started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// The tool, as clients call it.
    pub tool: String,
    /// Whose tool it is, if anybody has it.
    pub upstream: Option<String>,
    /// How often it was called.
    pub calls: u64,
    /// How often that failed; a cancelled call has not.
    pub errors: u64,
    /// When it was called last, in milliseconds of Unix time.
    pub last_ms: u64,
    /// Half of its calls took this or less, in microseconds, as precise as the histogram is.
    pub p50_us: u64,
    /// Of a hundred calls, 95.
    pub p95_us: u64,
    /// Of a hundred calls, 99.
    pub p99_us: u64,
    /// The longest one.
    pub max_us: u64,
}

/// Takes ended calls; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    last: VecDeque<Ended>,
    count: u64,
    tools: BTreeMap<String, Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    figures: Figures,
    parts: [u64; ENDS.len() + 1],
}

impl Calls {
    /// Takes a call, and gives it its number.
    pub fn tell(&self, call: Ended) {
        let mut kept = lock(&self.0);
        kept.count += 1;
        let call = Ended { number: kept.count, ..call };
        let is_known = kept.tools.contains_key(&call.tool);
        let name = if is_known || kept.tools.len() < TOOLS { &*call.tool } else { OTHERS };
        kept.tools.entry(name.to_owned()).or_default().take(name, &call);
        if kept.last.len() >= KEPT {
            kept.last.pop_front();
        }
        kept.last.push_back(call);
    }

    /// The last calls, newest first.
    #[must_use]
    pub fn last(&self, upstream: Option<&str>) -> Vec<Ended> {
        let kept = lock(&self.0);
        let wanted = |call: &&Ended| upstream.is_none() || call.upstream.as_deref() == upstream;
        kept.last.iter().rev().filter(wanted).cloned().collect()
    }

    /// The figures of all tools, by name.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        lock(&self.0).tools.values().map(Counted::figures).collect()
    }
}

impl Counted {
    fn take(&mut self, name: &str, call: &Ended) {
        let part = ENDS.partition_point(|end| *end < call.duration_us);
        self.parts[part] += 1;
        let figures = &mut self.figures;
        if figures.calls == 0 {
            name.clone_into(&mut figures.tool);
        }
        if name != OTHERS {
            figures.upstream.clone_from(&call.upstream);
        }
        figures.calls += 1;
        figures.errors += u64::from(call.error_type.is_some());
        figures.last_ms = call.at_ms;
        figures.max_us = figures.max_us.max(call.duration_us);
    }

    fn figures(&self) -> Figures {
        Figures {
            p50_us: self.within(50),
            p95_us: self.within(95),
            p99_us: self.within(99),
            ..self.figures.clone()
        }
    }

    /// The end of the part in which this many of a hundred calls were over.
    fn within(&self, percent: u64) -> u64 {
        let wanted = (self.figures.calls * percent).div_ceil(100);
        let mut sum = 0;
        for (part, end) in self.parts.iter().zip(ENDS) {
            sum += part;
            if sum >= wanted {
                return end.min(self.figures.max_us);
            }
        }
        self.figures.max_us
    }
}

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
        let session = self.gateway.open(client, arrival);
        Arc::new(CountedSession {
            session,
            calls: self.calls.clone(),
            owner: Arc::clone(&self.owner),
        })
    }

    fn header_params(&self, tool: &str) -> Option<Arc<HeaderParams>> {
        self.gateway.header_params(tool)
    }
}

/// A session whose calls of tools are told.
struct CountedSession {
    session: Arc<dyn Session>,
    calls: Calls,
    owner: Owner,
}

#[async_trait]
impl Session for CountedSession {
    async fn request(&self, request: Request) -> Option<Response> {
        if request.method != method::TOOLS_CALL {
            return self.session.request(request).await;
        }
        let (tool, trace_id) = asked(request.params.as_ref());
        // Told when it is dropped, so also when nobody waits for the answer any more.
        let mut running = Running { of: self, tool, trace_id, begun: now(), end: CANCELLED };
        let response = self.session.request(request).await;
        running.end = outcome(response.as_ref());
        response
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

/// How a call ended, and with what kind of error.
type End = (&'static str, Option<String>);

/// How a call ends for which no answer is wanted.
const CANCELLED: End = ("cancelled", None);

/// A call that is on its way.
struct Running<'a> {
    of: &'a CountedSession,
    tool: String,
    trace_id: Option<String>,
    begun: Instant,
    end: End,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let duration = self.begun.elapsed();
        let (outcome, error_type) = std::mem::replace(&mut self.end, CANCELLED);
        self.of.calls.tell(Ended {
            number: 0,
            at_ms: unix_ms(),
            upstream: (self.of.owner)(&self.tool),
            tool: std::mem::take(&mut self.tool),
            outcome: outcome.to_owned(),
            error_type,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            trace_id: self.trace_id.take(),
        });
    }
}

/// The name of the tool, and the trace.
fn asked(params: Option<&Raw>) -> (String, Option<String>) {
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
fn outcome(response: Option<&Response>) -> End {
    let Some(response) = response else { return CANCELLED };
    match &response.outcome {
        Outcome::Error(error) => of_code(ErrorObject::read(error).code),
        Outcome::Result(result) => {
            let members = edit::members(result.as_str()).unwrap_or_default();
            let of = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, it)| *it);
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
    let (outcome, kind) = match code {
        error::UPSTREAM_UNAVAILABLE
        | error::QUEUE_FULL
        | error::UPSTREAM_DISABLED
        | error::SESSIONS_FULL => ("rejected", attr::ERROR_UPSTREAM_UNAVAILABLE.to_owned()),
        error::UPSTREAM_TRIPPED => ("rejected", attr::ERROR_UPSTREAM_TRIPPED.to_owned()),
        error::UPSTREAM_DIED => ("error", attr::ERROR_UPSTREAM_DIED.to_owned()),
        error::UPSTREAM_TIMEOUT => ("error", attr::ERROR_TIMEOUT.to_owned()),
        other => ("error", other.to_string()),
    };
    (outcome, Some(kind))
}

/// For how long something took.
#[expect(clippy::disallowed_methods, reason = "measured for people; nothing is decided by it")]
fn now() -> Instant {
    Instant::now()
}

/// What people call the time.
#[expect(clippy::disallowed_methods, reason = "told to people; nothing is decided by it")]
fn unix_ms() -> u64 {
    let since: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Locks for a moment, never over a wait.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
