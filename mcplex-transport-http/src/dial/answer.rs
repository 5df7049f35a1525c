//! A request and what becomes of it.

use super::{
    authorize::Advice,
    connector::is_lack,
    era,
    events::{Cut, Events, Place, is_stream, whole},
    listen::Reopened,
    older, relearn,
    talk::Talk,
    target::Style,
    trouble::{self, End, Trouble},
    wire::{self, Mode, SESSION_ID},
};
use hyper::{HeaderMap, Response as HttpResponse, StatusCode, body::Incoming, header::HeaderValue};
use mcplex_proto::{
    edit,
    error::{self, ErrorObject},
    id::Id,
    message::{BadMessage, Message, Outcome, Request, Response},
    method, modern,
    raw::Raw,
    transport::{ConnectError, Received},
};
use std::time::Duration;
use tokio::time::timeout;

/// How long a stream may stay open after the answer was on it, so that its connection can be used
/// again. Servers end it at once; 250 ms is a thousand times what that takes.
const LEFTOVERS: Duration = Duration::from_millis(250);

/// How often in a row a stream is gone on with without anything new on it.
const FRUITLESS: u32 = 20;

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It is answered, perhaps by us in the place of a server that cannot.
    Answered(Response),
    /// Nothing is left to do: the answer was handed on, or comes another way.
    Heard,
    /// The server has the older transport: this is its stream, and the request is to be sent again.
    Older(Box<Events>),
    /// The connection is over.
    Over(End),
}

/// Sends a request and says what became of it.
pub(crate) async fn ask(talk: &Talk, request: &Request) -> Fate {
    let is_modern = wire::is_modern(request);
    if talk.wire.target.style == Style::Sse && !matches!(talk.wire.mode(), Mode::Older(_)) {
        return ask_older(talk, request).await;
    }
    let fate = exchange(talk, request, is_modern).await;
    if is_modern && request.method == method::TOOLS_CALL && is_mismatch(&fate) {
        let before = talk.wire.target.tools.headers(request).ok();
        relearn::tools(talk, request).await;
        let after = talk.wire.target.tools.headers(request).ok();
        // It was refused before it ran, so it can be sent again, where that makes a difference.
        if before != after {
            return exchange(talk, request, is_modern).await;
        }
    }
    fate
}

/// The first request to a server that has the older transport alone.
async fn ask_older(talk: &Talk, request: &Request) -> Fate {
    if request.method != method::INITIALIZE {
        let error = ErrorObject::method_not_found(&request.method);
        return answered(request, &error);
    }
    match older::open(talk).await {
        Ok(Some(events)) => Fate::Older(Box::new(events)),
        Ok(None) => Fate::Over(End::Refused(older::none(&talk.wire.target))),
        Err(end) => Fate::Over(end),
    }
}

async fn exchange(talk: &Talk, request: &Request, is_modern: bool) -> Fate {
    let wire = &talk.wire;
    let own = if is_modern {
        match wire.target.tools.headers(request) {
            Ok(params) => {
                let mut own = wire::modern_headers(request);
                own.extend(params);
                own
            }
            Err(error) => return answered(request, &error),
        }
    } else if request.method == method::INITIALIZE {
        HeaderMap::new()
    } else {
        wire.session_headers()
    };
    let has_session = own.contains_key(SESSION_ID);
    let body = Message::from(request.clone()).to_bytes();
    let response = match wire.post(body, own).await {
        Ok(response) => response,
        Err(trouble) => return misfortune(talk, request, trouble).await,
    };
    if !response.status().is_success() {
        return refused(talk, request, response, has_session).await;
    }
    if let Mode::Older(_) = wire.mode() {
        return Fate::Heard;
    }
    let fresh = response.headers().get(SESSION_ID).cloned();
    let asked = Asked { talk, request, is_modern, fresh };
    if is_stream(response.headers()) {
        asked.stream(response).await
    } else {
        asked.whole(response).await
    }
}

/// A request that the server accepted.
pub(super) struct Asked<'a> {
    pub(super) talk: &'a Talk,
    pub(super) request: &'a Request,
    pub(super) is_modern: bool,
    /// The session id that came with the answer.
    pub(super) fresh: Option<HeaderValue>,
}

impl Asked<'_> {
    /// Reads an answer that is one message.
    async fn whole(self, response: HttpResponse<Incoming>) -> Fate {
        let Self { talk, request, .. } = self;
        let status = response.status();
        let body = match whole(response, talk.wire.target.max_message).await {
            Ok(body) => body,
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                return answered(request, &trouble::unreadable(&error.to_string()));
            }
            Err(error) => return misfortune(talk, request, Trouble::Broke(error)).await,
        };
        if body.trim_ascii().is_empty() {
            let why = format!("there is none, only HTTP status {status}");
            return answered(request, &trouble::unreadable(&why));
        }
        match Message::parse(body.clone()) {
            Ok(Message::Response(response)) if is_for(&response, &request.id) => {
                let is_disowned = self.is_disowned(&response);
                let fate = Fate::Answered(self.landed(response));
                if is_disowned { era::doubt(talk, request, fate).await } else { fate }
            }
            Err(BadMessage::Batch) => match talk.take(body, Some(&request.id)).await {
                Some(response) => Fate::Answered(self.landed(response)),
                None => answered(request, &trouble::unreadable("a batch without it")),
            },
            Ok(message @ Message::Response(_)) => {
                talk.say(Received::Message(message)).await;
                answered(request, &trouble::unreadable("it answers another request"))
            }
            Ok(message @ (Message::Request(_) | Message::Notification(_))) => {
                talk.say(Received::About(message, request.id.clone())).await;
                answered(request, &trouble::unreadable("it is no response"))
            }
            Err(bad) => {
                let error = trouble::unreadable(&bad.to_string());
                talk.say(Received::Garbage(bad)).await;
                answered(request, &error)
            }
        }
    }

    /// Reads a stream to the answer, over as many connections as it takes.
    async fn stream(self, response: HttpResponse<Incoming>) -> Fate {
        let Self { talk, request, .. } = self;
        let max = talk.wire.target.max_message;
        let mut events = Events::new(response.into_body(), max, Place::default());
        let mut fruitless = 0;
        loop {
            let before = events.place().clone();
            match self.hear(&mut events).await {
                Ok(response) => {
                    let is_disowned = self.is_disowned(&response);
                    let response = self.landed(response);
                    talk.say(Received::Message(response.into())).await;
                    if is_disowned {
                        return Fate::Over(trouble::another());
                    }
                    let _is_ended = timeout(LEFTOVERS, rest(talk, &mut events)).await.is_ok();
                    return Fate::Heard;
                }
                Err(Cut::TooLong(error)) => {
                    return answered(request, &trouble::unreadable(&error.to_string()));
                }
                Err(Cut::End) => {}
            }
            let is_session = matches!(talk.wire.mode(), Mode::Session(_)) && !self.is_modern;
            if !is_session || events.place().last_id.is_none() {
                return self.cut_off().await;
            }
            fruitless = if *events.place() == before { fruitless + 1 } else { 0 };
            let place = events.place().clone();
            loop {
                if fruitless >= FRUITLESS {
                    return answered(request, &trouble::unanswered());
                }
                match super::listen::reopen(talk, &place).await {
                    Reopened::Stream(next) => {
                        events = *next;
                        break;
                    }
                    Reopened::Later => fruitless += 1,
                    Reopened::Never => return answered(request, &trouble::unanswered()),
                    Reopened::Over(end) => return Fate::Over(end),
                }
            }
        }
    }

    async fn hear(&self, events: &mut Events) -> Result<Response, Cut> {
        loop {
            let event = events.next().await?;
            if event.name != "message" {
                continue;
            }
            if let Some(response) = self.talk.take(event.data, Some(&self.request.id)).await {
                return Ok(response);
            }
        }
    }

    /// The stream ended without an answer, and nothing can bring it back.
    async fn cut_off(&self) -> Fate {
        match self.talk.wire.look().await {
            Err(error) if !is_lack(&error) => {
                Fate::Over(trouble::lost(&self.talk.wire.target, &error))
            }
            Ok(()) | Err(_) => answered(self.request, &trouble::unanswered()),
        }
    }

    /// Whether the server says by this answer that it is no longer the one that was found there.
    fn is_disowned(&self, response: &Response) -> bool {
        !self.talk.wire.is_opening(self.request) && era::is_disowned(self.request, response)
    }

    /// Takes from an answer what is for us, before anybody else sees it.
    pub(super) fn landed(&self, response: Response) -> Response {
        let Outcome::Result(result) = &response.outcome else { return response };
        let target = &self.talk.wire.target;
        if self.talk.wire.is_opening(self.request) {
            self.talk.wire.opened();
        }
        if self.request.method == method::INITIALIZE && !self.is_modern {
            self.talk.wire.adopt(self.fresh.clone(), result);
        }
        if self.request.method != method::TOOLS_LIST || !self.is_modern {
            return response;
        }
        let params = self.request.params.as_ref().map(Raw::as_str).unwrap_or_default();
        let is_first = edit::member(params, "cursor").is_none();
        let result = target.tools.learn(&target.name, result, is_first);
        Response { outcome: Outcome::Result(result), ..response }
    }
}

/// Hands on what comes after the answer.
async fn rest(talk: &Talk, events: &mut Events) {
    while let Ok(event) = events.next().await {
        let _none: Option<Response> = talk.take(event.data, None).await;
    }
}

/// Whether a response answers this request; some servers do not name it in an error.
fn is_for(response: &Response, id: &Id) -> bool {
    match &response.id {
        Some(named) => named.is_back(id),
        None => matches!(response.outcome, Outcome::Error(_)),
    }
}

/// What a status other than success means.
async fn refused(
    talk: &Talk,
    request: &Request,
    response: HttpResponse<Incoming>,
    has_session: bool,
) -> Fate {
    let wire = &talk.wire;
    let (status, headers) = (response.status(), response.headers().clone());
    let advice = response.extensions().get::<Advice>().cloned();
    let is_final = is_final(status);
    let is_opening = wire.is_opening(request);
    let may_say = is_final || !is_opening;
    // What it says is read for its own words, which are short where they are any.
    let said = match whole(response, wire.target.max_message).await {
        Ok(body) if may_say => Message::parse(body).ok(),
        Ok(_) | Err(_) => None,
    };
    let said = match said {
        Some(Message::Response(said)) if matches!(said.outcome, Outcome::Error(_)) => Some(said),
        _ => None,
    };
    // Some servers say so of a method they do not know; whoever tells that has the session still.
    let is_about_method = said.as_ref().is_some_and(|said| {
        said.id.as_ref().is_some_and(|id| id.is_back(&request.id))
            && code(said) == Some(error::METHOD_NOT_FOUND)
    });
    if status == StatusCode::NOT_FOUND && has_session && !is_about_method {
        return Fate::Over(trouble::forgotten());
    }
    let is_unknown = is_final && !said.as_ref().is_some_and(is_modern_error);
    if is_unknown
        && request.method == method::INITIALIZE
        && wire.target.style == Style::Auto
        && !matches!(wire.mode(), Mode::Older(_))
    {
        match older::open(talk).await {
            Ok(Some(events)) => return Fate::Older(Box::new(events)),
            Ok(None) => {}
            Err(end) => return Fate::Over(end),
        }
    }
    let is_doubtful = is_final && !is_opening && era::is_doubtful(request, said.as_ref());
    let fate = match said {
        // Whatever id it has, or none: it came with the answer to this request.
        Some(said) if advice.is_none() => {
            Fate::Answered(Response { id: Some(request.id.clone()), ..said })
        }
        Some(_) | None if is_opening && !is_final && !is_client_error(status) => Fate::Over(
            End::Refused(trouble::unopened(&wire.target, status, &headers, advice.as_ref())),
        ),
        Some(_) | None => {
            let error = trouble::status(&wire.target, status, &headers, advice.as_ref());
            answered(request, &error)
        }
    };
    if is_doubtful { era::doubt(talk, request, fate).await } else { fate }
}

/// Whether a status may be a word about the protocol.
pub(super) fn is_final(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    )
}

/// Whether the server judged the request, and not its own state or who asks.
fn is_client_error(status: StatusCode) -> bool {
    status.is_client_error()
        && !matches!(
            status,
            StatusCode::FORBIDDEN
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
        )
}

/// Whether only a server of stateless revisions says so.
fn is_modern_error(said: &Response) -> bool {
    code(said).is_some_and(|code| {
        matches!(
            code,
            error::HEADER_MISMATCH | error::MISSING_CLIENT_CAPABILITY | error::UNSUPPORTED_VERSION
        )
    })
}

pub(super) fn code(response: &Response) -> Option<i64> {
    match &response.outcome {
        Outcome::Error(error) => Some(ErrorObject::read(error).code),
        Outcome::Result(_) => None,
    }
}

fn is_mismatch(fate: &Fate) -> bool {
    matches!(fate, Fate::Answered(response) if code(response) == Some(error::HEADER_MISMATCH))
}

/// There is no response of HTTP.
pub(crate) async fn misfortune(talk: &Talk, request: &Request, trouble: Trouble) -> Fate {
    let target = &talk.wire.target;
    let is_opening = talk.wire.is_opening(request);
    let (error, is_away) = match trouble {
        Trouble::Refused(error, _) if is_opening => return Fate::Over(End::Refused(error)),
        Trouble::Refused(error, status) => {
            return unaccepted(talk, request, &error, status).await;
        }
        Trouble::Away(error) => (error, true),
        // It broke; whether that was all is seen by whether there is still somebody.
        Trouble::Broke(error) => match talk.wire.look().await {
            Ok(()) => (error, false),
            Err(gone) => (gone, true),
        },
    };
    if is_opening {
        return Fate::Over(End::Refused(trouble::unreachable(target, error)));
    }
    if is_away && !is_lack(&error) {
        return Fate::Over(trouble::lost(target, &error));
    }
    answered(request, &trouble::broke(&error))
}

/// A request in mid-life was not accepted for who asks. It may be this one alone, so the server is
/// asked whether it is there: one that shuts us out altogether has ended the connection.
async fn unaccepted(
    talk: &Talk,
    request: &Request,
    error: &ConnectError,
    status: Option<StatusCode>,
) -> Fate {
    let is_probe = matches!(&*request.method, method::PING | method::DISCOVER);
    if is_probe {
        return Fate::Over(trouble::shut_out(error));
    }
    let refusal = trouble::unaccepted(error, status);
    let refusal = Response::error(Some(request.id.clone()), &refusal);
    if status.is_none() || accepts(talk, request).await {
        return Fate::Answered(refusal);
    }
    // This call did not run, whatever is said of the others.
    talk.say(Received::Message(refusal.into())).await;
    Fate::Over(trouble::shut_out(error))
}

/// Whether the server still answers who asks, in the words of the era of a request.
async fn accepts(talk: &Talk, asker: &Request) -> bool {
    let sent = if wire::is_modern(asker) {
        era::discover(talk, asker).await
    } else {
        let ping = Request { id: probe_id(), ..Request::new(0, method::PING, None) };
        talk.wire.post(Message::from(ping).to_bytes(), talk.wire.session_headers()).await
    };
    !matches!(sent, Err(Trouble::Refused(..)))
}

/// The id of a question of our own. Each POST has its own answer, so it only has to be no number.
pub(super) fn probe_id() -> Id {
    Id::Text("mcplex/probe".into())
}

/// What a request says of its sender, for another one of ours.
pub(super) fn envelope(request: &Request) -> Raw {
    let params = request.params.as_ref().map(Raw::as_str).unwrap_or_default();
    let meta = edit::member(params, "_meta").and_then(|meta| edit::members(meta.get()));
    let all = meta.unwrap_or_default();
    let kept = all.iter().filter(|(name, _)| modern::PER_HOP.contains(&&**name));
    edit::object(kept.map(|(name, value)| (&**name, value.get())))
}

fn answered(request: &Request, error: &ErrorObject) -> Fate {
    Fate::Answered(Response::error(Some(request.id.clone()), error))
}
