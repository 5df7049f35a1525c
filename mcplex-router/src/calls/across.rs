//! Requests about a task that belongs to the other era than who asks.
//!
//! A stateless client reads all of a task in one answer, and a session's client in several; so one
//! request of the client becomes as many at the upstream as it takes. What a task of a stateless
//! server asks is put to the session's client on the way of `tasks/result`, as its revision has it;
//! what one of a session's server asks stands in the answer to `tasks/get`, see `tasks/reader`.

use super::{
    Letter,
    errand::{Turned, Waiting},
    steps::{Asked, MAX_WAIT, Steps, Turn},
};
use crate::{
    measure::Watched,
    params::Params,
    tasks::{self, About, Ask as _, Key, Record, Stop},
    words,
};
use mcplex_proto::{
    edit,
    error::{ErrorObject, INVALID_PARAMS},
    message::{Extra, Outcome},
    method,
    raw::Raw,
    upstream::{Call, Incarnation, Reply},
    version::Era,
};
use mcplex_translate::{
    question::{self, Question},
    task::{self, Status},
};
use std::{collections::BTreeSet, sync::Arc};

/// Plays it to its end; the client cancels when `cancelled` resolves.
pub(super) async fn play(waiting: Waiting, letter: Letter, server: &Watched) -> Turned {
    let Letter { call, cancelled } = letter;
    let Some(about) = about(&waiting, &call) else { return waiting.end(None, server) };
    let (method, asker) = (call.method.clone(), waiting.seat.asker.era());
    let mut steps = Steps::new(waiting, *call, cancelled);
    let outcome = match (asker, &*method) {
        (Era::Modern, method::TASKS_UPDATE) => update(&about, &mut steps).await,
        (Era::Modern, method::TASKS_CANCEL) => cancel_of_session(&about, &mut steps).await,
        (Era::Modern, _) => tasks::detailed(&about, &mut steps).await,
        (Era::Legacy, method::TASKS_RESULT) => result(&about, &mut steps).await,
        (Era::Legacy, method::TASKS_CANCEL) => cancel_stateless(&about, &mut steps).await,
        (Era::Legacy, _) => state(&about, &mut steps).await,
    };
    let (waiting, from) = steps.end();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(Stop::Cancelled) => return waiting.end(None, server),
        Err(Stop::Failed(error)) => return waiting.end(Some(Err(error)), server),
    };
    let outcome = match (asker, outcome) {
        (Era::Modern, Outcome::Result(told)) => {
            Outcome::Result(tasks::complete(&told, &waiting.seat.identity()))
        }
        (_, outcome) => outcome,
    };
    Ok(waiting.told(outcome, from, server))
}

/// The task that a call is about, and who asks.
fn about(waiting: &Waiting, call: &Call) -> Option<About> {
    let Waiting { seat, errand, .. } = waiting;
    let (link, member) = (errand.link().clone(), errand.berth.member.clone());
    let Some(tasks::Role::Names(known)) = errand.task.clone() else { return None };
    let own = Raw::of(Params::read(call.params.as_ref()).get("taskId")?);
    let key = Key::new(link.name.clone(), member.key, &own);
    Some(About {
        session: seat.session.clone(),
        asker: seat.asker.clone(),
        request: seat.about.clone(),
        link,
        member,
        upstream: errand.upstream.clone(),
        version: errand.version(),
        key,
        known,
    })
}

/// A stateless client answers what a task of a session's server asks.
async fn update(about: &About, steps: &mut Steps) -> Result<Outcome, Stop> {
    let said = match steps.ask(method::TASKS_GET, None).await? {
        Outcome::Result(said) => said,
        error @ Outcome::Error(_) => return Ok(about.translated(error)),
    };
    let answers = question::answers(steps.first());
    about.record(&said).talk.answer(&answers, about.version);
    Ok(Outcome::Result(Raw::empty_object()))
}

/// A stateless client no longer wants a task of a session's server: also of one that has ended it
/// may say so.
async fn cancel_of_session(about: &About, steps: &mut Steps) -> Result<Outcome, Stop> {
    let done = || Ok(Outcome::Result(Raw::empty_object()));
    let error = match steps.ask(method::TASKS_CANCEL, None).await? {
        Outcome::Result(_) => {
            if let Some(record) = about.shared().ledger.get(&about.key) {
                record.talk.shut("the task was cancelled");
            }
            return done();
        }
        Outcome::Error(error) => error,
    };
    let may_be_over = ErrorObject::read(&error).code == INVALID_PARAMS;
    if may_be_over && let Outcome::Result(_) = steps.ask(method::TASKS_GET, None).await? {
        return done();
    }
    Ok(about.translated(Outcome::Error(error)))
}

/// How a task of a stateless server is, or the error that says that there is none.
async fn looked_at(
    about: &About,
    steps: &mut Steps,
) -> Result<Result<(Raw, Arc<Record>), Outcome>, Stop> {
    let said = match steps.ask(method::TASKS_GET, None).await? {
        Outcome::Result(said) => said,
        error @ Outcome::Error(_) => return Ok(Err(about.translated(error))),
    };
    let record = about.record(&said);
    let status = Status::of(&said);
    let new = edit::with_members(&task::to_legacy(&said), &[("taskId", about.known.as_str())]);
    // Once it was taken back it stays so, whatever becomes of it.
    if !record.is_cancelled() {
        record.tell(new);
    }
    if status.is_over() {
        about.link.watch.raise();
    }
    Ok(Ok((said, record)))
}

/// How it is, for a session's client.
async fn state(about: &About, steps: &mut Steps) -> Result<Outcome, Stop> {
    Ok(match looked_at(about, steps).await? {
        Ok((_, record)) => Outcome::Result(record.told()),
        Err(error) => error,
    })
}

/// A session's client takes a task of a stateless server back.
async fn cancel_stateless(about: &About, steps: &mut Steps) -> Result<Outcome, Stop> {
    let (_, record) = match looked_at(about, steps).await? {
        Ok(found) => found,
        Err(error) => return Ok(error),
    };
    if record.is_over() {
        return Ok(Outcome::Error(Raw::of(&tasks::is_over())));
    }
    if let error @ Outcome::Error(_) = steps.ask(method::TASKS_CANCEL, None).await? {
        return Ok(about.translated(error));
    }
    record.cancel();
    let cancelled = Raw::of(Status::Cancelled.word());
    record.tell(edit::with_members(&record.told(), &[("status", cancelled.as_str())]));
    about.link.watch.raise();
    Ok(Outcome::Result(record.told()))
}

/// What comes of a task of a stateless server, for a session's client, which is asked what the task
/// asks meanwhile.
async fn result(about: &About, steps: &mut Steps) -> Result<Outcome, Stop> {
    let (mut answered, mut left) = (BTreeSet::new(), MAX_WAIT);
    loop {
        let (said, record) = match looked_at(about, steps).await? {
            Ok(found) => found,
            Err(error) => return Ok(error),
        };
        match Turn::of(&said, record.is_cancelled()) {
            Turn::Cancelled => return Ok(Outcome::Error(Raw::of(&tasks::was_cancelled()))),
            Turn::Ended(outcome) => return Ok(ended(about, outcome)),
            Turn::Asks => {
                let mark = |asked| of_task(about, asked);
                match steps.answers(&said, &mut answered, mark).await? {
                    Asked::Answered => {}
                    Asked::Untaken(error) => return Ok(about.translated(error)),
                    Asked::Refused(refusal) => {
                        return Ok(Outcome::Result(task::related(&refusal, &about.known)));
                    }
                }
            }
            Turn::Works => {}
        }
        if let Some(over) = steps.paced(&said, &mut left).await? {
            return Ok(over);
        }
    }
}

/// The outcome of a task's call, as one of it.
fn ended(about: &About, outcome: Outcome) -> Outcome {
    let outcome = words::sound(outcome, format_args!("upstream {}", about.link.name));
    match about.translated(outcome) {
        Outcome::Result(result) => Outcome::Result(task::related(&result, &about.known)),
        error @ Outcome::Error(_) => error,
    }
}

/// A question that says which task it is about.
fn of_task(about: &About, asked: Question) -> Question {
    let params = asked.params.unwrap_or_else(Raw::empty_object);
    Question { params: Some(task::related(&params, &about.known)), ..asked }
}

impl Waiting {
    /// Ends a call with an answer that is written in the words of who asked.
    fn told(self, outcome: Outcome, from: Incarnation, server: &Watched) -> super::errand::Answer {
        self.errand.berth.land();
        let reply = Reply { outcome, extra: Extra::default(), from };
        let knows_life = self.errand.knows_life;
        crate::spans::answered(server, &self.errand.span, &reply, knows_life);
        Some((reply.outcome, reply.extra))
    }
}
