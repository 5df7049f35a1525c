//! The body of a POST: read within bounds, parsed into messages.

use crate::{options::Options, reply::Refusal};
use bytes::{Bytes, BytesMut};
use hyper::{
    HeaderMap, StatusCode,
    body::{Body as _, Incoming},
    header,
};
use mcplex_proto::{
    edit,
    message::{BadMessage, Message},
    raw,
};
use serde_json::value::RawValue;
use std::{
    future::poll_fn,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
};

/// How much is reserved on the word of a client alone, in bytes; 4 MiB.
///
/// Memory that is reserved but not written costs nothing yet; growing costs a copy.
const TRUSTED_LENGTH: usize = 4 * 1024 * 1024;

/// Bodies up to this many bytes are copied out of the connection's buffer; 4 KiB.
///
/// A call that waits long would hold the whole buffer, and the connection need a new one.
const SMALL: usize = 4 * 1024;

/// What a client posted.
#[derive(Debug)]
pub(crate) enum Payload {
    /// One message.
    One(Message),
    /// A batch, which only sessions of revision 2025-03-26 may send.
    Batch(Vec<Message>),
}

/// How much of all bodies that are still coming in is in memory.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    /// One that the largest body fits in.
    pub(crate) fn new(options: &Options) -> Self {
        Self { used: AtomicUsize::new(0), max: options.max_bodies.max(options.max_body) }
    }
}

/// What one body has of the budget; given back with it.
struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Share<'_> {
    fn grow(&mut self, bytes: usize) -> Result<(), Unread> {
        self.bytes += bytes;
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.budget.max { Err(Unread::NoMemory) } else { Ok(()) }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    NoMemory,
    Broken,
}

impl From<Unread> for Refusal {
    fn from(why: Unread) -> Self {
        match why {
            Unread::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, &"the body is too large"),
            Unread::NoMemory => {
                let why = "too many large bodies are on their way";
                let busy = Self::new(StatusCode::SERVICE_UNAVAILABLE, &why);
                busy.with(header::RETRY_AFTER, "1")
            }
            Unread::Broken => Self::new(StatusCode::BAD_REQUEST, &"the body cannot be read"),
        }
    }
}

/// Reads the whole body; one that came in one piece is not put together anew.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut Incoming,
    budget: &Budget,
    options: &Options,
) -> Result<Bytes, Refusal> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > options.max_body) {
        return Err(Unread::TooLarge.into());
    }
    let collect = collect(body, announced.unwrap_or(0), budget, options.max_body);
    match tokio::time::timeout(options.read_timeout, collect).await {
        Ok(collected) => collected.map_err(Into::into),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, &"the body came too slowly")),
    }
}

async fn collect(
    body: &mut Incoming,
    announced: usize,
    budget: &Budget,
    max: usize,
) -> Result<Bytes, Unread> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut share = Share { budget, bytes: 0 };
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > max {
            return Err(Unread::TooLarge);
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
            if body.is_end_stream() {
                break;
            }
        } else {
            share.grow(first.len() + data.len())?;
            if !first.is_empty() {
                rest.reserve(announced.min(TRUSTED_LENGTH).max(first.len() + data.len()));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(match first.len() {
        0 => rest.freeze(),
        1..=SMALL => Bytes::copy_from_slice(&first),
        _ => first,
    })
}

/// Parses what was read.
pub(crate) fn parse(bytes: Bytes, options: &Options) -> Result<Payload, Refusal> {
    let is_batch = bytes.trim_ascii_start().first() == Some(&b'[');
    let is_deep = raw::is_deeper_than(&bytes, options.max_depth + usize::from(is_batch));
    if is_batch {
        return batch(&bytes, is_deep, options.max_batch);
    }
    let message = Message::parse(bytes).map_err(|bad| refuse(&bad))?;
    if is_deep {
        let refusal = too_deep();
        return Err(match &message {
            Message::Request(request) => refusal.naming(Some(&request.id)),
            Message::Notification(_) | Message::Response(_) => refusal,
        });
    }
    Ok(Payload::One(message))
}

fn batch(bytes: &Bytes, is_deep: bool, max: usize) -> Result<Payload, Refusal> {
    let items = match edit::elements_within(bytes, max) {
        Ok(items) if !items.is_empty() => items,
        Err(error) if !error.is_data() => {
            return Err(refuse(&BadMessage::NotJson(error.to_string())));
        }
        Ok(_) | Err(_) => {
            let why = "a batch is empty or has too many messages";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, &why));
        }
    };
    if is_deep {
        return Err(too_deep());
    }
    let parse = |item: &RawValue| Message::parse(bytes.slice_ref(item.get().as_bytes()));
    let messages: Result<Vec<_>, _> = items.into_iter().map(parse).collect();
    messages.map(Payload::Batch).map_err(|bad| refuse(&bad))
}

fn too_deep() -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, &"its values are nested too deep")
}

fn refuse(bad: &BadMessage) -> Refusal {
    Refusal::of(StatusCode::BAD_REQUEST, bad.to_response())
}
