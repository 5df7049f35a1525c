//! The body of a POST: read within bounds, parsed into messages.

use crate::{options::Options, reply::Refusal};
use bytes::{Bytes, BytesMut};
use hyper::{
    HeaderMap, StatusCode,
    body::{Body as _, Incoming},
    header,
};
use mcplex_proto::{
    error::ErrorObject,
    message::{BadMessage, Message, Response},
};
use serde_json::value::RawValue;
use std::{future::poll_fn, pin::Pin};

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

/// Reads the whole body; one that came in one piece is not put together anew.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut Incoming,
    options: &Options,
) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, &"the body is too large");
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > options.max_body) {
        return Err(too_large());
    }
    let collect = collect(body, announced.unwrap_or(0), options.max_body);
    match tokio::time::timeout(options.read_timeout, collect).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, &"the body cannot be read")),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, &"the body came too slowly")),
    }
}

/// `None` when the body is longer than `max`.
async fn collect(
    body: &mut Incoming,
    announced: usize,
    max: usize,
) -> Result<Option<Bytes>, hyper::Error> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > max {
            return Ok(None);
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
            if body.is_end_stream() {
                break;
            }
        } else {
            if !first.is_empty() {
                rest.reserve(announced.min(TRUSTED_LENGTH).max(first.len() + data.len()));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(Some(match first.len() {
        0 => rest.freeze(),
        1..=SMALL => Bytes::copy_from_slice(&first),
        _ => first,
    }))
}

/// Parses what was read.
pub(crate) fn parse(bytes: Bytes, max_batch: usize) -> Result<Payload, Refusal> {
    if bytes.trim_ascii_start().first() != Some(&b'[') {
        return Message::parse(bytes).map(Payload::One).map_err(|bad| refuse(&bad));
    }
    let not_json = |error: &dyn std::fmt::Display| {
        let response = Response::error(None, &ErrorObject::parse_error(&error));
        Refusal::of(StatusCode::BAD_REQUEST, response)
    };
    let items: Vec<&RawValue> = serde_json::from_slice(&bytes).map_err(|error| not_json(&error))?;
    if items.is_empty() || items.len() > max_batch {
        let why = "a batch is empty or has too many messages";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, &why));
    }
    let parse = |item: &RawValue| Message::parse(bytes.slice_ref(item.get().as_bytes()));
    let messages: Result<Vec<_>, _> = items.into_iter().map(parse).collect();
    messages.map(Payload::Batch).map_err(|bad| refuse(&bad))
}

fn refuse(bad: &BadMessage) -> Refusal {
    Refusal::of(StatusCode::BAD_REQUEST, bad.to_response())
}
