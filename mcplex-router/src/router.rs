//! What all sessions and upstreams share: the catalog, the sessions, the links.

use crate::{
    arrival::Arrivals,
    catalog::Catalog,
    level::Level,
    link::Link,
    lists::{Kind, Lists},
    naming::{Naming, Rule},
    refresh,
    relay::Relay,
    session::{DownstreamSession, SessionNumber},
};
use mcplex_proto::{
    downstream::{Client, Gateway, Session},
    edit,
    message::{Message, Request},
    method,
    raw::Raw,
    upstream::{Upstream, UpstreamEvents, UpstreamName},
    version::Version,
};
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How a [`Router`] behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `name` in the `serverInfo` that clients see.
    pub name: String,
    /// The `version` beside it.
    pub version: String,
    /// When names get a prefix.
    pub naming: Naming,
    /// Stands between an upstream's name and its own; `__`, because model APIs refuse dots and
    /// slashes.
    pub separator: String,
    /// Clients hear at most one `list_changed` of a kind in this time; 1 s, so that a crash loop
    /// cannot make clients read their lists again and again.
    pub list_changed_interval: Duration,
    /// How long one page of an upstream's list may take; 30 s.
    pub list_timeout: Duration,
    /// How a `tools/call` to an upstream that is down is answered.
    pub down_reply: DownReply,
    /// How long a call by an unknown name waits for upstreams that are still starting; 5 s, as
    /// long as a call waits for the next life of an upstream.
    pub arrival_wait: Duration,
    /// How long a list waits for upstreams that are still starting; zero, because one slow
    /// upstream should delay no list. More helps clients that ignore `list_changed`.
    pub first_list_wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "mcplex".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            naming: Naming::default(),
            separator: "__".to_owned(),
            list_changed_interval: Duration::from_secs(1),
            list_timeout: Duration::from_secs(30),
            down_reply: DownReply::default(),
            arrival_wait: Duration::from_secs(5),
            first_list_wait: Duration::ZERO,
        }
    }
}

/// How a `tools/call` to an upstream that is down is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DownReply {
    /// A result with `isError`, which clients show to the model.
    #[default]
    Result,
    /// A JSON-RPC error.
    Error,
}

/// What the router needs of time.
pub trait Clock: Send + Sync + 'static {
    /// Resolves after `time`.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Many upstreams behind one face.
///
/// Made with the names of all upstreams; each is then connected by handing
/// [`Router::events`] to whoever supervises it and [`Router::attach`]ing the result.
#[derive(Clone, Debug)]
pub struct Router {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) rule: Rule,
    pub(crate) names: Vec<UpstreamName>,
    pub(crate) links: Vec<Link>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) arrivals: Arrivals,
    catalog: Mutex<Arc<Catalog>>,
    sessions: Mutex<BTreeMap<SessionNumber, Arc<DownstreamSession>>>,
    next_session: AtomicU64,
    pub(crate) changes: refresh::Changes,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Router {
    /// A router for these upstreams, in the order in which their lists are joined.
    #[must_use]
    pub fn new(options: Options, names: Vec<UpstreamName>, clock: Arc<dyn Clock>) -> Self {
        let links = names.iter().cloned().map(Link::new).collect();
        let lists: Vec<_> = names.iter().map(|_| Arc::new(Lists::default())).collect();
        let rule = Rule { naming: options.naming, separator: options.separator.clone() };
        let catalog = Catalog::build(&rule, &names, &lists);
        let shared = Shared {
            options,
            rule,
            arrivals: Arrivals::of(names.len()),
            names,
            links,
            clock,
            catalog: Mutex::new(Arc::new(catalog)),
            sessions: Mutex::default(),
            next_session: AtomicU64::new(1),
            changes: refresh::Changes::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Where the upstream with this index is to report what happens to it.
    ///
    /// # Panics
    /// When there is no such upstream.
    #[must_use]
    pub fn events(&self, index: usize) -> Arc<dyn UpstreamEvents> {
        assert!(index < self.shared.links.len(), "there are fewer upstreams");
        Arc::new(Relay::new(self.shared.clone(), index))
    }

    /// Connects the upstream with this index; only the first time counts.
    ///
    /// # Panics
    /// When there is no such upstream.
    pub fn attach(&self, index: usize, upstream: Arc<dyn Upstream>) {
        self.shared.links[index].attach(upstream);
    }

    /// Keeps the catalog up to date until it is dropped; must be polled.
    pub async fn run(&self) {
        refresh::run(self.shared.clone()).await;
    }
}

impl Gateway for Router {
    fn open(&self, client: Arc<dyn Client>) -> Arc<dyn Session> {
        let number = SessionNumber(self.shared.next_session.fetch_add(1, Ordering::Relaxed));
        let session = DownstreamSession::new(number, self.shared.clone(), client);
        lock(&self.shared.sessions).insert(number, session.clone());
        session
    }
}

impl Shared {
    /// The catalog of this moment.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        lock(&self.catalog).clone()
    }

    /// Joins all lists again; tells which kinds are others now.
    pub(crate) fn rebuild(&self) -> Vec<Kind> {
        let lists: Vec<_> = self.links.iter().map(Link::lists).collect();
        let new = Arc::new(Catalog::build(&self.rule, &self.names, &lists));
        let old = std::mem::replace(&mut *lock(&self.catalog), new.clone());
        Kind::ALL.into_iter().filter(|&kind| old.result(kind) != new.result(kind)).collect()
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

    /// The answer to `initialize`.
    pub(crate) fn greet(&self, version: Version) -> Raw {
        // All of it, whatever the upstreams have: they come and go after this answer.
        let capabilities = r#"{"logging":{},"completions":{},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"tools":{"listChanged":true}}"#;
        let me = edit::object([
            ("name", Raw::of(&self.options.name).as_str()),
            ("version", Raw::of(&self.options.version).as_str()),
        ]);
        let version = Raw::of(version.as_str());
        let mut members = vec![
            ("protocolVersion", version.as_str()),
            ("capabilities", capabilities),
            ("serverInfo", me.as_str()),
        ];
        let instructions = self.instructions();
        if let Some(instructions) = &instructions {
            members.push(("instructions", instructions.as_str()));
        }
        edit::object(members)
    }

    /// The most verbose level any client asked for.
    pub(crate) fn level(&self) -> Option<Level> {
        self.sessions().iter().filter_map(|session| lock(&session.state).level).min()
    }

    /// Asks all upstreams for as much of their logs as the most curious client wants.
    pub(crate) fn level_changed(&self) {
        let Some(level) = self.level() else { return };
        for link in &self.links {
            let can = link.lists().info.as_ref().is_some_and(|info| info.can("logging", None));
            if let (true, Some(upstream)) = (can, link.upstream()) {
                upstream.send(None, level.request(upstream.mint()));
            }
        }
    }

    /// Sends the same notification to every upstream.
    pub(crate) fn tell_upstreams(&self, message: &Message) {
        for upstream in self.links.iter().filter_map(Link::upstream) {
            upstream.send(None, message.clone());
        }
    }

    /// Ends the subscriptions of a client that has left.
    pub(crate) fn left(&self, session: SessionNumber) {
        for link in &self.links {
            let uris = link.unsubscribe_all(session);
            let Some(upstream) = link.upstream() else { continue };
            for uri in uris {
                let params = edit::object([("uri", Raw::of(&uri).as_str())]);
                let request = Request::new(upstream.mint(), method::UNSUBSCRIBE, Some(params));
                upstream.send(None, request.into());
            }
        }
    }

    /// The `instructions` of all upstreams, each under its name; of a single one as they are.
    pub(crate) fn instructions(&self) -> Option<Raw> {
        let all: Vec<_> = self
            .links
            .iter()
            .filter_map(|link| {
                let text = link.lists().info.as_ref()?.instructions.clone()?;
                Some((&link.name, text))
            })
            .collect();
        let text = match &all[..] {
            [] => return None,
            [(_, text)] if self.links.len() == 1 => text.clone(),
            several => {
                let parts: Vec<_> =
                    several.iter().map(|(name, text)| format!("# {name}\n\n{text}")).collect();
                parts.join("\n\n")
            }
        };
        Some(Raw::of(&text))
    }
}

/// Locks for a moment; no lock of this crate is held over a wait or another lock's user.
///
/// A panic elsewhere leaves plain tables behind, never half a change, so the data stay usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
