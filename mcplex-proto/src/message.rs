//! One JSON-RPC message; payloads stay unread (`RawValue`).

use crate::{edit, error::ErrorObject, id::Id, method, raw, raw::Raw, raw::unbreak};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The most messages of a batch that are taken; real ones have a handful.
pub const MAX_BATCH: usize = 1000;

/// A request, a notification, or the response to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asks for a response.
    Request(Request),
    /// Asks for nothing.
    Notification(Notification),
    /// Answers a request.
    Response(Response),
}

/// A call that wants exactly one [`Response`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Chosen by the sender, unique among its requests.
    pub id: Id,
    /// The method's name; known ones are not allocated.
    pub method: Cow<'static, str>,
    /// An object, as the sender wrote it.
    pub params: Option<Raw>,
    /// Members of the envelope that JSON-RPC does not define.
    pub extra: Extra,
}

/// A message that wants no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The method's name; known ones are not allocated.
    pub method: Cow<'static, str>,
    /// An object, as the sender wrote it.
    pub params: Option<Raw>,
    /// Members of the envelope that JSON-RPC does not define.
    pub extra: Extra,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The id of the request; absent when the request's id could not be read.
    pub id: Option<Id>,
    /// What came of it.
    pub outcome: Outcome,
    /// Members of the envelope that JSON-RPC does not define.
    pub extra: Extra,
}

/// Either member that a response carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The `result` member.
    Result(Raw),
    /// The `error` member.
    Error(Raw),
}

/// Unknown members of an envelope as JSON text, each with a comma before it; nearly always empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra(Bytes);

/// Why some bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadMessage {
    /// Not JSON, or more than one value.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON, but an array: a batch, which only revision 2025-03-26 knows.
    #[error("a batch, which this peer may not send")]
    Batch,
    /// JSON, but no JSON-RPC message; the id is given where it could be read.
    #[error("not a JSON-RPC message: {why}")]
    NotRpc {
        /// What is wrong with it.
        why: &'static str,
        /// The id of the message, to answer it; none of an answer, which gets no answer.
        id: Option<Id>,
    },
}

impl BadMessage {
    /// The response a peer gets for it: -32700 or -32600.
    #[must_use]
    pub fn to_response(&self) -> Response {
        match self {
            Self::NotJson(_) => Response::error(None, &ErrorObject::parse_error(self)),
            Self::Batch => Response::error(None, &ErrorObject::invalid_request(self)),
            Self::NotRpc { id, .. } => {
                Response::error(id.clone(), &ErrorObject::invalid_request(self))
            }
        }
    }
}

impl Message {
    /// Reads one message; its payloads share the buffer.
    ///
    /// A byte order mark before it is passed over, as some programs write one.
    ///
    /// # Errors
    /// When the bytes are not JSON, or no JSON-RPC 2.0 message.
    pub fn parse(bytes: Bytes) -> Result<Self, BadMessage> {
        let bytes = checked_unbreak(raw::without_mark(bytes))?;
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[') => return Err(Self::array(&bytes)),
            Some(b'{') => {}
            Some(_) | None => return Err(Self::not_an_object(&bytes)),
        }
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let wire = reader
            .deserialize_map(WireVisitor)
            .and_then(|wire| reader.end().map(|()| wire))
            .map_err(|error| BadMessage::NotJson(error.to_string()))?;
        wire.classify(&bytes)
    }

    /// Reads the messages of a batch; they share the buffer.
    ///
    /// `None` when the bytes are no array, or one of no messages or of more than `max`.
    #[must_use]
    pub fn parse_batch(bytes: &Bytes, max: usize) -> Option<Vec<Result<Self, BadMessage>>> {
        let bytes = raw::without_mark(bytes.clone());
        let members = edit::elements_within(&bytes, max).ok().filter(|all| !all.is_empty())?;
        let parse = |member: &RawValue| Self::parse(bytes.slice_ref(member.get().as_bytes()));
        Some(members.into_iter().map(parse).collect())
    }

    fn array(bytes: &Bytes) -> BadMessage {
        match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(IgnoredAny) => BadMessage::Batch,
            Err(error) => BadMessage::NotJson(error.to_string()),
        }
    }

    fn not_an_object(bytes: &Bytes) -> BadMessage {
        match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(IgnoredAny) => BadMessage::NotRpc { why: "it is no object", id: None },
            Err(error) => BadMessage::NotJson(error.to_string()),
        }
    }

    /// Writes the message as one line of JSON, without the line break.
    pub fn write(&self, out: &mut BytesMut) {
        let (head, body, tail) = self.parts();
        out.reserve(head.len() + body.map_or(0, |raw| raw.bytes().len()) + tail.len());
        out.put_slice(&head);
        if let Some(body) = body {
            out.put_slice(body.bytes());
        }
        out.put_slice(&tail);
    }

    /// The message as JSON text.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write(&mut out);
        out.freeze()
    }

    /// The line in three pieces, so that a large payload can be written without a copy.
    #[must_use]
    pub fn parts(&self) -> (BytesMut, Option<&Raw>, BytesMut) {
        let mut head = BytesMut::with_capacity(96);
        let mut tail = BytesMut::with_capacity(1);
        head.put_slice(br#"{"jsonrpc":"2.0""#);
        let body = match self {
            Self::Request(request) => {
                put_id(&mut head, Some(&request.id));
                put_call(&mut head, &request.method, request.params.is_some());
                tail.put_slice(&request.extra.0);
                request.params.as_ref()
            }
            Self::Notification(notification) => {
                put_call(&mut head, &notification.method, notification.params.is_some());
                tail.put_slice(&notification.extra.0);
                notification.params.as_ref()
            }
            Self::Response(response) => {
                put_id(&mut head, response.id.as_ref());
                tail.put_slice(&response.extra.0);
                match &response.outcome {
                    Outcome::Result(raw) => {
                        head.put_slice(br#","result":"#);
                        Some(raw)
                    }
                    Outcome::Error(raw) => {
                        head.put_slice(br#","error":"#);
                        Some(raw)
                    }
                }
            }
        };
        tail.put_u8(b'}');
        (head, body, tail)
    }
}

impl Request {
    /// A request of our own.
    #[must_use]
    pub fn new(id: impl Into<Id>, method: &'static str, params: Option<Raw>) -> Self {
        Self { id: id.into(), method: Cow::Borrowed(method), params, extra: Extra::default() }
    }
}

impl Notification {
    /// A notification of our own.
    #[must_use]
    pub fn new(method: &'static str, params: Option<Raw>) -> Self {
        Self { method: Cow::Borrowed(method), params, extra: Extra::default() }
    }
}

impl Response {
    /// The response that carries `outcome`.
    #[must_use]
    pub fn new(id: Option<Id>, outcome: Outcome) -> Self {
        Self { id, outcome, extra: Extra::default() }
    }

    /// A successful response.
    #[must_use]
    pub fn result(id: Id, result: Raw) -> Self {
        Self::new(Some(id), Outcome::Result(result))
    }

    /// A failed response.
    #[must_use]
    pub fn error(id: Option<Id>, error: &ErrorObject) -> Self {
        Self::new(id, Outcome::Error(Raw::of(error)))
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Notification> for Message {
    fn from(notification: Notification) -> Self {
        Self::Notification(notification)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

fn put_id(out: &mut BytesMut, id: Option<&Id>) {
    use std::fmt::Write as _;
    if let Some(id) = id {
        write!(out, r#","id":{id}"#).expect("writing to memory cannot fail");
    }
}

fn put_call(out: &mut BytesMut, method: &str, has_params: bool) {
    out.put_slice(br#","method":"#);
    out.put_slice(&serde_json::to_vec(method).expect("a string is always JSON"));
    if has_params {
        out.put_slice(br#","params":"#);
    }
}

/// Turns line breaks into blanks, but only in bytes that are JSON with them.
///
/// A raw line break inside a string is an error; as a blank it would pass.
fn checked_unbreak(bytes: Bytes) -> Result<Bytes, BadMessage> {
    if memchr::memchr2(b'\n', b'\r', &bytes).is_some() {
        let _: IgnoredAny = serde_json::from_slice(&bytes)
            .map_err(|error| BadMessage::NotJson(error.to_string()))?;
    }
    Ok(unbreak(bytes))
}

/// The members of an envelope as they stand in the text.
#[derive(Default)]
struct Wire<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    extra: BytesMut,
}

impl Wire<'_> {
    fn classify(self, whole: &Bytes) -> Result<Message, BadMessage> {
        let id = self.id.and_then(Id::read);
        // An answer stands under an id of whoever asked: it would be told about one of its own.
        let is_answer = self.method.is_none() && (self.result.is_some() || self.error.is_some());
        let named = id.clone().filter(|_| !is_answer);
        let bad = |why| BadMessage::NotRpc { why, id: named.clone() };
        if self.jsonrpc.map(RawValue::get) != Some(r#""2.0""#) {
            return Err(bad("`jsonrpc` must be \"2.0\""));
        }
        let raw = |value| Raw::inside(whole, value);
        let extra = Extra(self.extra.freeze());
        if let Some(name) = self.method {
            if self.result.is_some() || self.error.is_some() {
                return Err(bad("it has both a method and an outcome"));
            }
            let Some(name) = raw::string(name) else {
                return Err(bad("`method` must be a string"));
            };
            // Some writers say `null` where they mean nothing.
            let params = self.params.filter(|params| !is_null(params));
            if params.is_some_and(|params| !params.get().starts_with('{')) {
                return Err(bad("`params` must be an object"));
            }
            let (method, params) = (method::intern(&name), params.map(raw));
            return match (self.id, id) {
                // As a notification it would be passed on, and perhaps run, past all that looks at
                // requests.
                (None, _) if method::is_request(&method) => {
                    Err(bad("`id` must be there in a request"))
                }
                (None, _) => Ok(Notification { method, params, extra }.into()),
                (Some(_), Some(id)) => Ok(Request { id, method, params, extra }.into()),
                (Some(_), None) => {
                    Err(BadMessage::NotRpc { why: "`id` must be a string or an integer", id: None })
                }
            };
        }
        let outcome = match (self.result, self.error) {
            (Some(result), None) => Outcome::Result(raw(result)),
            (None, Some(error)) => Outcome::Error(raw(error)),
            // Writers of one type for both.
            (Some(result), Some(error)) if is_null(error) => Outcome::Result(raw(result)),
            (Some(result), Some(error)) if is_null(result) => Outcome::Error(raw(error)),
            (Some(_), Some(_)) => return Err(bad("it has both a result and an error")),
            (None, None) => return Err(bad("it has no method, no result and no error")),
        };
        // Some servers answer an unreadable request with `id: null`; that is an absent id.
        Ok(Response { id, outcome, extra }.into())
    }
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

struct WireVisitor;

impl<'de> Visitor<'de> for WireVisitor {
    type Value = Wire<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC message")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Wire<'de>, M::Error> {
        let mut wire = Wire::default();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let value: &'de RawValue = map.next_value()?;
            let slot = match &*key.0 {
                "jsonrpc" => &mut wire.jsonrpc,
                "id" => &mut wire.id,
                "method" => &mut wire.method,
                "params" => &mut wire.params,
                "result" => &mut wire.result,
                "error" => &mut wire.error,
                other => {
                    let key = serde_json::to_vec(other).map_err(M::Error::custom)?;
                    wire.extra.put_u8(b',');
                    wire.extra.put_slice(&key);
                    wire.extra.put_u8(b':');
                    wire.extra.put_slice(value.get().as_bytes());
                    continue;
                }
            };
            // Two readers that disagree on which one counts would act on different messages.
            if slot.replace(value).is_some() {
                return Err(M::Error::custom(format_args!("`{}` stands twice", key.0)));
            }
        }
        Ok(wire)
    }
}

/// A member's name, borrowed where it has no escapes.
pub(crate) struct Key<'a>(pub(crate) Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests;
