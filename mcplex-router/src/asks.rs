//! Requests of upstreams on their way to a client.
//!
//! An upstream's request gets an id of ours on the client's side. The table is per session and
//! bounded; whatever ends first (the answer, the client, the upstream's life) clears the entry,
//! and the upstream gets exactly one answer as long as the life that asked is there.

use crate::{
    asker::Asker,
    attribution::{Addressee, attribute},
    link::Link,
    member::{Flight, Member},
    params::Params,
    router::{Shared, lock},
    session::DownstreamSession,
};
use mcplex_proto::{
    edit,
    error::{self, ErrorObject},
    id::Id,
    message::{Extra, Notification, Outcome, Request, Response},
    method,
    raw::{self, Raw},
    upstream::Incarnation,
    version::Era,
};
use std::{borrow::Cow, sync::Arc};

/// Questions one client may have open; more means that nobody reads them.
const MAX_ASKED: usize = 256;

/// A request of an upstream that a client has not answered yet.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) member: Arc<Member>,
    pub(crate) from: Incarnation,
    /// The id the upstream gave it.
    pub(crate) id: Id,
    /// The upstream's progress token as JSON.
    token: Option<Raw>,
}

impl Asked {
    /// Answers the life that asked.
    pub(crate) fn answer(self, outcome: Outcome, extra: Extra) {
        if let Some(upstream) = self.member.upstream() {
            let response = Response { id: Some(self.id), outcome, extra };
            upstream.send(Some(self.from), response.into());
        }
    }
}

/// Takes a request of an upstream to the client it is meant for, or refuses it.
pub(crate) fn ask(
    shared: &Shared,
    link: &Link,
    member: &Arc<Member>,
    from: Incarnation,
    request: Request,
    about: Option<u64>,
) {
    let asked = Asked { member: member.clone(), from, id: request.id.clone(), token: None };
    let refuse = |asked: Asked, error: &ErrorObject| {
        tracing::debug!(upstream = %link.name, method = %request.method,
            why = error.message, "a request of an upstream was refused");
        asked.answer(Outcome::Error(Raw::of(error)), Extra::default());
    };
    let no = |why: &str| refusal(&request.method, why);
    let (session, asker, about) = match attribute(shared, member, about) {
        Addressee::Call(Flight { session, asker, about, .. }) => {
            (session, Some(asker), Some(about))
        }
        Addressee::Client(session) => {
            let asker = session.greeting();
            (session, asker, None)
        }
        Addressee::Ambiguous => {
            let why = "several clients are being served and it cannot be told which is meant";
            return refuse(asked, &no(why));
        }
        Addressee::Nobody => return refuse(asked, &no("no client is connected")),
    };
    let params = Params::read(request.params.as_ref());
    if let Some(lacking) = asker.as_ref().and_then(|asker| lacking(asker, &request.method, &params))
    {
        return refuse(asked, &no(&format!("the client did not declare {lacking}")));
    }
    if asker.is_some_and(|asker| asker.era() == Era::Modern) {
        return refuse(asked, &no("the client has no session, so it cannot be asked anything"));
    }
    if let Some(elicitation) = params.get("elicitationId").and_then(raw::string) {
        link.elicits(elicitation.into_owned(), session.number);
    }
    if let Err(asked) = session.pose(asked, &request, &params, about.as_ref()) {
        refuse(asked, &ErrorObject::new(error::INTERNAL_ERROR, "the client cannot be reached"));
    }
}

/// The error an upstream understands as "this client does not do that".
fn refusal(method: &str, why: &str) -> ErrorObject {
    let code = match method {
        method::ELICITATION => error::INVALID_PARAMS,
        _ => error::METHOD_NOT_FOUND,
    };
    ErrorObject::new(code, format!("{method} is not possible: {why}"))
}

/// The capability a client would need for a request and does not have.
fn lacking(asker: &Asker, method: &str, params: &Params<'_>) -> Option<&'static str> {
    let needs: &[(&[&str], &str)] = match method {
        method::ROOTS_LIST => &[(&["roots"], "roots")],
        method::SAMPLING if params.get("tools").is_some() => {
            &[(&["sampling"], "sampling"), (&["sampling", "tools"], "sampling.tools")]
        }
        method::SAMPLING => &[(&["sampling"], "sampling")],
        method::ELICITATION => {
            let mode = params.get("mode").and_then(raw::string);
            match mode.as_deref() {
                Some("url") => &[(&["elicitation", "url"], "elicitation.url")],
                _ => &[(&["elicitation"], "elicitation")],
            }
        }
        _ => &[],
    };
    needs.iter().find(|(path, _)| !asker.can(path)).map(|&(_, name)| name)
}

impl DownstreamSession {
    /// Sends an upstream's request to the client; gives it back when that is not possible.
    fn pose(
        &self,
        mut asked: Asked,
        request: &Request,
        params: &Params<'_>,
        about: Option<&Id>,
    ) -> Result<(), Asked> {
        asked.token = params.token().map(Raw::of);
        // Noted before it is sent, because the answer may come before `tell` returns; and at once,
        // because whoever closes the session answers what is noted by then.
        let id = {
            let mut state = lock(&self.state);
            if state.is_closed || state.asked.len() >= MAX_ASKED {
                return Err(asked);
            }
            state.next_ask += 1;
            let id = state.next_ask;
            state.asked.insert(id, asked);
            id
        };
        let request = Request {
            id: id.into(),
            method: request.method.clone(),
            params: params.with_token(id).or_else(|| request.params.clone()),
            extra: request.extra.clone(),
        };
        if self.tell(request.into(), about) {
            return Ok(());
        }
        match lock(&self.state).asked.remove(&id) {
            Some(asked) => Err(asked),
            None => Ok(()),
        }
    }

    /// Takes a client's answer to the upstream that asked.
    pub(crate) fn answered(&self, response: Response) {
        let id = response.id.as_ref().and_then(Id::minted);
        let asked = id.and_then(|id| lock(&self.state).asked.remove(&id));
        match asked {
            Some(asked) => asked.answer(response.outcome, response.extra),
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
        let (member, from) = (asked.member.clone(), asked.from);
        drop(state);
        if let Some(upstream) = member.upstream() {
            upstream.send(Some(from), progress.into());
        }
    }

    /// Tells the client that some of what it was asked is no longer wanted.
    pub(crate) fn withdraw(&self, reason: &str, is_meant: impl Fn(&Asked) -> bool) {
        let ids: Vec<u64> = {
            let mut state = lock(&self.state);
            let ids: Vec<_> = state
                .asked
                .iter()
                .filter(|(_, asked)| is_meant(asked))
                .map(|(&id, _)| id)
                .collect();
            for id in &ids {
                state.asked.remove(id);
            }
            ids
        };
        for id in ids {
            let params = edit::object([
                ("requestId", &*id.to_string()),
                ("reason", Raw::of(reason).as_str()),
            ]);
            let cancelled = Notification {
                method: Cow::Borrowed(method::CANCELLED),
                params: Some(params),
                extra: Extra::default(),
            };
            self.tell(cancelled.into(), None);
        }
    }
}

/// Withdraws everything a life asked that has ended.
pub(crate) fn withdraw_all(shared: &Shared, link: &Link, member: &Arc<Member>, ended: Incarnation) {
    let reason = format!("upstream {} ended before it was answered", link.name);
    for session in shared.sessions() {
        session
            .withdraw(&reason, |asked| Arc::ptr_eq(&asked.member, member) && asked.from <= ended);
    }
}
