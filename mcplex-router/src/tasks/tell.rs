//! What upstreams tell of tasks by themselves, on its way to whoever made or follows them.
//!
//! A session that made a task hears how it is; a stateless client hears of those that its
//! `subscriptions/listen` names, each time with all that `tasks/get` would show. A session's server
//! does not say so much at once, so it is asked for the rest.

use super::{
    Key, Lone, Record,
    reader::{About, detailed},
};
use crate::{
    asker::Asker,
    link::Link,
    listen::marked,
    member::Member,
    params::Params,
    router::{Shared, lock},
    session::DownstreamSession,
};
use mcplex_proto::{
    edit,
    id::Id,
    message::{Notification, Outcome},
    method, modern,
    raw::Raw,
    version::{Era, Version},
};
use mcplex_translate::task;
use std::{collections::BTreeMap, sync::Arc};

/// The tasks that a listener hears of, with the ids that it knows them by, as JSON.
pub(crate) type Heard = BTreeMap<Key, Raw>;

/// A listener of a task.
struct Listener {
    session: Arc<DownstreamSession>,
    /// Its `subscriptions/listen`.
    id: Id,
    asker: Arc<Asker>,
    known: Raw,
}

/// All listeners of a task.
fn listeners(shared: &Shared, key: &Key) -> Vec<Listener> {
    let of = |session: &Arc<DownstreamSession>| {
        let state = lock(&session.state);
        let hearing = state.listens.iter().filter_map(|(id, listening)| {
            let (asker, known) = (listening.asker.clone(), listening.tasks.get(key)?.clone());
            Some(Listener { session: session.clone(), id: id.clone(), asker, known })
        });
        hearing.collect::<Vec<_>>()
    };
    shared.sessions().iter().flat_map(of).collect()
}

/// Whether somebody hears of a task: the session that made it, or a listener.
pub(crate) fn is_followed(shared: &Shared, record: &Record) -> bool {
    maker(shared, record).is_some() || !listeners(shared, &record.key).is_empty()
}

/// The session that made a task, if it is told of it.
fn maker(shared: &Shared, record: &Record) -> Option<Arc<DownstreamSession>> {
    let knows = record.asker.version == Version::V2025_11_25;
    let session = shared.session(record.owner.session).filter(|_| knows)?;
    session.is_ready().then_some(session)
}

/// An upstream tells how a task is now.
pub(crate) fn changed(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    member: &Arc<Member>,
    notification: &Notification,
) {
    let params = Params::read(notification.params.as_ref());
    let (Some(id), Some(said), Some(era)) =
        (params.get("taskId").map(Raw::of), notification.params.clone(), member.era())
    else {
        return;
    };
    let Some(record) = shared.ledger.get(&Key::new(link.name.clone(), member.key, &id)) else {
        tracing::debug!(upstream = %link.name, "news of a task were dropped, as nobody made it");
        return;
    };
    let of_session = match era {
        Era::Legacy => said.clone(),
        Era::Modern => task::to_legacy(&unmarked(&said)),
    };
    let told = edit::with_members(&of_session, &[("taskId", record.known.as_str())]);
    let was_over = record.is_over();
    if !record.is_cancelled() {
        record.tell(told.clone());
        if let Some(session) = maker(shared, &record) {
            session.tell(Notification::new(method::TASKS_STATUS, Some(told)).into(), None);
        }
    }
    let listeners = listeners(shared, &record.key);
    match era {
        Era::Modern => listeners.iter().for_each(|listener| listener.hear(&said)),
        Era::Legacy if listeners.is_empty() => {}
        Era::Legacy if record.begin_look() => {
            let (shared, link, member) = (shared.clone(), link.clone(), member.clone());
            let ledger = shared.clone();
            ledger.ledger.later(Box::pin(async move {
                while record.goes_on() {
                    look(&shared, &link, &member, &record).await;
                }
            }));
        }
        Era::Legacy => {}
    }
    if era == Era::Modern && record_ended(was_over, &said) {
        // Nothing more is to be heard of it.
        link.watch.raise();
    }
}

fn record_ended(was_over: bool, said: &Raw) -> bool {
    !was_over && task::Status::of(said).is_over()
}

/// Asks how a task of a session's server is, and tells everybody who listens.
async fn look(shared: &Shared, link: &Arc<Link>, member: &Arc<Member>, record: &Record) {
    let Some(upstream) = member.upstream() else { return };
    for listener in listeners(shared, &record.key) {
        let about = About {
            session: listener.session.clone(),
            asker: listener.asker.clone(),
            request: listener.id.clone(),
            link: link.clone(),
            member: member.clone(),
            upstream: upstream.clone(),
            version: upstream.server_info().map_or(Version::LATEST_LEGACY, |info| info.version),
            key: record.key.clone(),
            known: listener.known.clone(),
        };
        let mut ask = Lone::new(shared, upstream.clone(), record.key.clone(), Era::Legacy);
        // What cannot be read now is told of when it changes again, or found by who asks.
        if let Ok(Outcome::Result(said)) = detailed(&about, &mut ask).await {
            listener.hear(&said);
        }
    }
}

impl Listener {
    fn hear(&self, said: &Raw) {
        let said = edit::with_members(said, &[("taskId", self.known.as_str())]);
        let params = marked(Some(&said), Some(&self.id));
        let told = Notification::new(method::TASKS_CHANGED, Some(params));
        self.session.tell(told.into(), Some(&self.id));
    }
}

/// What a stateless upstream says, without the mark of the stream that it came on.
fn unmarked(said: &Raw) -> Raw {
    let Some(meta) = edit::member(said.as_str(), "_meta") else { return said.clone() };
    let members = edit::members(meta.get()).unwrap_or_default();
    let kept = members.iter().filter(|(name, _)| name != modern::SUBSCRIPTION_ID);
    let meta = edit::object(kept.map(|(name, value)| (&**name, value.get())));
    edit::with_members(said, &[("_meta", meta.as_str())])
}
