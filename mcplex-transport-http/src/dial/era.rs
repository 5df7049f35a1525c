//! A stateless server that has become another one, such as by a step back to an older release.
//!
//! No process and no session ends by that, so nothing but its answers can show it. What opened the
//! connection is asked once more then; a server that no longer knows it ends the connection, and the
//! next one begins as with a stranger.

use super::{
    answer::{Fate, code, envelope, is_final, probe_id},
    talk::Talk,
    trouble::{self, Trouble},
    wire,
};
use hyper::{Response as HttpResponse, body::Incoming};
use mcplex_proto::{
    edit, error,
    message::{Message, Request, Response},
    method,
    transport::Received,
};

/// Whether a request was refused as no stateless server refuses one; `said` is what stood beside
/// the status.
///
/// Every one of those knows `server/discover`. Of other requests it says what they lack, by codes that
/// it shares with none of the older ones, or that a parameter or the method is wrong.
pub(super) fn is_doubtful(request: &Request, said: Option<&Response>) -> bool {
    if !wire::is_modern(request) {
        return false;
    }
    let is_probe = request.method == method::DISCOVER;
    !said.and_then(code).is_some_and(|code| match code {
        error::HEADER_MISMATCH | error::MISSING_CLIENT_CAPABILITY => true,
        error::INVALID_PARAMS | error::METHOD_NOT_FOUND => !is_probe,
        _ => false,
    })
}

/// Whether an answer to `server/discover` in mid-life is none of a stateless server, whatever its
/// status; one that fails inside says nothing.
pub(super) fn is_disowned(request: &Request, said: &Response) -> bool {
    request.method == method::DISCOVER
        && is_doubtful(request, Some(said))
        && code(said).is_some_and(|code| code != error::INTERNAL_ERROR)
}

/// Asks a server that was doubted what it is; whoever waits for `fate` has it in either case.
pub(super) async fn doubt(talk: &Talk, request: &Request, fate: Fate) -> Fate {
    if request.method != method::DISCOVER {
        match discover(talk, request).await {
            Ok(response) if is_final(response.status()) => {}
            // It is what it was, or says nothing of what it is.
            Ok(_) | Err(_) => return fate,
        }
    }
    if let Fate::Answered(response) = fate {
        talk.say(Received::Message(response.into())).await;
    }
    Fate::Over(trouble::another())
}

/// Asks what the server is, as `asker` would.
pub(super) async fn discover(
    talk: &Talk,
    asker: &Request,
) -> Result<HttpResponse<Incoming>, Trouble> {
    let params = edit::object([("_meta", envelope(asker).as_str())]);
    let probe = Request { id: probe_id(), ..Request::new(0, method::DISCOVER, Some(params)) };
    let own = wire::modern_headers(&probe);
    talk.wire.post(Message::from(probe).to_bytes(), own).await
}
