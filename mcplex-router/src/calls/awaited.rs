//! Tools that a stateless server runs as tasks alone, for sessions' clients that did not ask for a
//! task.
//!
//! Such a server refuses the call, so nothing has run and it may be made once more, with the word that
//! tasks are known. The task is then asked for until it has ended, and what it asks is put to the
//! client on the stream of its call: to the client it is a call, in every revision. One that is given
//! up cancels its task.

use super::{
    errand::{Turned, Waiting},
    steps::{Asked, MAX_WAIT, Steps, Turn},
};
use crate::{
    measure::Watched,
    params::Params,
    router::Shared,
    tasks::{self, Ask as _, Key, Lone, Stop},
};
use futures_channel::oneshot;
use mcplex_proto::{
    edit,
    error::{ErrorObject, INTERNAL_ERROR, MISSING_CLIENT_CAPABILITY},
    message::{Extra, Outcome},
    method,
    modern::TASKS_EXTENSION,
    raw::Raw,
    upstream::{Call, Reply, Upstream, UpstreamError},
    version::Era,
};
use mcplex_translate::result::{self, Kind};
use std::{collections::BTreeSet, sync::Arc};

/// Whether an upstream refused a call because it wants to hear that tasks are known, and for nothing
/// else.
pub(super) fn is_wanted(answer: &Result<Reply, UpstreamError>) -> bool {
    let Ok(Reply { outcome: Outcome::Error(error), .. }) = answer else { return false };
    let error = ErrorObject::read(error);
    let data = error.data.unwrap_or_default();
    let is_only = |of: &serde_json::Value, name: &str| {
        of.as_object().is_some_and(|all| all.len() == 1 && all.contains_key(name))
    };
    let required = &data["requiredCapabilities"];
    error.code == MISSING_CLIENT_CAPABILITY
        && is_only(required, "extensions")
        && is_only(&required["extensions"], TASKS_EXTENSION)
}

/// The id of the task that was made of a call, as JSON.
pub(super) fn made(answer: &Result<Reply, UpstreamError>) -> Option<Raw> {
    let Ok(Reply { outcome: Outcome::Result(result), .. }) = answer else { return None };
    let is_one = result::kind(result) == Kind::Task;
    let id = is_one.then(|| edit::member(result.as_str(), "taskId"))??;
    Some(Raw::part(result, id))
}

/// Brings what comes of the task with this id; `call` is what it was made of, and the client cancels
/// when `cancelled` resolves.
pub(super) async fn play(
    waiting: Waiting,
    (call, id, made): (Call, Raw, Reply),
    cancelled: oneshot::Receiver<()>,
    server: &Watched,
) -> Turned {
    let mut task = Task::of(&waiting, &id);
    let meta = Params::read(call.params.as_ref()).get("_meta").map(|meta| meta.get());
    let params = [("_meta", meta), ("taskId", Some(id.as_str()))];
    let params = params.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let first = Call { params: Some(edit::object(params)), ..call.clone() };
    let mut steps = Steps::after(waiting, first, cancelled, made.from);
    let outcome = end(&mut steps).await;
    let (waiting, from) = steps.end();
    match outcome {
        Ok(outcome) => {
            task.is_over = true;
            waiting.end(Some(Ok(Reply { outcome, extra: Extra::default(), from })), server)
        }
        Err(Stop::Cancelled) => waiting.end(None, server),
        Err(Stop::Failed(error)) => waiting.end(Some(Err(error)), server),
    }
}

/// What comes of the task, in the words of its server.
async fn end(steps: &mut Steps) -> Result<Outcome, Stop> {
    let (mut answered, mut left) = (BTreeSet::new(), MAX_WAIT);
    loop {
        let said = match steps.ask(method::TASKS_GET, None).await? {
            Outcome::Result(said) => said,
            Outcome::Error(error) => return Ok(lost(&error)),
        };
        match Turn::of(&said, false) {
            Turn::Cancelled => return Ok(Outcome::Error(Raw::of(&tasks::was_cancelled()))),
            Turn::Ended(outcome) => return Ok(outcome),
            Turn::Asks => match steps.answers(&said, &mut answered, |asked| asked).await? {
                Asked::Answered => {}
                Asked::Untaken(Outcome::Error(error)) => return Ok(lost(&error)),
                Asked::Refused(result) | Asked::Untaken(Outcome::Result(result)) => {
                    return Ok(Outcome::Result(result));
                }
            },
            Turn::Works => {}
        }
        if let Some(over) = steps.paced(&said, &mut left).await? {
            return Ok(over);
        }
    }
}

/// What a client reads, who knows of no task, where its server no longer does either.
fn lost(error: &Raw) -> Outcome {
    let said = ErrorObject::read(error).message;
    let why = format!("the upstream lost the task that it made of the call: {said}");
    Outcome::Error(Raw::of(&ErrorObject::new(INTERNAL_ERROR, why)))
}

/// A task that nobody else waits for.
struct Task {
    shared: Arc<Shared>,
    upstream: Arc<dyn Upstream>,
    key: Key,
    /// Its end is known, or it was cancelled.
    is_over: bool,
}

impl Task {
    fn of(waiting: &Waiting, id: &Raw) -> Self {
        let errand = &waiting.errand;
        let (link, member) = (errand.link(), &errand.berth.member);
        let key = Key::new(link.name.clone(), member.key, id);
        let shared = waiting.seat.session.shared.clone();
        Self { shared, upstream: errand.upstream.clone(), key, is_over: false }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (upstream, key) = (self.upstream.clone(), self.key.clone());
        let mut ask = Lone::new(&self.shared, upstream, key, Era::Modern);
        self.shared.ledger.later(Box::pin(async move {
            // Nobody is left who could be told that it goes on.
            let _is_told = ask.ask(method::TASKS_CANCEL, None).await.is_ok();
        }));
    }
}
