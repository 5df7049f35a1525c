//! Which tasks there are, as far as they are remembered: whose each is, and how it was last.
//!
//! The id of a task says all that a request about it needs, so what is forgotten here can still be
//! asked for. What needs the ledger is what no request names: the list of tasks, what is told of
//! them unasked, what one asks of a stateless client, and tasks that mcplex itself holds.

use crate::{
    asker::Asker,
    isolation::MemberKey,
    member::Member,
    router::lock,
    session::{DownstreamSession, SessionNumber},
    signal::Signal,
    talk::Talk,
};
use futures_channel::oneshot;
use futures_util::future::BoxFuture;
use mcplex_proto::{
    downstream::Principal, message::Outcome, raw::Raw, upstream::UpstreamName, version::Era,
};
use mcplex_translate::task::{Status, related};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

/// Tasks that are remembered; one takes about 2 KB, so all of them 8 MB. The oldest goes first.
const MAX_TASKS: usize = 4096;
/// The same of one principal, so that who makes many costs others none of theirs.
const MAX_OF_ONE: usize = 512;
/// What the results that mcplex holds itself may take together, in bytes: 16 MiB, some results of
/// the usual size for each client there may be.
const MAX_KEPT: usize = 16 * 1024 * 1024;

/// A task of an upstream's member by the id it has there, as JSON.
///
/// Upstreams name theirs by strings; what mcplex holds itself has a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) upstream: UpstreamName,
    pub(crate) member: MemberKey,
    id: String,
}

impl Key {
    pub(crate) fn new(upstream: UpstreamName, member: MemberKey, id: &Raw) -> Self {
        // Two ways to write one string are one id.
        let id = match id.get::<String>() {
            Some(text) => Raw::of(&text).as_str().to_owned(),
            None => id.as_str().to_owned(),
        };
        Self { upstream, member, id }
    }

    /// The id as JSON.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

/// Whose a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) principal: Principal,
    /// The session that made it.
    pub(crate) session: SessionNumber,
}

impl Owner {
    pub(crate) fn of(session: &DownstreamSession) -> Self {
        Self { principal: session.arrival.principal.clone(), session: session.number }
    }

    /// Whether this is another session of the same client: only a proven principal says that.
    fn is(&self, session: &DownstreamSession) -> bool {
        let is_proven = matches!(self.principal, Principal::Known(_));
        self.session == session.number || is_proven && self.principal == session.arrival.principal
    }
}

/// One task.
pub(crate) struct Record {
    pub(crate) key: Key,
    /// The id its client knows, as JSON.
    pub(crate) known: Raw,
    pub(crate) owner: Owner,
    /// Who made it.
    pub(crate) asker: Arc<Asker>,
    /// What it asks, where its client is stateless and its upstream has sessions.
    pub(crate) talk: Arc<Talk>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How it was last, as a session is told, under the id its client knows.
    told: Raw,
    /// What came of it, if mcplex holds that itself.
    kept: Option<Outcome>,
    /// A session's client took it back, and the upstream may not know yet.
    is_cancelled: bool,
    /// The request at the upstream on whose way its questions come.
    reader: Option<u64>,
    /// Ends that request, if it is one of our own.
    end: Option<oneshot::Sender<()>>,
    /// The progress token of the call it was made of, as JSON, and the last progress that was told.
    progress: Option<(Raw, f64)>,
    /// It is looked at for who listens to it.
    is_looked_at: bool,
    is_stale: bool,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Record {
    pub(crate) fn new(
        key: Key,
        known: Raw,
        owner: Owner,
        asker: Arc<Asker>,
        (told, kept): (Raw, Option<Outcome>),
    ) -> Self {
        let state = State {
            told,
            kept,
            is_cancelled: false,
            reader: None,
            end: None,
            progress: None,
            is_looked_at: false,
            is_stale: false,
        };
        let talk = Arc::default();
        Self { key, known, owner, asker, talk, state: Mutex::new(state) }
    }

    /// How it was last, as a session is told.
    pub(crate) fn told(&self) -> Raw {
        lock(&self.state).told.clone()
    }

    pub(crate) fn tell(&self, told: Raw) {
        lock(&self.state).told = told;
    }

    /// What came of it, if mcplex holds that itself.
    pub(crate) fn kept(&self) -> Option<Outcome> {
        lock(&self.state).kept.clone()
    }

    fn weight(&self) -> usize {
        match &lock(&self.state).kept {
            Some(Outcome::Result(raw) | Outcome::Error(raw)) => raw.as_str().len(),
            None => 0,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        let state = lock(&self.state);
        state.is_cancelled || Status::of(&state.told).is_over()
    }

    pub(crate) fn cancel(&self) {
        lock(&self.state).is_cancelled = true;
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        lock(&self.state).is_cancelled
    }

    /// Parameters of a question of it, under the id that its client knows.
    pub(crate) fn names(&self, params: Option<&Raw>) -> Raw {
        let params = params.cloned().unwrap_or_else(Raw::empty_object);
        related(&params, &self.known)
    }

    /// Notes on the way of which request its questions come, and how that is ended.
    pub(crate) fn read_by(&self, id: u64, end: Option<oneshot::Sender<()>>) {
        let mut state = lock(&self.state);
        (state.reader, state.end) = (Some(id), end);
    }

    /// Closes what it asks, as nobody can answer that any more.
    fn end(&self) {
        drop(lock(&self.state).end.take());
        self.talk.close("the task is no longer remembered");
    }

    /// That request, while it is open at this member.
    pub(crate) fn reader(&self, member: &Member) -> Option<u64> {
        let reader = lock(&self.state).reader;
        reader.filter(|id| member.flight(*id).is_some())
    }

    /// Its progress goes on under the token of its call, after what was told in that.
    pub(crate) fn progresses_under(&self, token: Raw, last: f64) {
        lock(&self.state).progress = Some((token, last));
    }

    /// Nothing is said of its progress any more.
    pub(crate) fn ends_progress(&self) {
        lock(&self.state).progress = None;
    }

    /// The token to tell this progress under: while it has not ended, and if that is further than
    /// before.
    pub(crate) fn progresses(&self, progress: f64) -> Option<Raw> {
        if self.is_over() {
            self.ends_progress();
        }
        let mut state = lock(&self.state);
        let (token, last) = state.progress.as_mut().filter(|(_, last)| progress > *last)?;
        *last = progress;
        Some(token.clone())
    }

    /// Whether somebody is to look at it: nobody does, or nobody did since it changed.
    pub(super) fn begin_look(&self) -> bool {
        let mut state = lock(&self.state);
        state.is_stale = true;
        !std::mem::replace(&mut state.is_looked_at, true)
    }

    /// Whether it changed since this was asked last; if not, nobody looks at it any more.
    pub(super) fn goes_on(&self) -> bool {
        let mut state = lock(&self.state);
        let is_stale = std::mem::replace(&mut state.is_stale, false);
        state.is_looked_at = is_stale;
        is_stale
    }
}

/// All tasks that are remembered.
#[derive(Default)]
pub(crate) struct Ledger {
    table: Mutex<Table>,
    /// What nobody waits for, until the router runs it: at most two things for each task, and one for
    /// each call that was run as one and given up.
    work: Mutex<Vec<BoxFuture<'static, ()>>>,
    pub(super) added: Signal,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// By age.
    all: BTreeMap<u64, Arc<Record>>,
    places: BTreeMap<Key, u64>,
    /// The last number that was given to a task of our own.
    own: u64,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Ledger {
    /// Remembers a task; what was known under its key is another one that is gone.
    pub(crate) fn note(&self, record: Record) -> Arc<Record> {
        let record = Arc::new(record);
        let (principal, weight) = (&record.owner.principal, record.weight());
        let is_its = |other: &Record| other.owner.principal == *principal;
        self.change(|table| {
            let mut gone: Vec<_> = table.forget(&record.key).into_iter().collect();
            while table.count(is_its) >= MAX_OF_ONE {
                gone.extend(table.forget_oldest(is_its));
            }
            while table.all.len() >= MAX_TASKS {
                gone.extend(table.forget_oldest(|_| true));
            }
            while weight > 0 && table.weight() > MAX_KEPT.saturating_sub(weight) {
                gone.extend(table.forget_oldest(|other| other.weight() > 0));
            }
            table.last += 1;
            let number = table.last;
            table.places.insert(record.key.clone(), number);
            table.all.insert(number, record.clone());
            gone
        });
        record
    }

    /// Changes the table, and ends what is no longer in it once nobody holds it.
    fn change(&self, change: impl FnOnce(&mut Table) -> Vec<Arc<Record>>) {
        let gone = change(&mut lock(&self.table));
        gone.iter().for_each(|record| record.end());
    }

    /// An id for a task that mcplex holds itself.
    pub(crate) fn mint(&self) -> Raw {
        let mut table = lock(&self.table);
        table.own += 1;
        Raw::of(&table.own)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Record>> {
        let table = lock(&self.table);
        table.all.get(table.places.get(key)?).cloned()
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.change(|table| table.forget(key).into_iter().collect());
    }

    /// Tasks of a client, oldest first, after the one with this key; nothing when there is no such.
    pub(crate) fn of_client(
        &self,
        session: &DownstreamSession,
        after: Option<&Key>,
        count: usize,
    ) -> Option<Vec<Arc<Record>>> {
        let table = lock(&self.table);
        let first = match after {
            Some(key) => table.places.get(key)? + 1,
            None => 0,
        };
        let its = table.all.range(first..).filter(|(_, record)| record.owner.is(session));
        Some(its.take(count).map(|(_, record)| record.clone()).collect())
    }

    /// All tasks of a member.
    pub(crate) fn of_member(&self, upstream: &UpstreamName, member: MemberKey) -> Vec<Arc<Record>> {
        let table = lock(&self.table);
        let is_its =
            |record: &&Arc<Record>| record.key.member == member && record.key.upstream == *upstream;
        table.all.values().filter(is_its).cloned().collect()
    }

    /// What the tasks of a member ask stateless clients.
    pub(crate) fn talks(&self, upstream: &UpstreamName, member: MemberKey) -> Vec<Arc<Talk>> {
        let all = self.of_member(upstream, member);
        all.iter().map(|record| record.talk.clone()).collect()
    }

    /// Forgets what only this session could have listed and heard of.
    pub(crate) fn left(&self, session: &DownstreamSession) {
        if matches!(session.arrival.principal, Principal::Known(_)) {
            return;
        }
        let is_its = |record: &&Arc<Record>| {
            record.owner.session == session.number && record.asker.era() == Era::Legacy
        };
        self.change(|table| {
            let keys = table.all.values().filter(is_its).map(|record| record.key.clone());
            let keys: Vec<_> = keys.collect();
            keys.iter().filter_map(|key| table.forget(key)).collect()
        });
    }

    /// Has something done that nobody waits for.
    pub(crate) fn later(&self, work: BoxFuture<'static, ()>) {
        lock(&self.work).push(work);
        self.added.raise();
    }

    pub(super) fn take_work(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut lock(&self.work))
    }
}

impl Table {
    fn forget(&mut self, key: &Key) -> Option<Arc<Record>> {
        self.all.remove(&self.places.remove(key)?)
    }

    fn forget_oldest(&mut self, is_meant: impl Fn(&Record) -> bool) -> Option<Arc<Record>> {
        let (_, found) = self.all.iter().find(|(_, record)| is_meant(record))?;
        let key = found.key.clone();
        self.forget(&key)
    }

    fn count(&self, is_meant: impl Fn(&Record) -> bool) -> usize {
        self.all.values().filter(|record| is_meant(record)).count()
    }

    fn weight(&self) -> usize {
        self.all.values().map(|record| record.weight()).sum()
    }
}
