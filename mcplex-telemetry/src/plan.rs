//! From options to decisions, without touching anything.

mod endpoint;

use std::time::Duration;

use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::Sampler;
use tracing_subscriber::EnvFilter;

use crate::error::InstallError;
use crate::options::{Color, LogFormat, Options};
use crate::sampler;

/// How many request spans may wait.
///
/// The default of OpenTelemetry, 2048, loses most of a flood even to a healthy collector nearby.
const REQUEST_QUEUE: usize = 8192;
/// The most that `OTEL_BSP_MAX_QUEUE_SIZE` may ask for; the queue is allocated at the start.
const REQUEST_QUEUE_MAX: usize = 1 << 20;
/// How long a request span waits for company; the default of OpenTelemetry.
const DELAY: Duration = Duration::from_secs(5);

/// How often metrics are sent; the default of OpenTelemetry.
const INTERVAL: Duration = Duration::from_secs(60);

/// Everything that is decided before anything is done.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Which events are logged.
    pub(crate) filter: EnvFilter,
    /// JSON, else text.
    pub(crate) json: bool,
    /// Whether text is colored.
    pub(crate) ansi: bool,
    /// Who spans and metrics come from.
    pub(crate) service: Service,
    /// Where spans go; none if they are off.
    pub(crate) export: Option<Export>,
    /// What becomes of metrics; none if they are off.
    pub(crate) measure: Option<Measure>,
    /// What of the environment could not be followed.
    pub(crate) warnings: Vec<Warning>,
}

/// How spans leave.
#[derive(Debug)]
pub(crate) struct Export {
    /// The whole URL.
    pub(crate) endpoint: String,
    /// Whether the URL is a wish of the environment, which may fail, or of the configuration.
    pub(crate) from_env: bool,
    /// Decides about request spans; lifecycle spans are always taken.
    pub(crate) sampler: Sampler,
    /// How long a span waits for company.
    pub(crate) delay: Duration,
    /// How many request spans may wait.
    pub(crate) queue: usize,
}

/// The name of the service.
#[derive(Debug)]
pub(crate) struct Service {
    /// The name if nothing else names it.
    pub(crate) default: String,
    /// `OTEL_SERVICE_NAME`.
    pub(crate) name: Option<String>,
}

/// What becomes of metrics.
#[derive(Debug)]
pub(crate) struct Measure {
    /// Where they are sent.
    pub(crate) push: Option<Push>,
    /// Whether they can be read as text.
    pub(crate) pull: bool,
}

/// How metrics leave.
#[derive(Debug)]
pub(crate) struct Push {
    /// The whole URL.
    pub(crate) endpoint: String,
    /// Whether the URL is a wish of the environment, which may fail, or of the configuration.
    pub(crate) from_env: bool,
    /// How often they are sent.
    pub(crate) interval: Duration,
    /// Whether a sum is one since the start or since the last export.
    pub(crate) temporality: Temporality,
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
    let filter = EnvFilter::builder()
        .with_regex(false)
        .parse(&options.log_filter)
        .map_err(|source| InstallError::LogFilter { filter: options.log_filter.clone(), source })?;
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
    let service = Service {
        default: options.service_name.clone(),
        name: options.variable("OTEL_SERVICE_NAME").map(str::to_owned),
    };
    let mut warnings = Vec::new();
    let disabled = options.variable("OTEL_SDK_DISABLED");
    let (export, measure) = if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        (None, None)
    } else {
        (export(options, &mut warnings)?, measure(options, &mut warnings)?)
    };
    // Both may have stumbled over the same variable.
    let mut told = Vec::new();
    warnings.retain(|warning| {
        let is_new = !told.contains(warning);
        told.push(*warning);
        is_new
    });
    Ok(Plan { filter, json, ansi, service, export, measure, warnings })
}

/// Decides whether spans leave, and how.
fn export(options: &Options, warnings: &mut Vec<Warning>) -> Result<Option<Export>, InstallError> {
    let Some((endpoint, from_env)) = endpoint::find(options, &endpoint::TRACES, warnings)? else {
        return Ok(None);
    };
    let wanted = endpoint::exporters(options, &endpoint::TRACES, warnings);
    if !wanted.otlp || (from_env && !endpoint::is_spoken(options, &endpoint::TRACES, warnings)) {
        return Ok(None);
    }
    Ok(Some(Export {
        endpoint,
        from_env,
        sampler: sampler::for_requests(options, warnings),
        delay: number(options, "OTEL_BSP_SCHEDULE_DELAY", warnings)
            .map_or(DELAY, Duration::from_millis),
        queue: number(options, "OTEL_BSP_MAX_QUEUE_SIZE", warnings)
            .and_then(|size| usize::try_from(size).ok())
            .map_or(REQUEST_QUEUE, |size| size.clamp(1, REQUEST_QUEUE_MAX)),
    }))
}

/// Decides whether metrics are kept, and for whom.
fn measure(
    options: &Options,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Measure>, InstallError> {
    let wanted = endpoint::exporters(options, &endpoint::METRICS, warnings);
    let pull = wanted.prometheus.unwrap_or(options.prometheus);
    let found = endpoint::find(options, &endpoint::METRICS, warnings)?.filter(|_| wanted.otlp);
    let push = match found {
        Some((_, true)) if !endpoint::is_spoken(options, &endpoint::METRICS, warnings) => None,
        Some((endpoint, from_env)) => Some(Push {
            endpoint,
            from_env,
            interval: number(options, "OTEL_METRIC_EXPORT_INTERVAL", warnings)
                .map_or(INTERVAL, |interval| Duration::from_millis(interval.max(1))),
            temporality: temporality(options, warnings),
        }),
        None => None,
    };
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

/// Reads a whole number.
fn number(options: &Options, variable: &'static str, warnings: &mut Vec<Warning>) -> Option<u64> {
    let number = options.variable(variable)?.parse().ok();
    if number.is_none() {
        warnings.push(Warning { variable, problem: "is not a whole number; the default holds" });
    }
    number
}

#[cfg(test)]
mod tests;
