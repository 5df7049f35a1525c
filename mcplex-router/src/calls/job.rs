//! Tools that a session's server runs as tasks alone, for clients that did not ask for a task.
//!
//! The task is made, its result is awaited, and that is the answer of the call. What the upstream
//! asks meanwhile it asks on the way of the result. A call that is given up cancels its task.

use super::{converse::Coming, errand::Errand};
use crate::{link::Link, lists::Kind, member::Member, router::lock, tasks};
use mcplex_proto::{
    edit,
    message::{Extra, Message, Outcome, Request},
    method,
    raw::{self, Raw},
    upstream::{Call, Incarnation, Upstream},
};
use std::sync::{Arc, Mutex};

/// Whether a tool is run as a task or not at all; `name` is its own name as JSON.
pub(super) fn is_wanted(link: &Link, name: &str) -> bool {
    let lists = link.lists();
    if !lists.info.as_ref().is_some_and(|info| tasks::are_made(info)) {
        return false;
    }
    let Ok(name) = serde_json::from_str::<String>(name) else { return false };
    let tool = lists.of(Kind::Tools).iter().find(|tool| tool.key == name);
    let support = tool.and_then(|tool| {
        let execution = edit::member(tool.raw.as_str(), "execution")?;
        raw::string(edit::member(execution.get(), "taskSupport")?).map(|word| word == "required")
    });
    support == Some(true)
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
        moves(&member, &place, number);
        let reads = Call {
            id: number,
            method: method::TASKS_RESULT.into(),
            params: Some(task.params()),
            extra: Extra::default(),
            ..call
        };
        let answer = upstream.call(reads).await;
        task.is_over = answer.is_ok();
        answer
    })
}

/// The call goes on under another id, unless it has ended meanwhile.
fn moves(member: &Member, place: &Mutex<Option<u64>>, number: u64) {
    let mut place = lock(place);
    if let Some(before) = place.replace(number) {
        member.renumbers(before, number);
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
