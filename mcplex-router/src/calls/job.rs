//! Tools that a session's server runs as tasks alone, for clients that did not ask for a task.
//!
//! The task is made, its result is awaited, and that is the answer of the call. What the upstream
//! asks meanwhile it asks on the way of the result. A call that is given up cancels its task.

use super::{converse::Coming, errand::Errand};
use crate::{
    asker::Asker,
    member::Member,
    params::Params,
    router::lock,
    target::{Aim, Target},
    tasks::{self, Role, Support},
};
use mcplex_proto::{
    edit,
    error::ErrorObject,
    message::{Extra, Message, Outcome, Request},
    method,
    raw::Raw,
    upstream::{Call, Incarnation, Reply, Upstream},
    version::Era,
};
use mcplex_translate::task;
use std::sync::{Arc, Mutex};

/// What a call has to do with tasks.
///
/// # Errors
/// When it asks to become one, and its upstream makes none.
pub(super) fn role(
    target: &Target<'_>,
    asker: &Asker,
    request: &Request,
    params: &Params<'_>,
    era: Era,
) -> Result<Option<Role>, ErrorObject> {
    if let Some((_, role)) = &target.task {
        return Ok(Some(role.clone()));
    }
    let may = tasks::may_become_one(asker, request, params, target, era)?;
    Ok(may.then_some(Role::Makes))
}

/// Whether a session's server runs the tool as a task or not at all.
pub(super) fn is_wanted(target: &Target<'_>, params: &Params<'_>) -> bool {
    let is_required = |name| tasks::support(&target.link.lists(), name) == Support::Required;
    target.aim == Aim::Tool && target.name_there(params).is_some_and(is_required)
}

/// The id that a call has at its upstream; another one once its task was made.
pub(super) type Place = Arc<Mutex<Option<u64>>>;

/// Makes a task of a call and brings its result.
pub(super) fn run(errand: &Errand, call: Call) -> Coming {
    let upstream = errand.upstream.clone();
    let (member, place) = (errand.berth.member.clone(), errand.berth.place());
    Box::pin(async move {
        let asks = Call {
            params: call
                .params
                .as_ref()
                .map(|params| edit::with_members(params, &[("task", "{}")])),
            ..call.clone()
        };
        let made = upstream.call(asks).await?;
        let Outcome::Result(result) = &made.outcome else { return Ok(made) };
        let Some(id) = edit::member(result.as_str(), "task")
            .and_then(|task| edit::member(task.get(), "taskId"))
            .and_then(|id| Raw::parse(id.get().to_owned()).ok())
        else {
            // It was none after all.
            return Ok(made);
        };
        let mut task = Task { upstream: upstream.clone(), from: made.from, id, is_over: false };
        let number = upstream.mint();
        moves(&member, &place, number, task.id.get());
        let reads = Call {
            id: number,
            method: method::TASKS_RESULT.into(),
            params: Some(task.params()),
            extra: Extra::default(),
            ..call
        };
        let answer = upstream.call(reads).await;
        task.is_over = answer.is_ok();
        answer.map(of_call)
    })
}

/// The result as that of a call: its client knows of no task that it could be about.
fn of_call(reply: Reply) -> Reply {
    match &reply.outcome {
        Outcome::Result(result) if task::related_to(result).is_some() => {
            let outcome = Outcome::Result(task::unrelated(result));
            Reply { outcome, ..reply }
        }
        Outcome::Result(_) | Outcome::Error(_) => reply,
    }
}

/// The call goes on as a task under another id, unless it has ended meanwhile.
fn moves(member: &Member, place: &Mutex<Option<u64>>, number: u64, task: Option<String>) {
    let mut place = lock(place);
    if let Some(before) = place.replace(number) {
        member.renumbers(before, number, task);
    } else {
        *place = None;
    }
}

/// A task that nobody else waits for.
struct Task {
    upstream: Arc<dyn Upstream>,
    from: Incarnation,
    id: Raw,
    /// Its result is there.
    is_over: bool,
}

impl Task {
    fn params(&self) -> Raw {
        edit::object([("taskId", self.id.as_str())])
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.is_over {
            let request = Request {
                id: self.upstream.mint().into(),
                method: method::TASKS_CANCEL.into(),
                params: Some(self.params()),
                extra: Extra::default(),
            };
            self.upstream.send(Some(self.from), Message::Request(request));
        }
    }
}
