//! JSON-RPC and MCP error codes, and the error object a peer is told.

use crate::{message::Outcome, raw::Raw, version::Version};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;

/// Bytes that are no JSON.
pub const PARSE_ERROR: i64 = -32700;
/// JSON that is no request.
pub const INVALID_REQUEST: i64 = -32600;
/// A method nobody here serves.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// An unknown tool or prompt, a bad cursor, a missing member.
pub const INVALID_PARAMS: i64 = -32602;
/// Something broke on our side.
pub const INTERNAL_ERROR: i64 = -32603;
/// A resource that does not exist (revisions up to 2025-11-25).
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// "Open these URLs first" (revision 2025-11-25).
pub const URL_ELICITATION_REQUIRED: i64 = -32042;
/// Headers and body of a request differ (from revision 2026-07-28).
pub const HEADER_MISMATCH: i64 = -32020;
/// The client did not declare what the request needs (from revision 2026-07-28).
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// The revision a request names is not served (from revision 2026-07-28).
pub const UNSUPPORTED_VERSION: i64 = -32022;

// Codes of our own lie outside -32768..-32000, which the specification keeps for itself.

/// The upstream is starting or waiting for its next life; the call was not sent.
pub const UPSTREAM_UNAVAILABLE: i64 = -31001;
/// The upstream's breaker is open; the call was not sent.
pub const UPSTREAM_TRIPPED: i64 = -31002;
/// The upstream died with the call in flight; nobody knows whether it ran.
pub const UPSTREAM_DIED: i64 = -31003;
/// The upstream did not answer in time; nobody knows whether it ran.
pub const UPSTREAM_TIMEOUT: i64 = -31004;
/// Too many calls wait for the upstream; the call was not sent.
pub const QUEUE_FULL: i64 = -31005;
/// The upstream is stopped or disabled; the call was not sent.
pub const UPSTREAM_DISABLED: i64 = -31006;
/// The upstream has as many children for sessions as it may have; the call was not sent.
pub const SESSIONS_FULL: i64 = -31007;

/// The `error` member of a response.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorObject {
    /// What kind of failure.
    pub code: i64,
    /// One sentence.
    pub message: String,
    /// Anything more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<serde_json::Value>,
}

impl ErrorObject {
    /// An error without data.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// -32700, with what the parser said.
    #[must_use]
    pub fn parse_error(why: &impl fmt::Display) -> Self {
        Self::new(PARSE_ERROR, format!("Parse error: {why}"))
    }

    /// -32600.
    #[must_use]
    pub fn invalid_request(why: &impl fmt::Display) -> Self {
        Self::new(INVALID_REQUEST, format!("Invalid Request: {why}"))
    }

    /// -32601.
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        Self::new(METHOD_NOT_FOUND, format!("Method not found: {method}"))
    }

    /// -32602.
    #[must_use]
    pub fn invalid_params(why: impl fmt::Display) -> Self {
        Self::new(INVALID_PARAMS, format!("Invalid params: {why}"))
    }

    /// -32020, with what differs.
    #[must_use]
    pub fn header_mismatch(why: impl fmt::Display) -> Self {
        Self::new(HEADER_MISMATCH, format!("Header mismatch: {why}"))
    }

    /// -32021, with the capabilities that would be needed, as a `ClientCapabilities` object.
    #[must_use]
    pub fn missing_capability(required: serde_json::Value) -> Self {
        Self {
            code: MISSING_CLIENT_CAPABILITY,
            message: "Missing required client capability".to_owned(),
            data: Some(json!({ "requiredCapabilities": required })),
        }
    }

    /// -32022, with the revisions that are served in the stateless way.
    #[must_use]
    pub fn unsupported_version(requested: &str) -> Self {
        let supported: Vec<_> = Version::modern().map(Version::as_str).collect();
        Self {
            code: UNSUPPORTED_VERSION,
            message: format!("Unsupported protocol version: {requested}"),
            data: Some(json!({ "supported": supported, "requested": requested })),
        }
    }

    /// Whether a server says with it that it speaks none of the revisions it was asked in, which asking
    /// again will not change.
    ///
    /// Revisions with sessions have no code for it, but they name what is supported in the data.
    #[must_use]
    pub fn refuses_version(&self) -> bool {
        let names = |data: &serde_json::Value| data.get("supported")?.as_array().cloned();
        let named = self.data.as_ref().and_then(names).unwrap_or_default();
        let has_names = !named.is_empty() && named.iter().all(serde_json::Value::is_string);
        self.code == UNSUPPORTED_VERSION || (self.code == INVALID_PARAMS && has_names)
    }

    /// The code and message of an error a peer sent, as far as they can be read.
    #[must_use]
    pub fn read(raw: &Raw) -> Self {
        raw.get().unwrap_or_else(|| Self::new(INTERNAL_ERROR, raw.as_str()))
    }
}

/// What makes an answer none that any revision knows, as the end of "it answered with"; `None` for
/// nearly every answer, which costs a look at one byte.
#[must_use]
pub fn flaw(outcome: &Outcome) -> Option<&'static str> {
    /// The members that every error has; what else it carries is the peer's own.
    #[derive(Deserialize)]
    struct Told {
        #[serde(rename = "code")]
        _code: i64,
        #[serde(rename = "message")]
        _message: String,
    }
    match outcome {
        Outcome::Result(result) if result.bytes().first() == Some(&b'{') => None,
        Outcome::Result(_) => Some("a result that is no object"),
        Outcome::Error(error) => match error.read::<Told>() {
            // Serde takes an array for a struct.
            Ok(_) if error.bytes().first() == Some(&b'{') => None,
            Ok(_) | Err(_) => {
                Some("an error that has no integer as its code and no string as its message")
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_version_shows_by_its_code_or_by_what_is_named() {
        let check = |text: &str, expect| {
            let error = ErrorObject::read(&Raw::parse(text.to_owned()).unwrap());
            assert_eq!(error.refuses_version(), expect, "{text}");
        };
        check(r#"{"code":-32022,"message":"no"}"#, true);
        check(r#"{"code":-32602,"message":"no","data":{"supported":["1999-01-01"]}}"#, true);
        check(r#"{"code":-32602,"message":"no","data":{"supported":[]}}"#, false);
        check(r#"{"code":-32602,"message":"no","data":{"supported":[7]}}"#, false);
        check(r#"{"code":-32603,"message":"no","data":{"supported":["1999-01-01"]}}"#, false);
        check(r#"{"code":-32602,"message":"no"}"#, false);
    }

    #[test]
    fn an_answer_has_an_object_or_a_code_and_a_message() {
        let raw = |text: &str| Raw::parse(text.to_owned()).unwrap();
        for (text, is_good) in [
            ("{}", true),
            (r#"{"content":"x"}"#, true),
            ("null", false),
            ("[]", false),
            ("\"x\"", false),
            ("5", false),
        ] {
            assert_eq!(flaw(&Outcome::Result(raw(text))).is_none(), is_good, "{text}");
        }
        for (text, is_good) in [
            (r#"{"code":-32000,"message":"no","data":1e400,"vendor":[1]}"#, true),
            (r#"{"message":"m\u00e9","code":7}"#, true),
            (r#"{"code":-32000.5,"message":"frac"}"#, false),
            (r#"{"code":"x","message":"no"}"#, false),
            (r#"{"code":1,"message":1}"#, false),
            (r#"{"code":1}"#, false),
            (r#"{"code":1,"code":2,"message":"twice"}"#, false),
            (r#"[1,"no"]"#, false),
            ("null", false),
        ] {
            assert_eq!(flaw(&Outcome::Error(raw(text))).is_none(), is_good, "{text}");
        }
    }
}
