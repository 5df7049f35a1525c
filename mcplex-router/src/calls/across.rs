//! Requests about a task that belongs to the other era than who asks.
//!
//! A stateless client reads all of a task in one answer, and a session's client in several; so one
//! request of the client becomes as many at the upstream as it takes. What a task of a stateless
//! server asks is put to the session's client on the way of `tasks/result`, as its revision has it;
//! what one of a session's server asks stands in the answer to `tasks/get`, see `tasks/reader`.

use super::{
    Letter,
    errand::{Turned, Waiting},
    rounds, unless,
};
use crate::{
    measure::Watched,
    params::Params,
    tasks::{self, About, Ask, Key, Record, Stop},
    words,
};
use futures_channel::oneshot;
use futures_util::future::BoxFuture;
use mcplex_proto::{
    edit,
    error::{ErrorObject, INTERNAL_ERROR, INVALID_PARAMS},
    message::{Extra, Outcome},
    method,
    raw::Raw,
    upstream::{Call, Incarnation, Reply},
    version::Era,
};
use mcplex_translate::{
    question::{self, Question, Required},
    task::{self, Status},
};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};

/// How often a stateless server is asked for a task that a session's client waits for, if it says
/// nothing of that; a second is what the specification's examples take.
const PACE: Duration = Duration::from_secs(1);
/// The shortest and the longest that a server may say.
const PACES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// How long a session's client may wait for a result; clients have limits of their own.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Plays it to its end; the client cancels when `cancelled` resolves.
pub(super) async fn play(waiting: Waiting, letter: Letter, server: &Watched) -> Turned {
    let Letter { call, cancelled } = letter;
    let Some(about) = about(&waiting, &call) else { return waiting.end(None, server) };
    let (method, asker) = (call.method.clone(), waiting.seat.asker.era());
    let mut steps = Steps { waiting, first: call, cancelled, is_first: true, from: Incarnation(0) };
    let outcome = match (asker, &*method) {
        (Era::Modern, method::TASKS_UPDATE) => update(&about, &mut steps).await,
        (Era::Modern, method::TASKS_CANCEL) => cancel_of_session(&about, &mut steps).await,
        (Era::Modern, _) => tasks::detailed(&about, &mut steps).await,
        (Era::Legacy, method::TASKS_RESULT) => result(&about, &mut steps).await,
        (Era::Legacy, method::TASKS_CANCEL) => cancel_stateless(&about, &mut steps).await,
        (Era::Legacy, _) => state(&about, &mut steps).await,
    };
    let Steps { waiting, from, .. } = steps;
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

/// One request after another at the upstream, for one of the client.
struct Steps {
    waiting: Waiting,
    /// What the client asked, as the upstream would read it.
    first: Call,
    cancelled: oneshot::Receiver<()>,
    is_first: bool,
    /// The life that answered last.
    from: Incarnation,
}

impl Ask for Steps {
    fn ask<'a>(
        &'a mut self,
        method: &'static str,
        more: Option<(&'static str, Raw)>,
    ) -> BoxFuture<'a, Result<Outcome, Stop>> {
        Box::pin(async move {
            let id = self.next_id()?;
            let params = self.params(id, more.as_ref());
            let (method, extra) = (Cow::Borrowed(method), Extra::default());
            let call = Call { id, method, params: Some(params), extra, ..self.first.clone() };
            let upstream = self.waiting.errand.upstream.clone();
            let reply = unless(&mut self.cancelled, upstream.call(call)).await;
            let reply = reply.ok_or(Stop::Cancelled)?.map_err(Stop::Failed)?;
            // It was written for this era.
            self.waiting.may_be_rewritten = false;
            self.from = reply.from;
            let named = format_args!("upstream {}", self.waiting.errand.link().name);
            Ok(words::sound(reply.outcome, named))
        })
    }
}

impl Steps {
    /// The id of the next request, under which the client's cancel finds it.
    fn next_id(&mut self) -> Result<u64, Stop> {
        if std::mem::take(&mut self.is_first) {
            return Ok(self.first.id);
        }
        let Waiting { seat, errand, .. } = &self.waiting;
        let id = errand.upstream.mint();
        errand.berth.land();
        errand.berth.take_off(id, seat.flight(None));
        let goes_on = seat.session.redirect(&seat.about, Some(id));
        if goes_on { Ok(id) } else { Err(Stop::Cancelled) }
    }

    /// What every request about a task says, under this progress token.
    fn params(&self, id: u64, more: Option<&(&'static str, Raw)>) -> Raw {
        let first = self.first.params.clone();
        let params = Params::read(first.as_ref());
        let kept = ["_meta", "taskId"].into_iter().filter_map(|name| {
            let value = params.get(name)?;
            Some((name, value.get()))
        });
        let more = more.map(|(name, value)| (*name, value.as_str()));
        let params = edit::object(kept.chain(more));
        Params::read(Some(&params)).with_token(id).unwrap_or(params)
    }

    /// Waits, unless the client gives up.
    async fn rest(&mut self, time: Duration) -> Result<(), Stop> {
        let Waiting { seat, errand, .. } = &self.waiting;
        errand.berth.land();
        if !seat.session.redirect(&seat.about, None) {
            return Err(Stop::Cancelled);
        }
        let sleep = seat.session.shared.clock.sleep(time);
        unless(&mut self.cancelled, sleep).await.ok_or(Stop::Cancelled)
    }
}

/// A stateless client answers what a task of a session's server asks.
async fn update(about: &About, steps: &mut Steps) -> Result<Outcome, Stop> {
    let said = match steps.ask(method::TASKS_GET, None).await? {
        Outcome::Result(said) => said,
        error @ Outcome::Error(_) => return Ok(about.translated(error)),
    };
    let answers = question::answers(steps.first.params.as_ref());
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
    let mut answered = BTreeSet::new();
    let mut left = MAX_WAIT;
    loop {
        let (said, record) = match looked_at(about, steps).await? {
            Ok(found) => found,
            Err(error) => return Ok(error),
        };
        let member = |name: &str| {
            let found = edit::member(said.as_str(), name)?;
            Some(Raw::part(&said, found))
        };
        let status = if record.is_cancelled() { Status::Cancelled } else { Status::of(&said) };
        match status {
            Status::Cancelled => return Ok(Outcome::Error(Raw::of(&tasks::was_cancelled()))),
            Status::Completed => {
                let result = member("result").unwrap_or_else(Raw::empty_object);
                return Ok(ended(about, Outcome::Result(result)));
            }
            Status::Failed => {
                let unsaid = || Raw::of(&ErrorObject::new(INTERNAL_ERROR, "the task failed"));
                let error = member("error").unwrap_or_else(unsaid);
                return Ok(ended(about, Outcome::Error(error)));
            }
            Status::InputRequired => {
                if let Some(refused) = answers(about, steps, &said, &mut answered).await? {
                    return Ok(refused);
                }
            }
            Status::Working => {}
        }
        let pace = member("pollIntervalMs").and_then(|pace| pace.get::<u64>());
        let pace = pace.map_or(PACE, Duration::from_millis).clamp(PACES.0, PACES.1);
        left = match left.checked_sub(pace) {
            Some(left) => left,
            None => return Ok(Outcome::Error(Raw::of(&too_long()))),
        };
        steps.rest(pace).await?;
    }
}

fn too_long() -> ErrorObject {
    ErrorObject::new(INTERNAL_ERROR, "the task has not ended in a day; ask for its result again")
}

/// The outcome of a task's call, as one of it.
fn ended(about: &About, outcome: Outcome) -> Outcome {
    let outcome = words::sound(outcome, format_args!("upstream {}", about.link.name));
    match about.translated(outcome) {
        Outcome::Result(result) => Outcome::Result(task::related(&result, &about.known)),
        error @ Outcome::Error(_) => error,
    }
}

/// Puts what a task asks to the client, and takes the answers to the upstream; what was answered
/// before is not asked again. Gives the outcome of a task that cannot go on.
async fn answers(
    about: &About,
    steps: &mut Steps,
    said: &Raw,
    answered: &mut BTreeSet<String>,
) -> Result<Option<Outcome>, Stop> {
    let asked = match Required::read(said) {
        Ok(required) => required.questions,
        Err(why) => return give_up(about, steps, why.0).await.map(Some),
    };
    let open = asked.into_iter().filter(|(key, _)| !answered.contains(key));
    let open: Vec<_> = open.map(|(key, asked)| (key, of_task(about, asked))).collect();
    if open.is_empty() {
        return Ok(None);
    }
    let keys: Vec<_> = open.iter().map(|(key, _)| key.clone()).collect();
    steps.waiting.errand.berth.land();
    let Waiting { seat, .. } = &steps.waiting;
    if !seat.session.redirect(&seat.about, None) {
        return Err(Stop::Cancelled);
    }
    let given = Box::pin(rounds::answers(&steps.waiting, open));
    let given = match unless(&mut steps.cancelled, given).await.ok_or(Stop::Cancelled)? {
        Ok(given) => given,
        Err(error) => return give_up(about, steps, &error.message).await.map(Some),
    };
    let given = edit::object(given.iter().map(|(key, answer)| (key.as_str(), answer.as_str())));
    let taken = steps.ask(method::TASKS_UPDATE, Some(("inputResponses", given))).await?;
    if let error @ Outcome::Error(_) = taken {
        return Ok(Some(about.translated(error)));
    }
    answered.extend(keys);
    Ok(None)
}

/// A question that says which task it is about.
fn of_task(about: &About, asked: Question) -> Question {
    let params = asked.params.unwrap_or_else(Raw::empty_object);
    Question { params: Some(task::related(&params, &about.known)), ..asked }
}

/// Ends a task that has a question nobody answers: there is no way to say so to it.
async fn give_up(about: &About, steps: &mut Steps, why: &str) -> Result<Outcome, Stop> {
    steps.ask(method::TASKS_CANCEL, None).await?;
    let result = Raw::of(&serde_json::json!({
        "content": [{ "type": "text", "text": why }],
        "isError": true,
    }));
    Ok(Outcome::Result(task::related(&result, &about.known)))
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
