//! Requests of upstreams on their way to a client.
//!
//! An upstream's request gets an id of ours on the client's side. The table is per session and
//! bounded; whatever ends first (the answer, the client, the upstream's life) clears the entry,
//! and the upstream gets exactly one answer as long as the life that asked is there. The questions of
//! a stateless upstream, which stand in its results, are asked in the same way. A stateless client is
//! asked in the result of its call, see `talk`.

use crate::{
    asker::Asker,
    attribution::{Addressee, attribute_to},
    link::Link,
    measure::Watched,
    member::{Flight, Member},
    params::Params,
    router::{Shared, lock},
    seal,
    session::DownstreamSession,
    spans,
    talk::{Posed, Talk},
    tasks::{self, Record},
    words,
};
use futures_channel::oneshot;
use mcplex_proto::{
    edit,
    error::{self, ErrorObject},
    id::Id,
    message::{Extra, Notification, Outcome, Request, Response},
    method,
    raw::{self, Raw},
    trace::{self, TraceContext},
    upstream::{Incarnation, Upstream},
    version::{Era, Version},
};
use mcplex_translate::{
    question::{self, Question},
    task,
};
use serde_json::{Value, json};
use std::{borrow::Cow, fmt, sync::Arc, time::Duration};
use tracing::Span;

/// Questions one client may have open; more means that nobody reads them.
const MAX_ASKED: usize = 256;

/// A request that a client has not answered yet.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) whose: Whose,
    /// The client's request on whose stream it was asked.
    about: Option<Id>,
    /// The upstream's progress token as JSON.
    token: Option<Raw>,
    /// Its spans, once it is on its way.
    spans: Option<Box<spans::Asked>>,
}

/// Who reads the answer.
#[derive(Debug)]
pub(crate) enum Whose {
    /// A life of an upstream that asked by a request.
    Life {
        member: Arc<Member>,
        from: Incarnation,
        /// The id the upstream gave it.
        id: Id,
        method: Cow<'static, str>,
        /// The call in which it asked, which goes on with the answer.
        call: Option<u64>,
    },
    /// The round of a call to a stateless upstream.
    Round(oneshot::Sender<Outcome>),
}

impl Asked {
    /// Takes the answer to whoever asked.
    pub(crate) fn answer(self, outcome: Outcome, extra: Extra) {
        self.spans.iter().for_each(|spans| spans.ended(&outcome));
        match self.whose {
            Whose::Life { member, from, id, method, call } => {
                if let Some(upstream) = member.upstream() {
                    goes_on(&**upstream, call);
                    let outcome = readable(&method, outcome, version_of(&member));
                    let response = Response { id: Some(id), outcome, extra };
                    upstream.send(Some(from), response.into());
                }
            }
            // Refused means that its call has ended meanwhile.
            Whose::Round(round) => drop(round.send(outcome)),
        }
    }

    /// Whether a life asked this, up to this one.
    pub(crate) fn is_of(&self, of: &Arc<Member>, until: Incarnation) -> bool {
        match &self.whose {
            Whose::Life { member, from, .. } => Arc::ptr_eq(member, of) && *from <= until,
            Whose::Round(_) => false,
        }
    }

    /// Whether a life asked this under this id.
    pub(crate) fn is(&self, of: &Arc<Member>, life: Incarnation, name: &Id) -> bool {
        match &self.whose {
            Whose::Life { member, from, id, .. } => {
                Arc::ptr_eq(member, of) && *from == life && id == name
            }
            Whose::Round(_) => false,
        }
    }
}

/// Why nobody is asked when it could be several.
const AMBIGUOUS: &str = "several clients are being served and it cannot be told which is meant; \
    `isolation = \"session\"` or `max_concurrency = 1` for this server, or `[auth]`, tells them apart, \
    and `router.single_user` says that all are of one person";

/// Whom an upstream asks.
struct Whom {
    /// The call that it asks in.
    call: Option<u64>,
    /// None where it is asked in its task.
    session: Option<Arc<DownstreamSession>>,
    asker: Option<Arc<Asker>>,
    /// The request of the client that is open for it.
    about: Option<Id>,
    talk: Option<Arc<Talk>>,
}

impl Whom {
    /// Finds out, or says why nobody is meant.
    fn of(
        shared: &Shared,
        member: &Member,
        about: Option<u64>,
        task: Option<&Record>,
    ) -> Result<Self, &'static str> {
        match attribute_to(shared, member, about, task) {
            Addressee::Call(call, Flight { session, asker, about, talk, .. }) => {
                let (call, session) = (Some(call), Some(session));
                Ok(Self { call, session, asker: Some(asker), about: Some(about), talk })
            }
            Addressee::Client(session) => {
                let (asker, session) = (session.greeting(), Some(session));
                Ok(Self { call: None, session, asker, about: None, talk: None })
            }
            Addressee::Task => {
                let asker = task.map(|task| task.asker.clone());
                let talk = task.map(|task| task.talk.clone());
                Ok(Self { call: None, session: None, asker, about: None, talk })
            }
            Addressee::Ambiguous => Err(AMBIGUOUS),
            Addressee::Nobody => Err("no client is connected"),
        }
    }
}

/// Takes a request of an upstream to the client it is meant for, or refuses it.
pub(crate) fn ask(
    shared: &Shared,
    link: &Link,
    member: &Arc<Member>,
    (from, request, about): (Incarnation, Request, Option<u64>),
    span: Watched,
) {
    let id = request.id.clone();
    let refuse = |error: &ErrorObject, span: &Watched| {
        tracing::debug!(upstream = %link.name, method = %request.method,
            why = error.message, "a request of an upstream was refused");
        let method = request.method.clone();
        let id = id.clone();
        let whose = Whose::Life { member: member.clone(), from, id, method, call: None };
        let outcome = Outcome::Error(Raw::of(error));
        spans::ended(span, &outcome);
        Asked { whose, about: None, token: None, spans: None }.answer(outcome, Extra::default());
    };
    let no = |why: &str| refusal(&request.method, why);
    let task = tasks::related(shared, link, member, request.params.as_ref());
    let about = tasks::call_of(member, task.as_deref(), request.params.as_ref()).or(about);
    let whom = match Whom::of(shared, member, about, task.as_deref()) {
        Ok(whom) => whom,
        Err(why) => return refuse(&no(why), &span),
    };
    let Whom { call, session, asker, about, talk } = whom;
    let mut asked = match fitted(&request, member, asker.as_deref(), talk.as_deref()) {
        Ok(asked) => asked,
        Err(why) => return refuse(&no(&why), &span),
    };
    if let (Some(call), Some(upstream)) = (call, member.upstream()) {
        upstream.renew(call, shared.options().input_wait);
    }
    let is_modern = asker.as_ref().is_some_and(|asker| asker.era() == Era::Modern);
    let unreachable = ErrorObject::new(error::INTERNAL_ERROR, "the client cannot be reached");
    if is_modern {
        let Some(talk) = talk.filter(|_| question::is_question(&asked.method)) else {
            let why = "the client has no session, and this cannot be asked in its call";
            return refuse(&no(why), &span);
        };
        let (own, span) = (id.clone(), Box::new(span));
        let posed = Posed { member: member.clone(), from, id: own, call, question: asked, span };
        if let Err(span) = talk.pose(posed) {
            refuse(&unreachable, &span);
        }
        return;
    }
    let Some(session) = session else { return refuse(&no("the client has no session"), &span) };
    asked.params = match task {
        Some(task) => Some(task.names(asked.params.as_ref())),
        // Whose call is run as a task knows of none.
        None => asked.params.map(|params| task::unrelated(&params)),
    };
    if asker.is_some_and(|asker| asker.hears_of_urls()) {
        elicits(link, &asked, &session);
    }
    let method = asked.method.clone();
    let whose = Whose::Life { member: member.clone(), from, id: id.clone(), method, call };
    let posed = session.pose(whose, (&asked, Parent::Asked(span)), &request.extra, about.as_ref());
    if let Err(CannotReach(span)) = posed {
        refuse(&unreachable, &span.unwrap_or_else(|| Watched::unmeasured(Span::none())));
    }
}

/// The question as its client can be asked, or why it cannot.
fn fitted(
    request: &Request,
    member: &Member,
    asker: Option<&Asker>,
    talk: Option<&Talk>,
) -> Result<Question, String> {
    let asked = Question { method: request.method.clone(), params: request.params.clone() };
    if let Some(lacking) = asker.and_then(|asker| lacking(asker, &asked)) {
        if let Some(talk) = talk {
            talk.lacks(lacking);
        }
        return Err(format!("the client did not declare {lacking}"));
    }
    let (Some(asker), Some(version)) = (asker, version_of(member)) else { return Ok(asked) };
    let new = question::to_client(&asked, version, asker.version, seal::mint_name);
    new.map_err(|why| why.0.to_owned())
}

/// Remembers who is asked to open a page, so that its end is told to the same.
fn elicits(link: &Link, asked: &Question, session: &DownstreamSession) {
    let params = Params::read(asked.params.as_ref());
    if let Some(elicitation) = params.get("elicitationId").and_then(raw::string) {
        link.elicits(elicitation.into_owned(), session.number);
    }
}

/// A call goes on at its upstream, which has all its time again.
pub(crate) fn goes_on(upstream: &dyn Upstream, call: Option<u64>) {
    if let Some(call) = call {
        upstream.renew(call, Duration::ZERO);
    }
}

/// The answer of a client as an upstream of this revision reads it.
fn readable(method: &str, outcome: Outcome, version: Option<Version>) -> Outcome {
    match (outcome, version) {
        (Outcome::Result(answer), Some(version)) => {
            match question::answer_to_legacy(method, &answer, version) {
                Ok(answer) => Outcome::Result(answer),
                Err(why) => question::unanswered(method, &why),
            }
        }
        (outcome, _) => outcome,
    }
}

/// The revision of a member's life.
fn version_of(member: &Member) -> Option<Version> {
    member.upstream()?.server_info().map(|info| info.version)
}

/// The error an upstream understands as "this client does not do that".
fn refusal(method: &str, why: &str) -> ErrorObject {
    let code = match method {
        method::ELICITATION => error::INVALID_PARAMS,
        _ => error::METHOD_NOT_FOUND,
    };
    ErrorObject::new(code, format!("{method} is not possible: {why}"))
}

/// A capability that a client would need for a question and does not have, as a path with dots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lacking(&'static str);

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The capability that is missing for a question.
pub(crate) fn lacking(asker: &Asker, asked: &Question) -> Option<Lacking> {
    let can = |path: &str| asker.can(&path.split('.').collect::<Vec<_>>());
    let member = |name: &str| edit::member(asked.params.as_ref()?.as_str(), name);
    let needs: &[&'static str] = match &*asked.method {
        method::ROOTS_LIST => &["roots"],
        method::SAMPLING if member("tools").is_some() => &["sampling", "sampling.tools"],
        method::SAMPLING => &["sampling"],
        method::ELICITATION => match member("mode").and_then(raw::string).as_deref() {
            Some("url") => &["elicitation.url"],
            // Who names one way to ask and not this one has not this one.
            _ if can("elicitation.url") => &["elicitation.form"],
            _ => &["elicitation"],
        },
        _ => &[],
    };
    needs.iter().find(|path| !can(path)).map(|path| Lacking(path))
}

/// What is missing, as a `ClientCapabilities` object.
pub(crate) fn required(lacking: impl IntoIterator<Item = Lacking>) -> Value {
    let mut all = json!({});
    for Lacking(path) in lacking {
        let mut at = &mut all;
        for name in path.split('.') {
            if at[name].is_null() {
                at[name] = json!({});
            }
            at = &mut at[name];
        }
    }
    all
}

/// The questions that a round of a call puts to a client; what is open is taken back at the end.
pub(crate) struct Asking<'a> {
    session: &'a DownstreamSession,
    about: &'a Id,
    /// The request that was answered with the questions.
    parent: Option<TraceContext>,
    ids: Vec<u64>,
}

impl Asking<'_> {
    /// Asks one; nothing comes when the client cannot be reached.
    pub(crate) fn pose(&mut self, asked: &Question) -> oneshot::Receiver<Outcome> {
        let (round, answer) = oneshot::channel();
        let (whose, parent) = (Whose::Round(round), Parent::Call(self.parent.clone()));
        let about = Some(self.about);
        let posed = self.session.pose(whose, (asked, parent), &Extra::default(), about);
        self.ids.extend(posed);
        answer
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.session.take_back(&self.ids, "the answer is no longer wanted");
    }
}

impl DownstreamSession {
    /// Puts the questions of a round to the client.
    pub(crate) fn ask_all<'a>(&'a self, about: &'a Id, parent: Option<TraceContext>) -> Asking<'a> {
        Asking { session: self, about, parent, ids: Vec::new() }
    }

    /// Sends a question to the client; gives the id it has there, or nothing when it cannot be
    /// reached.
    fn pose(
        &self,
        whose: Whose,
        (asked, parent): (&Question, Parent),
        extra: &Extra,
        about: Option<&Id>,
    ) -> Result<u64, CannotReach> {
        let params = Params::read(asked.params.as_ref());
        let token = params.token().map(Raw::of);
        let (server, above) = match parent {
            Parent::Asked(server) => {
                let context = server.context().cloned();
                (Some(server), context)
            }
            Parent::Call(context) => (None, context),
        };
        // Noted before it is sent, because the answer may come before `tell` returns; and at once,
        // because whoever closes the session answers what is noted by then.
        let id = {
            let mut state = lock(&self.state);
            if state.is_closed || state.asked.len() >= MAX_ASKED {
                return Err(CannotReach(server));
            }
            state.next_ask += 1;
            let id = state.next_ask;
            let about = about.cloned();
            state.asked.insert(id, Asked { whose, about, token, spans: None });
            id
        };
        let mut params = params.with_token(id).or_else(|| asked.params.clone());
        if trace::is_on() {
            // Outside of the lock, which it takes itself.
            let client = spans::posed(self, above.as_ref(), asked, id);
            if let Some(context) = client.context() {
                let old = params.unwrap_or_else(Raw::empty_object);
                params = Some(context.written_into(&old));
            }
            let both = Box::new(spans::Asked { server, client });
            if let Some(asked) = lock(&self.state).asked.get_mut(&id) {
                asked.spans = Some(both);
            }
        }
        let request =
            Request { id: id.into(), method: asked.method.clone(), params, extra: extra.clone() };
        if self.tell(request.into(), about) {
            return Ok(id);
        }
        // Who is not there any more was answered for.
        let asked = lock(&self.state).asked.remove(&id);
        asked.map_or(Ok(id), |asked| {
            Err(CannotReach(asked.spans.map(|spans| spans.unsent()).unwrap_or_default()))
        })
    }

    /// Takes a client's answer to the upstream that asked.
    pub(crate) fn answered(&self, response: Response) {
        let id = response.id.as_ref().and_then(Id::minted);
        let asked = id.and_then(|id| lock(&self.state).asked.remove(&id));
        match asked {
            Some(asked) => {
                asked.answer(words::sound(response.outcome, "the client"), response.extra);
            }
            None => tracing::debug!(session = self.number.0, "an answer to nothing was dropped"),
        }
    }

    /// Takes a client's progress to the upstream that asked.
    pub(crate) fn asked_progressed(&self, notification: &Notification, params: &Params<'_>) {
        let member = params.get("progressToken").and_then(Id::read);
        let id = member.and_then(|id| id.minted());
        let state = lock(&self.state);
        let Some(asked) = id.and_then(|id| state.asked.get(&id)) else { return };
        let Some(token) = &asked.token else { return };
        let Some(progress) = params.progress_under(notification, token) else { return };
        // A stateless upstream hears of no progress.
        let Whose::Life { member, from, .. } = &asked.whose else { return };
        let (member, from) = (member.clone(), *from);
        drop(state);
        if let Some(upstream) = member.upstream() {
            upstream.send(Some(from), progress.into());
        }
    }

    /// Tells the client that some of what it was asked is no longer wanted.
    pub(crate) fn withdraw(&self, reason: &str, is_meant: impl Fn(&Asked) -> bool) {
        let ids: Vec<u64> = {
            let state = lock(&self.state);
            let meant = state.asked.iter().filter(|(_, asked)| is_meant(asked));
            meant.map(|(&id, _)| id).collect()
        };
        self.take_back(&ids, reason);
    }

    /// The same of these, as far as they are open.
    fn take_back(&self, ids: &[u64], reason: &str) {
        for id in ids {
            let Some(asked) = lock(&self.state).asked.remove(id) else { continue };
            let parent = asked.spans.as_ref().and_then(|spans| spans.client.context().cloned());
            asked.spans.iter().for_each(|spans| spans.withdrawn());
            let params = edit::object([
                ("requestId", &*id.to_string()),
                ("reason", Raw::of(reason).as_str()),
            ]);
            let cancelled = Notification {
                method: Cow::Borrowed(method::CANCELLED),
                params: Some(params),
                extra: Extra::default(),
            };
            // Where it was asked, as long as that stream is there: many clients open no other.
            let about = asked.about.as_ref();
            let is_told = self.notify(cancelled.clone(), parent.as_ref(), (about, None));
            if !is_told && about.is_some() {
                self.notify(cancelled, parent.as_ref(), (None, None));
            }
        }
    }
}

/// The client cannot be reached; with the span of who asked.
#[derive(Debug)]
struct CannotReach(Option<Watched>);

/// What the span of a question hangs below.
enum Parent {
    /// The request of an upstream that asks.
    Asked(Watched),
    /// The request of ours that was answered with it.
    Call(Option<TraceContext>),
}

/// Withdraws everything a life asked that has ended.
pub(crate) fn withdraw_all(shared: &Shared, link: &Link, member: &Arc<Member>, ended: Incarnation) {
    let reason = format!("upstream {} ended before it was answered", link.name);
    for session in shared.sessions() {
        session.withdraw(&reason, |asked| asked.is_of(member, ended));
    }
    for talk in member.talks().into_iter().chain(shared.ledger.talks(&link.name, member.key)) {
        talk.withdraw(|posed| posed.from <= ended);
    }
}
