//! Keeps the catalog up to date and tells clients when it changed.
//!
//! One loop per upstream reads the lists that went stale, so a slow upstream delays no other. One
//! more loop tells the clients: at once, and then at most once per interval, and only of lists
//! that are others now or of which the upstream itself says so. A crash loop that comes back with
//! the same tools is never heard of.

use crate::{
    hop::Introduction,
    isolation::Place,
    link::{Link, Stale},
    listen,
    lists::{self, Asking, Kind, ListError},
    member::Member,
    router::{Shared, lock},
    signal::Signal,
    spans::{self, Why},
    watch,
};
use futures_channel::mpsc;
use futures_util::{
    StreamExt as _,
    future::{Either, join, select},
    stream::FuturesUnordered,
};
use mcplex_proto::{
    attr, edit,
    handshake::ServerInfo,
    message::{Notification, Request},
    method,
    raw::Raw,
    upstream::{Upstream, UpstreamError},
    version::Era,
};
use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tracing::Span;

/// Lists that changed and of which clients do not know yet.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pending: Mutex<BTreeSet<&'static str>>,
    signal: Signal,
}

impl Changes {
    pub(crate) fn note(&self, kinds: &[Kind]) {
        if !kinds.is_empty() {
            lock(&self.pending).extend(kinds.iter().map(|&kind| changed_method(kind)));
            self.signal.raise();
        }
    }
}

fn changed_method(kind: Kind) -> &'static str {
    match kind {
        Kind::Tools => method::TOOLS_CHANGED,
        Kind::Prompts => method::PROMPTS_CHANGED,
        Kind::Resources | Kind::Templates => method::RESOURCES_CHANGED,
    }
}

/// Runs until it is dropped; a second run at the same time does nothing.
pub(crate) async fn run(shared: Arc<Shared>) {
    join(follow_all(&shared), announce(&shared)).await;
}

/// Follows every upstream, also those that are added later, until it is removed.
async fn follow_all(shared: &Shared) {
    let Some(mut added) = shared.added.listen() else { return };
    let mut loops = FuturesUnordered::new();
    loop {
        for link in shared.catalog().links() {
            if let (Some(stale), Some(watch)) = (link.signal.listen(), link.watch.listen()) {
                let watching = watch::follow(shared, link.clone(), watch);
                loops.push(join(follow(shared, link.clone(), stale), watching));
            }
        }
        // One that ended is taken out; what matters here is that more may have come.
        if loops.is_empty() {
            added.next().await;
        } else {
            select(added.next(), loops.next()).await;
        }
    }
}

async fn follow(shared: &Shared, link: Arc<Link>, mut signals: mpsc::Receiver<()>) {
    let mut expiry: Option<Expiry> = None;
    loop {
        match expiry.take() {
            None if signals.next().await.is_none() => return,
            None => {}
            Some(Expiry { kinds, time }) => match select(signals.next(), time).await {
                Either::Left((None, _)) => return,
                Either::Left((Some(()), time)) => expiry = Some(Expiry { kinds, time }),
                Either::Right(((), _)) => {
                    link.expire(&kinds);
                    continue;
                }
            },
        }
        for member in link.members() {
            restore(shared, &link, &member);
        }
        // What is stale stays so until there is somebody to ask: nothing is started for it.
        let Some(reader) = link.reader() else { continue };
        let Some(upstream) = reader.upstream() else { continue };
        let Some(info) = upstream.server_info() else { continue };
        let stale = link.take_stale();
        let before = link.lists();
        let connect = link.take_connect(reader.key);
        let is_whole = read(shared, &link, &**upstream, (info, connect), stale).await;
        // Half of it would be taken for all of it after the next start.
        if is_whole {
            link.remember(!link.lists().is_like(&before));
        }
        shared.arrivals.arrived(link.key);
        if stale.contains(&true) {
            expiry = Expiry::of(shared, &link, &reader);
        }
    }
}

/// When lists of a stateless upstream are older than it vouches for, and it tells of no changes.
struct Expiry {
    kinds: Vec<Kind>,
    time: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Expiry {
    fn of(shared: &Shared, link: &Link, reader: &Member) -> Option<Self> {
        let lists = link.lists();
        let info = lists.info.as_ref().filter(|info| info.version.era() == Era::Modern)?;
        let is_silent =
            |kind: &Kind| info.can(kind.capability(), None) && !watch::tells(reader, *kind);
        let kinds: Vec<_> = Kind::ALL.into_iter().filter(is_silent).collect();
        let ttl = kinds.iter().map(|&kind| lists.hints[kind as usize].ttl_ms).min()?;
        Some(Self { kinds, time: shared.clock.sleep(Duration::from_millis(ttl)) })
    }
}

/// Reads the stale lists and shows each as soon as it is there; what cannot be read stays as it was
/// last known. `true` when everything could be read.
async fn read(
    shared: &Shared,
    link: &Link,
    upstream: &dyn Upstream,
    (info, connect): (Arc<ServerInfo>, Option<Span>),
    stale: Stale,
) -> bool {
    let options = shared.options();
    let how = Asking {
        timeout: options.list_timeout,
        own: Introduction::own(&options),
        why: if connect.is_some() { Why::Connect } else { Why::Upkeep },
        tells_trace: link.propagate().trace,
    };
    let kinds = Kind::ALL.into_iter().filter(|&kind| stale[kind as usize]);
    let said = link.take_said();
    let fetches: FuturesUnordered<_> = kinds
        .map(|kind| {
            let (info, how) = (&info, &how);
            async move { (kind, lists::fetch(upstream, info, kind, how).await) }
        })
        .collect();
    let mut lists = (*link.lists()).clone();
    lists.info = Some(info.clone());
    // What comes at once is shown at once.
    let mut is_whole = true;
    let mut fetched = fetches.ready_chunks(Kind::ALL.len());
    while let Some(chunk) = fetched.next().await {
        let mut told = Vec::new();
        for (kind, result) in chunk {
            match result {
                Ok(listed) => {
                    lists.items[kind as usize] = listed.items;
                    lists.hints[kind as usize] = listed.hints;
                    told.extend(said[kind as usize].then_some(kind));
                }
                Err(error) => {
                    if let (true, Some(connect)) = (is_whole, &connect) {
                        spans::not_listed(connect, &error);
                    }
                    is_whole = false;
                    unread(link, kind, &error);
                }
            }
        }
        link.set_lists(lists.clone());
        shared.rebuild();
        // What its tools do may have changed while what it lists did not.
        shared.changes.note(&told);
    }
    if let Some(connect) = connect {
        connect.record(attr::TOOL_COUNT, link.lists().of(Kind::Tools).len());
    }
    is_whole
}

/// Says why a list was not read, and has it read again where nothing else will.
fn unread(link: &Link, kind: Kind, error: &ListError) {
    let upstream = &link.name;
    let list = kind.member();
    match error {
        ListError::Upstream(UpstreamError::Timeout { .. }) => {
            tracing::warn!(%upstream, list, %error, "a list is read again");
            link.mark(|stale| stale[kind as usize] = true);
        }
        // The next life is asked again.
        ListError::Upstream(_) => {
            tracing::debug!(%upstream, list, %error, "a list was not read");
        }
        ListError::Refused { .. } | ListError::Malformed { .. } => {
            tracing::warn!(%upstream, list, %error,
                "a list cannot be read; the last known one stays");
        }
    }
}

/// Tells a new life what the one before it knew of subscriptions and the log level.
fn restore(shared: &Shared, link: &Link, member: &Member) {
    let Some(upstream) = member.upstream().filter(|_| member.is_live()) else { return };
    if !member.take_fresh() {
        return;
    }
    if member.era() == Some(Era::Modern) {
        return link.watch.raise();
    }
    let uris = link.subscriptions(member.key);
    for uri in &uris {
        subscribe(&**upstream, method::SUBSCRIBE, uri);
    }
    if member.take_missed() {
        listen::missed(shared, link, member, &uris);
    }
    shared.ask_for_log(link, member);
}

/// Tells the member that is at home in a place that somebody wants to hear of a resource, or that
/// nobody does any more; nobody waits for what it says to that.
pub(crate) fn subscribed(link: &Link, place: Place, uri: &str, is_wanted: bool) {
    let Some(member) = link.member(link.home(place)) else { return };
    if !is_wanted && link.subscriptions(member.key).is_empty() {
        member.forget_guests();
    }
    let Some(upstream) = member.upstream() else { return };
    let method = if is_wanted { method::SUBSCRIBE } else { method::UNSUBSCRIBE };
    match member.era() {
        Some(Era::Modern) => link.watch.raise(),
        Some(Era::Legacy) => subscribe(&**upstream, method, uri),
        // Its first life is told when it is there.
        None => {}
    }
}

fn subscribe(upstream: &dyn Upstream, method: &'static str, uri: &str) {
    let params = edit::object([("uri", Raw::of(uri).as_str())]);
    upstream.send(None, Request::new(upstream.mint(), method, Some(params)).into());
}

async fn announce(shared: &Shared) {
    let Some(mut signals) = shared.changes.signal.listen() else { return };
    while signals.next().await.is_some() {
        let methods = std::mem::take(&mut *lock(&shared.changes.pending));
        for session in shared.sessions() {
            let is_ready = session.is_ready();
            for &method in &methods {
                if is_ready {
                    session.notify(Notification::new(method, None), None, (None, None));
                }
                session.tell_listeners(method);
            }
        }
        shared.clock.sleep(shared.options().list_changed_interval).await;
    }
}
