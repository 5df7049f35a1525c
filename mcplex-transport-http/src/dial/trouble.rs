//! What can go wrong between a request and its answer, in words for people.

use super::{
    authorize::Advice,
    connector::is_lack,
    target::{Target, shown},
};
use hyper::{HeaderMap, StatusCode, header};
use mcplex_proto::{
    error::{ErrorObject, INTERNAL_ERROR},
    transport::ConnectError,
};
use serde_json::json;
use std::{io, sync::Arc};

/// Why a request got no response of HTTP that can be looked at.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No connection could be had; nothing was sent.
    Away(io::Error),
    /// The connection broke after it was sent.
    Broke(io::Error),
    /// Who asks is not accepted: by the server, with this status, or nothing proves it and nothing
    /// was sent.
    Refused(ConnectError, Option<StatusCode>),
}

/// How a connection of the supervisor ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The server was there and no longer is, in a sentence.
    Lost(Arc<str>),
    /// It never came about.
    Refused(ConnectError),
}

/// No connection could be had.
pub(crate) fn unreachable(target: &Target, source: io::Error) -> ConnectError {
    if is_lack(&source) {
        return ConnectError::Resource(source);
    }
    ConnectError::Unreachable { at: target.shown.clone(), source }
}

/// The server is no longer there.
pub(crate) fn lost(target: &Target, error: &io::Error) -> End {
    End::Lost(format!("{} can no longer be reached ({error})", target.shown).into())
}

/// The server has forgotten the session.
pub(crate) fn forgotten() -> End {
    End::Lost("the session was ended by the server".into())
}

/// What answers is another server than the one that was found there.
pub(crate) fn another() -> End {
    End::Lost("it no longer answers as a server of 2026-07-28".into())
}

/// A status that says nothing of the protocol, in answer to what opens a session.
pub(crate) fn unopened(
    target: &Target,
    status: StatusCode,
    headers: &HeaderMap,
    advice: Option<&Advice>,
) -> ConnectError {
    let at = &target.shown;
    if status == StatusCode::FORBIDDEN {
        return unauthorized(target, status, advice);
    }
    if status.is_redirection() {
        let to = headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
        let to = to.and_then(|to| target.url.join(to).ok()).map(|to| shown(&to));
        let to = to.unwrap_or_else(|| "nowhere".to_owned());
        return ConnectError::Permanent {
            what: format!("{at} sends us to {to}"),
            hint: "write that address as `url`, if you trust it with `headers`".to_owned(),
            source: None,
            kind: "redirected",
        };
    }
    let source = io::Error::other(format!("it answered with HTTP status {status}"));
    ConnectError::Unfit { at: at.clone(), source }
}

/// Who asks is not accepted.
pub(crate) fn unauthorized(
    target: &Target,
    status: StatusCode,
    advice: Option<&Advice>,
) -> ConnectError {
    let has_own = target.headers.contains_key(header::AUTHORIZATION);
    let hint = if let Some(Advice(advice)) = advice {
        advice
    } else if has_own {
        "it does not accept the `Authorization` of `headers`; renew it, then reset the upstream"
    } else {
        "give it credentials, such as `headers = { Authorization = \"Bearer ${TOKEN}\" }`"
    };
    ConnectError::Permanent {
        what: format!("{} answered with HTTP status {status}", target.shown),
        hint: hint.to_owned(),
        source: None,
        kind: "unauthorized",
    }
}

/// The server no longer accepts anything of ours.
pub(crate) fn shut_out(error: &ConnectError) -> End {
    End::Lost(error.to_string().into())
}

/// The error of a call that was not accepted for who asks: nothing ran.
pub(crate) fn unaccepted(error: &ConnectError, status: Option<StatusCode>) -> ErrorObject {
    let mut data = json!({ "sent": status.is_some(), "safeToRetry": true });
    if let Some(status) = status {
        data["status"] = json!(status.as_u16());
    }
    failed(format!("the call did not run: {error}"), data)
}

/// The error of a call that was refused below the protocol.
pub(crate) fn status(
    target: &Target,
    status: StatusCode,
    headers: &HeaderMap,
    advice: Option<&Advice>,
) -> ErrorObject {
    let mut error = match status {
        StatusCode::FORBIDDEN => unaccepted(&forbidden(target, status, advice), Some(status)),
        status => {
            let data = json!({ "status": status.as_u16() });
            failed(format!("the server answered with HTTP status {status}"), data)
        }
    };
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = seconds.and_then(|text| text.trim().parse::<u32>().ok());
    if let (Some(seconds), Some(data)) = (seconds, &mut error.data) {
        data["retryAfterMs"] = json!(u64::from(seconds) * 1000);
    }
    error
}

/// Who asks is known, and may not do this.
fn forbidden(target: &Target, status: StatusCode, advice: Option<&Advice>) -> ConnectError {
    let hint = advice.map_or(
        "it does not allow this to who asks: another token, or permission from who runs it",
        |Advice(advice)| advice,
    );
    ConnectError::Permanent {
        what: format!("{} answered with HTTP status {status}", target.shown),
        hint: hint.to_owned(),
        source: None,
        kind: "unauthorized",
    }
}

/// The error of a call whose answer never came, though the server is there.
pub(crate) fn broke(error: &io::Error) -> ErrorObject {
    failed(
        format!(
            "the connection broke before the answer was there ({error}); nobody knows whether it ran"
        ),
        json!({ "reason": "stream lost" }),
    )
}

/// The error of a call whose stream ended without an answer.
pub(crate) fn unanswered() -> ErrorObject {
    failed(
        "the stream ended before the answer was there; nobody knows whether it ran".to_owned(),
        json!({ "reason": "stream lost" }),
    )
}

/// The error of a call whose answer is none.
pub(crate) fn unreadable(why: &str) -> ErrorObject {
    failed(format!("the answer cannot be read: {why}"), json!({ "reason": "unreadable answer" }))
}

fn failed(message: String, data: serde_json::Value) -> ErrorObject {
    ErrorObject { data: Some(data), ..ErrorObject::new(INTERNAL_ERROR, message) }
}
