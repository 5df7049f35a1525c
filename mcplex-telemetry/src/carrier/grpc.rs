//! OTLP over gRPC: one call, one message, one answer.
//!
//! A unary call is a POST over HTTP/2 whose body is a flag, a length and a message, and whose
//! result is in the trailers. The tests hold it against another implementation.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use hyper::http::response::Parts;
use percent_encoding::percent_decode_str;
use prost::Message;

use super::{Accepted, SendError};
use crate::plan::Target;

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// The codes of gRPC, by number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// What a code is that is not one of them.
const UNKNOWN: u32 = 2;
/// The code of a collector that has no room left.
const RESOURCE_EXHAUSTED: u32 = 8;
/// What a detail is called that asks to wait.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The name of a code.
pub(super) fn name(code: u32) -> &'static str {
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("?")
}

/// What says that this is a call, and how the message is to be read.
pub(super) fn headers(target: &Target) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if target.gzip {
        headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
    }
    headers
}

/// Puts the prefix before a message.
pub(super) fn framed(message: &[u8], is_compressed: bool) -> Result<Bytes, SendError> {
    let too_large = |_| SendError::Form("the batch is too large for gRPC".to_owned());
    let length = u32::try_from(message.len()).map_err(too_large)?;
    let mut body = Vec::with_capacity(PREFIX + message.len());
    body.push(u8::from(is_compressed));
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(message);
    Ok(body.into())
}

/// Whether another attempt may help, as OTLP has it.
pub(super) fn is_passing(code: u32, asks_to_wait: bool) -> bool {
    match name(code) {
        "CANCELLED" | "DEADLINE_EXCEEDED" | "ABORTED" | "OUT_OF_RANGE" | "UNAVAILABLE"
        | "DATA_LOSS" => true,
        // Only who says when knows that there will be room again.
        _ => code == RESOURCE_EXHAUSTED && asks_to_wait,
    }
}

/// Reads an answer.
pub(super) fn answer(
    head: &Parts,
    trailers: Option<&HeaderMap>,
    body: &[u8],
) -> Result<Accepted, SendError> {
    if !head.status.is_success() {
        // Something between here and the collector, which does not speak gRPC.
        let (status, message) = (head.status.as_u16(), String::new());
        return Err(SendError::Status { status, message, wait: None });
    }
    // Where there is nothing but a refusal, it is in the head.
    let all = [trailers, Some(&head.headers)].into_iter().flatten();
    let Some(ends) = all.into_iter().find(|headers| headers.contains_key("grpc-status")) else {
        return Err(SendError::Form("the answer is not of gRPC".to_owned()));
    };
    let text = |name| ends.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status").and_then(|code| code.parse().ok()).unwrap_or(UNKNOWN) {
        // A compressed answer was not asked for, and an empty one says nothing.
        0 => Ok(Accepted::from_protobuf(body.get(PREFIX..).unwrap_or_default())),
        code => {
            let message = text("grpc-message").unwrap_or_default();
            let message = percent_decode_str(message).decode_utf8_lossy();
            let message = if message.is_empty() { String::new() } else { format!(": {message}") };
            let wait = text("grpc-status-details-bin").and_then(asked_wait);
            Err(SendError::Grpc { code, message, wait })
        }
    }
}

/// What a refusal says beside its code, as far as it matters: `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Wait>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Wait {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// How long a collector asks to wait.
fn asked_wait(header: &str) -> Option<Duration> {
    let bytes = STANDARD_NO_PAD.decode(header).or_else(|_| STANDARD.decode(header)).ok()?;
    let details = Details::decode(&bytes[..]).ok()?.details;
    let info = details.into_iter().find(|detail| detail.kind == RETRY_INFO)?;
    let delay = RetryInfo::decode(&info.value[..]).ok()?.delay?;
    let nanos = u32::try_from(delay.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, nanos))
}

#[cfg(test)]
mod tests {
    use hyper::Response;

    use super::*;

    fn told(code: &str, message: &str, details: &str) -> Result<Accepted, SendError> {
        let response = Response::builder()
            .header("grpc-status", code)
            .header("grpc-message", message)
            .header("grpc-status-details-bin", details);
        let (head, ()) = response.body(()).unwrap().into_parts();
        answer(&head, None, b"")
    }

    #[test]
    fn a_refusal_is_told_with_its_name_and_what_it_adds() {
        let error = told("16", "no%20token", "").unwrap_err();
        assert_eq!(error.to_string(), "the collector answered 16 (UNAUTHENTICATED): no token");
        let error = told("14", "", "").unwrap_err();
        assert_eq!(error.to_string(), "the collector answered 14 (UNAVAILABLE)");
        assert_eq!(told("0", "", ""), Ok(Accepted::default()));
    }

    #[test]
    fn what_a_collector_asks_to_wait_is_read() {
        let delay = Some(Wait { seconds: 2, nanos: 500_000_000 });
        let value = RetryInfo { delay }.encode_to_vec();
        let details = vec![Detail { kind: RETRY_INFO.into(), value }];
        let header = STANDARD_NO_PAD.encode(Details { details }.encode_to_vec());
        let Err(SendError::Grpc { wait, .. }) = told("8", "", &header) else { panic!() };
        assert_eq!(wait, Some(Duration::from_millis(2500)));
        assert_eq!(asked_wait("%%"), None);
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        let passing: Vec<_> = (0..18).filter(|code| is_passing(*code, false)).collect();
        assert_eq!(passing, [1, 4, 10, 11, 14, 15]);
        assert!(is_passing(RESOURCE_EXHAUSTED, true));
    }

    #[test]
    fn what_is_not_of_grpc_is_no_success() {
        let (head, ()) = Response::new(()).into_parts();
        assert!(matches!(answer(&head, None, b"<html>"), Err(SendError::Form(_))));
    }
}
