//! How much may wait, and how much one item may hold.

use std::time::Duration;

use super::{Batching, Warning, read};
use crate::options::Options;

/// The most that a variable may ask for: a million spans are some hundred megabytes.
const QUEUE_MAX: usize = 1 << 20;
/// How many leave together; the default of OpenTelemetry.
const BATCH: usize = 512;
/// How long one export may take; the default of OpenTelemetry.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How many attributes, events and links an item may have; the default of OpenTelemetry.
const COUNT: usize = 128;

/// How many characters a text may have. OpenTelemetry has no limit; but peers write names, ids and
/// reasons of megabytes, and thousands of spans may wait for a collector that hangs. The longest of our
/// own, the last lines of an upstream in a death, is of that length.
const TEXT: usize = 2048;

/// How much a span may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) attributes: u32,
    pub(crate) events: u32,
    pub(crate) links: u32,
    pub(crate) event_attributes: u32,
    pub(crate) link_attributes: u32,
    /// The most characters of a text.
    pub(crate) value_length: usize,
}

/// How much a log record may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordLimits {
    pub(crate) attributes: usize,
    /// The most characters of a text.
    pub(crate) value_length: usize,
}

/// The variables about the queue of one signal, and its defaults.
pub(super) struct Batches {
    queue: &'static str,
    batch: &'static str,
    delay: &'static str,
    timeout: &'static str,
    default_queue: usize,
    default_delay: Duration,
}

impl Batches {
    pub(super) const SPANS: Self = Self {
        queue: "OTEL_BSP_MAX_QUEUE_SIZE",
        batch: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        delay: "OTEL_BSP_SCHEDULE_DELAY",
        timeout: "OTEL_BSP_EXPORT_TIMEOUT",
        // The default of OpenTelemetry, 2048, loses most of a flood even to a healthy collector
        // nearby.
        default_queue: 8192,
        default_delay: Duration::from_secs(5),
    };

    pub(super) const RECORDS: Self = Self {
        queue: "OTEL_BLRP_MAX_QUEUE_SIZE",
        batch: "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
        delay: "OTEL_BLRP_SCHEDULE_DELAY",
        timeout: "OTEL_BLRP_EXPORT_TIMEOUT",
        default_queue: 2048,
        default_delay: Duration::from_secs(1),
    };
}

/// Reads how items of a signal wait.
pub(super) fn batching(
    options: &Options,
    names: &Batches,
    warnings: &mut Vec<Warning>,
) -> Batching {
    let queue = read::room(options, names.queue, warnings);
    let queue = queue.map_or(names.default_queue, |size| size.min(QUEUE_MAX));
    let batch = read::room(options, names.batch, warnings).unwrap_or(BATCH);
    if batch > queue && options.variable(names.batch).is_some() {
        let problem = "is more than may wait; all that wait leave together";
        warnings.push(Warning { variable: names.batch, problem });
    }
    Batching {
        queue,
        batch: batch.min(queue),
        delay: read::number(options, names.delay, warnings)
            .map_or(names.default_delay, Duration::from_millis),
        timeout: read::milliseconds(options, names.timeout, warnings).unwrap_or(TIMEOUT),
    }
}

/// Reads how much a span may hold.
pub(super) fn of_spans(options: &Options, warnings: &mut Vec<Warning>) -> Limits {
    let mut count = |variables: &[&'static str]| {
        let found = variables.iter().find_map(|name| read::count(options, name, warnings));
        u32::try_from(found.unwrap_or(COUNT)).unwrap_or(u32::MAX)
    };
    let attributes = count(&["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"]);
    let events = count(&["OTEL_SPAN_EVENT_COUNT_LIMIT"]);
    let links = count(&["OTEL_SPAN_LINK_COUNT_LIMIT"]);
    let event_attributes = count(&["OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"]);
    let link_attributes = count(&["OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"]);
    let value_length = value_length(options, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", warnings);
    Limits { attributes, events, links, event_attributes, link_attributes, value_length }
}

/// Reads how much a log record may hold.
pub(super) fn of_records(options: &Options, warnings: &mut Vec<Warning>) -> RecordLimits {
    let mut count = |name| read::count(options, name, warnings);
    let attributes = count("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT")
        .or_else(|| count("OTEL_ATTRIBUTE_COUNT_LIMIT"))
        .unwrap_or(COUNT);
    let special = "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT";
    RecordLimits { attributes, value_length: value_length(options, special, warnings) }
}

/// Reads how long a text may be.
fn value_length(options: &Options, special: &'static str, warnings: &mut Vec<Warning>) -> usize {
    read::count(options, special, warnings)
        .or_else(|| read::count(options, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", warnings))
        .unwrap_or(TEXT)
}
