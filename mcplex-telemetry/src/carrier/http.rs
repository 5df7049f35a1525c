//! OTLP over HTTP.

use std::time::Duration;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::http::response::Parts;

use super::{Accepted, SendError};
use crate::options::Protocol;
use crate::plan::Target;

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
    Err(SendError::Status { status: head.status.as_u16(), wait })
}
