//! How events are written, and how their ids name a stream and a place in it.

use bytes::{Bytes, BytesMut};
use mcplex_proto::message::Message;
use std::{fmt, io::Write as _};

/// Up to this many bytes are copied into one piece; more are written from where they lie.
///
/// A copy of this size costs less than two more slices in a system call.
const FLAT: usize = 8 * 1024;

/// What a silent stream gets, so that nothing between us and the client closes it.
pub(crate) const KEEPALIVE: Bytes = Bytes::from_static(b": keepalive\n\n");

/// How long a client should wait before it resumes, in milliseconds; one second, as the
/// official SDKs wait when they are told nothing.
const RETRY_MS: u32 = 1000;

/// Names an event: its stream, and its number in that stream. Unique in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) stream: u64,
    pub(crate) number: u64,
}

impl EventId {
    /// Reads what [`fmt::Display`] wrote.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (stream, number) = text.split_once('-')?;
        let id = Self { stream: stream.parse().ok()?, number: number.parse().ok()? };
        // `+1-01` is a number to the parser but no id of ours.
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream, self.number)
    }
}

/// The first event of a stream: no data, but an id to resume from.
pub(crate) fn prime(id: EventId) -> Bytes {
    format!("id: {id}\nretry: {RETRY_MS}\ndata: \n\n").into()
}

/// The first event of a stream whose client posts elsewhere: says where.
pub(crate) fn endpoint(uri: &str) -> Bytes {
    format!("event: endpoint\ndata: {uri}\n\n").into()
}

/// The event that carries `message`; only one with an id can be asked for again.
pub(crate) fn event(id: Option<EventId>, message: &Message) -> Pieces {
    // A message is one line of JSON, so one `data` line holds it.
    const FIELDS: &[u8] = b"event: message\ndata: ";
    let Some(id) = id else { return Pieces::of(FIELDS, message, b"\n\n") };
    let mut head = Vec::with_capacity(64);
    writeln!(head, "id: {id}").expect("writing to memory cannot fail");
    head.extend_from_slice(FIELDS);
    Pieces::of(&head, message, b"\n\n")
}

/// Bytes in up to three pieces, so that a large payload is never copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    parts: [Bytes; 3],
}

impl Pieces {
    /// `message` as JSON with something before and after it.
    pub(crate) fn of(before: &[u8], message: &Message, after: &[u8]) -> Self {
        let (head, body, tail) = message.parts();
        let body = body.map(mcplex_proto::raw::Raw::bytes);
        let body_len = body.map_or(0, Bytes::len);
        let mut first = BytesMut::with_capacity(
            before.len() + head.len() + if body_len <= FLAT { body_len + 3 } else { 0 },
        );
        first.extend_from_slice(before);
        first.extend_from_slice(&head);
        match body {
            Some(body) if body_len > FLAT => {
                let mut last = tail;
                last.extend_from_slice(after);
                Self { parts: [first.freeze(), body.clone(), last.freeze()] }
            }
            Some(_) | None => {
                if let Some(body) = body {
                    first.extend_from_slice(body);
                }
                first.extend_from_slice(&tail);
                first.extend_from_slice(after);
                first.freeze().into()
            }
        }
    }

    /// How many bytes are left.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Takes the next piece.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.parts.iter_mut().find(|part| !part.is_empty()).map(std::mem::take)
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        Self { parts: [bytes, Bytes::new(), Bytes::new()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_proto::{message::Response, raw::Raw};

    fn text(mut pieces: Pieces) -> (usize, String) {
        let mut out = Vec::new();
        let mut count = 0;
        while let Some(piece) = pieces.pop() {
            out.extend_from_slice(&piece);
            count += 1;
        }
        (count, String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_event_is_three_fields_and_a_blank_line() {
        let message = Response::result(7.into(), Raw::parse(r#"{"n":1.50}"#).unwrap()).into();
        let event = event(Some(EventId { stream: 3, number: 12 }), &message);
        assert_eq!(
            text(event),
            (
                1,
                "id: 3-12\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"n\":1.50}}\n\n"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_large_payload_is_not_copied() {
        let raw = Raw::of(&"x".repeat(FLAT));
        let payload = raw.bytes().as_ptr();
        let mut pieces = event(None, &Response::result(1.into(), raw).into());
        let length = pieces.len();
        let (first, second) = (pieces.pop().unwrap(), pieces.pop().unwrap());
        assert_eq!(second.as_ptr(), payload);
        assert_eq!(first.len() + second.len() + pieces.len(), length);
        assert_eq!(text(pieces), (1, "}\n\n".to_owned()));
    }

    #[test]
    fn ids_are_read_as_they_were_written_and_nothing_else_is() {
        let id = EventId { stream: 4, number: 17 };
        assert_eq!(EventId::read(&id.to_string()), Some(id));
        for text in ["", "4", "4-", "-17", "+4-17", "4-017", "4-17 ", "4--17", "a-b"] {
            assert_eq!(EventId::read(text), None, "{text}");
        }
        assert_eq!(prime(id), &b"id: 4-17\nretry: 1000\ndata: \n\n"[..]);
    }
}
