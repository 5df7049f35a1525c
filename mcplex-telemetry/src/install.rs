//! Acts on the plan, and undoes it at the end.

use std::io::{IsTerminal as _, stderr};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mcplex_proto::{attr, trace};
use opentelemetry::trace::TracerProvider as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use crate::bridge::Bridge;
use crate::error::{InstallError, ShutdownError};
use crate::export::Exporting;
use crate::logs::{self, BoxedLayer};
use crate::options::Options;
use crate::plan::{Export, Plan, Warning, plan};

/// How long a drop without [`Telemetry::shutdown`] may take: it is an early end, with an error
/// to show, and nobody said how long it may be held up.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// Sets up logs and spans for the whole process.
///
/// # Errors
///
/// The options ask for something impossible, or it was called before.
pub fn install(options: Options) -> Result<Telemetry, InstallError> {
    let Plan { filter, json, ansi, export, mut warnings } = plan(&options, stderr().is_terminal())?;
    let mut layers = vec![logs::layer(filter, json, ansi, stderr)];
    let telemetry = match export {
        Some(export) => start(export, &mut warnings)?,
        None => Telemetry { running: None },
    };
    if let Some(running) = &telemetry.running {
        layers.push(span_layer(&running.exporting));
    }
    let subscriber = tracing_subscriber::registry().with(layers);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| InstallError::AlreadyInstalled)?;
    for Warning { variable, problem } in warnings {
        tracing::warn!(variable, problem, "a variable cannot be followed");
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
fn start(export: Export, warnings: &mut Vec<Warning>) -> Result<Telemetry, InstallError> {
    let endpoint = export.endpoint.clone();
    match Exporting::start(&export) {
        Ok(exporting) => Ok(Telemetry { running: Some(Running { exporting, endpoint }) }),
        Err(_) if export.from_env => {
            let problem = "or a variable beside it is refused by the exporter; no spans";
            warnings.push(Warning { variable: "OTEL_EXPORTER_OTLP_ENDPOINT", problem });
            Ok(Telemetry { running: None })
        }
        Err(source) => Err(InstallError::Exporter { endpoint, source }),
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
#[must_use = "dropping it ends the export of spans"]
pub struct Telemetry {
    running: Option<Running>,
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
        self.running.take().map_or(Ok(()), |running| running.end(timeout))
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(running) = self.running.take()
            && let Err(error) = running.end(DROP_TIMEOUT)
        {
            tracing::warn!(%error, "not every span was exported");
        }
    }
}

impl Running {
    /// Flushes on a thread of its own, which is left behind if the collector hangs.
    fn end(self, timeout: Duration) -> Result<(), ShutdownError> {
        let Exporting { provider, counts } = self.exporting;
        let (done, wait) = mpsc::sync_channel(1);
        let flush = move || {
            // Both fail only because spans are lost, which the counts say more exactly.
            drop(provider.force_flush());
            drop(provider.shutdown_with_timeout(timeout));
            // Nobody waits any more if it took too long.
            let _ = done.send(());
        };
        let started = thread::Builder::new().name("telemetry-flush".into()).spawn(flush);
        let ended = started.is_ok() && wait.recv_timeout(timeout).is_ok();
        match counts.missing() {
            0 => Ok(()),
            spans if ended => Err(ShutdownError::Lost { spans }),
            spans => Err(ShutdownError::TimedOut { timeout, spans }),
        }
    }
}
