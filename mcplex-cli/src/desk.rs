//! What operators get to see and to move: every upstream with its handle, what was seen of it, its
//! log and its crash reports.
//!
//! It listens in on what an upstream reports on its way to the router, so that it knows since when
//! something is so. Nothing here is on the way of a message.

mod past;

pub(crate) use self::past::Seen;

use self::past::Tee;
use crate::{family::View, journals::Journals, reload::Reloader, settings};
use async_trait::async_trait;
use mcplex_admin::{
    Operator,
    calls::Calls,
    control::Kept,
    crashes::Crashes,
    events::Events,
    logs::Logs,
    operator::{Refused, Reloaded, Setting, Verb},
    status::{Breaker, Instance, UpstreamStatus},
    store::Store,
};
use mcplex_config::{Loaded, Reach, Server};
use mcplex_proto::{
    redact::redact,
    trace::TraceContext,
    transport::LogSink,
    upstream::{Health, Status, Upstream as _, UpstreamEvents, UpstreamName},
};
use mcplex_router::{Router, UpstreamKey};
use mcplex_supervisor::Handle;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// How much longer than its steps a verb may take, for a busy host.
const SLACK: Duration = Duration::from_secs(5);

/// The operators' view of this process; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Desk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    instance: Mutex<Instance>,
    rows: Mutex<Arc<[Row]>>,
    changes: watch::Sender<u64>,
    crashes: Crashes,
    logs: Logs,
    events: Events,
    calls: Calls,
    /// Every setting that is in force.
    settings: Mutex<Vec<Setting>>,
    attached: watch::Sender<usize>,
    /// Of the configuration that runs.
    fingerprint: Mutex<String>,
    reloader: Reloader,
    journals: Journals,
    /// Holds the folder for logs and reports, if they are on disk.
    _store: Option<Store>,
}

/// One upstream.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    key: UpstreamKey,
    handle: Handle,
    router: Router,
    is_enabled: bool,
    is_lazy: bool,
    /// Where it is, if it runs elsewhere.
    url: Option<String>,
    max_deaths: u32,
    window: Duration,
    probation: Duration,
    patience: Duration,
    seen: Seen,
    /// Its other children.
    family: View,
}

impl Desk {
    /// A desk without upstreams.
    pub(crate) fn new(
        instance: Instance,
        crashes: Crashes,
        logs: Logs,
        journals: Journals,
        store: Option<Store>,
        reloader: Reloader,
    ) -> Self {
        let started_ms = unix_ms(wall_clock());
        let (changes, _) = watch::channel(0);
        let (attached, _) = watch::channel(0);
        Self(Arc::new(Shared {
            instance: Mutex::new(Instance { started_ms, ..instance }),
            rows: Mutex::new(Arc::default()),
            changes,
            crashes,
            logs,
            events: Events::default(),
            calls: Calls::begin(),
            settings: Mutex::default(),
            attached,
            fingerprint: Mutex::default(),
            reloader,
            journals,
            _store: store,
        }))
    }

    /// Waits a moment until what is kept has reached the disk.
    pub(crate) fn flush(&self) {
        self.0.logs.flush();
        self.0.crashes.flush();
    }

    /// What is remembered for operators.
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            crashes: self.0.crashes.clone(),
            logs: self.0.logs.clone(),
            events: self.0.events.clone(),
            calls: self.0.calls.clone(),
        }
    }

    /// These settings are in force now, but for those that wait for a restart.
    pub(crate) fn describe(&self, loaded: &Loaded, waiting: &[String]) {
        let mut settings = lock(&self.0.settings);
        let before = std::mem::take(&mut *settings);
        let now = loaded.settings().iter().filter_map(|setting| {
            if waiting.contains(&setting.key) {
                return before.iter().find(|before| before.key == setting.key).cloned();
            }
            let value = settings::shown(setting);
            Some(Setting { key: setting.key.clone(), value, origin: setting.origin.clone() })
        });
        *settings = now.collect();
    }

    /// How many clients are attached.
    pub(crate) fn attached(&self) -> &watch::Sender<usize> {
        &self.0.attached
    }

    /// Resolves when nobody is attached.
    pub(crate) async fn nobody_attached(&self) {
        let mut attached = self.0.attached.subscribe();
        // The sender is in this very desk.
        let _is_nobody = attached.wait_for(|count| *count == 0).await.is_ok();
    }

    /// Listens in on the events of an upstream, or of one of its children beside the first.
    pub(crate) fn listen_in(
        &self,
        name: &UpstreamName,
        member: Option<&str>,
        seen: &Seen,
        events: Arc<dyn UpstreamEvents>,
    ) -> Arc<dyn UpstreamEvents> {
        let log = self.0.logs.of(name.as_str());
        let (upstream, member) = (name.clone(), member.map(str::to_owned));
        Arc::new(Tee { desk: self.clone(), upstream, member, seen: seen.clone(), log, events })
    }

    /// Where an upstream's stderr goes.
    pub(crate) fn log(&self, name: &UpstreamName) -> Arc<dyn LogSink> {
        Arc::new(self.0.logs.of(name.as_str()))
    }

    /// What a process must have in common with this one to attach.
    pub(crate) fn fingerprint(&self) -> String {
        lock(&self.0.fingerprint).clone()
    }

    /// These are the upstreams from now on, in the order of the configuration.
    pub(crate) fn show(&self, rows: Vec<Row>, fingerprint: String) {
        self.0.events.keep(rows.iter().map(|row| row.handle.name().as_str()));
        *lock(&self.0.rows) = rows.into();
        *lock(&self.0.fingerprint) = fingerprint;
        self.changed();
    }

    /// These settings of the file wait for a restart.
    pub(crate) fn wait_for_restart(&self, settings: Vec<String>) {
        lock(&self.0.instance).needs_restart = settings;
    }

    fn rows(&self) -> Arc<[Row]> {
        lock(&self.0.rows).clone()
    }

    fn row(&self, name: &str) -> Option<Row> {
        self.rows().iter().find(|row| row.handle.name().as_str() == name).cloned()
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Row {
    /// An upstream with what the configuration says of it.
    pub(crate) fn new(
        server: &Server,
        (key, handle, seen, family): (UpstreamKey, Handle, Seen, View),
        router: Router,
    ) -> Self {
        let words = &server.supervise;
        let end = words.grace_eof + words.grace_term + words.grace_kill;
        let handshake = words.handshake_timeout.max(words.first_handshake_timeout);
        Self {
            key,
            handle,
            router,
            is_enabled: server.enabled,
            is_lazy: words.lazy,
            url: match &server.reach {
                Reach::Process(_) => None,
                Reach::Http(remote) => Some(redact(remote.shown_url()).into_owned()),
            },
            max_deaths: words.max_deaths,
            window: words.window,
            probation: words.probation,
            patience: end + words.start_wait + handshake + SLACK,
            seen,
            family,
        }
    }

    /// Of the first child, then of the others.
    fn statuses(&self) -> Vec<UpstreamStatus> {
        let others = self.family.open().into_iter().map(|(key, handle, seen)| {
            let member = key.label(handle.name());
            self.status_of(Some(member), &handle, &seen)
        });
        std::iter::once(self.status()).chain(others).collect()
    }

    fn status(&self) -> UpstreamStatus {
        self.status_of(None, &self.handle, &self.seen)
    }

    fn status_of(&self, member: Option<String>, handle: &Handle, seen: &Seen) -> UpstreamStatus {
        let status = handle.status();
        let is_up = matches!(status.health, Health::Ready | Health::Degraded);
        let version = handle.server_info().filter(|_| is_up).map(|info| info.version);
        let past = lock(&seen.0);
        UpstreamStatus {
            name: handle.name().as_str().to_owned(),
            member,
            is_enabled: self.is_enabled,
            is_lazy: self.is_lazy,
            health: status.health,
            has_left: status.has_left,
            breaker: breaker(&status, past.is_trial, self.probation),
            reason: status.reason.as_deref().map(str::to_owned),
            pid: status.pid,
            url: self.url.clone(),
            incarnation: status.incarnation.0,
            since_ms: past.since_ms,
            trouble_since_ms: past.trouble_since(&status, unix_ms(wall_clock())),
            uptime_ms: status.uptime.map(ms),
            protocol: version.map(|version| version.to_string()),
            era: version.map(|version| version.era().to_string()),
            deaths: status.deaths,
            max_deaths: self.max_deaths,
            window_ms: ms(self.window),
            trips: status.trips,
            retry_after_ms: status.retry_after.map(ms),
            patience_ms: ms(self.patience),
            tools: self.router.tools_of(self.key),
            in_flight: status.in_flight,
            last_error: status.last_error.as_deref().map(str::to_owned),
        }
    }
}

/// A trial is on until it was ready for the time of its probation.
fn breaker(status: &Status, is_trial: bool, probation: Duration) -> Breaker {
    match status.health {
        Health::Tripped => Breaker::Open,
        Health::Recovering if is_trial => Breaker::HalfOpen,
        Health::Ready | Health::Degraded
            if is_trial && status.uptime.is_some_and(|up| up < probation) =>
        {
            Breaker::HalfOpen
        }
        Health::Ready | Health::Degraded | Health::Idle | Health::Recovering | Health::Stopped => {
            Breaker::Closed
        }
    }
}

#[async_trait]
impl Operator for Desk {
    fn instance(&self) -> Instance {
        let attached = *self.0.attached.borrow();
        let fingerprint = self.fingerprint();
        let lost = mcplex_telemetry::lost();
        let (lost_spans, lost_records) = (lost.spans, lost.records);
        let (lost_log, lost_audit) = self.0.journals.lost();
        let known = lock(&self.0.instance).clone();
        Instance { attached, fingerprint, lost_spans, lost_records, lost_log, lost_audit, ..known }
    }

    fn upstreams(&self) -> Vec<UpstreamStatus> {
        self.rows().iter().flat_map(Row::statuses).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    async fn tell(&self, upstream: &str, verb: Verb, request: Option<TraceContext>) {
        let Some(row) = self.row(upstream) else { return };
        tracing::info!(upstream, verb = verb.as_str(), "an operator's command");
        lock(&row.seen.0).is_trial = false;
        self.0.logs.of(upstream).note(wall_clock(), &format!("an operator's {verb}"));
        let others = row.family.open().into_iter().map(|(_, handle, _)| handle);
        for handle in std::iter::once(row.handle.clone()).chain(others) {
            match verb {
                Verb::Start => handle.start().await,
                Verb::Stop => handle.stop().await,
                Verb::Restart => handle.restart().await,
                Verb::Reset => handle.reset_for(request.clone()).await,
            }
        }
    }

    async fn reload(&self) -> Result<Reloaded, Refused> {
        match self.0.reloader.reload().await {
            Ok(difference) => Ok(Reloaded {
                text: difference.to_string(),
                added: difference.added,
                removed: difference.removed,
                changed: difference.changed,
                limits: difference.limits,
                untouched: difference.untouched,
                settings: difference.settings,
                needs_restart: difference.needs_restart,
            }),
            Err(failure) => Err(Refused {
                message: failure.sentence(),
                hint: failure.hint().map(str::to_owned),
            }),
        }
    }

    fn configuration(&self) -> Vec<Setting> {
        lock(&self.0.settings).clone()
    }

    fn patience(&self, upstream: &str) -> Duration {
        self.row(upstream).map_or(SLACK, |row| row.patience)
    }
}

/// What people call the time.
#[expect(clippy::disallowed_methods, reason = "told to people; nothing is decided by it")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

fn unix_ms(time: SystemTime) -> u64 {
    ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Locks for a moment, never over a wait.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
