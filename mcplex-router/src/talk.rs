//! What a session's server asks during a call of a stateless client.
//!
//! Such a client is asked in the result of its call, so the questions are gathered here until the
//! call can be suspended. Each is answered once: by a retry of the call, or for the client when the
//! talk ends.

use crate::{
    asks::{self, Lacking},
    measure::Watched,
    member::Member,
    router::lock,
    spans,
};
use futures_util::task::AtomicWaker;
use mcplex_proto::{
    edit,
    error::ErrorObject,
    id::Id,
    message::{Extra, Outcome, Response},
    raw::Raw,
    upstream::Incarnation,
    version::Version,
};
use mcplex_translate::question::{self, Question};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    sync::{Arc, Mutex},
    task::Poll,
};

/// Questions one call may have open; a person is shown a few at a time.
const MAX_OPEN: usize = 32;

/// The questions of one call.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    /// By number; none is given twice, so that no answer is taken for another's.
    open: BTreeMap<u64, Posed>,
    last: u64,
    /// What the client would have needed for questions that were refused for it.
    lacking: BTreeSet<Lacking>,
    /// The call has ended.
    is_over: bool,
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) struct Posed {
    pub(crate) member: Arc<Member>,
    pub(crate) from: Incarnation,
    /// The id the upstream gave it.
    pub(crate) id: Id,
    /// The call in which it asked.
    pub(crate) call: Option<u64>,
    /// In the words of the client's revision.
    pub(crate) question: Question,
    /// Its span, open until it is answered.
    pub(crate) span: Box<Watched>,
}

impl Posed {
    fn answer(self, outcome: Outcome) {
        spans::ended(&self.span, &outcome);
        if let Some(upstream) = self.member.upstream() {
            asks::goes_on(&**upstream, self.call);
            let response = Response { id: Some(self.id), outcome, extra: Extra::default() };
            upstream.send(Some(self.from), response.into());
        }
    }
}

impl Talk {
    /// Takes a question; gives back its span when there are too many or the call has ended.
    pub(crate) fn pose(&self, posed: Posed) -> Result<(), Box<Watched>> {
        {
            let mut state = lock(&self.state);
            if state.is_over || state.open.len() >= MAX_OPEN {
                return Err(posed.span);
            }
            state.last += 1;
            let number = state.last;
            state.open.insert(number, posed);
        }
        self.waker.wake();
        Ok(())
    }

    /// Notes that a question was refused for what the client lacks.
    pub(crate) fn lacks(&self, lacking: Lacking) {
        lock(&self.state).lacking.insert(lacking);
    }

    /// What the client lacked, as a `ClientCapabilities` object; `None` when that is nothing.
    pub(crate) fn lacking(&self) -> Option<serde_json::Value> {
        let state = lock(&self.state);
        (!state.lacking.is_empty()).then(|| asks::required(state.lacking.iter().copied()))
    }

    /// Resolves when a question is open.
    pub(crate) async fn asked(&self) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            if self.has_open() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub(crate) fn has_open(&self) -> bool {
        !lock(&self.state).open.is_empty()
    }

    /// The open questions, by the names that their answers have to come under.
    pub(crate) fn open(&self) -> Vec<(String, Question)> {
        let state = lock(&self.state);
        state.open.iter().map(|(&number, posed)| (key(number), posed.question.clone())).collect()
    }

    /// Takes answers to the upstream, whose revision is given; what does not answer an open question
    /// is not looked at, and what is not answered stays open.
    pub(crate) fn answer(&self, answers: &[(String, Raw)], version: Version) {
        let answered: Vec<_> = {
            let mut state = lock(&self.state);
            let find = |number: u64| answers.iter().find(|(name, _)| *name == key(number));
            let is_object = |raw: &Raw| edit::members(raw.as_str()).is_some();
            let numbers: Vec<_> = state.open.keys().copied().collect();
            let found = numbers.into_iter().filter_map(|number| Some((number, find(number)?)));
            let found = found.filter(|(_, (_, answer))| is_object(answer));
            found
                .filter_map(|(number, (_, answer))| Some((state.open.remove(&number)?, answer)))
                .collect()
        };
        for (posed, answer) in answered {
            let method = posed.question.method.clone();
            let outcome = match question::answer_to_legacy(&method, answer, version) {
                Ok(answer) => Outcome::Result(answer),
                Err(why) => question::unanswered(&method, &why),
            };
            posed.answer(outcome);
        }
    }

    /// Forgets questions to which no answer is wanted any more.
    pub(crate) fn withdraw(&self, is_meant: impl Fn(&Posed) -> bool) {
        lock(&self.state).open.retain(|_, posed| !is_meant(posed));
    }

    /// Refuses all that is open and goes on.
    pub(crate) fn refuse(&self, error: &ErrorObject) {
        let open = std::mem::take(&mut lock(&self.state).open);
        for posed in open.into_values() {
            posed.answer(Outcome::Error(Raw::of(error)));
        }
    }

    /// Answers what is open as who closes a question unread does, and takes no more.
    pub(crate) fn close(&self, why: &str) {
        lock(&self.state).is_over = true;
        self.shut(why);
    }

    /// Answers what is open in that way and goes on.
    pub(crate) fn shut(&self, why: &str) {
        let open = std::mem::take(&mut lock(&self.state).open);
        for posed in open.into_values() {
            let outcome = question::unanswered(&posed.question.method, &why);
            posed.answer(outcome);
        }
    }
}

/// Under which name a question is put to the client.
fn key(number: u64) -> String {
    format!("q{number}")
}
