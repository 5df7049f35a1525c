//! Tasks of sessions' servers as stateless clients see them: with their results, errors and
//! questions in them.
//!
//! Such a server sends its result, and what it asks before that, on the way of `tasks/result`. So
//! that is asked for where the task has ended or waits for answers, and not before: a request that
//! stays open for as long as a task takes is spared where nothing would come on it.

use super::{Key, Record};
use crate::{
    asker::Asker,
    calls,
    hop::Introduction,
    link::Link,
    member::{Flight, Member},
    router::Shared,
    session::DownstreamSession,
    words,
};
use futures_channel::oneshot;
use futures_util::future::{BoxFuture, Either, select};
use mcplex_proto::{
    edit,
    id::Id,
    message::{Extra, Outcome},
    method, modern,
    raw::Raw,
    upstream::{Call, Upstream, UpstreamError},
    version::{Era, Version},
};
use mcplex_translate::{
    self as translate, question,
    task::{self, Detail, Status},
};
use std::{borrow::Cow, pin::pin, sync::Arc, time::Duration};

/// How long an upstream may take to ask what its task waits for, once it is asked for the result:
/// what it asks is there already, so a second is one for a busy machine.
const QUESTION_WAIT: Duration = Duration::from_secs(1);
/// How long further questions are waited for after one, as in a call.
const GATHER: Duration = Duration::from_millis(50);
/// How long a task may take for its answers and its end; it only bounds what a supervisor keeps.
const MAX_READ: Duration = Duration::from_secs(24 * 60 * 60);

/// Why there is no answer of an upstream.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client gave up.
    Cancelled,
    Failed(UpstreamError),
}

/// Asks an upstream about one task.
pub(crate) trait Ask: Send {
    /// Asks by this method, with these parameters beside the task's id.
    fn ask<'a>(
        &'a mut self,
        method: &'static str,
        more: Option<(&'static str, Raw)>,
    ) -> BoxFuture<'a, Result<Outcome, Stop>>;
}

/// A task, and for whom it is looked at.
pub(crate) struct About {
    pub(crate) session: Arc<DownstreamSession>,
    pub(crate) asker: Arc<Asker>,
    /// The request of the client.
    pub(crate) request: Id,
    pub(crate) link: Arc<Link>,
    pub(crate) member: Arc<Member>,
    pub(crate) upstream: Arc<dyn Upstream>,
    /// The revision of the upstream.
    pub(crate) version: Version,
    pub(crate) key: Key,
    /// The id that the client knows, as JSON.
    pub(crate) known: Raw,
}

impl About {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.session.shared
    }

    /// What is remembered of the task; from now on, if it was forgotten.
    pub(crate) fn record(&self, said: &Raw) -> Arc<Record> {
        let known = self.shared().ledger.get(&self.key);
        known.unwrap_or_else(|| super::made(&self.session, &self.asker, self.key.clone(), said))
    }

    /// An outcome of the task's call in the words of the client.
    pub(crate) fn translated(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Result(result) => {
                let (from, to) = (self.version, self.asker.version);
                let new = translate::result::to_client(method::TOOLS_CALL, &result, from, to, None);
                Outcome::Result(new.unwrap_or(result))
            }
            error @ Outcome::Error(_) => {
                let (shared, method) = (self.shared(), method::TOOLS_CALL);
                words::answer(error, method, self.version, &self.asker, || shared.identity())
            }
        }
    }
}

/// A task of a session's server as `tasks/get` shows it to a stateless client, but for what every
/// answer has; or the error of an upstream that knows of no such task.
pub(crate) async fn detailed(about: &About, ask: &mut dyn Ask) -> Result<Outcome, Stop> {
    let said = match ask.ask(method::TASKS_GET, None).await? {
        Outcome::Result(said) => said,
        error @ Outcome::Error(_) => return Ok(about.translated(error)),
    };
    let record = about.record(&said);
    let known = [("taskId", about.known.as_str())];
    record.tell(edit::with_members(&task::to_legacy(&said), &known));
    let detail = match Status::of(&said) {
        Status::Working | Status::Cancelled => Detail::None,
        Status::Completed | Status::Failed => {
            let outcome = ask.ask(method::TASKS_RESULT, None).await?;
            match about.translated(outcome) {
                Outcome::Result(result) => Detail::Result(result),
                Outcome::Error(error) => Detail::Error(error),
            }
        }
        Status::InputRequired => {
            read_questions(about, &record).await;
            match record.talk.open() {
                open if open.is_empty() => Detail::None,
                open => Detail::Questions(question::asked(&open)),
            }
        }
    };
    let told = edit::with_members(&task::to_modern(&said, &detail), &known);
    Ok(Outcome::Result(told))
}

/// Sees to it that what a task asks is asked, and waits for a moment until it is.
pub(crate) async fn read_questions(about: &About, record: &Arc<Record>) {
    if record.reader(&about.member).is_none() {
        collect(about, record);
    }
    if record.talk.has_open() {
        return;
    }
    let clock = &about.shared().clock;
    let asked = pin!(record.talk.asked());
    if let Either::Left(_) = select(asked, clock.sleep(QUESTION_WAIT)).await {
        clock.sleep(GATHER).await;
    }
}

/// Asks for the result of a task, so that its questions come; nobody waits for the result.
fn collect(about: &About, record: &Arc<Record>) {
    let upstream = about.upstream.clone();
    let (link, member, record) = (about.link.clone(), about.member.clone(), record.clone());
    let id = upstream.mint();
    let (end, ended) = oneshot::channel();
    record.read_by(id, Some(end));
    // Nobody's request is open for it.
    let flight = Flight {
        session: about.session.clone(),
        asker: about.asker.clone(),
        about: about.request.clone(),
        token: None,
        job: None,
        progress: f64::MIN,
        is_parked: true,
        talk: Some(record.talk.clone()),
        trace: None,
    };
    member.takes_off(id, flight);
    let call = Call {
        id,
        method: Cow::Borrowed(method::TASKS_RESULT),
        params: Some(edit::object([("taskId", about.key.id())])),
        extra: Extra::default(),
        timeout: Some(MAX_READ),
        trace: None,
        is_upkeep: true,
        era: Era::Legacy,
    };
    about.shared().ledger.later(Box::pin(async move {
        if let Either::Right(_) = select(upstream.call(call), ended).await {
            calls::cancel(&link, &*upstream, (id, None), None);
        }
        member.lands(id);
        record.talk.shut("the task goes on without an answer");
    }));
}

/// Asks on behalf of mcplex itself.
pub(crate) struct Lone {
    upstream: Arc<dyn Upstream>,
    key: Key,
    era: Era,
    own: Introduction,
    timeout: Duration,
}

impl Lone {
    pub(crate) fn new(shared: &Shared, upstream: Arc<dyn Upstream>, key: Key, era: Era) -> Self {
        let options = shared.options();
        let own = Introduction::own(&options).with_tasks();
        Self { upstream, key, era, own, timeout: options.list_timeout }
    }
}

impl Ask for Lone {
    fn ask<'a>(
        &'a mut self,
        method: &'static str,
        more: Option<(&'static str, Raw)>,
    ) -> BoxFuture<'a, Result<Outcome, Stop>> {
        let more = more.as_ref().map(|(name, value)| (*name, value.as_str()));
        let members: Vec<_> = [("taskId", self.key.id())].into_iter().chain(more).collect();
        let params = match self.era {
            Era::Legacy => edit::object(members),
            Era::Modern => self.own.params(&members),
        };
        let call = Call {
            id: self.upstream.mint(),
            method: Cow::Borrowed(method),
            params: Some(params),
            extra: Extra::default(),
            timeout: Some(self.timeout),
            trace: None,
            is_upkeep: true,
            era: self.era,
        };
        Box::pin(async move {
            let reply = self.upstream.call(call).await.map_err(Stop::Failed)?;
            Ok(words::sound(reply.outcome, format_args!("upstream {}", self.key.upstream)))
        })
    }
}

/// A stateless answer with what every one has: its kind, and who gives it.
pub(crate) fn complete(result: &Raw, identity: &Raw) -> Raw {
    let meta = edit::member(result.as_str(), "_meta").map(|meta| meta.get());
    let meta = meta.filter(|meta| meta.starts_with('{')).unwrap_or("{}");
    let meta = Raw::parse(meta.to_owned()).unwrap_or_else(|_| Raw::empty_object());
    let meta = match edit::member(meta.as_str(), modern::SERVER_INFO) {
        Some(_) => meta,
        None => edit::with_members(&meta, &[(modern::SERVER_INFO, identity.as_str())]),
    };
    let all = [("resultType", "\"complete\""), ("_meta", meta.as_str())];
    edit::with_members(result, &all)
}
