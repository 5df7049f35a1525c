//! `subscriptions/listen`: what stateless clients hear between their requests.
//!
//! Such a request is answered at its end alone. Until then the client is told what it asked for and
//! nothing else, each message marked with the id of the request, so that several go side by side.
//! Changes of lists are always told: mcplex hears of them itself. Resources are, where their upstream
//! has subscriptions; the upstream is asked only after the client was told so.

use crate::{
    asker::Asker,
    crew::Wish,
    link::Link,
    measure::Watched,
    member::Member,
    params::Params,
    refresh,
    router::{Shared, lock},
    session::{DownstreamSession, uri_of},
    spans::{self, Note},
    subscribers::Subscriber,
    tasks::{self, Heard},
};
use futures_channel::oneshot;
use mcplex_proto::{
    edit,
    error::ErrorObject,
    id::Id,
    message::{Notification, Outcome, Request},
    method, modern,
    raw::{self, Raw},
    trace::TraceContext,
};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Resources one request may name, and tasks; a client that shows more is not looked at by a person.
const MAX_NAMED: usize = 1024;
/// Listens one client may have open; one that needs more can name all it wants in one of them.
const MAX_LISTENS: usize = 64;

/// What a client wants to hear of, as far as it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    lists: Vec<&'static str>,
    uris: Vec<String>,
    /// Tasks, by the ids the client knows.
    tasks: Vec<String>,
}

/// The members of a filter that stand for lists, with what is told then.
pub(crate) const LISTS: [(&str, &str); 3] = [
    ("toolsListChanged", method::TOOLS_CHANGED),
    ("promptsListChanged", method::PROMPTS_CHANGED),
    ("resourcesListChanged", method::RESOURCES_CHANGED),
];

impl Filter {
    fn read(params: &Params<'_>) -> Result<Self, ErrorObject> {
        let bad = |why: &str| ErrorObject::invalid_params(format_args!("`notifications` {why}"));
        let wanted = params.get("notifications").and_then(|value| edit::members(value.get()));
        let wanted = wanted.ok_or_else(|| bad("must be there and be an object"))?;
        let find = |name: &str| wanted.iter().find(|(key, _)| key == name).map(|&(_, value)| value);
        let mut lists = Vec::new();
        for (name, method) in LISTS {
            match find(name).map(RawValue::get) {
                Some("true") => lists.push(method),
                Some("false" | "null") | None => {}
                Some(_) => {
                    return Err(bad(&format!("has `{name}` that is neither true nor false")));
                }
            }
        }
        let strings = |name: &str| -> Result<Vec<String>, ErrorObject> {
            let Some(value) = find(name) else { return Ok(Vec::new()) };
            let all = edit::elements(value.get()).and_then(|all| {
                all.into_iter().map(|one| Some(raw::string(one)?.into_owned())).collect()
            });
            let all: Vec<_> =
                all.ok_or_else(|| bad(&format!("has `{name}` that are no array of strings")))?;
            match all.len() {
                0..=MAX_NAMED => Ok(all),
                _ => Err(bad(&format!("has too many `{name}`; 1024 are enough for one request"))),
            }
        };
        let (uris, tasks) = (strings("resourceSubscriptions")?, strings("taskIds")?);
        Ok(Self { lists, uris, tasks })
    }

    /// The part that the client is told it will hear of.
    fn write(&self) -> Raw {
        let is_honoured = |(_, method): &(&str, &str)| self.lists.contains(method);
        let lists = LISTS.into_iter().filter(is_honoured).map(|(name, _)| (name, "true"));
        let uris = (!self.uris.is_empty()).then(|| Raw::of(&self.uris));
        let uris = uris.as_ref().map(|uris| ("resourceSubscriptions", uris.as_str()));
        let tasks = (!self.tasks.is_empty()).then(|| Raw::of(&self.tasks));
        let tasks = tasks.as_ref().map(|tasks| ("taskIds", tasks.as_str()));
        edit::object(lists.chain(uris).chain(tasks))
    }
}

/// One `subscriptions/listen` on its way.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The lists it hears of; none before it was acknowledged.
    lists: Vec<&'static str>,
    /// The tasks it hears of; none before that either.
    pub(crate) tasks: Heard,
    /// Who listens.
    pub(crate) asker: Arc<Asker>,
    /// Ends it with an answer; dropped, it ends without one.
    end: Option<oneshot::Sender<()>>,
    /// Its span, which ended with the acknowledgement.
    trace: Option<TraceContext>,
}

impl Listening {
    /// Ends it without an answer.
    pub(crate) fn cancel(&mut self) {
        self.lists.clear();
        self.tasks.clear();
        self.end = None;
    }
}

/// Keeps a listen in the tables for as long as somebody waits for it.
struct Guard<'a> {
    session: &'a DownstreamSession,
    id: Id,
    /// Whose resources it subscribed to.
    subscribed: Vec<(Arc<Link>, String)>,
    /// Of whose tasks it hears.
    followed: Vec<Arc<Link>>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        lock(&self.session.state).listens.remove(&self.id);
        self.followed.iter().for_each(|link| link.watch.raise());
        let subscriber = self.session.subscriber(Some(self.id.clone()));
        for (link, uri) in &self.subscribed {
            if link.unsubscribe(uri, &subscriber) {
                refresh::subscribed(link, self.session.place, uri, false);
            }
        }
    }
}

impl DownstreamSession {
    /// Serves a `subscriptions/listen` to its end; `None` when the client wants no answer.
    ///
    /// Its span ends with the acknowledgement: one that is open for as long as somebody listens
    /// would be seen by nobody.
    pub(crate) async fn listen(
        &self,
        asker: &Arc<Asker>,
        request: &Request,
        span: Watched,
    ) -> Option<Outcome> {
        let refused = |error: &ErrorObject| {
            let outcome = Outcome::Error(Raw::of(error));
            spans::ended(&span, &outcome);
            Some(outcome)
        };
        let filter = {
            let params = Params::read(request.params.as_ref());
            Filter::read(&params)
        };
        let mut filter = match filter {
            Ok(filter) => filter,
            Err(error) => return refused(&error),
        };
        if !filter.tasks.is_empty() && !tasks::declares(asker) {
            return refused(&tasks::undeclared());
        }
        let begun = self.begin_listen(asker, &request.id, span.context().cloned());
        let (mut guard, ended) = match begun {
            Ok(begun) => begun,
            Err(error) => return refused(&error),
        };
        let owners = self.owners(&mut filter.uris);
        let heard = self.followed(asker, &mut guard, &mut filter.tasks);
        let told = acknowledged(&request.id, &filter);
        let about = (Some(&request.id), Some(&request.id));
        if !self.notify(told, span.context(), about) {
            let why = "the client cannot be reached with what it wants to hear";
            return refused(&ErrorObject::new(mcplex_proto::error::INTERNAL_ERROR, why));
        }
        self.hear(&mut guard, (filter.lists, heard), owners);
        spans::ended(&span, &Outcome::Result(Raw::empty_object()));
        drop(span);
        let is_answered = ended.await.is_ok();
        drop(guard);
        is_answered.then(|| Outcome::Result(self.last_words(&request.id)))
    }

    /// The span of a `subscriptions/listen` that is open.
    pub(crate) fn listen_span(&self, id: &Id) -> Option<TraceContext> {
        lock(&self.state).listens.get(id)?.trace.clone()
    }

    fn begin_listen(
        &self,
        asker: &Arc<Asker>,
        id: &Id,
        trace: Option<TraceContext>,
    ) -> Result<(Guard<'_>, oneshot::Receiver<()>), ErrorObject> {
        let mut state = lock(&self.state);
        if state.is_closed || state.is_used(id) {
            let why = "a request with this id is being served, or the session is closed";
            return Err(ErrorObject::invalid_request(&why));
        }
        if state.listens.len() >= MAX_LISTENS {
            let why = "too many `subscriptions/listen` are open; name all resources in one";
            return Err(ErrorObject::invalid_request(&why));
        }
        let (end, ended) = oneshot::channel();
        let (lists, tasks) = (Vec::new(), Heard::new());
        let listening = Listening { lists, tasks, asker: asker.clone(), end: Some(end), trace };
        state.listens.insert(id.clone(), listening);
        let (subscribed, followed) = (Vec::new(), Vec::new());
        Ok((Guard { session: self, id: id.clone(), subscribed, followed }, ended))
    }

    /// The upstreams of the resources, of which only those stay that can be told of.
    fn owners(&self, uris: &mut Vec<String>) -> Vec<(Arc<Link>, String)> {
        let catalog = self.shared.catalog();
        let owner = |uri: &String| {
            let link = catalog.link(catalog.resource(uri)?);
            let info = link.lists().info.clone()?;
            // Where every client has its own member, this one needs it from now on.
            let wish = Wish { place: self.place, stays: true, client: None };
            let has_member = || link.member_for(&self.shared, &wish).is_ok();
            (info.can("resources", Some("subscribe")) && has_member())
                .then(|| (link.clone(), uri.clone()))
        };
        let owners: Vec<_> = uris.iter().filter_map(owner).collect();
        uris.retain(|uri| owners.iter().any(|(_, owned)| owned == uri));
        owners
    }

    /// The tasks of a filter, of which only those stay that are its own.
    fn followed(&self, asker: &Arc<Asker>, guard: &mut Guard<'_>, ids: &mut Vec<String>) -> Heard {
        let mut heard = Heard::new();
        ids.retain(|id| {
            let Some((link, _, key)) = tasks::opened(self, id) else { return false };
            let known = Raw::of(id);
            // One that was forgotten is told of under its id all the same.
            tasks::remembered(self, asker, &key, &known);
            heard.insert(key, known);
            guard.followed.push(link);
            true
        });
        heard
    }

    /// Begins to tell a listener what it was acknowledged.
    fn hear(
        &self,
        guard: &mut Guard<'_>,
        (lists, tasks): (Vec<&'static str>, Heard),
        owners: Vec<(Arc<Link>, String)>,
    ) {
        match lock(&self.state).listens.get_mut(&guard.id) {
            Some(listening) => (listening.lists, listening.tasks) = (lists, tasks),
            // It ended meanwhile.
            None => return,
        }
        guard.followed.iter().for_each(|link| link.watch.raise());
        let subscriber = self.subscriber(Some(guard.id.clone()));
        for (link, uri) in owners {
            if link.subscribe(&uri, &subscriber) {
                refresh::subscribed(&link, self.place, &uri, true);
            }
            guard.subscribed.push((link, uri));
        }
    }

    fn last_words(&self, id: &Id) -> Raw {
        let meta = edit::object([
            (modern::SUBSCRIPTION_ID, &*id.to_string()),
            (modern::SERVER_INFO, self.shared.identity().as_str()),
        ]);
        edit::object([("resultType", "\"complete\""), ("_meta", meta.as_str())])
    }

    /// Tells every listener of this client that a list has changed.
    pub(crate) fn tell_listeners(&self, method: &'static str) {
        let hears = |(id, listening): (&Id, &Listening)| {
            listening.lists.contains(&method).then(|| id.clone())
        };
        let ids: Vec<_> = lock(&self.state).listens.iter().filter_map(hears).collect();
        for id in ids {
            let told = Notification::new(method, Some(marked(None, Some(&id))));
            self.notify(told, None, (Some(&id), Some(&id)));
        }
    }

    /// Ends every listen with its answer.
    pub(crate) fn end_listens(&self) {
        for listening in lock(&self.state).listens.values_mut() {
            if let Some(end) = listening.end.take() {
                // Refused means that nobody waits for it any more.
                let _waits: Result<(), ()> = end.send(());
            }
        }
    }
}

/// The first message of a listener: what it will be told of.
fn acknowledged(id: &Id, filter: &Filter) -> Notification {
    let meta = edit::object([(modern::SUBSCRIPTION_ID, &*id.to_string())]);
    let honoured = filter.write();
    let params = edit::object([("_meta", meta.as_str()), ("notifications", honoured.as_str())]);
    Notification::new(method::ACKNOWLEDGED, Some(params))
}

/// The parameters of a notification for one listener, or for a session, which marks nothing.
pub(crate) fn marked(params: Option<&Raw>, id: Option<&Id>) -> Raw {
    let id = id.map(Id::to_string);
    let text = params.map_or("{}", Raw::as_str);
    let old = edit::member(text, "_meta").and_then(|meta| edit::members(meta.get()));
    let kept = old.iter().flatten().filter(|(name, _)| name != modern::SUBSCRIPTION_ID);
    let kept = kept.map(|(name, value)| (&**name, value.get()));
    let meta = edit::object(kept.chain(id.as_deref().map(|id| (modern::SUBSCRIPTION_ID, id))));
    match params {
        Some(params) if old.is_some() || id.is_some() => {
            edit::with_members(params, &[("_meta", meta.as_str())])
        }
        Some(params) => params.clone(),
        None => edit::object([("_meta", meta.as_str())]),
    }
}

/// Tells everybody who subscribed to a resource that it has changed.
pub(crate) fn updated(
    shared: &Shared,
    (link, member): (&Link, &Member),
    notification: &Notification,
    note: &Note,
) {
    let params = Params::read(notification.params.as_ref());
    let uri = uri_of(&params).unwrap_or_default();
    for Subscriber { session, listen, .. } in link.subscribers(&uri, member.key) {
        let Some(session) = shared.session(session) else { continue };
        let params = marked(notification.params.as_ref(), listen.as_ref());
        let told = Notification { params: Some(params), ..notification.clone() };
        session.notify(told, note.context(), (listen.as_ref(), listen.as_ref()));
    }
}

/// Tells everybody who subscribed to these resources that they may have changed unheard.
pub(crate) fn missed(shared: &Shared, link: &Link, member: &Member, uris: &BTreeSet<String>) {
    for uri in uris {
        let params = edit::object([("uri", Raw::of(uri).as_str())]);
        for Subscriber { session, listen, .. } in link.subscribers_of(uri, member.key) {
            let Some(session) = shared.session(session) else { continue };
            let params = marked(Some(&params), listen.as_ref());
            let told = Notification::new(method::RESOURCE_UPDATED, Some(params));
            session.notify(told, None, (listen.as_ref(), listen.as_ref()));
        }
    }
}

/// Listens by the client's id.
pub(crate) type Listens = BTreeMap<Id, Listening>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_one_hop_is_replaced_by_that_of_the_next() {
        let check = |text: &str, id: Option<u64>, expect: &str| {
            let params = Raw::parse(text.to_owned()).unwrap();
            let id = id.map(Id::from);
            assert_eq!(marked(Some(&params), id.as_ref()).as_str(), expect);
        };
        let of = |id: u64| {
            format!(r#"{{"_meta":{{"{}":{id}}},"uri":"x://1"}}"#, modern::SUBSCRIPTION_ID)
        };
        check(r#"{"uri":"x://1"}"#, Some(7), &of(7));
        check(&of(9), Some(7), &of(7));
        check(r#"{ "uri":"x://1"}"#, None, r#"{ "uri":"x://1"}"#);
        check(&of(9), None, r#"{"_meta":{},"uri":"x://1"}"#);
    }
}
