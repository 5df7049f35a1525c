//! `mcplex doctor`: looks at everything a gateway needs, one thing after the other, and says in plain
//! words what is wrong and what to do about it.
//!
//! | runs an mcplex of this configuration? | what is looked at |
//! | --- | --- |
//! | no | file, port, collector, limits, disk; every upstream is started alone, listed and ended |
//! | yes | the same, and how the running one and its upstreams are; none that runs gets a second copy |
//!
//! Nothing is changed, but for a refresh token that a server's issuer has exchanged, which would be
//! lost otherwise: no state is remembered, no spans leave, and whatever was started is ended,
//! also by Ctrl-C. Read it in this order: [`finding`] (what is told), `trial` (one upstream alone)
//! with `watched`, `lists` and `cause`; `knock` and `running` (one that runs); `premises` (the
//! machine); `progress` and `show` (what people see).

pub(crate) mod finding;

mod cause;

mod knock;

mod lists;

mod premises;

mod progress;

mod remote;

mod running;

mod show;

mod trial;

mod watched;

pub(crate) use show::text;

use crate::{exit::Failure, host, places::Places, settings::Settings, tokens::Tokens, wire};
use finding::{Check, Finding, Patient, Report, Target};
use futures_util::{StreamExt as _, stream};
use mcplex_admin::{
    client::{Client, ClientError},
    status::{Snapshot, UpstreamStatus},
};
use mcplex_config::Server;
use mcplex_proto::upstream::Health;
use progress::Progress;
use std::time::Duration;
use tokio::{sync::watch, time::Instant};
use trial::Trial;

/// How many upstreams are tried at once: a start keeps a processor busy for a second or two, and
/// most machines have four.
const AT_ONCE: usize = 4;

/// What is to be looked at.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Only these upstreams; all that are enabled if there is none.
    pub(crate) upstreams: Vec<String>,
    /// How long the trial of one may take, if not as long as its own limits allow.
    pub(crate) limit: Option<Duration>,
    /// Whether those that run are tried as well.
    pub(crate) tries_all: bool,
}

/// Looks at everything, until somebody wants it to stop.
pub(crate) async fn examine(
    settings: &Settings,
    wanted: &Wanted,
    stop: watch::Receiver<bool>,
) -> Result<Report, Failure> {
    let progress = Progress::new();
    let mut report = Report::new(settings.file.as_deref());
    let places = settings.places();
    report.checks.push(file(settings));
    let mut running = find(settings, &places, &mut report).await;
    progress.say("configuration", "read");
    match &running {
        Some(found) => {
            let checks = running::checks(settings, found).await;
            report.checks.extend(checks);
        }
        None if report.is_silent || report.is_strange => {}
        None => report.checks.extend(knock::ports(settings.config()).await),
    }
    progress.say("address", "looked at");
    report.checks.extend(premises::collectors(settings).await);
    let pid = running.as_ref().map(|found| found.instance.pid);
    report.checks.extend(premises::checks(settings, &places, pid));
    progress.say("machine", "looked at");
    let _upkeep = host::adopt();
    let servers = chosen(settings, wanted);
    // Only so many are tried at once, and one that hangs holds up no other.
    let mut alone = settings.config().clone();
    alone.host.max_starts = AT_ONCE;
    let host = wire::host(&alone, seed());
    let tokens = Tokens::new(places.state(settings.config()).as_deref());
    let trials = servers.into_iter().map(|server| {
        let mine = running.as_mut().map(|found| found.take(&server.name));
        let trial = Trial {
            config: settings.config(),
            server,
            host: host.clone(),
            tokens: tokens.clone(),
            limit: wanted.limit,
            progress,
            stop: stop.clone(),
        };
        let may_run = report.is_silent || report.is_strange;
        async move { look_at(trial, mine, wanted, may_run).await }
    });
    // Polled here, so that whoever drops this drops every trial.
    report.upstreams = stream::iter(trials).buffered(AT_ONCE).collect().await;
    Ok(report)
}

/// One upstream: as the running mcplex has it, or alone.
async fn look_at(
    trial: Trial<'_>,
    running: Option<Vec<UpstreamStatus>>,
    wanted: &Wanted,
    may_run: bool,
) -> Patient {
    let is_named = wanted.upstreams.contains(&trial.server.name);
    let mut patient = Patient::new(&trial.server.name);
    if !trial.server.enabled && !is_named {
        patient.findings.push(Finding::skipped("disabled in the configuration"));
        return patient;
    }
    let rows = running.unwrap_or_default();
    patient.findings.extend(rows.iter().map(running::upstream));
    // A second copy beside one that may start at any moment could do harm.
    let is_down = rows.iter().all(|row| row.health == Health::Tripped);
    let is_tried = wanted.tries_all || (is_down && !may_run);
    if is_tried {
        trial.run(&mut patient).await;
    } else if may_run {
        patient.findings.push(Finding::skipped("not tried, since it may run"));
    }
    patient
}

/// The upstreams that are meant, in the order of the file.
fn chosen<'a>(settings: &'a Settings, wanted: &Wanted) -> Vec<&'a Server> {
    let is_meant =
        |server: &&Server| wanted.upstreams.is_empty() || wanted.upstreams.contains(&server.name);
    settings.config().servers.iter().filter(is_meant).collect()
}

fn file(settings: &Settings) -> Check {
    let config = settings.config();
    let all = config.servers.len();
    let off = config.servers.iter().filter(|server| !server.enabled).count();
    let name = settings.file.as_ref().map_or_else(
        || "the built-in demo, for there is no file".to_owned(),
        |file| file.display().to_string(),
    );
    let servers = if all == 1 { "1 server".to_owned() } else { format!("{all} servers") };
    let disabled = if off == 0 { String::new() } else { format!(", {off} of them disabled") };
    let what = format!("{name}: {servers}{disabled}");
    let finding = match &settings.loaded.warnings[..] {
        [] => Finding::well(what),
        warnings => Finding {
            said: warnings.to_vec(),
            ..Finding::warning("configuration", format!("{what}, with warnings"), "correct it")
        },
    };
    Check::new("configuration", finding)
}

/// The mcplex that runs this configuration, if one does.
async fn find(settings: &Settings, places: &Places, report: &mut Report) -> Option<Found> {
    if !settings.config().gateway.control {
        let what = "`gateway.control` is off, so a running mcplex cannot be found";
        report.checks.push(Check::new("mcplex", Finding::skipped(what)));
        return None;
    }
    for path in places.sockets() {
        let mut pid = None;
        let answer = match Client::connect(&path).await {
            Ok(mut client) => {
                pid = client.pid();
                client.get("/v1/status").await
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(value) => match serde_json::from_value::<Snapshot>(value) {
                // Members that are missing are none of an mcplex.
                Ok(Snapshot { instance, upstreams }) if !instance.version.is_empty() => {
                    let version = instance.version.clone();
                    report.running = Some(Target { pid: instance.pid, version });
                    return Some(Found { instance, rows: upstreams });
                }
                Ok(_) | Err(_) => report.is_strange = true,
            },
            Err(silent @ ClientError::Silent { .. }) => {
                report.is_silent = true;
                report.checks.push(running::silent(&silent));
                return None;
            }
            Err(ClientError::NotRunning { .. }) => {}
            Err(_) => report.is_strange = true,
        }
        if report.is_strange {
            report.checks.push(running::strange(&path, pid));
            return None;
        }
    }
    let what = "none runs with this configuration; each server is tried alone";
    report.checks.push(Check::new("mcplex", Finding::well(what)));
    None
}

/// The mcplex that runs this configuration.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    instance: mcplex_admin::status::Instance,
    rows: Vec<UpstreamStatus>,
}

impl Found {
    /// What it says of an upstream: a row for each of its children.
    fn take(&mut self, name: &str) -> Vec<UpstreamStatus> {
        self.rows.extract_if(.., |row| row.name == name).collect()
    }
}

/// Milliseconds since a moment.
fn ms_since(begun: Instant) -> u64 {
    u64::try_from(now().saturating_duration_since(begun).as_millis()).unwrap_or(u64::MAX)
}

/// This moment: how long steps take is what a doctor is asked.
#[expect(clippy::disallowed_methods, reason = "told to people; only the word `slow` hangs on it")]
fn now() -> Instant {
    Instant::now()
}

/// Jitter matters to nobody here, but a seed has to be given.
fn seed() -> u64 {
    u64::from(std::process::id())
}
