//! An OTLP collector inside a test: spans and metrics that really left a process arrive here.
//!
//! The receiver speaks OTLP over HTTP with protobuf bodies, on a free port of the loopback. It
//! never samples, never batches, and keeps what it got in the order it came.
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
mod http;
mod points;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub use points::Point;

/// The most spans a receiver keeps; more is a runaway test, and is refused with 503.
const MAX_SPANS: usize = 200_000;
/// The most points of metrics a receiver keeps.
const MAX_POINTS: usize = 200_000;
/// The most connections at a time; an exporter needs one or two.
const MAX_CONNECTIONS: usize = 64;

/// One exported span, as text where text is good enough to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The exported name.
    pub name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer` or `unspecified`.
    pub kind: &'static str,
    /// The trace, in 32 hex digits.
    pub trace_id: String,
    /// The span, in 16 hex digits.
    pub span_id: String,
    /// The parent, in 16 hex digits; none for a root.
    pub parent_span_id: Option<String>,
    /// The attributes, each value as text.
    pub attributes: BTreeMap<String, String>,
    /// The links, in the order they were added.
    pub links: Vec<Link>,
    /// `unset`, `ok` or `error`.
    pub status_code: &'static str,
    /// The text that goes with an error status; else empty.
    pub status_message: String,
    /// The events inside the span, oldest first.
    pub events: Vec<Event>,
    /// The start, in nanoseconds since 1970.
    pub start: u64,
    /// The end, in nanoseconds since 1970.
    pub end: u64,
    /// The resource the span came from.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// Returns one attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// A link from one span to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The trace it points to, in 32 hex digits.
    pub trace_id: String,
    /// The span it points to, in 16 hex digits.
    pub span_id: String,
    /// The attributes of the link.
    pub attributes: BTreeMap<String, String>,
}

/// Something that happened inside a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The name of the event.
    pub name: String,
    /// The attributes of the event.
    pub attributes: BTreeMap<String, String>,
}

/// A collector on a free port; it ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    ///
    /// No port or no thread is to be had.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::Builder::new()
            .name("otlp-accept".into())
            .spawn(move || accept(&listener, &accepting))?;
        Ok(Self { address, shared })
    }

    /// The base endpoint, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span that arrived so far.
    pub fn spans(&self) -> Vec<Span> {
        self.shared.lock().spans.clone()
    }

    /// Every point of a metric that arrived so far, oldest first.
    pub fn points(&self) -> Vec<Point> {
        self.shared.lock().points.clone()
    }

    /// Waits until the points that arrived satisfy the predicate, and returns all of them.
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
        let (state, result) = self
            .shared
            .arrived
            .wait_timeout_while(self.shared.lock(), timeout, |state| !enough(&state.points))
            .unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            let names: Vec<_> = state.points.iter().map(|point| point.name.clone()).collect();
            drop(state);
            missing(timeout, &names);
        }
        state.points.clone()
    }

    /// Waits until what arrived satisfies the predicate, and returns all of it.
    ///
    /// # Panics
    ///
    /// The time is over; the message lists the names that did arrive.
    #[track_caller]
    pub fn wait_for(&self, timeout: Duration, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let (state, result) = self
            .shared
            .arrived
            .wait_timeout_while(self.shared.lock(), timeout, |state| !enough(&state.spans))
            .unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            let names: Vec<_> = state.spans.iter().map(|span| span.name.clone()).collect();
            drop(state);
            missing(timeout, &names);
        }
        state.spans.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let connections = {
            let mut state = self.shared.lock();
            state.closed = true;
            std::mem::take(&mut state.connections)
        };
        for connection in connections.into_values() {
            // It may have ended by itself.
            drop(connection.shutdown(Shutdown::Both));
        }
        // Wakes the accept, which then sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

/// What the threads share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

/// What has arrived, and who is connected.
#[derive(Debug, Default)]
struct State {
    spans: Vec<Span>,
    points: Vec<Point>,
    connections: BTreeMap<u64, TcpStream>,
    closed: bool,
}

impl Shared {
    /// A test that panicked elsewhere does not make the spans wrong.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the spans; false if there are too many.
    fn keep(&self, spans: Vec<Span>) -> bool {
        let mut state = self.lock();
        if state.spans.len() + spans.len() > MAX_SPANS {
            return false;
        }
        state.spans.extend(spans);
        drop(state);
        self.arrived.notify_all();
        true
    }

    /// Keeps the points; false if there are too many.
    fn keep_points(&self, points: Vec<Point>) -> bool {
        let mut state = self.lock();
        if state.points.len() + points.len() > MAX_POINTS {
            return false;
        }
        state.points.extend(points);
        drop(state);
        self.arrived.notify_all();
        true
    }
}

/// Takes connections until the receiver is dropped.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, connection) in (0..).zip(listener.incoming()) {
        let mut state = shared.lock();
        if state.closed {
            return;
        }
        let Ok(connection) = connection else { continue };
        let Ok(handle) = connection.try_clone() else { continue };
        if state.connections.len() >= MAX_CONNECTIONS {
            continue;
        }
        state.connections.insert(number, handle);
        drop(state);
        let serving = Arc::clone(shared);
        let thread = thread::Builder::new().name("otlp-serve".into()).spawn(move || {
            // A broken connection is the exporter's business: it retries or reports.
            drop(http::serve(&connection, |signal, body| answer(signal, body, &serving)));
            serving.lock().connections.remove(&number);
        });
        if thread.is_err() {
            shared.lock().connections.remove(&number);
        }
    }
}

/// Decodes one request and says how it went.
fn answer(signal: http::Signal, body: &[u8], shared: &Shared) -> http::Status {
    let is_kept = match signal {
        http::Signal::Traces => decode::spans(body).map(|spans| shared.keep(spans)),
        http::Signal::Metrics => points::read(body).map(|points| shared.keep_points(points)),
    };
    match is_kept {
        Ok(true) => http::Status::Ok,
        Ok(false) => http::Status::Unavailable,
        Err(_) => http::Status::BadRequest,
    }
}

/// Fails the test.
#[track_caller]
#[expect(clippy::panic, reason = "a test kit: the panic is how a test fails")]
fn missing(timeout: Duration, names: &[String]) -> ! {
    panic!("what was waited for did not arrive within {timeout:?}; {} did: {names:?}", names.len());
}

#[cfg(test)]
mod tests;
