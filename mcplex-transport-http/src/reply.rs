//! HTTP responses: JSON in pieces, event streams, and refusals.

use crate::{accept, sse::Pieces, stream::EventStream};
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
    message::{Message, Response},
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
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(pieces) => pieces.len() == 0,
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(pieces) => SizeHint::with_exact(pieces.len() as u64),
            Self::Events(_) => SizeHint::default(),
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
    json_pieces(Pieces::of(b"", message, b""))
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

fn json_pieces(pieces: Pieces) -> Reply {
    let mut reply = HttpResponse::new(Content::Whole(pieces));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(accept::JSON));
    reply
}

/// An event stream.
pub(crate) fn events(stream: EventStream) -> Reply {
    let mut reply = HttpResponse::new(Content::Events(stream));
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
    extra: Option<(HeaderName, &'static str)>,
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

    /// The same, naming the request it refuses.
    pub(crate) fn naming(mut self, id: Option<&Id>) -> Self {
        self.0.response.id = id.cloned();
        self
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.extra = Some((name, value));
        self
    }

    pub(crate) fn into_reply(self) -> Reply {
        let Why { status, response, extra } = *self.0;
        let mut reply = json(&response.into());
        *reply.status_mut() = status;
        if let Some((name, value)) = extra {
            reply.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        reply
    }
}
