//! Spans as OTLP has them in protobuf, written from front to back.
//!
//! Only what a span consists of; the numbers are those of `trace.proto` and `common.proto` of
//! `opentelemetry-proto`, and tests read what is written here with the messages of that crate.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use mcplex_proto::attr;
use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

use super::cut;
use super::envelope::TARGET;

/// Where a field is text, bytes or a message: three bits behind its number.
const LENGTH: u32 = 2;
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const FIXED32: u32 = 5;

/// The fields of a span.
mod field {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const TRACE_STATE: u32 = 3;
    pub(super) const PARENT_SPAN_ID: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTE: u32 = 9;
    pub(super) const DROPPED_ATTRIBUTES: u32 = 10;
    pub(super) const EVENT: u32 = 11;
    pub(super) const DROPPED_EVENTS: u32 = 12;
    pub(super) const LINK: u32 = 13;
    pub(super) const DROPPED_LINKS: u32 = 14;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;
}

/// How many characters of the name of a span leave, and of why it failed: no variable is about these,
/// and peers write what they like.
const TEXT: usize = 2048;

/// What the flags say beside those of W3C: it is known whether the parent is in another process.
const IS_REMOTE_IS_KNOWN: u32 = 0x100;
/// It is.
const IS_REMOTE: u32 = 0x200;

/// Writes a span, and of each text in it as many characters as are wanted.
pub(super) fn span(out: &mut Vec<u8>, span: &SpanData, limit: usize) {
    let context = &span.span_context;
    bytes(out, field::TRACE_ID, &context.trace_id().to_bytes());
    bytes(out, field::SPAN_ID, &context.span_id().to_bytes());
    state(out, field::TRACE_STATE, context);
    if span.parent_span_id != SpanId::INVALID {
        bytes(out, field::PARENT_SPAN_ID, &span.parent_span_id.to_bytes());
    }
    text(out, field::NAME, cut_to(&span.name, TEXT));
    number(out, field::KIND, kind(&span.span_kind));
    fixed64(out, field::START, nanoseconds(span.start_time));
    fixed64(out, field::END, nanoseconds(span.end_time));
    for pair in span.attributes.iter().filter(|pair| pair.key.as_str() != TARGET) {
        attribute(out, field::ATTRIBUTE, pair, limit);
    }
    number(out, field::DROPPED_ATTRIBUTES, span.dropped_attributes_count);
    span.events.iter().for_each(|it| event(out, it, limit));
    number(out, field::DROPPED_EVENTS, span.events.dropped_count);
    span.links.iter().for_each(|it| link(out, it, limit));
    number(out, field::DROPPED_LINKS, span.links.dropped_count);
    match &span.status {
        Status::Unset => {}
        Status::Ok => status(out, 1, ""),
        Status::Error { description } => status(out, 2, cut_to(description, TEXT)),
    }
    fixed32(out, field::FLAGS, flags(context, span.parent_span_is_remote));
}

fn kind(kind: &SpanKind) -> u32 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

/// Since 1970, which ends in 2554.
fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn state(out: &mut Vec<u8>, field: u32, context: &SpanContext) {
    let state = context.trace_state().header();
    if !state.is_empty() {
        text(out, field, &state);
    }
}

/// Writes an attribute of a span, an event or a link.
fn attribute(out: &mut Vec<u8>, field: u32, pair: &KeyValue, limit: usize) {
    let name = pair.key.as_str();
    match &pair.value {
        Value::String(value) => {
            let value = value.as_str();
            match unsigned(name, value) {
                Some(number) => plain(out, field, name, Plain::Int(number)),
                None => plain(out, field, name, Plain::Text(cut_to(value, limit))),
            }
        }
        Value::Bool(value) => plain(out, field, name, Plain::Bool(*value)),
        Value::I64(value) => plain(out, field, name, Plain::Int(*value)),
        Value::F64(value) => plain(out, field, name, Plain::Double(*value)),
        // None of ours is one, and what it says is not to be lost.
        other @ (Value::Array(_) | _) => {
            plain(out, field, name, Plain::Text(cut_to(&other.as_str(), limit)));
        }
    }
}

/// The names of all attributes that are whole numbers.
static INTS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let words = attr::ATTRIBUTES.iter().chain(attr::CONVENTIONS);
    words.filter(|word| word.kind == "int").map(|word| word.name).collect()
});

/// The number that the layer made a text of, as it does with all that are unsigned.
fn unsigned(name: &str, value: &str) -> Option<i64> {
    // Most texts that begin with a digit are dates, versions and addresses.
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && INTS.contains(&name) { value.parse().ok() } else { None }
}

fn cut_to(text: &str, limit: usize) -> &str {
    cut(text, limit).unwrap_or(text)
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug)]
enum Plain<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
}

impl Plain<'_> {
    fn len(self) -> usize {
        match self {
            Self::Text(text) => 1 + sized(text.len()),
            Self::Bool(_) => 2,
            Self::Int(number) => 1 + varint_len(number.cast_unsigned()),
            Self::Double(_) => 9,
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Text(value) => text(out, 1, value),
            Self::Bool(value) => {
                key(out, 2, VARINT);
                out.push(value.into());
            }
            Self::Int(number) => {
                key(out, 3, VARINT);
                varint(out, number.cast_unsigned());
            }
            Self::Double(number) => {
                key(out, 4, FIXED64);
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
}

fn plain(out: &mut Vec<u8>, field: u32, name: &str, value: Plain<'_>) {
    let inner = value.len();
    message(out, field, 1 + sized(name.len()) + 1 + sized(inner));
    text(out, 1, name);
    message(out, 2, inner);
    value.write(out);
}

fn link(out: &mut Vec<u8>, link: &Link, limit: usize) {
    let to = &link.span_context;
    let mut inner = Vec::with_capacity(128);
    bytes(&mut inner, 1, &to.trace_id().to_bytes());
    bytes(&mut inner, 2, &to.span_id().to_bytes());
    state(&mut inner, 3, to);
    link.attributes.iter().for_each(|pair| attribute(&mut inner, 4, pair, limit));
    number(&mut inner, 5, link.dropped_attributes_count);
    fixed32(&mut inner, 6, flags(to, to.is_remote()));
    bytes(out, field::LINK, &inner);
}

fn event(out: &mut Vec<u8>, event: &Event, limit: usize) {
    let mut inner = Vec::with_capacity(128);
    fixed64(&mut inner, 1, nanoseconds(event.timestamp));
    text(&mut inner, 2, &event.name);
    event.attributes.iter().for_each(|pair| attribute(&mut inner, 3, pair, limit));
    number(&mut inner, 4, event.dropped_attributes_count);
    bytes(out, field::EVENT, &inner);
}

fn status(out: &mut Vec<u8>, code: u8, description: &str) {
    message(out, field::STATUS, 1 + sized(description.len()) + 2);
    text(out, 2, description);
    key(out, 3, VARINT);
    out.push(code);
}

/// The flags of a span or a link, with where its parent or its target is.
fn flags(context: &SpanContext, is_remote: bool) -> u32 {
    let remote = if is_remote { IS_REMOTE } else { 0 };
    u32::from(context.trace_flags().to_u8()) | IS_REMOTE_IS_KNOWN | remote
}

pub(super) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    message(out, field, value.len());
    out.extend_from_slice(value);
}

pub(super) fn text(out: &mut Vec<u8>, field: u32, value: &str) {
    bytes(out, field, value.as_bytes());
}

/// Writes a number; zero is what is not written.
fn number(out: &mut Vec<u8>, field: u32, value: u32) {
    if value > 0 {
        key(out, field, VARINT);
        varint(out, value.into());
    }
}

fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    key(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    key(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Begins a message of so many bytes, which are to follow.
#[inline]
pub(super) fn message(out: &mut Vec<u8>, field: u32, length: usize) {
    key(out, field, LENGTH);
    varint(out, wide(length));
}

#[inline]
fn key(out: &mut Vec<u8>, field: u32, kind: u32) {
    varint(out, (field << 3 | kind).into());
}

#[inline]
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// How much something of that length takes with its length before it.
pub(super) fn sized(length: usize) -> usize {
    varint_len(wide(length)) + length
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_are_said_to_be() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }
}
