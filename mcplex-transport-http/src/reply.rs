//! HTTP responses: JSON in pieces, event streams, and refusals.

use crate::{
    accept, duplex::DuplexStream, exchange::AnswerStream, sse::Pieces, stream::EventStream,
};
use bytes::{Bytes, BytesMut};
use hyper::{
    Response as HttpResponse, StatusCode,
    body::{Body, Frame, SizeHint},
    header,
    header::{HeaderName, HeaderValue},
};
use mcplex_proto::{
    error::ErrorObject,
    id::Id,
    message::{Message, Outcome, Response},
    upstream::UNAVAILABLE_META,
};
use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// The header that names a session.
pub(crate) const SESSION_ID: &str = "mcp-session-id";

/// What goes back to the client.
pub(crate) type Reply = HttpResponse<Content>;

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Content {
    /// Bytes that are all there.
    Whole(Pieces),
    /// Events as they come.
    Events(EventStream),
    /// What is said of a stateless request, and its answer.
    Answer(Box<AnswerStream>),
    /// All that is said in a session.
    Duplex(Box<DuplexStream>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match self.get_mut() {
            Self::Whole(pieces) => Poll::Ready(pieces.pop()),
            Self::Events(events) => events.poll_bytes(cx),
            Self::Answer(answer) => answer.poll_bytes(cx),
            Self::Duplex(duplex) => duplex.poll_bytes(cx),
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(pieces) => pieces.len() == 0,
            Self::Events(_) | Self::Answer(_) | Self::Duplex(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(pieces) => SizeHint::with_exact(pieces.len() as u64),
            Self::Events(_) | Self::Answer(_) | Self::Duplex(_) => SizeHint::default(),
        }
    }
}

/// A status and nothing else.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = HttpResponse::new(Content::Whole(Pieces::default()));
    *reply.status_mut() = status;
    reply
}

/// One message as JSON.
pub(crate) fn json(message: &Message) -> Reply {
    let mut reply = json_pieces(Pieces::of(b"", message, b""));
    if let Message::Response(response) = message
        && let Some(seconds) = retry_after(&response.outcome)
    {
        reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    reply
}

/// The longest answer that is looked into: no refusal of the gateway is as long.
const MAX_REFUSAL: usize = 4096;

/// In how many seconds a refused call may be tried again, where the refusal says so.
fn retry_after(outcome: &Outcome) -> Option<u64> {
    let (Outcome::Result(raw) | Outcome::Error(raw)) = outcome;
    let text = raw.as_str();
    // Nearly every answer is done with here, for the price of a search.
    if text.len() > MAX_REFUSAL || !text.contains("\"retryAfterMs\":") {
        return None;
    }
    let value: serde_json::Value = raw.get()?;
    let reason = match outcome {
        Outcome::Result(_) => &value["_meta"][UNAVAILABLE_META],
        Outcome::Error(_) => &value["data"],
    };
    reason["retryAfterMs"].as_u64().map(|ms| ms.div_ceil(1000))
}

/// The answers to a batch as JSON.
pub(crate) fn json_array(messages: &[Message]) -> Reply {
    let mut out = BytesMut::from(&b"["[..]);
    for (at, message) in messages.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b",");
        }
        message.write(&mut out);
    }
    out.extend_from_slice(b"]");
    json_pieces(out.freeze().into())
}

/// A document as it is.
pub(crate) fn json_text(text: Bytes) -> Reply {
    json_pieces(text.into())
}

fn json_pieces(pieces: Pieces) -> Reply {
    let mut reply = HttpResponse::new(Content::Whole(pieces));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(accept::JSON));
    reply
}

/// An event stream.
pub(crate) fn events(stream: EventStream) -> Reply {
    stream_of(Content::Events(stream))
}

/// The event stream of a stateless request.
pub(crate) fn events_of(answer: AnswerStream) -> Reply {
    stream_of(Content::Answer(Box::new(answer)))
}

/// The event stream that is a session.
pub(crate) fn events_in(duplex: DuplexStream) -> Reply {
    stream_of(Content::Duplex(Box::new(duplex)))
}

fn stream_of(content: Content) -> Reply {
    let mut reply = HttpResponse::new(content);
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(accept::SSE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Proxies that collect responses would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    reply
}

/// A request that is not served, and why; boxed, as it travels in the place of errors.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Why>);

#[derive(Debug)]
struct Why {
    status: StatusCode,
    response: Response,
    extra: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal whose body is a JSON-RPC error.
    pub(crate) fn new(status: StatusCode, why: &impl fmt::Display) -> Self {
        Self::of(status, Response::error(None, &ErrorObject::invalid_request(why)))
    }

    /// A refusal with this JSON-RPC error.
    pub(crate) fn of(status: StatusCode, response: Response) -> Self {
        Self(Box::new(Why { status, response, extra: None }))
    }

    /// 400 with this error.
    pub(crate) fn bad(error: &ErrorObject) -> Self {
        Self::of(StatusCode::BAD_REQUEST, Response::error(None, error))
    }

    /// 405, with the methods there are.
    pub(crate) fn not_allowed(why: &str, allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, &why).with(header::ALLOW, allowed)
    }

    /// The same, naming the request it refuses.
    pub(crate) fn naming(mut self, id: Option<&Id>) -> Self {
        self.0.response.id = id.cloned();
        self
    }

    /// The same with one more header.
    pub(crate) fn with(self, name: HeaderName, value: &'static str) -> Self {
        self.with_value(name, HeaderValue::from_static(value))
    }

    /// The same with one more header, in place of what [`Self::with`] gave it.
    pub(crate) fn with_value(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.extra = Some((name, value));
        self
    }

    pub(crate) fn into_reply(self) -> Reply {
        let Why { status, response, extra } = *self.0;
        let mut reply = json(&response.into());
        *reply.status_mut() = status;
        if let Some((name, value)) = extra {
            reply.headers_mut().insert(name, value);
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_proto::{
        raw::Raw,
        upstream::{UpstreamError, UpstreamName},
    };
    use std::time::Duration;

    #[test]
    fn a_refused_call_says_when_to_try_again() {
        let error = UpstreamError::Unavailable {
            upstream: UpstreamName::new("a").unwrap(),
            reason: "it exited with code 1".into(),
            retry_after: Some(Duration::from_millis(1200)),
            cause: None,
        };
        let check = |outcome: Outcome, expect: Option<&str>| {
            let reply = json(&Response::new(Some(1.into()), outcome).into());
            let header = reply.headers().get(header::RETRY_AFTER);
            assert_eq!(header.and_then(|value| value.to_str().ok()), expect);
        };
        check(Outcome::Error(Raw::of(&error.to_client())), Some("2"));
        check(Outcome::Result(error.to_tool_result()), Some("2"));
        // An upstream's own words about something else.
        let own = Raw::of(&serde_json::json!({ "retryAfterMs": 5000 }));
        check(Outcome::Result(own), None);
        check(Outcome::Result(Raw::empty_object()), None);
    }
}
