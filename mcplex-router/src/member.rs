//! One child of an upstream as the router sees it, and its calls in flight.
//!
//! The first member lasts from one attachment to the next. Incarnations are numbered per member, so
//! whatever goes back to a life goes by its member.

use crate::{
    asker::Asker,
    ghosts::{Ghosts, Who},
    isolation::MemberKey,
    level::Level,
    router::lock,
    session::DownstreamSession,
    talk::Talk,
    tasks::Record,
    watch::Watch,
};
use mcplex_proto::{
    id::Id,
    raw::Raw,
    trace::TraceContext,
    upstream::{Health, Incarnation, Upstream},
    version::Era,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

#[derive(Debug, Default)]
pub(crate) struct Member {
    pub(crate) key: MemberKey,
    upstream: OnceLock<Arc<dyn Upstream>>,
    flights: Mutex<BTreeMap<u64, Flight>>,
    /// Tasks whose calls were answered when they were made, by the ids that those calls had: so long
    /// as a task goes on, so does what is said under the progress token of its call.
    tasks: Mutex<BTreeMap<u64, Weak<Record>>>,
    /// Whose calls were given up, and may still be worked on.
    pub(crate) ghosts: Mutex<Ghosts>,
    /// The last life that was seen ready.
    seen: Mutex<Incarnation>,
    /// Whether its life is known to run; read on every call.
    is_up: AtomicBool,
    /// What it is listened to for, if it is stateless.
    pub(crate) watch: Mutex<Watch>,
    /// The most verbose level that a stateless call to this life asked for.
    wish: Mutex<Option<Level>>,
    /// When it was asked for last, as a count.
    used: AtomicU64,
    /// Somebody's subscriptions are at home here.
    has_guests: AtomicBool,
    /// Changes of resources may have gone unheard, between two lives or two children.
    has_missed: AtomicBool,
    /// A life began that knows nothing of subscriptions and log levels.
    is_fresh: AtomicBool,
}

/// One call on its way, by the id it has at the upstream.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) session: Arc<DownstreamSession>,
    pub(crate) asker: Arc<Asker>,
    /// The id the client gave it.
    pub(crate) about: Id,
    /// The client's progress token as JSON.
    pub(crate) token: Option<Raw>,
    /// The task that it is run as, which few are.
    pub(crate) job: Option<Box<Job>>,
    /// The span of its request at the upstream.
    pub(crate) trace: Option<TraceContext>,
    /// The last progress that was passed on; later ones must be greater.
    pub(crate) progress: f64,
    /// Its call is suspended: no request of the client is open for it.
    pub(crate) is_parked: bool,
    /// What the upstream asks meanwhile, where it may ask a stateless client.
    pub(crate) talk: Option<Arc<Talk>>,
}

/// A call that is run as a task.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The id that the call had before, which is the token of its progress.
    token: u64,
    /// The id of the task at the upstream.
    task: Option<String>,
}

impl Flight {
    /// Whether its client can be asked something in it.
    fn may_be_asked(&self) -> bool {
        self.talk.is_some() || self.asker.era() == Era::Legacy
    }

    /// Whether its client wants log lines of this level with its answer.
    pub(crate) fn wants(&self, level: Level) -> bool {
        match self.asker.era() {
            Era::Legacy => self.session.wants(level),
            Era::Modern => !self.is_parked && self.asker.level.is_some_and(|least| level >= least),
        }
    }
}

impl Member {
    pub(crate) fn new(key: MemberKey) -> Self {
        Self { key, ..Self::default() }
    }

    /// Gives it the upstream it speaks for; `false` when it has one.
    pub(crate) fn attach(&self, upstream: Arc<dyn Upstream>) -> bool {
        self.upstream.set(upstream).is_ok()
    }

    /// The upstream, once it is attached; before that nothing leads to it.
    pub(crate) fn upstream(&self) -> Option<&Arc<dyn Upstream>> {
        self.upstream.get()
    }

    /// How it is, once it is attached.
    pub(crate) fn health(&self) -> Option<Health> {
        self.upstream().map(|upstream| upstream.status().health)
    }

    /// Whether it runs and has said what it is.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.health(), Some(Health::Ready | Health::Degraded))
            && self.upstream().is_some_and(|upstream| upstream.server_info().is_some())
    }

    /// Notes whether its life runs.
    pub(crate) fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Release);
    }

    /// Whether its life was said to run, for the price of a look.
    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// Whether this life was not seen ready before.
    pub(crate) fn sees(&self, incarnation: Incarnation) -> bool {
        let before = std::mem::replace(&mut *lock(&self.seen), incarnation);
        // What is wished before the first life is wished of that one.
        if before != incarnation && before != Incarnation::default() {
            *lock(&self.wish) = None;
            self.misses();
        }
        before != incarnation
    }

    /// Notes that a stateless call wants log lines from this level on; `true` when none before it
    /// wanted as many of this life.
    pub(crate) fn wishes(&self, level: Level) -> bool {
        let mut wish = lock(&self.wish);
        let is_more = wish.is_none_or(|before| level < before);
        if is_more {
            *wish = Some(level);
        }
        is_more
    }

    /// The most verbose level that stateless calls to this life asked for.
    pub(crate) fn wish(&self) -> Option<Level> {
        *lock(&self.wish)
    }

    /// Notes that it was asked for; `stays` says that something is set up in it.
    pub(crate) fn note_use(&self, now: u64, stays: bool) {
        self.used.store(now, Ordering::Relaxed);
        self.has_guests.fetch_or(stays, Ordering::Relaxed);
    }

    /// Notes that nothing is set up in it any more.
    pub(crate) fn forget_guests(&self) {
        self.has_guests.store(false, Ordering::Relaxed);
    }

    /// When it was asked for last, as a count.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether something was set up in it that lasts.
    pub(crate) fn has_guests(&self) -> bool {
        self.has_guests.load(Ordering::Relaxed)
    }

    /// Notes that its life must be told what clients want.
    pub(crate) fn freshen(&self) {
        self.is_fresh.store(true, Ordering::Release);
    }

    /// Notes that changes of resources may have gone unheard.
    pub(crate) fn misses(&self) {
        self.has_missed.store(true, Ordering::Release);
    }

    /// Whether changes of resources may have gone unheard; once.
    pub(crate) fn take_missed(&self) -> bool {
        self.has_missed.swap(false, Ordering::AcqRel)
    }

    /// Whether its life must be told what clients want; once.
    pub(crate) fn take_fresh(&self) -> bool {
        self.is_fresh.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn takes_off(&self, id: u64, flight: Flight) {
        lock(&self.flights).insert(id, flight);
    }

    /// A call goes on as this task under another id, and its progress under the old one.
    pub(crate) fn renumbers(&self, before: u64, id: u64, task: Option<String>) {
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.remove(&before) {
            let job = Some(Box::new(Job { token: before, task }));
            flights.insert(id, Flight { job, ..flight });
        }
    }

    /// The call that is run as this task, by the id it has at the upstream.
    pub(crate) fn flight_as(&self, task: &str) -> Option<u64> {
        let flights = lock(&self.flights);
        let is_it = |job: &Job| job.task.as_deref() == Some(task);
        let found = flights.iter().find(|(_, flight)| flight.job.as_deref().is_some_and(is_it));
        found.map(|(id, _)| *id)
    }

    /// A call is answered; what it was is given back.
    pub(crate) fn lands(&self, id: u64) -> Option<Flight> {
        lock(&self.flights).remove(&id)
    }

    /// Notes that what is said under the token of this call is from now on about a task. There are as
    /// many of them as the ledger holds tasks that go on.
    pub(crate) fn follows(&self, id: u64, task: &Arc<Record>) {
        let mut tasks = lock(&self.tasks);
        tasks.retain(|_, task| task.upgrade().is_some_and(|task| !task.is_over()));
        tasks.insert(id, Arc::downgrade(task));
    }

    /// The task that was made of this call, if it is still remembered.
    pub(crate) fn task_of(&self, id: u64) -> Option<Arc<Record>> {
        lock(&self.tasks).get(&id)?.upgrade()
    }

    /// A call is given up, and nobody says whether its upstream does the same; `true` when that has to
    /// be forgotten some time.
    pub(crate) fn gives_up(&self, id: u64) -> bool {
        let Some(flight) = lock(&self.flights).remove(&id) else { return false };
        lock(&self.ghosts).add(id, &flight.session);
        true
    }

    /// A call that was given up has its answer.
    pub(crate) fn answers_late(&self, id: u64) {
        lock(&self.ghosts).rest(id);
    }

    /// How many calls are in flight.
    pub(crate) fn flights(&self) -> usize {
        lock(&self.flights).len()
    }

    /// A call is suspended: nothing of it is told until a client goes on with it.
    pub(crate) fn parks(&self, id: u64) {
        if let Some(flight) = lock(&self.flights).get_mut(&id) {
            flight.is_parked = true;
            flight.token = None;
        }
    }

    /// What is asked in calls of stateless clients.
    pub(crate) fn talks(&self) -> Vec<Arc<Talk>> {
        lock(&self.flights).values().filter_map(|flight| flight.talk.clone()).collect()
    }

    /// The newest call in flight with its id, one in which the client can be asked if there is any, and
    /// else one that is not suspended; and whether all are of the same client. `None` without any.
    pub(crate) fn newest_flight(&self) -> Option<(u64, Flight, bool)> {
        let flights = lock(&self.flights);
        let open = || flights.iter().rev().filter(|(_, flight)| !flight.is_parked);
        let askable = open().find(|(_, flight)| flight.may_be_asked());
        let newest = askable.or_else(|| open().next());
        let (id, newest) = newest.or_else(|| flights.iter().next_back())?;
        let who = Who::of(&newest.session);
        let is_one = flights.values().all(|flight| Who::of(&flight.session) == who);
        Some((*id, newest.clone(), is_one && lock(&self.ghosts).are_of(&who)))
    }

    /// Whether no call of another client than this one may still be worked on.
    pub(crate) fn is_only(&self, session: &DownstreamSession) -> bool {
        lock(&self.ghosts).are_of(&Who::of(session))
    }

    /// A call in flight.
    pub(crate) fn flight(&self, id: u64) -> Option<Flight> {
        lock(&self.flights).get(&id).cloned()
    }

    /// The era its life belongs to, as far as it ever said.
    pub(crate) fn era(&self) -> Option<Era> {
        let info = self.upstream()?.server_info()?;
        Some(info.version.era())
    }

    /// The call a progress notification speaks of, if it may be passed on.
    pub(crate) fn progresses(&self, id: u64, progress: f64) -> Option<Flight> {
        let mut flights = lock(&self.flights);
        let id = match flights.contains_key(&id) {
            true => id,
            false => {
                let is_it = |job: &Job| job.token == id;
                let found =
                    flights.iter().find(|(_, flight)| flight.job.as_deref().is_some_and(is_it));
                *found?.0
            }
        };
        let flight = flights.get_mut(&id)?;
        if progress <= flight.progress {
            return None;
        }
        flight.progress = progress;
        Some(flight.clone())
    }
}
