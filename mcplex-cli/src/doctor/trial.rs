//! Starts one upstream alone: resolve, start, handshake, list, stop, each with its time.
//!
//! It is the supervisor of a gateway that starts it, with the same transport, guard and handshake, so
//! that what fails here fails there and the other way round. What differs: one life only, no probes,
//! nothing remembered, and nobody who calls.

use super::{
    cause,
    finding::{Finding, Patient, Step},
    lists, ms_since, now,
    progress::Progress,
    remote,
    watched::{Notebook, Watched},
};
use crate::{commands::check::find_program, tokens::Tokens, wire};
use mcplex_config::{Config, Reach, Server};
use mcplex_proto::{
    error::ErrorObject,
    handshake::title,
    message::{Message, Request, Response},
    method,
    raw::Raw,
    report::CrashReport,
    transport::CloseStep,
    upstream::{Health, Incarnation, Status, Upstream as _, UpstreamEvents, UpstreamName},
};
use mcplex_supervisor::{Handle, Host, Options, ProcessMemory, Restart, Spec, Starts, supervise};
use std::{future::Future, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// From here on a start is called slow: several times what a warm start takes on a busy machine, and
/// long enough to be waited for by a person.
const SLOW: Duration = Duration::from_secs(5);

/// How long the lists may take beyond the handshake's own limit.
const FOR_LISTS: Duration = Duration::from_secs(30);

/// How long one is watched after its lists: what crashes in a loop often answers first.
const WATCHED: Duration = Duration::from_millis(500);

/// How long a start may wait until the machine has room for it. Nothing else is started here that it
/// would have to wait for.
const FOR_ROOM: Duration = Duration::from_secs(10);

/// How much longer than its steps an end may take, for a busy host.
const SLACK: Duration = Duration::from_secs(5);

/// What an upstream reports before it is looked at; more are of no use.
const HEARD: usize = 64;

/// One trial.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    pub(crate) config: &'a Config,
    pub(crate) server: &'a Server,
    pub(crate) host: Host,
    /// Those of the gateway: a refresh token may be used once, and the next one must not be lost.
    pub(crate) tokens: Tokens,
    /// Instead of what its own limits allow.
    pub(crate) limit: Option<Duration>,
    pub(crate) progress: Progress,
    /// Whether somebody wants an end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// How a trial went until it was ended.
enum Outcome {
    /// Its lists were read, or not.
    Listed(lists::Listed),
    Died(Arc<CrashReport>),
    /// It was not done in the time there was.
    Late,
    /// Somebody wants an end.
    Interrupted,
}

impl Trial<'_> {
    /// Tries it, and notes what was found.
    pub(crate) async fn run(mut self, patient: &mut Patient) {
        if *self.stop.borrow() || !self.resolve(patient).await {
            return;
        }
        let Ok(name) = UpstreamName::new(&self.server.name) else { return };
        let notes = Notebook::default();
        let (heard_in, heard) = mpsc::channel(HEARD);
        let spec = self.spec(name, &notes);
        let client = spec.client_info.clone();
        let (handle, task) = supervise(spec, Arc::new(Ears(heard_in)));
        let mut task = pin!(task);
        let mut script = Script { handle: &handle, heard, notes: &notes, client };
        let (begun, limit) = (now(), self.limit());
        let outcome = tokio::select! {
            outcome = timeout(limit, script.run(patient, self.progress)) => {
                outcome.unwrap_or(Outcome::Late)
            }
            // It never ends unasked.
            () = &mut task => Outcome::Interrupted,
            _ = self.stop.wait_for(|stop| *stop) => Outcome::Interrupted,
        };
        if matches!(outcome, Outcome::Late) && !has_opened(patient) {
            script.steps(patient, begun, None, self.progress);
        }
        let is_gone = self.end(&handle, task, patient).await;
        self.judge(&outcome, &notes, is_gone, patient);
    }

    /// Finds what would be started, or where it is.
    async fn resolve(&self, patient: &mut Patient) -> bool {
        let begun = now();
        let found = match &self.server.reach {
            Reach::Process(process) => find_program(process)
                .map(|program| program.display().to_string())
                .map_err(|error| cause::of_start(&error)),
            Reach::Http(remote) => remote::resolve(&remote.url).await,
        };
        let is_found = found.is_ok();
        self.note(patient, "resolve", ms_since(begun), found.as_ref().ok().cloned());
        if let Err(finding) = found {
            patient.findings.push(finding);
            return false;
        }
        if let Reach::Http(words) = &self.server.reach {
            let begun = now();
            let reached = remote::reach(&words.url).await;
            self.note(patient, "reach", ms_since(begun), reached.as_ref().ok().cloned());
            if let Err(finding) = reached {
                patient.findings.push(finding);
                return false;
            }
        }
        is_found
    }

    /// One life, begun at once, of which nobody asks whether it is still there.
    fn spec(&self, name: UpstreamName, notes: &Notebook) -> Spec {
        let parts = wire::Parts {
            log: Arc::new(notes.clone()),
            verdicts: Arc::new(ProcessMemory::default()),
            tokens: self.tokens.clone(),
        };
        let spec = wire::spec(self.config, self.server, name, parts, &self.host, super::seed());
        Spec {
            transport: Arc::new(Watched::new(spec.transport, notes.clone())),
            options: Options {
                restart: Restart::Never,
                probe: None,
                idle_stop: None,
                start_wait: spec.options.start_wait.min(FOR_ROOM),
                ..spec.options
            },
            starts: Starts::Now,
            ..spec
        }
    }

    fn limit(&self) -> Duration {
        self.limit.unwrap_or_else(|| self.handshake_limit() + FOR_LISTS)
    }

    /// What a gateway would allow for its first start.
    fn handshake_limit(&self) -> Duration {
        let words = &self.server.supervise;
        match &self.server.reach {
            Reach::Process(process) if wire::installs(&process.command) => {
                words.first_handshake_timeout.max(words.handshake_timeout)
            }
            Reach::Process(_) | Reach::Http(_) => words.handshake_timeout,
        }
    }

    /// Ends it, and waits until nothing is left; `false` when something is.
    async fn end(
        &self,
        handle: &Handle,
        task: impl Future<Output = ()>,
        patient: &mut Patient,
    ) -> bool {
        let begun = now();
        handle.shutdown().await;
        let longest = wire::longest_end(&self.server.supervise) + SLACK;
        let is_gone = timeout(longest, task).await.is_ok();
        self.note(patient, "stop", ms_since(begun), None);
        is_gone
    }

    fn judge(&self, outcome: &Outcome, notes: &Notebook, is_gone: bool, patient: &mut Patient) {
        let notes = notes.read();
        let is_open = has_opened(patient);
        let findings = &mut patient.findings;
        let lines = || notes.lines.iter().cloned();
        match outcome {
            Outcome::Listed(listed) => {
                findings.extend(listed.failures.iter().map(|why| cause::of_list(why)));
                if listed.is_empty {
                    findings.push(cause::of_nothing());
                }
            }
            Outcome::Died(report) => {
                findings.push(match &self.server.reach {
                    Reach::Process(_) => cause::of_death(report, is_open),
                    Reach::Http(_) => remote::refused(notes.refusal.as_ref(), report),
                });
            }
            Outcome::Late => {
                let limit = self.limit();
                let finding = match is_open {
                    true => cause::of_late_lists(limit),
                    false if notes.starts == 0 => cause::of_no_room(limit),
                    false => cause::of_silence(limit, self.handshake_limit()),
                };
                findings.push(finding.saying(lines()));
            }
            Outcome::Interrupted => findings.push(Finding::skipped("interrupted")),
        }
        // What a server elsewhere answers that is none of MCP is told as its cause.
        if notes.noise > 0 && matches!(self.server.reach, Reach::Process(_)) {
            findings.push(cause::of_noise(notes.noise, notes.first_noise.as_deref()));
        }
        let ready = patient.steps.iter().filter(|step| matches!(step.step, "start" | "handshake"));
        let took = Duration::from_millis(ready.map(|step| step.ms).sum());
        if took >= SLOW && matches!(outcome, Outcome::Listed(_)) {
            findings.push(cause::of_slowness(took, self.handshake_limit()));
        }
        if !is_gone {
            findings.push(cause::of_no_end());
        } else if notes.close == Some(CloseStep::Kill) && matches!(outcome, Outcome::Listed(_)) {
            findings.push(cause::of_kill());
        }
    }

    fn note(&self, patient: &mut Patient, step: &'static str, ms: u64, what: Option<String>) {
        let shown = what.as_ref().map(|what| format!(": {what}")).unwrap_or_default();
        self.progress.say(&patient.upstream, &format!("{step} {ms} ms{shown}"));
        patient.steps.push(Step { step, ms, what });
    }
}

/// Whether its session came about.
fn has_opened(patient: &Patient) -> bool {
    patient.steps.iter().any(|step| step.step == "handshake" && step.what.is_some())
}

/// What is done with a server that was started.
struct Script<'a> {
    handle: &'a Handle,
    heard: mpsc::Receiver<Heard>,
    notes: &'a Notebook,
    client: Raw,
}

impl Script<'_> {
    async fn run(&mut self, patient: &mut Patient, progress: Progress) -> Outcome {
        let begun = now();
        progress.say(&patient.upstream, "starting");
        if let Err(report) = self.opened().await {
            self.steps(patient, begun, None, progress);
            return Outcome::Died(report);
        }
        let Some(info) = self.handle.server_info() else { return Outcome::Late };
        let era = info.version.era();
        let who = title(info.implementation.as_str());
        let lives = self.notes.read().starts;
        let again = if lives > 1 { ", on its second start" } else { "" };
        let what = format!("{era}, {}, {who}{again}", info.version);
        self.steps(patient, begun, Some(what), progress);
        let begun = now();
        let (handle, client) = (self.handle, self.client.clone());
        let listed = tokio::select! {
            listed = lists::read(handle, &info, &client) => listed,
            report = self.death() => return Outcome::Died(report),
        };
        let ms = ms_since(begun);
        let what = listed.sentence();
        progress.say(&patient.upstream, &format!("list {ms} ms: {what}"));
        patient.steps.push(Step { step: "list", ms, what: Some(what) });
        match timeout(WATCHED, self.death()).await {
            Ok(report) => Outcome::Died(report),
            Err(_) => Outcome::Listed(listed),
        }
    }

    /// Waits until it dies, which the lists could only call a failed call.
    async fn death(&mut self) -> Arc<CrashReport> {
        while let Some(heard) = self.heard.recv().await {
            match heard {
                Heard::Died(report) => return report,
                Heard::Asked(from, request) => answer(self.handle, from, request),
                Heard::Changed(_) => {}
            }
        }
        // Its task has ended, which its owner sees.
        std::future::pending().await
    }

    /// Waits until it is ready, or has died for good.
    async fn opened(&mut self) -> Result<(), Arc<CrashReport>> {
        let mut last = None;
        while let Some(heard) = self.heard.recv().await {
            match heard {
                Heard::Changed(Health::Ready) => return Ok(()),
                // One that ended when it was asked for its era is started again, as in a gateway.
                Heard::Died(report) if report.is_counted || self.has_not_begun() => {
                    return Err(report);
                }
                Heard::Died(report) => last = Some(report),
                Heard::Changed(Health::Tripped | Health::Stopped) => {
                    if let Some(report) = last.take() {
                        return Err(report);
                    }
                }
                Heard::Changed(Health::Degraded | Health::Idle | Health::Recovering) => {}
                Heard::Asked(from, request) => answer(self.handle, from, request),
            }
        }
        // Its task has ended, which its owner sees.
        std::future::pending().await
    }

    /// Whether the machine lacks something: a gateway waits until that is over, and a person wants to
    /// know it.
    fn has_not_begun(&self) -> bool {
        let notes = self.notes.read();
        notes.starts == 0 || notes.refusal.is_some()
    }

    /// How long its start and its handshake took.
    fn steps(
        &self,
        patient: &mut Patient,
        begun: tokio::time::Instant,
        what: Option<String>,
        progress: Progress,
    ) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let Some((start, done)) = self.notes.read().started else {
            progress.say(&patient.upstream, &format!("start {} ms", ms_since(begun)));
            patient.steps.push(Step { step: "start", ms: ms_since(begun), what: None });
            return;
        };
        let handshake = ms_since(done);
        let shown = what.as_deref().unwrap_or("no session");
        progress.say(&patient.upstream, &format!("start {} ms", ms(start)));
        progress.say(&patient.upstream, &format!("handshake {handshake} ms: {shown}"));
        patient.steps.push(Step { step: "start", ms: ms(start), what: None });
        patient.steps.push(Step { step: "handshake", ms: handshake, what });
    }
}

/// What an upstream reports.
enum Heard {
    Changed(Health),
    Died(Arc<CrashReport>),
    Asked(Incarnation, Request),
}

/// Passes on what an upstream reports; what does not fit is of a server that talks too much.
struct Ears(mpsc::Sender<Heard>);

impl Ears {
    fn hear(&self, heard: Heard) {
        // Past the end of a trial nobody listens.
        let _is_heard: Result<(), _> = self.0.try_send(heard);
    }
}

impl UpstreamEvents for Ears {
    fn message(&self, from: Incarnation, message: Message, _: Option<u64>) {
        if let Message::Request(request) = message {
            self.hear(Heard::Asked(from, request));
        }
    }

    fn changed(&self, status: Status) {
        self.hear(Heard::Changed(status.health));
    }

    fn died(&self, report: Arc<CrashReport>) {
        self.hear(Heard::Died(report));
    }
}

/// Some servers ask for roots before they answer anything.
fn answer(handle: &Handle, from: Incarnation, request: Request) {
    let response = match &*request.method {
        method::ROOTS_LIST => {
            Response::result(request.id, Raw::of(&serde_json::json!({ "roots": [] })))
        }
        method::PING => Response::result(request.id, Raw::empty_object()),
        other => Response::error(Some(request.id), &ErrorObject::method_not_found(other)),
    };
    handle.send(Some(from), response.into());
}
