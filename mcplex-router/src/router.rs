//! What all sessions and upstreams share: the catalog, the sessions, the links.

use crate::{
    arrival::Arrivals,
    catalog::Catalog,
    ghosts,
    isolation::{Isolation, MemberKey, Members, Place},
    level::Level,
    link::Link,
    lists::Kind,
    member::Member,
    memory::Memory,
    options::{Options, Propagate},
    places::Places,
    refresh,
    relay::Relay,
    seal::Seals,
    session::{DownstreamSession, SessionNumber},
    signal::Signal,
    spans::{self, Note},
    suspend::{self, Suspensions},
    tasks::{self, Ledger},
};
use futures_util::future::{join, join3};
use mcplex_proto::{
    audit::Auditor,
    downstream::{Arrival, Client, Gateway, Principal, Session, Stay},
    handshake::ServerInfo,
    header::HeaderParams,
    message::Notification,
    raw::Raw,
    upstream::{Upstream, UpstreamEvents, UpstreamName},
    version::Era,
};
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// What the router needs of time.
pub trait Clock: Send + Sync + 'static {
    /// Resolves after `time`.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// What the clock on the wall shows; only told, never decided by.
    fn wall(&self) -> SystemTime;
}

/// Tells the upstreams of one router apart; never used again, also not for an equal name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamKey(pub(crate) u64);

/// Many upstreams behind one face.
///
/// Upstreams come and go while it runs: [`Router::add`] gives one a place, [`Router::events`] goes
/// to whoever supervises it, and [`Router::attach`] takes the result.
#[derive(Clone, Debug)]
pub struct Router {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    options: Mutex<Arc<Options>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) arrivals: Arrivals,
    /// What the next catalog is made of. Held while it is made, so that an older one never takes a
    /// newer one's place; who only reads takes the catalog.
    links: Mutex<Vec<Arc<Link>>>,
    catalog: Mutex<Arc<Catalog>>,
    sessions: Mutex<BTreeMap<SessionNumber, Arc<DownstreamSession>>>,
    /// The places of those who ask without a session.
    places: Mutex<Places>,
    next_session: AtomicU64,
    next_link: AtomicU64,
    pub(crate) changes: refresh::Changes,
    pub(crate) seals: Seals,
    pub(crate) suspensions: Suspensions,
    /// Raised when a call was given up.
    pub(crate) given_up: Signal,
    /// Who hears of every call.
    pub(crate) auditor: OnceLock<Arc<dyn Auditor>>,
    pub(crate) ledger: Ledger,
    /// Raised when an upstream was added.
    pub(crate) added: Signal,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("links", &lock(&self.links).len()).finish_non_exhaustive()
    }
}

impl Router {
    /// A router without upstreams.
    ///
    /// # Panics
    /// When the operating system has no random numbers.
    #[must_use]
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        let catalog = Catalog::build(&options, Vec::new());
        let shared = Shared {
            options: Mutex::new(Arc::new(options)),
            arrivals: Arrivals::default(),
            links: Mutex::default(),
            clock,
            catalog: Mutex::new(Arc::new(catalog)),
            sessions: Mutex::default(),
            places: Mutex::default(),
            next_session: AtomicU64::new(1),
            next_link: AtomicU64::new(1),
            changes: refresh::Changes::default(),
            seals: Seals::random(),
            suspensions: Suspensions::default(),
            given_up: Signal::default(),
            auditor: OnceLock::new(),
            ledger: Ledger::default(),
            added: Signal::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Has every call told to somebody from now on; the first one who is named stays.
    pub fn audit(&self, auditor: Arc<dyn Auditor>) {
        let _is_first = self.shared.auditor.set(auditor).is_ok();
    }

    /// Gives an upstream a place behind all others; its name should be like none of theirs.
    #[must_use]
    pub fn add(&self, name: UpstreamName) -> UpstreamKey {
        let key = UpstreamKey(self.shared.next_link.fetch_add(1, Ordering::Relaxed));
        self.shared.arrivals.expect(key);
        self.shared.rearrange(|links| links.push(Arc::new(Link::new(key, name))));
        self.shared.added.raise();
        key
    }

    /// Takes an upstream away: nothing leads to it any more, and what it listed is gone.
    ///
    /// Calls that are in flight stay with whoever supervises it, and so do their answers.
    pub fn remove(&self, key: UpstreamKey) {
        let Some(link) = self.shared.link(key) else { return };
        self.shared.rearrange(|links| links.retain(|link| link.key != key));
        self.shared.arrivals.arrived(key);
        link.close();
    }

    /// Joins the lists in this order from now on; who is not named comes last, as before.
    pub fn order(&self, keys: &[UpstreamKey]) {
        let place = |link: &Arc<Link>| keys.iter().position(|key| *key == link.key);
        self.shared.rearrange(|links| {
            links.sort_by_key(|link| place(link).unwrap_or(keys.len()));
        });
    }

    /// Where whoever supervises an upstream is to report what happens to it.
    ///
    /// They are the events of the upstream that is attached next.
    ///
    /// # Panics
    /// When there is no such upstream, or no longer.
    #[must_use]
    pub fn events(&self, key: UpstreamKey) -> Arc<dyn UpstreamEvents> {
        let link = self.shared.link(key).expect("events are asked for between add and remove");
        let member = link.prepare();
        Arc::new(Relay::new(self.shared.clone(), link, member))
    }

    /// Sends all calls from now on to this upstream, whose events were asked for before.
    ///
    /// Attached again, it takes the place of the one before: its lists stay until the new one's
    /// were read, and the new one is told of subscriptions and log levels. Calls that are in flight
    /// stay where they are. Nothing happens once it was removed.
    pub fn attach(&self, key: UpstreamKey, upstream: Arc<dyn Upstream>) {
        if let Some(link) = self.shared.link(key) {
            link.attach(upstream);
        }
    }

    /// Has the lists of an upstream remembered here, and shows what is remembered of it until it
    /// was read itself; `true` when that is something.
    ///
    /// Another memory, for a changed configuration, gets what is read from then on.
    pub fn remember(&self, key: UpstreamKey, memory: Arc<dyn Memory>) -> bool {
        let Some(link) = self.shared.link(key) else { return false };
        let is_known = link.set_memory(memory);
        if is_known {
            self.shared.rebuild();
            self.shared.arrivals.arrived(key);
        }
        is_known
    }

    /// Shares the children of an upstream out in another way; at first all clients have one.
    ///
    /// `members` makes the others: the rest of a pool at once, a session's when it is called for.
    /// Whoever has a place in both ways stays. Nothing happens once it was removed.
    pub fn isolate(&self, key: UpstreamKey, isolation: Isolation, members: Arc<dyn Members>) {
        if let Some(link) = self.shared.link(key) {
            link.isolate(&self.shared, isolation, members);
        }
    }

    /// Says what of a caller's context an upstream gets from now on; at first the trace alone.
    pub fn propagate(&self, key: UpstreamKey, propagate: Propagate) {
        if let Some(link) = self.shared.link(key) {
            link.set_propagate(propagate);
        }
    }

    /// Behaves differently from now on; clients hear of lists that are others by that.
    ///
    /// Clients that were greeted keep the name and version they were told.
    pub fn set_options(&self, options: Options) {
        *lock(&self.shared.options) = Arc::new(options);
        self.shared.rebuild();
    }

    /// Whose tool clients call by this name, if one upstream has it.
    #[must_use]
    pub fn owner_of(&self, tool: &str) -> Option<UpstreamName> {
        let catalog = self.shared.catalog();
        let route = catalog.tool(tool).ok()?;
        Some(catalog.link(route.upstream).name.clone())
    }

    /// How many tools an upstream offers, as far as its lists were read.
    #[must_use]
    pub fn tools_of(&self, key: UpstreamKey) -> usize {
        self.shared.link(key).map_or(0, |link| link.lists().of(Kind::Tools).len())
    }

    /// A session that nobody but a bench uses.
    #[cfg(feature = "bench")]
    pub(crate) fn downstream(
        &self,
        client: Arc<dyn Client>,
        arrival: Arrival,
    ) -> Arc<DownstreamSession> {
        let number = SessionNumber(self.shared.next_session.fetch_add(1, Ordering::Relaxed));
        DownstreamSession::new(number, self.shared.clone(), client, arrival)
    }

    /// Keeps the catalog up to date, gives up calls that are suspended for too long, and reads what
    /// tasks ask, until it is dropped; must be polled.
    pub async fn run(&self) {
        let shared = &self.shared;
        let late = join3(suspend::watch(shared), ghosts::watch(shared), tasks::run(shared));
        join(refresh::run(shared.clone()), late).await;
    }
}

impl Gateway for Router {
    fn open(&self, client: Arc<dyn Client>, arrival: Arrival) -> Arc<dyn Session> {
        let number = SessionNumber(self.shared.next_number());
        let session = DownstreamSession::new(number, self.shared.clone(), client, arrival);
        lock(&self.shared.sessions).insert(number, session.clone());
        session
    }

    fn header_params(&self, tool: &str) -> Option<Arc<HeaderParams>> {
        self.shared.catalog().header_params(tool)
    }
}

impl Shared {
    /// The catalog of this moment.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        lock(&self.catalog).clone()
    }

    /// How it behaves at this moment.
    pub(crate) fn options(&self) -> Arc<Options> {
        lock(&self.options).clone()
    }

    /// An upstream that is there.
    fn link(&self, key: UpstreamKey) -> Option<Arc<Link>> {
        lock(&self.links).iter().find(|link| link.key == key).cloned()
    }

    /// Joins all lists again, and has clients told of those that are others now.
    pub(crate) fn rebuild(&self) {
        self.rearrange(|_| {});
    }

    /// The same after a change of which upstreams there are.
    fn rearrange(&self, change: impl FnOnce(&mut Vec<Arc<Link>>)) {
        let mut links = lock(&self.links);
        change(&mut links);
        let new = Arc::new(Catalog::build(&self.options(), links.clone()));
        let old = std::mem::replace(&mut *lock(&self.catalog), new.clone());
        drop(links);
        let differs = |kind: &Kind| old.differs(&new, *kind);
        let changed: Vec<_> = Kind::ALL.into_iter().filter(differs).collect();
        self.changes.note(&changed);
    }

    /// All sessions, oldest first.
    pub(crate) fn sessions(&self) -> Vec<Arc<DownstreamSession>> {
        lock(&self.sessions).values().cloned().collect()
    }

    pub(crate) fn session(&self, number: SessionNumber) -> Option<Arc<DownstreamSession>> {
        lock(&self.sessions).get(&number).cloned()
    }

    pub(crate) fn forget(&self, number: SessionNumber) {
        lock(&self.sessions).remove(&number);
    }

    /// Whose member a session uses where every client has its own.
    ///
    /// Numbers of sessions and of other places are never the same.
    pub(crate) fn place_of(&self, number: SessionNumber, arrival: &Arrival) -> Place {
        match arrival.stay {
            Stay::Long => Place(number.0),
            Stay::Request => self.place_without_session(&arrival.principal),
        }
    }

    fn place_without_session(&self, principal: &Principal) -> Place {
        let (place, forgotten) = { lock(&self.places).of(principal, || Place(self.next_number())) };
        if let Some(forgotten) = forgotten {
            for link in self.catalog().links() {
                link.forget(forgotten);
            }
        }
        place
    }

    /// A number that no session and no place has.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// Who mcplex says it is.
    pub(crate) fn identity(&self) -> Raw {
        self.catalog().offer.identity.clone()
    }

    /// The most verbose level that any client of a member asked for.
    pub(crate) fn level_for(&self, member: &Member) -> Option<Level> {
        let concerns = |session: &DownstreamSession| match member.key {
            MemberKey::Session(number) => session.number.0 == number,
            MemberKey::Call(_) => false,
            MemberKey::First | MemberKey::Pool(_) => true,
        };
        let sessions = self.sessions();
        let concerned = sessions.iter().filter(|session| concerns(session));
        concerned.filter_map(|session| lock(&session.state).level).chain(member.wish()).min()
    }

    /// Asks all upstreams for as much of their logs as the most curious client wants.
    pub(crate) fn level_changed(&self) {
        for link in self.catalog().links() {
            for member in link.members() {
                self.ask_for_log(link, &member);
            }
        }
    }

    /// Asks one member for as much of its log as its most curious client wants; a stateless one
    /// reads that in each call.
    pub(crate) fn ask_for_log(&self, link: &Link, member: &Member) {
        let Some(upstream) = member.upstream() else { return };
        let info = upstream.server_info().or_else(|| link.lists().info.clone());
        let has_log =
            |info: Arc<ServerInfo>| info.version.era() == Era::Legacy && info.can("logging", None);
        if info.is_some_and(has_log)
            && let Some(level) = self.level_for(member)
        {
            upstream.send(None, level.request(upstream.mint()));
        }
    }

    /// Sends a client's notification to every upstream, but to no other client's own member.
    pub(crate) fn tell_upstreams(&self, session: SessionNumber, told: &Notification, note: &Note) {
        self.tell_members(told, note, |key| match key {
            MemberKey::Session(number) => number == session.0,
            MemberKey::Call(_) => false,
            MemberKey::First | MemberKey::Pool(_) => true,
        });
    }

    /// Sends a client's notification to the members that are its own.
    pub(crate) fn tell_own(&self, session: SessionNumber, told: &Notification, note: &Note) {
        self.tell_members(told, note, |key| key == MemberKey::Session(session.0));
    }

    fn tell_members(&self, told: &Notification, note: &Note, is_meant: impl Fn(MemberKey) -> bool) {
        for link in self.catalog().links() {
            for member in link.members().into_iter().filter(|member| is_meant(member.key)) {
                // No notification of a client but a cancel is known to a stateless upstream.
                let is_told = member.era() != Some(Era::Modern);
                if let Some(upstream) = member.upstream().filter(|_| is_told) {
                    spans::to_upstream(link, &**upstream, note.context(), told.clone());
                }
            }
        }
    }

    /// Ends the subscriptions of a client that has left, and the members that were its own.
    pub(crate) fn left(&self, session: &DownstreamSession) {
        for link in self.catalog().links() {
            let uris = link.unsubscribe_all(session.number);
            link.leave(session.place);
            for uri in uris {
                refresh::subscribed(link, session.place, &uri, false);
            }
        }
    }
}

/// Locks for a moment; no lock of this crate is held over a wait or another lock's user.
///
/// A panic elsewhere leaves plain tables behind, never half a change, so the data stay usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
