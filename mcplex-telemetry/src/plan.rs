//! From options to decisions, without touching anything.

mod endpoint;
mod limits;
mod read;
mod ways;
mod whose;

use std::time::Duration;

use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::Sampler;
use tracing_subscriber::filter::{LevelFilter, Targets};

pub(crate) use endpoint::Target;
pub(crate) use limits::{Limits, RecordLimits};
pub(crate) use whose::Service;

use crate::error::InstallError;
use crate::options::{Color, LogFormat, Options};
use crate::sampler;
use limits::Batches;
use ways::{LOGS, METRICS, TRACES};

/// How often metrics are sent; the default of OpenTelemetry.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long one export of metrics may take; the default of OpenTelemetry.
const METRIC_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that is decided before anything is done.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Which events are logged.
    pub(crate) filter: Targets,
    /// JSON, else text.
    pub(crate) json: bool,
    /// Whether text is colored.
    pub(crate) ansi: bool,
    /// Who all of it comes from.
    pub(crate) service: Service,
    /// How spans leave; none if they are off.
    pub(crate) spans: Option<Spans>,
    /// What becomes of metrics; none if they are off.
    pub(crate) measure: Option<Measure>,
    /// How log records leave beside stderr; none if they do not.
    pub(crate) records: Option<Records>,
    /// What is taken from callers and passed on to upstreams.
    pub(crate) propagators: Propagators,
    /// What of the environment could not be followed.
    pub(crate) warnings: Vec<Warning>,
}

/// How spans leave.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    pub(crate) way: Way,
    /// Decides about request spans; lifecycle spans are always taken.
    pub(crate) sampler: Sampler,
    /// How much a span may hold.
    pub(crate) limits: Limits,
    /// How request spans wait.
    pub(crate) batching: Batching,
}

/// How log records leave.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    pub(crate) way: Way,
    /// How much a record may hold.
    pub(crate) limits: RecordLimits,
    pub(crate) batching: Batching,
}

/// What becomes of metrics.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    /// How they are sent.
    pub(crate) push: Option<Push>,
    /// Whether they can be read as text.
    pub(crate) pull: bool,
}

/// How metrics leave.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) way: Way,
    /// How often they are sent.
    pub(crate) interval: Duration,
    /// How long one export may take, with all its attempts.
    pub(crate) timeout: Duration,
    /// Whether a sum is one since the start or since the last export.
    pub(crate) temporality: Temporality,
}

/// The ways out of one signal; at least one of them.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// Over OTLP.
    pub(crate) otlp: Option<Target>,
    /// As lines on stderr.
    pub(crate) console: bool,
}

/// How items wait for company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batching {
    /// How many may wait.
    pub(crate) queue: usize,
    /// How many leave together.
    pub(crate) batch: usize,
    /// How long one waits for others.
    pub(crate) delay: Duration,
    /// How long one export may take, with all its attempts.
    pub(crate) timeout: Duration,
}

/// Which contexts cross processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagators {
    /// `traceparent` and `tracestate`.
    pub trace: bool,
    /// `baggage`.
    pub baggage: bool,
}

/// A variable that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// Its name; the value may be a secret.
    pub(crate) variable: &'static str,
    /// What is wrong, and what happens instead.
    pub(crate) problem: &'static str,
}

/// Decides.
pub(crate) fn plan(options: &Options, on_terminal: bool) -> Result<Plan, InstallError> {
    let filter = filter(options)?;
    let json = match options.log_format {
        LogFormat::Auto => !on_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let ansi = match options.color {
        Color::Auto => on_terminal && options.variable("NO_COLOR").is_none(),
        Color::Always => true,
        Color::Never => false,
    };
    let mut warnings = Vec::new();
    let service = whose::service(options, &mut warnings);
    let is_disabled = read::switch(options, "OTEL_SDK_DISABLED", &mut warnings);
    let (spans, measure, records) = if is_disabled {
        (None, None, None)
    } else {
        (
            spans(options, &mut warnings)?,
            measure(options, &mut warnings)?,
            records(options, &mut warnings)?,
        )
    };
    let propagators = propagators(options, &mut warnings);
    read::unknown(options, &mut warnings);
    // Several signals may have stumbled over the same variable.
    let mut told = Vec::new();
    warnings.retain(|warning| {
        let is_new = !told.contains(warning);
        told.push(*warning);
        is_new
    });
    Ok(Plan { filter, json, ansi, service, spans, measure, records, propagators, warnings })
}

/// Reads which events are logged.
///
/// Each part says of a target, or of all, from which level on; without a part only errors are. What a
/// span says decides nothing, because the log asks for no spans.
pub(crate) fn filter(options: &Options) -> Result<Targets, InstallError> {
    let parts = options.log_filter.split(',').map(str::trim).filter(|part| !part.is_empty());
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() {
        return Ok(Targets::new().with_default(LevelFilter::ERROR));
    }
    let filter = parts.join(",").parse();
    filter.map_err(|source| InstallError::LogFilter { filter: options.log_filter.clone(), source })
}

/// Decides whether spans leave, and how.
fn spans(options: &Options, warnings: &mut Vec<Warning>) -> Result<Option<Spans>, InstallError> {
    let wanted = ways::wanted(options, &TRACES, warnings);
    let Some(way) = ways::way(options, &TRACES, wanted, warnings)? else { return Ok(None) };
    Ok(Some(Spans {
        way,
        sampler: sampler::for_requests(options, warnings),
        limits: limits::of_spans(options, warnings),
        batching: limits::batching(options, &Batches::SPANS, warnings),
    }))
}

/// Decides whether log records leave, and how.
fn records(
    options: &Options,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Records>, InstallError> {
    let wanted = ways::wanted(options, &LOGS, warnings);
    let Some(way) = ways::way(options, &LOGS, wanted, warnings)? else { return Ok(None) };
    Ok(Some(Records {
        way,
        limits: limits::of_records(options, warnings),
        batching: limits::batching(options, &Batches::RECORDS, warnings),
    }))
}

/// Decides whether metrics are kept, and for whom.
fn measure(
    options: &Options,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Measure>, InstallError> {
    let wanted = ways::wanted(options, &METRICS, warnings);
    let pull = wanted.prometheus.unwrap_or(options.prometheus);
    let push = ways::way(options, &METRICS, wanted, warnings)?.map(|way| Push {
        way,
        interval: read::milliseconds(options, "OTEL_METRIC_EXPORT_INTERVAL", warnings)
            .unwrap_or(INTERVAL),
        timeout: read::milliseconds(options, "OTEL_METRIC_EXPORT_TIMEOUT", warnings)
            .unwrap_or(METRIC_TIMEOUT),
        temporality: temporality(options, warnings),
    });
    Ok((push.is_some() || pull).then_some(Measure { push, pull }))
}

/// Reads whether sums begin anew with each export.
fn temporality(options: &Options, warnings: &mut Vec<Warning>) -> Temporality {
    let variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    let value = options.variable(variable).map(str::to_ascii_lowercase);
    match value.as_deref() {
        None | Some("cumulative") => Temporality::Cumulative,
        Some("delta") => Temporality::Delta,
        Some("lowmemory") => Temporality::LowMemory,
        Some(_) => {
            let problem = "is neither cumulative, delta nor lowmemory; cumulative is used";
            warnings.push(Warning { variable, problem });
            Temporality::Cumulative
        }
    }
}

/// Reads which contexts cross processes.
fn propagators(options: &Options, warnings: &mut Vec<Warning>) -> Propagators {
    let variable = "OTEL_PROPAGATORS";
    let Some(names) = options.variable(variable) else {
        return Propagators { trace: true, baggage: true };
    };
    let mut found = Propagators { trace: false, baggage: false };
    for name in names.split(',').map(str::trim) {
        match name {
            "tracecontext" => found.trace = true,
            "baggage" => found.baggage = true,
            "none" => {}
            _ => {
                let problem = "names a propagator other than tracecontext, baggage and none; it is \
                               skipped, because MCP has fields for these two";
                warnings.push(Warning { variable, problem });
            }
        }
    }
    found
}

#[cfg(test)]
mod every;

#[cfg(test)]
mod tests;
