//! OTLP over HTTP.

use std::time::Duration;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::http::response::Parts;
use prost::Message;
use serde_json::Value;

use super::{Accepted, SendError};
use crate::options::Protocol;
use crate::plan::Target;

/// How many characters of a reason are told: it is one field of a line of the log.
const WORDS: usize = 300;

/// What says how the body is to be read.
pub(super) fn headers(target: &Target) -> HeaderMap {
    let form = match target.protocol {
        Protocol::HttpJson => "application/json",
        Protocol::HttpProtobuf | Protocol::Grpc => "application/x-protobuf",
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form));
    if target.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers
}

/// Whether another attempt may help, as OTLP has it.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// Reads an answer.
pub(super) fn answer(
    head: &Parts,
    body: &[u8],
    read: fn(&[u8]) -> Accepted,
) -> Result<Accepted, SendError> {
    if head.status.is_success() {
        return Ok(read(body));
    }
    let wait = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    // The other form, a date, would need a clock that agrees with the collector's.
    let wait = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let message = words(head, body);
    let message = if message.is_empty() { message } else { format!(": {message}") };
    Err(SendError::Status { status: head.status.as_u16(), message, wait })
}

/// `google.rpc.Status`, as far as people read it.
#[derive(Clone, PartialEq, Message)]
struct Refusal {
    #[prost(string, tag = "2")]
    message: String,
}

/// Why a collector refuses, in its own words; none where these are a page for browsers.
fn words(head: &Parts, body: &[u8]) -> String {
    let form = head.headers.get(CONTENT_TYPE).and_then(|form| form.to_str().ok());
    let form = form.and_then(|form| form.split(';').next()).unwrap_or_default().trim();
    let words = match form {
        "application/json" => {
            let refusal: Value = serde_json::from_slice(body).unwrap_or_default();
            refusal["message"].as_str().unwrap_or_default().to_owned()
        }
        "application/x-protobuf" => Refusal::decode(body).unwrap_or_default().message,
        "text/plain" => String::from_utf8_lossy(body).into_owned(),
        _ => String::new(),
    };
    words.trim().chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use hyper::Response;

    use super::*;

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let check = |status: u16, after: &str, wait| {
            let response = Response::builder().status(status).header(RETRY_AFTER, after);
            let (head, ()) = response.body(()).unwrap().into_parts();
            let expect = Err(SendError::Status { status, message: String::new(), wait });
            assert_eq!(answer(&head, b"", Accepted::from_protobuf), expect);
        };
        check(429, "7", Some(Duration::from_secs(7)));
        check(503, "Fri, 31 Dec 1999 23:59:59 GMT", None);
        let told = |form: &str, body: &[u8]| {
            let response = Response::builder().status(400).header(CONTENT_TYPE, form);
            let (head, ()) = response.body(()).unwrap().into_parts();
            answer(&head, body, Accepted::from_protobuf).unwrap_err().to_string()
        };
        let said = "the collector answered 400";
        let json = br#"{"code":3,"message":"no such field"}"#;
        assert_eq!(told("application/json", json), format!("{said}: no such field"));
        let message = Refusal { message: "too old".to_owned() };
        let form = "application/x-protobuf";
        assert_eq!(told(form, &message.encode_to_vec()), format!("{said}: too old"));
        assert_eq!(told("text/plain; charset=utf-8", b" bad \n"), format!("{said}: bad"));
        assert_eq!(told("text/plain", &[b'x'; 9999]), format!("{said}: {}", "x".repeat(WORDS)));
        for (form, body) in
            [("text/html", &b"<html>"[..]), (form, b"\xff"), ("application/json", b"[")]
        {
            assert_eq!(told(form, body), said);
        }
        let passing: Vec<_> = (400..600).filter(|status| is_passing(*status)).collect();
        assert_eq!(passing, [429, 502, 503, 504]);
    }
}
