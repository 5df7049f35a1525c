//! Answers that mean something else to a client of the other era, beyond their words.

use super::{
    errand::{Seat, Waiting},
    retry,
};
use crate::{
    asks,
    member::Flight,
    seal::{Bond, State},
    spans,
    target::Aim,
    tasks::{self, Key, Role},
};
use mcplex_proto::{
    edit,
    error::{ErrorObject, INTERNAL_ERROR, URL_ELICITATION_REQUIRED},
    message::Outcome,
    method,
    raw::Raw,
    version::{Era, Version},
};
use mcplex_translate::{
    self as translate,
    question::{self, Question, Required},
    result::Kind,
};

/// What the client gets instead; the answer itself when it is one like any other.
///
/// `landed` is its request at the upstream, which has ended.
pub(super) fn answer(
    waiting: &Waiting,
    outcome: Outcome,
    landed: Option<(u64, Flight)>,
) -> Result<Outcome, Outcome> {
    let Waiting { seat, errand, .. } = waiting;
    let outcome = match (&errand.task, outcome) {
        (Some(Role::Makes), Outcome::Result(result)) => match made(waiting, result, landed) {
            // A task that was asked for is an answer.
            Ok(made) => return Ok(Outcome::Result(made)),
            Err(result) => Outcome::Result(result),
        },
        (Some(Role::Names(known)), outcome) => of_task(waiting, known, outcome),
        (_, outcome) => outcome,
    };
    match (errand.era, seat.asker.era()) {
        (Era::Legacy, Era::Modern) => of_session(waiting, outcome),
        (Era::Modern, Era::Modern) => of_stateless(waiting, outcome),
        // A client that opens no URLs is told to in words.
        (Era::Legacy, Era::Legacy) if seat.asker.version < Version::V2025_11_25 => {
            let urls = match &outcome {
                Outcome::Error(error) if errand.aim == Aim::Tool => {
                    translate::error::urls_as_result(error)
                }
                Outcome::Error(_) | Outcome::Result(_) => None,
            };
            urls.map(Outcome::Result).ok_or(outcome)
        }
        (Era::Legacy | Era::Modern, Era::Legacy) => Err(outcome),
    }
}

/// The task that was made of a call, as its client is told; the result itself if it is none.
fn made(waiting: &Waiting, result: Raw, landed: Option<(u64, Flight)>) -> Result<Raw, Raw> {
    let Waiting { seat, errand, .. } = waiting;
    let (link, member) = (errand.link(), &errand.berth.member);
    let task = match errand.era {
        Era::Legacy => edit::member(result.as_str(), "task").map(|task| Raw::part(&result, task)),
        Era::Modern => (translate::result::kind(&result) == Kind::Task).then(|| result.clone()),
    };
    let id = task
        .as_ref()
        .and_then(|task| Some(Raw::part(task, edit::member(task.as_str(), "taskId")?)));
    let (Some(task), Some(id)) = (task, id) else {
        // A session's client that asks for a task gets one, whatever the server thinks of that.
        let is_plain = translate::result::kind(&result) == Kind::Complete;
        if errand.era == Era::Modern && seat.asker.era() == Era::Legacy && is_plain {
            let (from, to) = (errand.version(), seat.asker.version);
            let new = translate::result::to_client(&errand.method, &result, from, to, None);
            let whose = (&**link, &**member);
            let held = tasks::hold(&seat.session, &seat.asker, whose, new.unwrap_or(result));
            return Ok(edit::object([("task", held.as_str())]));
        }
        return Err(result);
    };
    let key = Key::new(link.name.clone(), member.key, &id);
    let record = tasks::made(&seat.session, &seat.asker, key, &task);
    // Whoever made it wants to hear of it.
    link.watch.raise();
    // Between two sessions its progress goes on as well; a stateless task has none.
    if (errand.era, seat.asker.era()) == (Era::Legacy, Era::Legacy)
        && let Some((id, Flight { token: Some(token), progress, .. })) = landed
    {
        record.progresses_under(token, progress);
        member.follows(id, &record);
    }
    let renamed = tasks::renamed(&result, |_| record.known.clone()).unwrap_or(result);
    Ok(match (errand.era, seat.asker.era()) {
        (Era::Legacy, Era::Modern) => {
            let identity = seat.identity();
            translate::task::made_to_modern(&renamed, Some(&identity)).unwrap_or(renamed)
        }
        (Era::Modern, Era::Legacy) => translate::task::made_to_legacy(&renamed),
        (Era::Legacy, Era::Legacy) | (Era::Modern, Era::Modern) => renamed,
    })
}

/// What is said of a task, under the id that its client knows.
fn of_task(waiting: &Waiting, known: &Raw, outcome: Outcome) -> Outcome {
    if waiting.errand.method == method::TASKS_RESULT {
        tasks::was_fetched(&waiting.seat.session, known);
    }
    match outcome {
        Outcome::Result(result) => {
            let new = tasks::renamed(&result, |_| known.clone()).unwrap_or(result);
            tasks::told(&waiting.seat.session, known, &new);
            Outcome::Result(new)
        }
        error @ Outcome::Error(_) => error,
    }
}

/// A session's server answers a stateless client.
fn of_session(waiting: &Waiting, outcome: Outcome) -> Result<Outcome, Outcome> {
    let Waiting { seat, errand, .. } = waiting;
    let Some(talk) = &errand.talk else { return Err(outcome) };
    if let Some(urls) = urls(seat, &outcome) {
        return Ok(urls);
    }
    match talk.lacking().filter(|_| spans::is_failure(&outcome)) {
        Some(lacking) => Ok(Outcome::Error(Raw::of(&ErrorObject::missing_capability(lacking)))),
        None => Err(outcome),
    }
}

/// An error that asks to open URLs first, as a stateless client is asked that. The call was refused,
/// so its retry is made anew.
fn urls(seat: &Seat, outcome: &Outcome) -> Option<Outcome> {
    let Outcome::Error(error) = outcome else { return None };
    let error = ErrorObject::read(error);
    let elicitations = match error.code {
        URL_ELICITATION_REQUIRED => translate::error::elicitations(&error),
        _ => return None,
    };
    let version = seat.asker.version;
    let mut questions = Vec::new();
    for (elicitation, number) in elicitations.into_iter().zip(1..) {
        let params = edit::with_members(&Raw::of(elicitation), &[("mode", "\"url\"")]);
        let asked = Question { method: method::ELICITATION.into(), params: Some(params) };
        let asked =
            question::to_client(&asked, Version::LATEST_LEGACY, version, String::new).ok()?;
        if let Some(lacking) = asks::lacking(&seat.asker, &asked) {
            let required = asks::required([lacking]);
            return Some(Outcome::Error(Raw::of(&ErrorObject::missing_capability(required))));
        }
        questions.push((format!("url{number}"), asked));
    }
    if questions.is_empty() {
        return None;
    }
    // Nothing ran and nothing waits, so there is nothing to come back to and to be proven.
    Some(Outcome::Result(Required { questions, state: None }.write(Some(&seat.identity()))))
}

/// A stateless server answers a stateless client: what it asks passes, and its state goes back to
/// nobody else.
fn of_stateless(waiting: &Waiting, outcome: Outcome) -> Result<Outcome, Outcome> {
    let Waiting { seat, errand, .. } = waiting;
    let Outcome::Result(result) = &outcome else { return Err(outcome) };
    if translate::result::kind(result) != Kind::InputRequired {
        return Err(outcome);
    }
    let refused = |error: &ErrorObject| Ok(Outcome::Error(Raw::of(error)));
    if !question::may_need_input(&errand.method) {
        let why = format!("the upstream asks in the answer to {}", errand.method);
        return refused(&ErrorObject::new(INTERNAL_ERROR, why));
    }
    let required = match Required::read(result) {
        Ok(required) => required,
        Err(why) => return refused(&ErrorObject::new(INTERNAL_ERROR, why.to_string())),
    };
    let lacking =
        required.questions.iter().filter_map(|(_, asked)| asks::lacking(&seat.asker, asked));
    let lacking: Vec<_> = lacking.collect();
    if !lacking.is_empty() {
        return refused(&ErrorObject::missing_capability(asks::required(lacking)));
    }
    let Some(state) = required.state else { return Ok(outcome) };
    let bound = State::Bound { upstream: errand.link().name.clone(), state };
    let sealed = seal(seat, &errand.method, &bound);
    let result = edit::with_members(result, &[(retry::STATE, sealed.as_str())]);
    Ok(Outcome::Result(result))
}

/// Seals a state for the retry of a call.
pub(super) fn seal(seat: &Seat, method: &str, state: &State) -> Raw {
    let session = &seat.session;
    let bond = Bond::of(&session.arrival.principal, method, seat.params.as_ref());
    session.shared.seals.seal(state, &bond)
}
