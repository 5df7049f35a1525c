//! Every number mcplex keeps, in one table, and how the crates say that it changed.
//!
//! The crates count and measure with [`add`], [`record`] and [`Held`]; what becomes of it is for
//! the installed [`Recorder`] to say. Without one every function here does nothing and costs one
//! atomic load: no label is written, no clock is read.
//!
//! ```
//! use mcplex_proto::attr;
//! use mcplex_proto::metric::{self, Metric};
//!
//! metric::add(Metric::UpstreamDeaths, 1, &[
//!     (attr::UPSTREAM_NAME, Some("telegram")),
//!     (attr::DEATH_REASON, Some("signal")),
//! ]);
//! // The recorder has the clock; without one there is nothing to measure.
//! assert_eq!(metric::now(), None);
//! ```
//!
//! # Few series
//!
//! A label takes its values from a closed set: configured upstreams, methods of the specification,
//! names that an upstream has listed, words of [`attr`]. What a client makes up is
//! [`attr::ERROR_OTHER`]. Ids, URIs, sessions and incarnations are never labels.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Duration;

use crate::attr;

/// The bounds of durations, in seconds, as the conventions for MCP want them.
const DURATIONS: &[f64] =
    &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// The bounds of lives, in seconds: from a crash at the start to a day.
const LIVES: &[f64] = &[0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0];

/// How a metric is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// A sum that only grows.
    Counter,
    /// A sum that goes up and down.
    UpDownCounter,
    /// How often a value fell between two bounds.
    Histogram,
}

/// What the reference page says about one metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricDoc {
    /// The exported name.
    pub name: &'static str,
    /// How it is kept.
    pub instrument: Instrument,
    /// The unit, in the words of UCUM.
    pub unit: &'static str,
    /// The attributes a point may carry.
    pub attributes: &'static [&'static str],
    /// The bounds of a histogram; else none.
    pub bounds: &'static [f64],
    /// Whether it is looked up when somebody reads the numbers, rather than recorded.
    pub is_observed: bool,
    /// One sentence for the reference page.
    pub meaning: &'static str,
}

/// Declares the metrics and the table that documents them, from the same lines.
macro_rules! metrics {
    ($( #[doc = $meaning:literal] $variant:ident = $name:literal: $instrument:ident, $unit:literal,
        $observed:literal, $bounds:expr, [$($attribute:ident),*]; )+) => {
        /// One of the numbers mcplex keeps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric { $( #[doc = $meaning] $variant ),+ }

        impl Metric {
            /// All of them, in the order of [`METRICS`].
            pub const ALL: &'static [Self] = &[$( Self::$variant ),+];
        }

        /// Every metric mcplex exports.
        pub const METRICS: &[MetricDoc] = &[$( MetricDoc {
            name: $name,
            instrument: Instrument::$instrument,
            unit: $unit,
            attributes: &[$( attr::$attribute ),*],
            bounds: $bounds,
            is_observed: $observed,
            meaning: $meaning,
        } ),+];
    };
}

metrics! {
    /// How long a request to an upstream took, from the call to its answer; also what mcplex asks by itself.
    ClientDuration = "mcp.client.operation.duration": Histogram, "s", false, DURATIONS,
        [MCP_METHOD_NAME, GEN_AI_TOOL_NAME, GEN_AI_PROMPT_NAME, GEN_AI_OPERATION_NAME,
         MCP_PROTOCOL_VERSION, NETWORK_TRANSPORT, NETWORK_PROTOCOL_NAME, NETWORK_PROTOCOL_VERSION,
         SERVER_ADDRESS, SERVER_PORT, RPC_RESPONSE_STATUS_CODE, ERROR_TYPE, UPSTREAM_NAME];
    /// How long the request of a client took, the wait for an upstream included.
    ServerDuration = "mcp.server.operation.duration": Histogram, "s", false, DURATIONS,
        [MCP_METHOD_NAME, GEN_AI_TOOL_NAME, GEN_AI_PROMPT_NAME, GEN_AI_OPERATION_NAME,
         MCP_PROTOCOL_VERSION, NETWORK_TRANSPORT, NETWORK_PROTOCOL_NAME, NETWORK_PROTOCOL_VERSION,
         RPC_RESPONSE_STATUS_CODE, ERROR_TYPE, UPSTREAM_NAME];
    /// How long a session with an upstream lasted; revisions without sessions have none.
    ClientSession = "mcp.client.session.duration": Histogram, "s", false, DURATIONS,
        [MCP_PROTOCOL_VERSION, NETWORK_TRANSPORT, NETWORK_PROTOCOL_NAME, NETWORK_PROTOCOL_VERSION,
         SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE, UPSTREAM_NAME];
    /// How long the session of a client lasted, which never fails; stateless revisions have none.
    ServerSession = "mcp.server.session.duration": Histogram, "s", false, DURATIONS,
        [MCP_PROTOCOL_VERSION, NETWORK_TRANSPORT, NETWORK_PROTOCOL_NAME, NETWORK_PROTOCOL_VERSION];
    /// Children of an upstream in a state: 1 for the state it is in where it has one child.
    UpstreamStatus = "mcplex.upstream.status": UpDownCounter, "1", false, &[],
        [UPSTREAM_NAME, UPSTREAM_STATE];
    /// Ends of an upstream that nobody asked for.
    UpstreamDeaths = "mcplex.upstream.deaths": Counter, "{death}", false, &[],
        [UPSTREAM_NAME, DEATH_REASON];
    /// Starts after a death that are over: upstreams that are connected again, or that failed.
    UpstreamRespawns = "mcplex.upstream.respawns": Counter, "{respawn}", false, &[],
        [UPSTREAM_NAME, ERROR_TYPE];
    /// Openings of a breaker.
    BreakerTrips = "mcplex.breaker.trips": Counter, "{trip}", false, &[],
        [UPSTREAM_NAME];
    /// How long a connect took, the wait for its turn and the handshake included.
    ConnectDuration = "mcplex.upstream.connect.duration": Histogram, "s", false, DURATIONS,
        [UPSTREAM_NAME, ERROR_TYPE];
    /// How long an incarnation lived that was connected.
    UpstreamLifetime = "mcplex.upstream.lifetime": Histogram, "s", false, LIVES,
        [UPSTREAM_NAME, ERROR_TYPE];
    /// Requests of clients that are being served.
    RequestActive = "mcplex.request.active": UpDownCounter, "{request}", false, &[], [];
    /// Processes that mcplex has started as upstreams and that have not ended.
    ChildCount = "mcplex.child.count": UpDownCounter, "{process}", false, &[], [UPSTREAM_NAME];
    /// Open files of mcplex itself; only where the system tells.
    OpenFiles = "process.unix.file_descriptor.count": UpDownCounter, "{file_descriptor}", true, &[],
        [];
    /// Memory of mcplex itself that is in RAM; only where the system tells.
    Memory = "process.memory.usage": UpDownCounter, "By", true, &[], [];
    /// Lines of the audit log that could not be kept, because the disk was full or too slow.
    AuditDropped = "mcplex.audit.dropped": Counter, "{line}", false, &[], [];
    /// Lines of the log file that could not be kept, because the disk was full or too slow.
    LogDropped = "mcplex.log.dropped": Counter, "{line}", false, &[], [];
    /// Spans that were sent, or with `error.type` that could not be.
    SpansExported = "otel.sdk.exporter.span.exported": Counter, "{span}", true, &[], [ERROR_TYPE];
    /// Spans that were taken for export, or with `error.type` found no room.
    SpansProcessed = "otel.sdk.processor.span.processed": Counter, "{span}", true, &[], [ERROR_TYPE];
    /// Log records that were sent, or with `error.type` that could not be.
    RecordsExported = "otel.sdk.exporter.log.exported": Counter, "{log_record}", true, &[],
        [ERROR_TYPE];
    /// Log records that were taken for export, or with `error.type` found no room.
    RecordsProcessed = "otel.sdk.processor.log.processed": Counter, "{log_record}", true, &[],
        [ERROR_TYPE];
}

impl Metric {
    /// What the table says about it.
    #[must_use]
    pub fn doc(self) -> &'static MetricDoc {
        &METRICS[self as usize]
    }
}

/// An attribute of a point; left out where it has no value.
pub type Label<'a> = (&'static str, Option<&'a str>);

/// What keeps the numbers.
pub trait Recorder: Send + Sync + 'static {
    /// A clock that never goes back.
    fn now(&self) -> Duration;
    /// A counter goes up, or one that may goes down.
    fn add(&self, metric: Metric, by: i64, labels: &[Label<'_>]);
    /// A value for a histogram.
    fn record(&self, metric: Metric, value: f64, labels: &[Label<'_>]);
}

static RECORDER: OnceLock<Box<dyn Recorder>> = OnceLock::new();

/// Installs the recorder of this process; false if there is one already.
pub fn install(recorder: Box<dyn Recorder>) -> bool {
    RECORDER.set(recorder).is_ok()
}

/// Whether anybody keeps the numbers.
#[must_use]
pub fn is_on() -> bool {
    RECORDER.get().is_some()
}

/// The time, for [`since`]; none if nobody keeps the numbers.
#[must_use]
pub fn now() -> Option<Duration> {
    RECORDER.get().map(|recorder| recorder.now())
}

/// Counts.
pub fn add(metric: Metric, by: i64, labels: &[Label<'_>]) {
    if let Some(recorder) = RECORDER.get() {
        recorder.add(metric, by, labels);
    }
}

/// Records a value.
pub fn record(metric: Metric, value: f64, labels: &[Label<'_>]) {
    if let Some(recorder) = RECORDER.get() {
        recorder.record(metric, value, labels);
    }
}

/// Records how long it is since a moment that [`now`] gave.
pub fn since(metric: Metric, begun: Duration, labels: &[Label<'_>]) {
    if let Some(recorder) = RECORDER.get() {
        let took = recorder.now().saturating_sub(begun);
        recorder.record(metric, took.as_secs_f64(), labels);
    }
}

/// One more of something, for as long as this value lives.
#[derive(Debug, Default)]
pub struct Held(Option<(Metric, Vec<(&'static str, String)>)>);

impl Held {
    /// Counts one more.
    #[must_use]
    pub fn new(metric: Metric, labels: &[Label<'_>]) -> Self {
        if !is_on() {
            return Self::default();
        }
        add(metric, 1, labels);
        let owned = |(key, value): &Label<'_>| Some((*key, (*value)?.to_owned()));
        Self(Some((metric, labels.iter().filter_map(owned).collect())))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((metric, labels)) = &self.0 {
            let labels: Vec<Label<'_>> =
                labels.iter().map(|(key, value)| (*key, Some(&**value))).collect();
            add(*metric, -1, &labels);
        }
    }
}

/// An error code as a label: those of JSON-RPC, of MCP and of mcplex; a server may send any number.
#[must_use]
pub fn code_label(code: i64) -> Cow<'static, str> {
    match code {
        -32_768..=-32_000 => Cow::Owned(code.to_string()),
        _ => Cow::Borrowed(attr::ERROR_OTHER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_a_server_makes_up_are_one_label() {
        assert_eq!(code_label(-32_602), "-32602");
        assert_eq!(code_label(7), attr::ERROR_OTHER);
        assert_eq!(code_label(i64::MIN), attr::ERROR_OTHER);
    }

    #[test]
    fn the_table_is_in_the_order_of_the_names() {
        assert_eq!(Metric::ALL.len(), METRICS.len());
        for (index, metric) in Metric::ALL.iter().enumerate() {
            assert!(metric.doc().name == METRICS[index].name, "{metric:?}");
        }
    }

    #[test]
    fn a_histogram_has_bounds_that_grow_and_nothing_else_has_any() {
        for doc in METRICS {
            assert_eq!(doc.instrument == Instrument::Histogram, !doc.bounds.is_empty(), "{doc:?}");
            assert!(doc.bounds.is_sorted(), "{doc:?}");
        }
    }

    #[test]
    fn every_attribute_is_one_of_the_table_of_names() {
        let words = || attr::CONVENTIONS.iter().chain(attr::ATTRIBUTES);
        for doc in METRICS {
            for name in doc.attributes {
                assert!(words().any(|word| word.name == *name), "{name} of {}", doc.name);
            }
        }
    }
}
