//! What arrived, as text where text is good enough to compare.

use std::collections::BTreeMap;

/// One exported span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The exported name.
    pub name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer` or `unspecified`.
    pub kind: &'static str,
    /// The trace, in 32 hex digits.
    pub trace_id: String,
    /// The span, in 16 hex digits.
    pub span_id: String,
    /// The vendors' part of the trace context.
    pub trace_state: String,
    /// The parent, in 16 hex digits; none for a root.
    pub parent_span_id: Option<String>,
    /// The flags: bit 0 is sampled, 0x100 says that 0x200 means something: a remote parent.
    pub flags: u32,
    /// The attributes, each value as text.
    pub attributes: BTreeMap<String, String>,
    /// The kind of each value: `string`, `int`, `double`, `bool` or `other`.
    pub value_kinds: BTreeMap<String, &'static str>,
    /// How many attributes a limit took away.
    pub dropped_attributes: u32,
    /// The links, in the order they were added.
    pub links: Vec<Link>,
    /// How many links a limit took away.
    pub dropped_links: u32,
    /// `unset`, `ok` or `error`.
    pub status_code: &'static str,
    /// The text that goes with an error status; else empty.
    pub status_message: String,
    /// The events inside the span, oldest first.
    pub events: Vec<Event>,
    /// The start, in nanoseconds since 1970.
    pub start: u64,
    /// The end, in nanoseconds since 1970.
    pub end: u64,
    /// Which part of the program made it.
    pub scope: Scope,
    /// The resource the span came from.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// Returns one attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// A link from one span to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The trace it points to, in 32 hex digits.
    pub trace_id: String,
    /// The span it points to, in 16 hex digits.
    pub span_id: String,
    /// The attributes of the link.
    pub attributes: BTreeMap<String, String>,
}

/// Something that happened inside a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The name of the event.
    pub name: String,
    /// The attributes of the event.
    pub attributes: BTreeMap<String, String>,
}

/// Which part of a program made something, by which conventions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The name of the part.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The conventions that names follow.
    pub schema_url: String,
    /// The conventions that the resource follows.
    pub resource_schema_url: String,
}

/// The head of one export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `grpc`, `http/protobuf` or `http/json`.
    pub protocol: &'static str,
    /// The path, which names the signal.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
}
