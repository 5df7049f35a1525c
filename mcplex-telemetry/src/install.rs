//! Acts on the plan, and undoes it at the end.

use std::io::{IsTerminal as _, stderr};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mcplex_proto::{attr, metric, trace};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use crate::bridge::Bridge;
use crate::error::{InstallError, ShutdownError};
use crate::export::{self, Exporting};
use crate::logs::{self, BoxedLayer};
use crate::meters::Meters;
use crate::options::Options;
use crate::plan::{Export, Measure, Plan, Warning, plan};
use crate::prometheus::Page;

/// How long a drop without [`Telemetry::shutdown`] may take: it is an early end, with an error
/// to show, and nobody said how long it may be held up.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// What the exporter may say of an endpoint that looked right.
const REFUSED: Warning = Warning {
    variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
    problem: "or a variable beside it is refused by the exporter; nothing is sent",
};

/// Sets up logs, spans and metrics for the whole process.
///
/// # Errors
///
/// The options ask for something impossible, or it was called before.
pub fn install(options: Options) -> Result<Telemetry, InstallError> {
    let Plan { filter, json, ansi, service, export, measure, mut warnings } =
        plan(&options, stderr().is_terminal())?;
    let mut layers = vec![logs::layer(filter, json, ansi, stderr)];
    let resource = export::resource(&service);
    let running = match export {
        Some(export) => start(export, &resource, &mut warnings)?,
        None => None,
    };
    if let Some(running) = &running {
        layers.push(span_layer(&running.exporting));
    }
    let meters = match measure {
        Some(measure) => start_meters(&measure, &resource, &mut warnings)?,
        None => None,
    };
    let telemetry = Telemetry { running, meters: meters.as_ref().map(|all| all.provider.clone()) };
    let subscriber = tracing_subscriber::registry().with(layers);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| InstallError::AlreadyInstalled)?;
    for Warning { variable, problem } in warnings {
        tracing::warn!(variable, problem, "a variable cannot be followed");
    }
    if let Some(meters) = meters {
        let counts = telemetry.running.as_ref().map(|running| running.exporting.counts.clone());
        metric::install(Box::new(meters.recorder(counts)));
        meters.page.into_iter().for_each(Page::install);
    }
    if let Some(endpoint) = telemetry.endpoint() {
        trace::install(Box::new(Bridge));
        tracing::info!(endpoint, "spans are exported");
    }
    Ok(telemetry)
}

/// Says whether the options can be followed, as far as that shows without acting on them.
///
/// # Errors
///
/// The options ask for something impossible.
pub fn validate(options: &Options) -> Result<(), InstallError> {
    // A terminal changes what lines look like, never whether the options are right.
    plan(options, false).map(drop)
}

/// Starts the export; a wish of the environment that fails is a warning.
fn start(
    export: Export,
    resource: &Resource,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Running>, InstallError> {
    let endpoint = export.endpoint.clone();
    match Exporting::start(&export, resource) {
        Ok(exporting) => Ok(Some(Running { exporting, endpoint })),
        Err(_) if export.from_env => {
            warnings.push(REFUSED);
            Ok(None)
        }
        Err(source) => Err(InstallError::Exporter { endpoint, source }),
    }
}

/// The same for metrics; what cannot be sent can still be read.
fn start_meters(
    measure: &Measure,
    resource: &Resource,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Meters>, InstallError> {
    match (Meters::start(measure, resource), &measure.push) {
        (Ok(meters), _) => Ok(Some(meters)),
        (Err(source), Some(push)) if !push.from_env => {
            Err(InstallError::Exporter { endpoint: push.endpoint.clone(), source })
        }
        (Err(_), _) => {
            if !warnings.contains(&REFUSED) {
                warnings.push(REFUSED);
            }
            let unsent = Measure { push: None, pull: measure.pull };
            Ok(Meters::start(&unsent, resource).ok().filter(|_| unsent.pull))
        }
    }
}

/// Builds the layer that turns the two kinds of spans, and nothing else, into exported ones.
fn span_layer(exporting: &Exporting) -> BoxedLayer {
    // What is not in the table of names must not be exported; that includes the spans of the
    // HTTP client that carries them.
    let ours = Targets::new()
        .with_target(attr::TARGET_LIFECYCLE, LevelFilter::TRACE)
        .with_target(attr::TARGET_REQUEST, LevelFilter::TRACE);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(exporting.provider.tracer("mcplex"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_level(false)
        .with_target(false)
        .with_error_events_to_status(false)
        .with_error_events_to_exceptions(false)
        .with_error_records_to_exceptions(false)
        .with_error_fields_to_exceptions(false);
    layer.with_filter(ours).boxed()
}

/// Logs and spans of this process, until the end.
#[derive(Debug)]
#[must_use = "dropping it ends the export of spans and metrics"]
pub struct Telemetry {
    running: Option<Running>,
    meters: Option<SdkMeterProvider>,
}

/// The export of spans.
#[derive(Debug)]
struct Running {
    exporting: Exporting,
    endpoint: String,
}

impl Telemetry {
    /// Where spans go; none if they are off.
    pub fn endpoint(&self) -> Option<&str> {
        self.running.as_ref().map(|running| running.endpoint.as_str())
    }

    /// Sends what is still waiting, and ends the export; call it after the last span closed.
    ///
    /// It blocks its thread, though never longer than the timeout.
    ///
    /// # Errors
    ///
    /// Spans were lost, now or earlier.
    pub fn shutdown(mut self, timeout: Duration) -> Result<(), ShutdownError> {
        self.end(timeout)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Err(error) = self.end(DROP_TIMEOUT) {
            tracing::warn!(%error, "not every span was exported");
        }
    }
}

impl Telemetry {
    /// Flushes on a thread of its own, which is left behind if the collector hangs.
    fn end(&mut self, timeout: Duration) -> Result<(), ShutdownError> {
        let (running, meters) = (self.running.take(), self.meters.take());
        if running.is_none() && meters.is_none() {
            return Ok(());
        }
        let provider = running.as_ref().map(|running| running.exporting.provider.clone());
        let (done, wait) = mpsc::sync_channel(1);
        let flush = move || {
            // All fail only because spans are lost, which the counts say more exactly, or because
            // the last numbers are, which the exporter says itself.
            if let Some(provider) = provider {
                drop(provider.force_flush());
                drop(provider.shutdown_with_timeout(timeout));
            }
            if let Some(meters) = meters {
                drop(meters.shutdown_with_timeout(timeout));
            }
            // Nobody waits any more if it took too long.
            let _ = done.send(());
        };
        let started = thread::Builder::new().name("telemetry-flush".into()).spawn(flush);
        let ended = started.is_ok() && wait.recv_timeout(timeout).is_ok();
        match running.map_or(0, |running| running.exporting.counts.missing()) {
            0 => Ok(()),
            spans if ended => Err(ShutdownError::Lost { spans }),
            spans => Err(ShutdownError::TimedOut { timeout, spans }),
        }
    }
}
