//! Acts on the plan, and undoes it at the end.

use std::io::{self, IsTerminal as _, stderr};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use mcplex_proto::{attr, metric, trace};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use crate::bridge::Bridge;
use crate::carrier::{Carrier, Outlet};
use crate::error::{InstallError, Lost, ShutdownError};
use crate::logs::{self, BoxedLayer};
use crate::meters::{Meters, Sending, Tallies};
use crate::options::{LogFormat, Options};
use crate::plan::{self, Measure, Plan, Propagators, Warning, Way, plan};
use crate::prometheus::Page;
use crate::records::Recording;
use crate::resource::resource;
use crate::spans::{self, Exporting};
use crate::tally::Tally;

/// How long a drop without [`Telemetry::shutdown`] may take: it is an early end, with an error
/// to show, and nobody said how long it may be held up.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// Sets up logs, spans and metrics for the whole process.
///
/// # Errors
///
/// The options ask for something impossible, or it was called before.
pub fn install(options: Options) -> Result<Telemetry, InstallError> {
    let mut plan = plan(&options, stderr().is_terminal())?;
    let resource = resource(&plan.service);
    let mut start = Start::new(&plan)?;
    let filter = std::mem::take(&mut plan.filter);
    let mut layers = vec![logs::layer(filter, plan.json, plan.ansi, stderr)];
    if let Some(lines) = options.file.clone() {
        let is_json = options.log_format != LogFormat::Text;
        layers.push(logs::layer(plan::filter(&options)?, is_json, false, move || lines.clone()));
    }
    let spans = start.spans(&plan, &resource)?;
    layers.extend(spans.as_ref().map(span_layer));
    let records = start.records(&plan, &resource)?;
    if let Some(records) = &records {
        layers.push(logs::sent(plan::filter(&options)?, records));
    }
    let meters = start.meters(plan.measure.as_ref(), &resource)?;
    let subscriber = tracing_subscriber::registry().with(layers);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| InstallError::AlreadyInstalled)?;
    // Only now is there somebody to hear what was found on the way here.
    for Warning { variable, problem } in plan.warnings {
        tracing::warn!(variable, problem, "a variable cannot be followed");
    }
    for (endpoint, error) in start.failures {
        tracing::warn!(endpoint, %error, "nothing is sent there");
    }
    // A second one means that the process set up its telemetry twice, which was refused before.
    let _is_first = PROPAGATORS.set(plan.propagators).is_ok();
    let mut telemetry =
        Telemetry { carrier: start.carrier, spans, records, numbers: None, _meters: None };
    let _is_first = TALLIES.set(telemetry.tallies()).is_ok();
    if let Some(meters) = meters {
        metric::install(Box::new(meters.recorder(&telemetry.tallies())));
        meters.page.into_iter().for_each(Page::install);
        telemetry.numbers = meters.sending;
        telemetry._meters = Some(meters.provider);
    }
    if let Some(endpoint) = telemetry.endpoint() {
        trace::install(Box::new(Bridge { continues: plan.propagators.trace }));
        tracing::info!(endpoint, "spans are exported");
    }
    Ok(telemetry)
}

/// What crosses processes, as the environment has it.
static PROPAGATORS: OnceLock<Propagators> = OnceLock::new();

/// Tells which contexts cross processes, as `OTEL_PROPAGATORS` has it; all before [`install`].
#[must_use]
pub fn propagators() -> Propagators {
    PROPAGATORS.get().copied().unwrap_or(Propagators { trace: true, baggage: true })
}

/// What is counted of what leaves.
static TALLIES: OnceLock<Tallies> = OnceLock::new();

/// Tells how much was sent in vain or found no room since [`install`].
#[must_use]
pub fn lost() -> Lost {
    let Some(tallies) = TALLIES.get() else { return Lost::default() };
    let of = |tally: &Option<Arc<Tally>>| tally.as_ref().map_or(0, |tally| tally.lost());
    Lost { spans: of(&tallies.spans), records: of(&tallies.records), numbers: false }
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

/// What the options and the environment come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Review {
    /// Where something is sent, each place once.
    pub endpoints: Vec<String>,
    /// What cannot be followed: what it is, and why.
    pub problems: Vec<(String, String)>,
}

/// Tells what [`install`] would do, and reads the files it would read.
///
/// # Errors
///
/// The options ask for something impossible.
pub fn review(options: &Options) -> Result<Review, InstallError> {
    let plan = plan(options, false)?;
    let problem = |warning: &Warning| (warning.variable.to_owned(), warning.problem.to_owned());
    let mut review =
        Review { problems: plan.warnings.iter().map(problem).collect(), ..Review::default() };
    let push = plan.measure.and_then(|measure| measure.push);
    let ways = [
        plan.spans.map(|spans| spans.way),
        push.map(|push| push.way),
        plan.records.map(|records| records.way),
    ];
    for way in ways.into_iter().flatten() {
        let Some(target) = &way.otlp else { continue };
        if let Err(error) = Outlet::new(&way, Duration::ZERO) {
            review.problems.push((target.endpoint.clone(), error.to_string()));
        }
        // One place may take several signals, each at a path of its own.
        let place = match (target.uri.scheme_str(), target.uri.authority()) {
            (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
            _ => target.endpoint.clone(),
        };
        if !review.endpoints.contains(&place) {
            review.endpoints.push(place);
        }
    }
    review.problems.dedup();
    Ok(review)
}

/// What starts on the way to a subscriber.
struct Start {
    /// None if nothing leaves.
    carrier: Option<Carrier>,
    /// Where the environment wants something sent that cannot be, and why.
    failures: Vec<(String, io::Error)>,
}

impl Start {
    fn new(plan: &Plan) -> Result<Self, InstallError> {
        let sends_numbers = plan.measure.as_ref().is_some_and(|measure| measure.push.is_some());
        let leaves = plan.spans.is_some() || plan.records.is_some() || sends_numbers;
        let carrier = leaves.then(Carrier::start).transpose().map_err(InstallError::Thread)?;
        Ok(Self { carrier, failures: Vec::new() })
    }

    /// Opens the ways of a signal; a wish of the environment that fails is a warning.
    fn outlet(
        &mut self,
        way: &Way,
        timeout: Duration,
    ) -> Result<Option<(Outlet, Carrier)>, InstallError> {
        let Some(carrier) = self.carrier.clone() else { return Ok(None) };
        let (error, target) = match (Outlet::new(way, timeout), &way.otlp) {
            (Ok(outlet), _) => return Ok(Some((outlet, carrier))),
            (Err(error), Some(target)) => (error, target),
            // Stderr needs nothing that could be missing.
            (Err(_), None) => return Ok(None),
        };
        let endpoint = target.endpoint.clone();
        if !target.from_env {
            return Err(InstallError::Unreachable { endpoint, source: error });
        }
        self.failures.push((endpoint, error));
        let rest = Way { otlp: None, console: way.console };
        let rest = Outlet::new(&rest, timeout).ok().filter(|_| rest.console);
        Ok(rest.map(|outlet| (outlet, carrier)))
    }

    fn spans(
        &mut self,
        plan: &Plan,
        resource: &Resource,
    ) -> Result<Option<Exporting>, InstallError> {
        let Some(spans) = &plan.spans else { return Ok(None) };
        let outlet = self.outlet(&spans.way, spans.batching.timeout)?;
        Ok(outlet.map(|(outlet, carrier)| Exporting::start(spans, &outlet, &carrier, resource)))
    }

    fn records(
        &mut self,
        plan: &Plan,
        resource: &Resource,
    ) -> Result<Option<Recording>, InstallError> {
        let Some(records) = &plan.records else { return Ok(None) };
        let outlet = self.outlet(&records.way, records.batching.timeout)?;
        Ok(outlet.map(|(outlet, carrier)| Recording::start(records, outlet, &carrier, resource)))
    }

    /// What cannot be sent can still be read.
    fn meters(
        &mut self,
        measure: Option<&Measure>,
        resource: &Resource,
    ) -> Result<Option<Meters>, InstallError> {
        let Some(measure) = measure else { return Ok(None) };
        let Some(push) = &measure.push else {
            return Ok(Some(Meters::start(measure, None, resource)));
        };
        let outlet = self.outlet(&push.way, push.timeout)?;
        let sends = outlet.is_some();
        let push = outlet.as_ref().map(|(outlet, carrier)| (push, outlet.clone(), carrier));
        let meters = Meters::start(measure, push, resource);
        Ok(Some(meters).filter(|_| sends || measure.pull))
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
        .with_tracer(exporting.provider.tracer_with_scope(spans::scope(attr::SCOPE_PROGRAM)))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_level(false)
        // It says which part of mcplex made the span, and becomes its scope.
        .with_target(true)
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
    /// None if nothing leaves, or no longer.
    carrier: Option<Carrier>,
    spans: Option<Exporting>,
    records: Option<Recording>,
    numbers: Option<Sending>,
    /// Without it nothing is counted any more.
    _meters: Option<SdkMeterProvider>,
}

impl Telemetry {
    /// Where spans go; none if they are off.
    pub fn endpoint(&self) -> Option<&str> {
        self.spans.as_ref().map(|spans| spans.endpoint.as_str())
    }

    /// Sends what is still waiting, and ends the export; call it after the last span closed.
    ///
    /// It blocks its thread, though never longer than the timeout.
    ///
    /// # Errors
    ///
    /// Something was lost, now or earlier.
    pub fn shutdown(mut self, timeout: Duration) -> Result<(), ShutdownError> {
        self.end(timeout)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Err(error) = self.end(DROP_TIMEOUT) {
            tracing::warn!(%error, "not everything was exported");
        }
    }
}

impl Telemetry {
    fn tallies(&self) -> Tallies {
        Tallies {
            spans: self.spans.as_ref().map(|spans| Arc::clone(&spans.tally)),
            records: self.records.as_ref().map(|records| Arc::clone(&records.tally)),
        }
    }

    /// Has the carrier send what it has, and leaves it behind if the collector hangs.
    fn end(&mut self, timeout: Duration) -> Result<(), ShutdownError> {
        let Some(carrier) = self.carrier.take() else { return Ok(()) };
        let spans = self.spans.as_ref().map(Exporting::flush);
        let waits: Vec<_> = spans
            .into_iter()
            .flatten()
            .chain(self.records.as_ref().map(Recording::flush))
            .collect();
        let numbers = self.numbers.as_ref().map(Sending::flush);
        let (done, ended) = mpsc::sync_channel(1);
        carrier.run(async move {
            for wait in waits {
                // An error means that nobody is there any more, which is an end too.
                drop(wait.await);
            }
            let arrived = match numbers {
                Some(numbers) => numbers.await.unwrap_or(false),
                None => true,
            };
            // Nobody waits any more if it took too long.
            let _ = done.send(arrived);
        });
        let ended = ended.recv_timeout(timeout).ok();
        let tallies = self.tallies();
        let missing = |tally: Option<Arc<_>>| tally.map_or(0, |tally| Tally::missing(&tally));
        let lost = Lost {
            spans: missing(tallies.spans),
            records: missing(tallies.records),
            numbers: self.numbers.is_some() && ended != Some(true),
        };
        match ended {
            _ if lost.is_nothing() => Ok(()),
            Some(_) => Err(ShutdownError::Lost { lost }),
            None => Err(ShutdownError::TimedOut { timeout, lost }),
        }
    }
}
