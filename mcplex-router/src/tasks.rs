//! Tasks: calls that outlast their request at an upstream.
//!
//! A task is asked for by its id in later requests, so the id that a client gets says whose it is:
//! sealed for the principal, with the upstream and the member that work on it. Nothing is kept here.
//! Tasks find their way between sides of one era; what one era says of them is not told in the words
//! of the other, and neither their notifications nor their list, so those are not offered.

use crate::{
    asker::Asker,
    params::Params,
    seal::{Bond, State},
    session::DownstreamSession,
    target::{Local, Target},
};
use mcplex_proto::{
    edit,
    error::ErrorObject,
    handshake::ServerInfo,
    method,
    modern::TASKS_EXTENSION,
    raw::Raw,
    version::{Era, Version},
};
use serde_json::{json, value::RawValue};

/// Marks what belongs to a task of a session.
const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// Whether a session's server makes tasks of calls of tools.
pub(crate) fn are_made(info: &ServerInfo) -> bool {
    let find = |at: &RawValue, name: &str| edit::member(at.get(), name).map(RawValue::to_owned);
    let tasks = edit::member(info.capabilities.as_str(), "tasks");
    let call = tasks.and_then(|tasks| {
        ["requests", "tools", "call"].iter().try_fold(tasks.to_owned(), |at, name| find(&at, name))
    });
    info.version.era() == Era::Legacy && call.is_some()
}

/// Whether a request names a task.
pub(crate) fn names_one(method: &str) -> bool {
    matches!(
        method,
        method::TASKS_GET | method::TASKS_RESULT | method::TASKS_CANCEL | method::TASKS_UPDATE
    )
}

/// Whether a call may become a task: a session says so in each call, others once and for all.
pub(crate) fn may_become_one(asker: &Asker, method: &str, params: &Params<'_>, era: Era) -> bool {
    method == method::TOOLS_CALL
        && match (asker.era(), era) {
            (Era::Modern, Era::Modern) => declares(asker),
            (Era::Legacy, Era::Legacy) => {
                asker.version >= Version::V2025_11_25 && params.get("task").is_some()
            }
            (Era::Modern, Era::Legacy) | (Era::Legacy, Era::Modern) => false,
        }
}

fn declares(asker: &Asker) -> bool {
    asker.can(&["extensions", TASKS_EXTENSION])
}

/// Where a request about a task goes.
///
/// # Errors
/// When the client did not declare that it knows tasks, or has no such task.
pub(crate) fn find<'a>(
    session: &DownstreamSession,
    asker: &Asker,
    params: &Params<'a>,
) -> Result<Target<'a>, Local> {
    if asker.era() == Era::Modern && !declares(asker) {
        let required = json!({ "extensions": { TASKS_EXTENSION: {} } });
        return Err(Err(ErrorObject::missing_capability(required)));
    }
    let unknown = || Err(ErrorObject::invalid_params("`taskId` is not one of a task of yours"));
    let (member, text) = params.string("taskId").map_err(Err)?;
    let Some(State::Task { upstream, member: key, id }) =
        session.shared.seals.open(&text, &bond(session))
    else {
        return Err(unknown());
    };
    let catalog = session.shared.catalog();
    let link = catalog.links().iter().find(|link| link.name == upstream).ok_or_else(unknown)?;
    let worker = link.member(key).ok_or_else(unknown)?;
    Ok(Target::of_task(link, worker, member, id.as_str().into()))
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
pub(crate) fn seal(session: &DownstreamSession, state: &State) -> Raw {
    session.shared.seals.seal(state, &bond(session))
}
