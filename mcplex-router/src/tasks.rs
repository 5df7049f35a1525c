//! Tasks: calls that outlast their request at an upstream.
//!
//! A task is asked for by its id in later requests, so the id that a client gets says whose it is:
//! sealed for the principal, with the upstream and the member that work on it. What no request names
//! is remembered in the `ledger`; `list` reads it to a client, `tell` tells of changes, and `reader`
//! gets what an upstream asks during a task. Requests about a task of the other era are played in
//! `calls/across`.

mod held;
mod ledger;
mod list;
mod reader;
mod tell;

pub(crate) use self::{
    held::hold,
    ledger::{Key, Ledger, Owner, Record},
    reader::{About, Ask, Lone, Stop, complete, detailed},
    tell::{Heard, changed, is_followed},
};

use crate::{
    asker::Asker,
    link::Link,
    lists::{Kind, Lists},
    member::Member,
    params::Params,
    router::Shared,
    seal::{Bond, State},
    session::DownstreamSession,
    target::{Local, Target},
};
use futures_util::{StreamExt as _, future::select, stream::FuturesUnordered};
use mcplex_proto::{
    edit,
    error::{ErrorObject, INTERNAL_ERROR, METHOD_NOT_FOUND},
    handshake::ServerInfo,
    message::Request,
    method,
    modern::TASKS_EXTENSION,
    raw::{self, Raw},
    version::{Era, Version},
};
use mcplex_translate::task::{self, RELATED_TASK};
use serde_json::{json, value::RawValue};
use std::sync::Arc;

/// Whether an upstream makes tasks of calls of tools.
pub(crate) fn are_made(info: &ServerInfo) -> bool {
    let find = |at: &RawValue, name: &str| edit::member(at.get(), name).map(RawValue::to_owned);
    let path: &[&str] = match info.version.era() {
        Era::Legacy if info.version < Version::V2025_11_25 => return false,
        Era::Legacy => &["requests", "tools", "call"],
        Era::Modern => &[TASKS_EXTENSION],
    };
    let place = if info.version.era() == Era::Legacy { "tasks" } else { "extensions" };
    let all = edit::member(info.capabilities.as_str(), place);
    let found =
        all.and_then(|all| path.iter().try_fold(all.to_owned(), |at, name| find(&at, name)));
    found.is_some()
}

/// Whether a tool of a session's server may be a task, or has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    Forbidden,
    Optional,
    Required,
}

/// What an upstream says of a tool; `name` is its own name as JSON.
pub(crate) fn support(lists: &Lists, name: &str) -> Support {
    let info = lists.info.as_ref().filter(|info| info.version.era() == Era::Legacy);
    let name = serde_json::from_str::<String>(name).ok();
    let (Some(_), Some(name)) = (info.filter(|info| are_made(info)), name) else {
        return Support::Forbidden;
    };
    let tool = lists.of(Kind::Tools).iter().find(|tool| tool.key == name);
    let word = tool.and_then(|tool| {
        let execution = edit::member(tool.raw.as_str(), "execution")?;
        raw::string(edit::member(execution.get(), "taskSupport")?).map(|word| word.into_owned())
    });
    match word.as_deref() {
        Some("required") => Support::Required,
        Some("optional") => Support::Optional,
        Some(_) | None => Support::Forbidden,
    }
}

/// Whether a request names a task.
pub(crate) fn names_one(method: &str) -> bool {
    matches!(
        method,
        method::TASKS_GET | method::TASKS_RESULT | method::TASKS_CANCEL | method::TASKS_UPDATE
    )
}

/// Whether a call may become a task: a session says so in each call, others once and for all.
///
/// # Errors
/// When it asks to become one and its upstream makes none.
pub(crate) fn may_become_one(
    asker: &Asker,
    request: &Request,
    params: &Params<'_>,
    target: &Target<'_>,
    era: Era,
) -> Result<bool, ErrorObject> {
    if request.method != method::TOOLS_CALL {
        return Ok(false);
    }
    let lists = target.link.lists();
    match (asker.era(), era) {
        (Era::Modern, Era::Modern) => Ok(declares(asker)),
        (Era::Modern, Era::Legacy) => {
            let name = target.name_there(params);
            let support = name.map_or(Support::Forbidden, |name| support(&lists, name));
            Ok(declares(asker) && support != Support::Forbidden)
        }
        (Era::Legacy, _) if !wants_one(asker, params) => Ok(false),
        (Era::Legacy, Era::Legacy) => Ok(true),
        (Era::Legacy, Era::Modern) => match &lists.info {
            Some(info) if are_made(info) => Ok(true),
            _ => {
                let why = format!("upstream {} makes no tasks of calls", target.link.name);
                Err(ErrorObject::new(METHOD_NOT_FOUND, why))
            }
        },
    }
}

fn wants_one(asker: &Asker, params: &Params<'_>) -> bool {
    asker.version == Version::V2025_11_25 && params.get("task").is_some()
}

/// A call with what its upstream reads of tasks, and without what it does not.
pub(crate) fn fitted(
    params: Option<Raw>,
    asker: &Asker,
    (method, era): (&str, Era),
    role: Option<&Role>,
) -> Option<Raw> {
    let is_across = asker.era() != era;
    if !is_across || method != method::TOOLS_CALL {
        return params;
    }
    let params = params?;
    let members = edit::members(params.as_str()).unwrap_or_default();
    let makes = era == Era::Legacy && role == Some(&Role::Makes);
    let is_there = members.iter().any(|(name, _)| name == "task");
    if !is_there && !makes {
        return Some(params);
    }
    // A stateless client's would mean something in a session, and the other way round nothing.
    let kept = members.iter().filter(|(name, _)| name != "task");
    let kept = kept.map(|(name, value)| (&**name, value.get()));
    Some(edit::object(kept.chain(makes.then_some(("task", "{}")))))
}

pub(crate) fn declares(asker: &Asker) -> bool {
    asker.can(&["extensions", TASKS_EXTENSION])
}

/// What a stateless client lacks that asks for tasks and does not say that it knows them.
pub(crate) fn undeclared() -> ErrorObject {
    ErrorObject::missing_capability(json!({ "extensions": { TASKS_EXTENSION: {} } }))
}

/// Where a request about a task goes; or the answer, if mcplex holds the task itself.
///
/// # Errors
/// When the client did not declare that it knows tasks, or has no such task.
pub(crate) fn find<'a>(
    session: &DownstreamSession,
    asker: &Asker,
    method: &str,
    params: &Params<'a>,
) -> Result<Target<'a>, Local> {
    if asker.era() == Era::Modern && !declares(asker) {
        return Err(Err(undeclared()));
    }
    let (member, text) = params.string("taskId").map_err(Err)?;
    let (link, worker, key) = opened(session, &text).ok_or_else(|| Err(unknown()))?;
    if let Some(record) = session.shared.ledger.get(&key) {
        if let Some(kept) = record.kept() {
            // It was made for a session, and is told in the words of one.
            return Err(match asker.era() {
                Era::Legacy => held::answer(&record, kept, method),
                Era::Modern => Err(unknown()),
            });
        }
    } else if !key.id().starts_with('"') {
        // It was held here, and is not any more.
        return Err(Err(unknown()));
    }
    Ok(Target::of_task(&link, worker, member, key.id().into()))
}

fn unknown() -> ErrorObject {
    ErrorObject::invalid_params("`taskId` is not one of a task of yours")
}

/// What an id of a client leads to; nothing if it is not one of its own.
pub(crate) fn opened(
    session: &DownstreamSession,
    text: &str,
) -> Option<(Arc<Link>, Arc<Member>, Key)> {
    let State::Task { upstream, member, id } = session.shared.seals.open(text, &bond(session))?
    else {
        return None;
    };
    let catalog = session.shared.catalog();
    let link = catalog.links().iter().find(|link| link.name == upstream)?;
    let worker = link.member(member)?;
    let key = Key::new(upstream, member, &id);
    // A life that begins anew may give the same id to somebody else's task.
    let record = session.shared.ledger.get(&key);
    let is_its = record.is_none_or(|it| it.owner.principal == session.arrival.principal);
    is_its.then(|| (link.clone(), worker, key))
}

fn bond(session: &DownstreamSession) -> Bond {
    Bond::of(&session.arrival.principal, "tasks", None)
}

/// What an errand has to do with tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It may become one.
    Makes,
    /// It is about one, which the client knows by this id, as JSON.
    Names(Raw),
}

/// A result with the ids that the client knows in the place of the upstream's.
pub(crate) fn renamed(result: &Raw, sealed: impl Fn(&Raw) -> Raw) -> Option<Raw> {
    let text = result.as_str();
    let own = |object: &str| Raw::parse(edit::member(object, "taskId")?.get().to_owned()).ok();
    let with = |object: &str, id: &Raw| {
        let object = Raw::parse(object.to_owned()).ok()?;
        Some(edit::with_members(&object, &[("taskId", sealed(id).as_str())]))
    };
    if let Some(id) = own(text) {
        return with(text, &id);
    }
    if let Some(task) = edit::member(text, "task")
        && let Some(id) = own(task.get())
    {
        let task = with(task.get(), &id)?;
        return Some(edit::with_members(result, &[("task", task.as_str())]));
    }
    let meta = edit::member(text, "_meta")?;
    let related = edit::member(meta.get(), RELATED_TASK)?;
    let related = with(related.get(), &own(related.get())?)?;
    let meta = Raw::parse(meta.get().to_owned()).ok()?;
    let meta = edit::with_members(&meta, &[(RELATED_TASK, related.as_str())]);
    Some(edit::with_members(result, &[("_meta", meta.as_str())]))
}

/// The id that a client gets for a task.
pub(crate) fn seal(session: &DownstreamSession, key: &Key) -> Raw {
    let id = Raw::parse(key.id().to_owned()).unwrap_or_else(|_| Raw::of(key.id()));
    let state = State::Task { upstream: key.upstream.clone(), member: key.member, id };
    session.shared.seals.seal(&state, &bond(session))
}

/// Remembers a task that an upstream made of a call, which said this of it in its own words.
pub(crate) fn made(
    session: &DownstreamSession,
    asker: &Arc<Asker>,
    key: Key,
    said: &Raw,
) -> Arc<Record> {
    let known = seal(session, &key);
    // The words of a session fit those of a session.
    let told = edit::with_members(&task::to_legacy(said), &[("taskId", known.as_str())]);
    let owner = Owner::of(session);
    session.shared.ledger.note(Record::new(key, known, owner, asker.clone(), (told, None)))
}

/// Remembers a task again that may have been forgotten; how it is nobody knows then.
pub(crate) fn remembered(session: &DownstreamSession, asker: &Arc<Asker>, key: &Key, known: &Raw) {
    let ledger = &session.shared.ledger;
    if ledger.get(key).is_none() && key.id().starts_with('"') {
        let told = edit::object([("taskId", known.as_str()), ("status", "\"working\"")]);
        let owner = Owner::of(session);
        let record = Record::new(key.clone(), known.clone(), owner, asker.clone(), (told, None));
        ledger.note(record);
    }
}

/// Notes what an upstream says of a task to who asks, under the id that this one knows.
pub(crate) fn told(session: &DownstreamSession, known: &Raw, said: &Raw) {
    if edit::member(said.as_str(), "status").is_none() {
        return;
    }
    if let Some(record) = remembered_as(session, known) {
        record.tell(task::to_legacy(said));
    }
}

/// Notes that a session has the result of a task of a session's server: nothing is said of it any
/// more.
pub(crate) fn was_fetched(session: &DownstreamSession, known: &Raw) {
    if let Some(record) = remembered_as(session, known) {
        record.ends_progress();
    }
}

/// The task that a client knows by this id, if it is remembered.
fn remembered_as(session: &DownstreamSession, known: &Raw) -> Option<Arc<Record>> {
    let (_, _, key) = opened(session, &known.get::<String>()?)?;
    session.shared.ledger.get(&key).filter(|record| record.known == *known)
}

/// Notes that a request of a session gets the result of a task, if it does, and so what is asked
/// before that.
pub(crate) fn reads(
    session: &DownstreamSession,
    target: &Target<'_>,
    (method, member): (&str, &Member),
    id: u64,
) {
    let Some((_, own)) = target.name.as_ref().filter(|_| method == method::TASKS_RESULT) else {
        return;
    };
    let Ok(own) = Raw::parse(own.to_string()) else { return };
    let key = Key::new(target.link.name.clone(), member.key, &own);
    if let Some(record) = session.shared.ledger.get(&key) {
        record.read_by(id, None);
    }
}

/// Why a task cannot be taken back.
pub(crate) fn is_over() -> ErrorObject {
    ErrorObject::invalid_params("the task has ended already, so it cannot be cancelled")
}

/// Why a task that was taken back has no result.
pub(crate) fn was_cancelled() -> ErrorObject {
    ErrorObject::new(INTERNAL_ERROR, "the task was cancelled, so there is no result of it")
}

/// The task that a message of an upstream is about, if that says so and the task is remembered.
pub(crate) fn related(
    shared: &Shared,
    link: &Link,
    member: &Member,
    params: Option<&Raw>,
) -> Option<Arc<Record>> {
    let id = task::related_to(params?)?;
    shared.ledger.get(&Key::new(link.name.clone(), member.key, &id))
}

/// The call at an upstream in which something of a task is said: the one that gets its result, or the
/// one that is run as it.
pub(crate) fn call_of(member: &Member, task: Option<&Record>, params: Option<&Raw>) -> Option<u64> {
    let reader = task.and_then(|task| task.reader(member));
    reader.or_else(|| member.flight_as(&task::related_to(params?)?.get::<String>()?))
}

/// Does what nobody waits for, until it is dropped; a second run does nothing.
pub(crate) async fn run(shared: &Shared) {
    let Some(mut added) = shared.ledger.added.listen() else { return };
    let mut all = FuturesUnordered::new();
    loop {
        all.extend(shared.ledger.take_work());
        if all.is_empty() {
            added.next().await;
        } else {
            select(added.next(), all.next()).await;
        }
    }
}
