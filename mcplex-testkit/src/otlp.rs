//! An OTLP collector inside a test: what really left a process arrives here.
//!
//! The receiver speaks all forms of OTLP on one free port of the loopback: gRPC, and HTTP with
//! protobuf or JSON, gzipped or not; spans, metrics and logs. It never samples, never batches, and
//! keeps what it got in the order it came. The gRPC of it is `tonic`, and not by the hands that
//! wrote what it judges.
//!
//! ```
//! use mcplex_testkit::otlp::Receiver;
//!
//! let receiver = Receiver::start()?;
//! // What a test hands to the process it observes.
//! let variable = ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint());
//! assert!(variable.1.starts_with("http://127.0.0.1:"));
//! assert!(receiver.spans().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod decode;
mod points;
mod records;
mod serve;
mod words;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

pub use points::Point;
pub use records::Record;
pub use words::{Event, Link, Request, Scope, Span};

/// The most spans a receiver keeps; more is a runaway test, and is refused as by a full collector.
const MAX_SPANS: usize = 200_000;
/// The most points of metrics a receiver keeps.
const MAX_POINTS: usize = 200_000;
/// The most log records a receiver keeps.
const MAX_RECORDS: usize = 200_000;
/// The most requests whose heads a receiver keeps.
const MAX_REQUESTS: usize = 20_000;

/// A collector on a free port; it ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Gone with the receiver, which ends its thread.
    _stop: oneshot::Sender<()>,
}

impl Receiver {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    ///
    /// No port or no thread is to be had.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = Arc::clone(&shared);
        thread::Builder::new()
            .name("otlp-receiver".into())
            .spawn(move || runtime.block_on(serve::until(listener, serving, stopped)))?;
        Ok(Self { address, shared, _stop: stop })
    }

    /// The base endpoint, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Refuses the next requests as a collector does that is busy: 503, or `UNAVAILABLE`.
    pub fn refuse(&self, requests: usize) {
        self.shared.lock().refusals = requests;
    }

    /// Takes the next requests only in part: it says that one item of each was rejected.
    pub fn reject(&self, requests: usize) {
        self.shared.lock().rejections = requests;
    }

    /// Every request so far, also those that were refused.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Every span that arrived so far.
    pub fn spans(&self) -> Vec<Span> {
        self.shared.lock().spans.clone()
    }

    /// Every point of a metric that arrived so far, oldest first.
    pub fn points(&self) -> Vec<Point> {
        self.shared.lock().points.clone()
    }

    /// Every log record that arrived so far.
    pub fn records(&self) -> Vec<Record> {
        self.shared.lock().records.clone()
    }

    /// Waits until the spans that arrived satisfy the predicate, and returns all of them.
    ///
    /// # Panics
    ///
    /// The time is over; the message lists the names that did arrive.
    #[track_caller]
    pub fn wait_for(&self, timeout: Duration, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        self.until(timeout, |state| &state.spans, enough, |span| &span.name)
    }

    /// The same for points of metrics.
    ///
    /// # Panics
    ///
    /// The time is over; the message lists the names that did arrive.
    #[track_caller]
    pub fn wait_for_points(
        &self,
        timeout: Duration,
        enough: impl Fn(&[Point]) -> bool,
    ) -> Vec<Point> {
        self.until(timeout, |state| &state.points, enough, |point| &point.name)
    }

    /// The same for log records.
    ///
    /// # Panics
    ///
    /// The time is over; the message lists the texts that did arrive.
    #[track_caller]
    pub fn wait_for_records(
        &self,
        timeout: Duration,
        enough: impl Fn(&[Record]) -> bool,
    ) -> Vec<Record> {
        self.until(timeout, |state| &state.records, enough, |record| &record.body)
    }

    /// The same for requests.
    ///
    /// # Panics
    ///
    /// The time is over; the message lists what was asked.
    #[track_caller]
    pub fn wait_for_requests(
        &self,
        timeout: Duration,
        enough: impl Fn(&[Request]) -> bool,
    ) -> Vec<Request> {
        self.until(timeout, |state| &state.requests, enough, |request| &request.path)
    }

    #[track_caller]
    fn until<T: Clone>(
        &self,
        timeout: Duration,
        part: impl Fn(&State) -> &Vec<T>,
        enough: impl Fn(&[T]) -> bool,
        name: impl Fn(&T) -> &String,
    ) -> Vec<T> {
        let (state, result) = self
            .shared
            .arrived
            .wait_timeout_while(self.shared.lock(), timeout, |state| !enough(part(state)))
            .unwrap_or_else(PoisonError::into_inner);
        let found = part(&state).clone();
        drop(state);
        if result.timed_out() {
            missing(timeout, &found.iter().map(name).collect::<Vec<_>>());
        }
        found
    }
}

/// What the threads share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

/// What has arrived, and what is to become of what comes next.
#[derive(Debug, Default)]
struct State {
    spans: Vec<Span>,
    points: Vec<Point>,
    records: Vec<Record>,
    requests: Vec<Request>,
    refusals: usize,
    rejections: usize,
}

/// What is answered to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    /// Taken, and some of it is said to be rejected.
    InPart,
    Busy,
}

impl Shared {
    /// A test that panicked elsewhere does not make the spans wrong.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that somebody asked; says whether what came may be kept.
    fn asked(&self, request: Request) -> Verdict {
        let mut state = self.lock();
        if state.requests.len() < MAX_REQUESTS {
            state.requests.push(request);
        }
        let verdict = if state.refusals > 0 {
            state.refusals -= 1;
            Verdict::Busy
        } else if state.rejections > 0 {
            state.rejections -= 1;
            Verdict::InPart
        } else {
            Verdict::Taken
        };
        drop(state);
        self.arrived.notify_all();
        verdict
    }

    /// Keeps what came; false if there is too much.
    fn keep<T>(&self, part: impl Fn(&mut State) -> &mut Vec<T>, most: usize, new: Vec<T>) -> bool {
        let mut state = self.lock();
        let kept = part(&mut state);
        if kept.len() + new.len() > most {
            return false;
        }
        kept.extend(new);
        drop(state);
        self.arrived.notify_all();
        true
    }

    fn keep_spans(&self, spans: Vec<Span>) -> bool {
        self.keep(|state| &mut state.spans, MAX_SPANS, spans)
    }

    fn keep_points(&self, points: Vec<Point>) -> bool {
        self.keep(|state| &mut state.points, MAX_POINTS, points)
    }

    fn keep_records(&self, records: Vec<Record>) -> bool {
        self.keep(|state| &mut state.records, MAX_RECORDS, records)
    }
}

/// Fails the test.
#[track_caller]
#[expect(clippy::panic, reason = "a test kit: the panic is how a test fails")]
fn missing(timeout: Duration, names: &[&String]) -> ! {
    panic!("what was waited for did not arrive within {timeout:?}; {} did: {names:?}", names.len());
}

#[cfg(test)]
mod tests;
