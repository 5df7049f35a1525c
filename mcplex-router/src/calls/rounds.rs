//! A session's client calls a stateless server, which asks in its results.
//!
//! Each question becomes a request to the client, on the stream of its call; the answers go into
//! another try of the call. So does the word that tasks are known, where the server wants to hear it.
//! To the client it is one call as long as it takes.

use super::{
    Letter, awaited,
    errand::{Turned, Waiting},
    unless,
};
use crate::{asker::Asker, asks, hop, measure::Watched, params::Params, seal};
use futures_channel::oneshot;
use futures_util::future::{Either, select, try_join_all};
use mcplex_proto::{
    error::{ErrorObject, INTERNAL_ERROR},
    message::Outcome,
    method,
    raw::Raw,
    upstream::{Call, Reply, UpstreamError},
    version::Version,
};
use mcplex_translate::{
    question::{self, Question, Required},
    result::{self, Kind},
};
use std::time::Duration;

/// How often one call may ask; as many rounds as the official SDK for TypeScript plays.
const MAX_ROUNDS: u32 = 8;
/// How long a client may take for one round; ten minutes, as that SDK gives it.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long to wait before a round that asks nothing; as that SDK does.
const PACE: Duration = Duration::from_millis(250);

/// Calls as often as the upstream asks; the client cancels when `cancelled` resolves.
pub(super) async fn play(mut waiting: Waiting, letter: Letter, server: &Watched) -> Turned {
    let Letter { call, mut cancelled } = letter;
    let mut call = *call;
    let mut first = call.clone();
    let mut knows_tasks = waiting.errand.task.is_some();
    let is_plain = !knows_tasks && waiting.errand.method == method::TOOLS_CALL;
    for round in 0..=MAX_ROUNDS {
        let answer = unless(&mut cancelled, waiting.errand.upstream.call(call)).await;
        let Some(answer) = answer else { return waiting.end(None, server) };
        let made = if is_plain && knows_tasks { awaited::made(&answer) } else { None };
        if let (Some(id), Ok(made)) = (made, &answer) {
            let whole = (first, id, made.clone());
            return Box::pin(awaited::play(waiting, whole, cancelled, server)).await;
        }
        let is_wanted = is_plain && !knows_tasks && awaited::is_wanted(&answer);
        let asked = if is_wanted { None } else { required(&answer) };
        if asked.is_none() && !is_wanted {
            return waiting.end(Some(answer), server);
        }
        waiting.errand.has_asked(&answer);
        waiting.may_be_rewritten = false;
        waiting.errand.berth.land();
        if round == MAX_ROUNDS {
            // Nobody answers for a retry that is not made.
            break;
        }
        waiting.seat.session.redirect(&waiting.seat.about, None);
        let params = match asked {
            None => {
                knows_tasks = true;
                first.params = first.params.as_ref().map(hop::knowing_tasks);
                Ok(first.params.clone().unwrap_or_else(Raw::empty_object))
            }
            Some(Err(error)) => Err(error),
            Some(Ok(Required { questions, state })) => {
                let given = Box::pin(answers(&waiting, questions));
                let Some(given) = unless(&mut cancelled, given).await else {
                    return waiting.end(None, server);
                };
                given.map(|given| question::retry(first.params.as_ref(), &given, state.as_ref()))
            }
        };
        let params = match params {
            Ok(params) => params,
            Err(error) => return waiting.fail(error, server),
        };
        match again(&mut waiting, &first, params, server) {
            Some(next) => call = next,
            None => return waiting.end(None, server),
        }
    }
    let why = format!("the upstream got answers {MAX_ROUNDS} times and goes on asking");
    waiting.fail(ErrorObject::new(INTERNAL_ERROR, why), server)
}

/// The call once more, with these parameters; nothing when its client no longer waits for it.
fn again(waiting: &mut Waiting, first: &Call, params: Raw, server: &Watched) -> Option<Call> {
    let id = waiting.errand.upstream.mint();
    waiting.errand.berth.take_off(id, waiting.seat.flight(None));
    if !waiting.seat.session.redirect(&waiting.seat.about, Some(id)) {
        return None;
    }
    let params = Params::read(Some(&params)).with_token(id).unwrap_or(params);
    let (params, trace) = waiting.errand.tries_again(server, id, params);
    Some(Call { id, params: Some(params), trace, ..first.clone() })
}

/// What an answer asks, if it is a question.
fn required(answer: &Result<Reply, UpstreamError>) -> Option<Result<Required, ErrorObject>> {
    let Ok(Reply { outcome: Outcome::Result(result), .. }) = answer else { return None };
    if result::kind(result) != Kind::InputRequired {
        return None;
    }
    let bad = |why: question::CannotSay| ErrorObject::new(INTERNAL_ERROR, why.to_string());
    Some(Required::read(result).map_err(bad))
}

/// Asks the client everything at once, and waits for all answers.
///
/// # Errors
/// When something was refused for which there is no answer that says so.
pub(super) async fn answers(
    waiting: &Waiting,
    questions: Vec<(String, Question)>,
) -> Result<Vec<(String, Raw)>, ErrorObject> {
    let seat = &waiting.seat;
    let session = &seat.session;
    let sleep = |time| session.shared.clock.sleep(time);
    if questions.is_empty() {
        sleep(PACE).await;
        return Ok(Vec::new());
    }
    // Nobody is asked anything when it is known that the call fails.
    let asked = questions.into_iter().map(|(key, asked)| {
        let method = asked.method.clone();
        match words(&seat.asker, &asked) {
            Ok(asked) => Ok((key, method, Ok(asked))),
            Err(refusal) => Ok((key, method.clone(), Err(answer(&method, &refusal)?))),
        }
    });
    let asked: Vec<_> = asked.collect::<Result<_, ErrorObject>>()?;
    let mut open = session.ask_all(&seat.about, waiting.errand.span.context().cloned());
    let mut all = Vec::with_capacity(asked.len());
    for (key, method, asked) in asked {
        let coming = match asked {
            Ok(asked) => Either::Left(open.pose(&asked)),
            Err(answered) => Either::Right(answered),
        };
        all.push((key, method, coming));
    }
    let given = all.into_iter().map(|(key, method, coming)| async move {
        match coming {
            Either::Left(coming) => {
                let outcome = match select(coming, sleep(PATIENCE)).await {
                    Either::Left((Ok(outcome), _)) => outcome,
                    Either::Left((Err(oneshot::Canceled), _)) => refused("it cannot be reached"),
                    Either::Right(_) => refused("it did not answer in time"),
                };
                Ok((key, answer(&method, &outcome)?))
            }
            Either::Right(answered) => Ok((key, answered)),
        }
    });
    // One that ends the call makes the others pointless; they are taken back.
    try_join_all(given).await
}

/// The question in the words of the client, or why it cannot be put to it.
fn words(asker: &Asker, asked: &Question) -> Result<Question, Outcome> {
    if let Some(lacking) = asks::lacking(asker, asked) {
        return Err(refused(&format!("it did not declare {lacking}")));
    }
    question::to_client(asked, Version::LATEST_MODERN, asker.version, seal::mint_name)
        .map_err(|why| refused(why.0))
}

fn answer(method: &str, outcome: &Outcome) -> Result<Raw, ErrorObject> {
    question::answer_to_modern(method, outcome)
}

fn refused(why: &str) -> Outcome {
    Outcome::Error(Raw::of(&ErrorObject::new(INTERNAL_ERROR, why)))
}
