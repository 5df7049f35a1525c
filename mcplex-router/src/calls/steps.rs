//! One request after another at an upstream, for one of the client: the life of a task is asked for.

use super::{errand::Waiting, rounds, unless};
use crate::{
    params::Params,
    tasks::{Ask, Stop},
    words,
};
use futures_channel::oneshot;
use futures_util::future::BoxFuture;
use mcplex_proto::{
    edit,
    error::{ErrorObject, INTERNAL_ERROR},
    message::{Extra, Outcome},
    method,
    raw::Raw,
    upstream::{Call, Incarnation},
};
use mcplex_translate::{
    question::{Question, Required},
    task::Status,
};
use std::{borrow::Cow, collections::BTreeSet, time::Duration};

/// How often a stateless server is asked for a task that a session's client waits for, if it says
/// nothing of that; a second is what the specification's examples take.
const PACE: Duration = Duration::from_secs(1);
/// The shortest and the longest that a server may say.
const PACES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// How long a session's client may wait for a result; clients have limits of their own.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How a task of a stateless server is, for who waits for its end.
pub(super) enum Turn {
    Cancelled,
    Ended(Outcome),
    Asks,
    Works,
}

impl Turn {
    /// Reads an answer to `tasks/get`; one that was taken back stays so, whatever becomes of it.
    pub(super) fn of(said: &Raw, is_cancelled: bool) -> Self {
        let member = |name: &str| {
            let found = edit::member(said.as_str(), name)?;
            Some(Raw::part(said, found))
        };
        match Status::of(said) {
            _ if is_cancelled => Self::Cancelled,
            Status::Cancelled => Self::Cancelled,
            Status::Completed => {
                let result = member("result").unwrap_or_else(Raw::empty_object);
                Self::Ended(Outcome::Result(result))
            }
            Status::Failed => {
                let unsaid = || Raw::of(&ErrorObject::new(INTERNAL_ERROR, "the task failed"));
                Self::Ended(Outcome::Error(member("error").unwrap_or_else(unsaid)))
            }
            Status::InputRequired => Self::Asks,
            Status::Working => Self::Works,
        }
    }
}

/// What became of the questions of a task.
pub(super) enum Asked {
    /// Its server has the answers, as far as there was something to answer.
    Answered,
    /// Its server did not take them.
    Untaken(Outcome),
    /// One was refused and no answer can say so, so the task was cancelled; the result of a tool
    /// that says why.
    Refused(Raw),
}

/// One request after another at the upstream, for one of the client.
pub(super) struct Steps {
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
    /// Begins with the request of the client itself.
    pub(super) fn new(waiting: Waiting, first: Call, cancelled: oneshot::Receiver<()>) -> Self {
        Self { waiting, first, cancelled, is_first: true, from: Incarnation(0) }
    }

    /// Goes on after this life has made a task of the request; all that follow are like `first`.
    pub(super) fn after(
        waiting: Waiting,
        first: Call,
        cancelled: oneshot::Receiver<()>,
        from: Incarnation,
    ) -> Self {
        Self { waiting, first, cancelled, is_first: false, from }
    }

    /// The request of the client, and the life that answered last.
    pub(super) fn end(self) -> (Waiting, Incarnation) {
        (self.waiting, self.from)
    }

    /// The parameters of the client's request, as its upstream would read them.
    pub(super) fn first(&self) -> Option<&Raw> {
        self.first.params.as_ref()
    }

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

    /// Waits for as long as the server of a task says; gives what a wait ends with that takes too
    /// long.
    pub(super) async fn paced(
        &mut self,
        said: &Raw,
        left: &mut Duration,
    ) -> Result<Option<Outcome>, Stop> {
        let pace = edit::member(said.as_str(), "pollIntervalMs");
        let pace = pace.and_then(|pace| Raw::part(said, pace).get::<u64>());
        let pace = pace.map_or(PACE, Duration::from_millis).clamp(PACES.0, PACES.1);
        let Some(rest) = left.checked_sub(pace) else {
            let why = "the task has not ended in a day; ask for its result again";
            return Ok(Some(Outcome::Error(Raw::of(&ErrorObject::new(INTERNAL_ERROR, why)))));
        };
        *left = rest;
        self.rest(pace).await?;
        Ok(None)
    }

    /// Puts what a task asks to the client, each question as `mark` writes it, and takes the answers
    /// to the upstream; what was answered before is not asked again.
    pub(super) async fn answers(
        &mut self,
        said: &Raw,
        answered: &mut BTreeSet<String>,
        mark: impl Fn(Question) -> Question,
    ) -> Result<Asked, Stop> {
        let asked = match Required::read(said) {
            Ok(required) => required.questions,
            Err(why) => return self.give_up(why.0).await,
        };
        let open = asked.into_iter().filter(|(key, _)| !answered.contains(key));
        let open: Vec<_> = open.map(|(key, asked)| (key, mark(asked))).collect();
        if open.is_empty() {
            return Ok(Asked::Answered);
        }
        let keys: Vec<_> = open.iter().map(|(key, _)| key.clone()).collect();
        self.waiting.errand.berth.land();
        let Waiting { seat, .. } = &self.waiting;
        if !seat.session.redirect(&seat.about, None) {
            return Err(Stop::Cancelled);
        }
        let given = Box::pin(rounds::answers(&self.waiting, open));
        let given = match unless(&mut self.cancelled, given).await.ok_or(Stop::Cancelled)? {
            Ok(given) => given,
            Err(error) => return self.give_up(&error.message).await,
        };
        let given = given.iter().map(|(key, answer)| (key.as_str(), answer.as_str()));
        let given = Some(("inputResponses", edit::object(given)));
        let taken = self.ask(method::TASKS_UPDATE, given).await?;
        if let error @ Outcome::Error(_) = taken {
            return Ok(Asked::Untaken(error));
        }
        answered.extend(keys);
        Ok(Asked::Answered)
    }

    /// Ends a task that has a question nobody answers: there is no way to say so to it.
    async fn give_up(&mut self, why: &str) -> Result<Asked, Stop> {
        self.ask(method::TASKS_CANCEL, None).await?;
        Ok(Asked::Refused(Raw::of(&serde_json::json!({
            "content": [{ "type": "text", "text": why }],
            "isError": true,
        }))))
    }
}
