//! Keeps the catalog up to date and tells clients when it changed.
//!
//! One loop per upstream reads the lists that went stale, so a slow upstream delays no other. One
//! more loop tells the clients: at once, and then at most once per interval, and only of lists
//! that are others now. A crash loop that comes back with the same tools is never heard of.

use crate::{
    link::{Link, Stale},
    lists::{self, Kind, ListError},
    router::{Shared, lock},
    signal::Signal,
};
use futures_util::{
    StreamExt as _,
    future::{join, join_all},
};
use mcplex_proto::{
    edit,
    handshake::ServerInfo,
    message::{Message, Notification, Request},
    method,
    raw::Raw,
    upstream::Upstream,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

/// Lists that changed and of which clients do not know yet.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pending: Mutex<BTreeSet<&'static str>>,
    signal: Signal,
}

impl Changes {
    fn note(&self, kinds: &[Kind]) {
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
    let links = join_all(shared.links.iter().map(|link| follow(&shared, link)));
    join(links, announce(&shared)).await;
}

async fn follow(shared: &Shared, link: &Link) {
    let Some(mut signals) = link.signal.listen() else { return };
    while signals.next().await.is_some() {
        // What is stale stays so until there is somebody to ask.
        let Some(upstream) = link.upstream() else { continue };
        let Some(info) = upstream.server_info() else { continue };
        let stale = link.take_stale();
        if stale.incarnation.is_some() {
            restore(shared, link, &**upstream, &info);
        }
        read(shared, link, &**upstream, info, stale).await;
        shared.changes.note(&shared.rebuild());
    }
}

/// Reads the stale lists; what cannot be read stays as it was last known.
async fn read(
    shared: &Shared,
    link: &Link,
    upstream: &dyn Upstream,
    info: Arc<ServerInfo>,
    stale: Stale,
) {
    let timeout = shared.options.list_timeout;
    let kinds = Kind::ALL.into_iter().filter(|&kind| stale.lists[kind as usize]);
    let fetched = join_all(kinds.map(|kind| {
        let info = &info;
        async move { (kind, lists::fetch(upstream, info, kind, timeout).await) }
    }));
    let mut lists = (*link.lists()).clone();
    for (kind, result) in fetched.await {
        match result {
            Ok(items) => lists.items[kind as usize] = items,
            // The next life is asked again.
            Err(ListError::Upstream(error)) => {
                tracing::debug!(upstream = %link.name, list = kind.member(), %error,
                    "a list was not read");
            }
            Err(error) => {
                tracing::warn!(upstream = %link.name, list = kind.member(), %error,
                    "a list cannot be read; the last known one stays");
            }
        }
    }
    lists.info = Some(info);
    link.set_lists(lists);
}

/// Tells a new life what the one before it knew of subscriptions and the log level.
fn restore(shared: &Shared, link: &Link, upstream: &dyn Upstream, info: &ServerInfo) {
    for uri in link.subscriptions() {
        let params = edit::object([("uri", Raw::of(&uri).as_str())]);
        let request = Request::new(upstream.mint(), method::SUBSCRIBE, Some(params));
        upstream.send(None, request.into());
    }
    if let Some(level) = shared.level()
        && info.can("logging", None)
    {
        upstream.send(None, level.request(upstream.mint()));
    }
}

async fn announce(shared: &Shared) {
    let Some(mut signals) = shared.changes.signal.listen() else { return };
    while signals.next().await.is_some() {
        let methods = std::mem::take(&mut *lock(&shared.changes.pending));
        for session in shared.sessions().into_iter().filter(|session| session.is_ready()) {
            for &method in &methods {
                session.tell(Message::from(Notification::new(method, None)), None);
            }
        }
        shared.clock.sleep(shared.options.list_changed_interval).await;
    }
}
