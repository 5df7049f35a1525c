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

#[cfg(test)]
mod tests {
    use hyper::Response;

    use super::*;

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let check = |status: u16, after: &str, wait| {
            let response = Response::builder().status(status).header(RETRY_AFTER, after);
            let (head, ()) = response.body(()).unwrap().into_parts();
            let expect = Err(SendError::Status { status, wait });
            assert_eq!(answer(&head, b"", Accepted::from_protobuf), expect);
        };
        check(429, "7", Some(Duration::from_secs(7)));
        check(503, "Fri, 31 Dec 1999 23:59:59 GMT", None);
        let passing: Vec<_> = (400..600).filter(|status| is_passing(*status)).collect();
        assert_eq!(passing, [429, 502, 503, 504]);
    }
}
