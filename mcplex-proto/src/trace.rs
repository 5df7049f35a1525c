//! Trace context that crosses processes and outlives spans.
//!
//! The crates of mcplex make spans with plain `tracing`. What `tracing` cannot say, this module
//! says: a parent in another process, a link to a span that has closed, the `traceparent` of a
//! span. Without an installed [`TraceBridge`] every function here does nothing, and costs one
//! atomic load.
//!
//! ```
//! use mcplex_proto::{attr, trace};
//! use mcplex_proto::trace::TraceContext;
//!
//! // What a client put into `_meta`.
//! let caller =
//!     TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
//!
//! let span = tracing::info_span!(
//!     target: attr::TARGET_ROUTED,
//!     parent: None,
//!     attr::SERVER,
//!     { attr::OTEL_NAME } = "tools/call telegram__send",
//!     { attr::OTEL_KIND } = attr::KIND_SERVER,
//! );
//! if let Some(caller) = &caller {
//!     trace::set_parent(&span, caller);
//! }
//! // None as long as nothing exports spans: then `_meta` is passed on as it came.
//! let onward = trace::context_of(&span).map(|context| context.to_traceparent());
//! # assert_eq!(onward, None);
//! ```
//!
//! # What a span must not do
//!
//! These rules are not about taste; a span that breaks them is lost, or tells a lie.
//!
//! 1. **No span around a task that lives long.** A span is exported when it closes. A span that
//!    instruments the loop of an upstream closes with the loop, hours later or never.
//! 2. **A parent is held open by its children.** `tracing` closes a span only after the spans
//!    below it. What comes long after its cause (a respawn after a death) is made with
//!    `parent: None` and [`set_parent`], which holds nothing open.
//! 3. **No `follows_from`.** It says nothing about a span that has closed, and does so silently.
//!    Keep the [`TraceContext`] of the span and use [`link`].
//! 4. **Name, kind and parent are given at the start.** [`context_of`], a child and the first
//!    enter freeze them: call [`set_parent`] at once, and set `otel.name` where the span is made.
//! 5. **Do not enter a span and then wait outside of it.** Its end is the last exit if it was
//!    ever entered. Instrument the whole future, or never enter and let the drop be the end.
//! 6. **Take the context of a death before failing its calls**, so that they can link to it.
//! 7. **`otel.status_description` comes after `otel.status_code`**, or stands alone: the one
//!    recorded later wins, and a description means an error already.

mod value;

use std::sync::OnceLock;

use tracing::Span;

use crate::edit;
use crate::raw::Raw;

pub use value::{Attribute, Value};

/// The longest `tracestate` that is passed on, in bytes; what W3C asks everyone to carry.
const STATE_MAX_BYTES: usize = 512;
/// The most members of a `tracestate`, from W3C Trace Context.
const STATE_MAX_MEMBERS: usize = 32;
/// The length of a `traceparent` of version 00, and the least of every later one.
const PARENT_BYTES: usize = 55;
/// The bit of the flags that says the caller records this trace.
const SAMPLED: u8 = 0x01;
/// The bits of the flags that have a meaning: sampled, and random trace id.
const KNOWN_FLAGS: u8 = 0x03;

/// Where a span stands, in a form that outlives the span and crosses processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
    state: Option<String>,
    remote: bool,
}

impl TraceContext {
    /// Reads the two values another process sent, as W3C Trace Context defines them.
    ///
    /// A broken `traceparent` is none at all; a broken `tracestate` is dropped alone.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let version: [u8; 1] = hex(bytes.get(..2)?)?;
        let length_fits = match version[0] {
            0xff => false,
            0x00 => bytes.len() == PARENT_BYTES,
            // A later version may append fields, after a dash.
            _ => bytes.len() == PARENT_BYTES || bytes.get(PARENT_BYTES) == Some(&b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|&at| bytes.get(at) == Some(&b'-'));
        if !length_fits || !dashes {
            return None;
        }
        let flags: [u8; 1] = hex(bytes.get(53..PARENT_BYTES)?)?;
        let (trace_id, span_id) = (hex(bytes.get(3..35)?)?, hex(bytes.get(36..52)?)?);
        let mut context = Self::local(trace_id, span_id, flags[0] & KNOWN_FLAGS)?;
        context.state =
            tracestate.map(str::trim).filter(|text| state_is_valid(text)).map(Into::into);
        context.remote = true;
        Some(context)
    }

    /// Names a span of this process; none if one of the ids is zero.
    pub fn local(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Option<Self> {
        let valid = trace_id != [0; 16] && span_id != [0; 8];
        valid.then_some(Self { trace_id, span_id, flags, state: None, remote: false })
    }

    /// Adds the vendors' part; dropped if it is not a valid `tracestate`.
    #[must_use]
    pub fn with_state(mut self, state: &str) -> Self {
        self.state = state_is_valid(state).then(|| state.to_owned());
        self
    }

    /// Writes the value of `traceparent`.
    pub fn to_traceparent(&self) -> String {
        let mut text = [b'-'; PARENT_BYTES];
        text[..2].copy_from_slice(b"00");
        write_hex(&mut text[3..35], &self.trace_id);
        write_hex(&mut text[36..52], &self.span_id);
        write_hex(&mut text[53..], &[self.flags & KNOWN_FLAGS]);
        of_ascii(&text)
    }

    /// Parameters of a request that say that it belongs here.
    #[must_use]
    pub fn written_into(&self, params: &Raw) -> Raw {
        let parent = format!("\"{}\"", self.to_traceparent());
        let state = self.state.as_ref().map(Raw::of);
        let state = state.as_ref().map(|state| ("tracestate", state.as_str()));
        let members: Vec<_> = [("traceparent", &*parent)].into_iter().chain(state).collect();
        match edit::member(params.as_str(), "_meta") {
            Some(old) => {
                let meta = Raw::part(params, old);
                let meta = edit::with_members(&meta, &members);
                edit::with_members(params, &[("_meta", meta.as_str())])
            }
            None => edit::with_members(params, &[("_meta", edit::object(members).as_str())]),
        }
    }

    /// The value of `tracestate`, if there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The trace, as bytes.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The span, as bytes.
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// The flags; bit 0 is sampled.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether the span belongs to another process.
    pub fn is_remote(&self) -> bool {
        self.remote
    }

    /// The trace in 32 hex digits, as `mcplex.cause.trace_id` wants it.
    pub fn trace_id_hex(&self) -> String {
        let mut text = [0; 32];
        write_hex(&mut text, &self.trace_id);
        of_ascii(&text)
    }

    /// The span in 16 hex digits, as `mcplex.cause.span_id` wants it.
    pub fn span_id_hex(&self) -> String {
        let mut text = [0; 16];
        write_hex(&mut text, &self.span_id);
        of_ascii(&text)
    }
}

/// The attributes that a span is to have.
pub type Described<'a> = dyn Iterator<Item = (&'static str, Value)> + 'a;

/// What a crate that exports spans does for those that make them.
pub trait TraceBridge: Send + Sync {
    /// Returns where the span stands; none if it is not exported.
    fn context(&self, span: &Span) -> Option<TraceContext>;
    /// Adds attributes to the span, which starts it, and returns where it stands.
    fn describe(&self, span: &Span, attributes: &mut Described<'_>) -> Option<TraceContext>;
    /// Makes the span a child of a remote or closed one, if it has not started yet.
    fn set_parent(&self, span: &Span, parent: &TraceContext);
    /// Links the span to another one, which may have closed.
    fn add_link(&self, span: &Span, to: &TraceContext, kind: &'static str);
    /// Notes that something happened in the span, with one attribute.
    fn add_event(&self, span: &Span, name: &'static str, attribute: (&'static str, &str));
}

/// Set once, by whoever installs the subscriber.
static BRIDGE: OnceLock<Box<dyn TraceBridge>> = OnceLock::new();

/// Installs the bridge of this process; returns false if there is one already.
pub fn install(bridge: Box<dyn TraceBridge>) -> bool {
    BRIDGE.set(bridge).is_ok()
}

/// Whether spans of this process are exported.
pub fn is_on() -> bool {
    BRIDGE.get().is_some()
}

/// Returns where a span stands, to keep, to hand on, or to write into `_meta`.
///
/// Starts the span: its name, kind and parent are fixed from here on.
pub fn context_of(span: &Span) -> Option<TraceContext> {
    BRIDGE.get()?.context(span)
}

/// Adds attributes to a span, and returns where it stands, as [`context_of`] does.
///
/// The attributes are fields of the span too, declared as [`tracing::field::Empty`]: without a bridge
/// they are recorded there, for whoever reads spans otherwise.
pub fn describe<const N: usize>(span: &Span, attributes: [Attribute; N]) -> Option<TraceContext> {
    if span.is_disabled() {
        return None;
    }
    let mut said = attributes.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let Some(bridge) = BRIDGE.get() else {
        said.for_each(|(name, value)| value.record(span, name));
        return None;
    };
    bridge.describe(span, &mut said)
}

/// Makes a span the child of a remote or closed one; call it right after making the span.
pub fn set_parent(span: &Span, parent: &TraceContext) {
    if let Some(bridge) = BRIDGE.get() {
        bridge.set_parent(span, parent);
    }
}

/// Links an open span to another one, with one of [`crate::attr::LINK_KINDS`].
pub fn link(span: &Span, to: &TraceContext, kind: &'static str) {
    if let Some(bridge) = BRIDGE.get() {
        bridge.add_link(span, to, kind);
    }
}

/// Notes in an open span that something happened, as one of [`crate::attr::SPAN_EVENTS`].
pub fn event(span: &Span, name: &'static str, attribute: (&'static str, &str)) {
    if let Some(bridge) = BRIDGE.get() {
        bridge.add_event(span, name, attribute);
    }
}

/// Reads exactly `N` bytes from lower-case hex digits; W3C allows no other case.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    let mut all = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
        all |= high | low;
        *byte = high << 4 | low;
    }
    (all < 16).then_some(bytes)
}

/// Writes bytes as hex digits; each call has two contexts, and formatting takes ten times as long.
fn write_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
}

/// Digits and dashes as a text.
fn of_ascii(text: &[u8]) -> String {
    str::from_utf8(text).expect("digits and dashes are ASCII").to_owned()
}

/// What is no lower-case hex digit.
const NO_DIGIT: u8 = 0xff;

/// What each byte stands for as a lower-case hex digit.
static NIBBLES: [u8; 256] = {
    let mut nibbles = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        nibbles[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    nibbles
};

/// Whether every member of a `tracestate` is `key=value`, within the limits of W3C.
fn state_is_valid(text: &str) -> bool {
    let mut members = text.split(',').map(str::trim);
    let fits = !text.is_empty() && text.len() <= STATE_MAX_BYTES;
    fits && members.clone().count() <= STATE_MAX_MEMBERS
        && members.all(|member| {
            // An empty member is allowed, so that headers can be joined blindly.
            member.is_empty()
                || member
                    .split_once('=')
                    .is_some_and(|(key, value)| key_is_valid(key) && value_is_valid(value))
        })
}

/// Whether a key is lower case, digits and the five signs W3C allows.
fn key_is_valid(key: &str) -> bool {
    let starts =
        key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    starts && key.len() <= 256 && key.bytes().all(allowed)
}

/// Whether a value is printable and free of the separators.
fn value_is_valid(value: &str) -> bool {
    let printable = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=' && byte != b',';
    !value.is_empty() && value.len() <= 256 && value.bytes().all(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn check(traceparent: &str, expect: Option<&str>) {
        let context = TraceContext::parse(traceparent, None);
        let written = context.map(|context| context.to_traceparent());
        assert_eq!(written.as_deref(), expect, "{traceparent}");
    }

    #[test]
    fn a_valid_parent_is_read_and_written() {
        check(PARENT, Some(PARENT));
        let context = TraceContext::parse(PARENT, None).unwrap();
        assert_eq!(context.trace_id()[..2], [0x0a, 0xf7]);
        assert_eq!(context.span_id()[7], 0x31);
        assert!(context.is_sampled());
        assert!(context.is_remote());
        let unsampled = PARENT.replace("-01", "-00");
        assert!(!TraceContext::parse(&unsampled, None).unwrap().is_sampled());
    }

    #[test]
    fn unknown_flags_are_not_passed_on() {
        let ids = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        check(&format!("00-{ids}-ff"), Some(&format!("00-{ids}-03")));
        check(&format!("00-{ids}-08"), Some(&format!("00-{ids}-00")));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_known() {
        let later = PARENT.replacen("00-", "cc-", 1);
        check(&later, Some(PARENT));
        check(&format!("{later}-what-the-future-holds"), Some(PARENT));
        check(&format!("{later}-"), Some(PARENT));
        check(&format!("{later}.no-dash"), None);
    }

    #[test]
    fn a_broken_parent_is_none() {
        for broken in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
            "CC-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
        ] {
            check(broken, None);
        }
    }

    #[test]
    fn a_broken_state_is_dropped_alone() {
        let state = |text| {
            let context = TraceContext::parse(PARENT, Some(text)).expect("the parent is valid");
            context.tracestate().map(str::to_owned)
        };
        for good in ["rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE, fw529a3039@dt=x", "a=1,,b=2"] {
            assert_eq!(state(good).as_deref(), Some(good));
        }
        let many = (0..33).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        let long = format!("k={}", "v".repeat(600));
        for bad in ["", "novalue", "UPPER=1", "a=", "=1", "a=b=c", "a=\u{7f}", &many, &long] {
            assert_eq!(state(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_request_says_where_it_belongs_and_keeps_the_rest() {
        let check = |text: &str, state: Option<&str>, expect: &str| {
            let context = TraceContext::parse(PARENT, state).unwrap();
            let params = Raw::parse(text.to_owned()).unwrap();
            assert_eq!(context.written_into(&params).as_str(), expect);
        };
        let with = |rest: &str| format!(r#"{{"traceparent":"{PARENT}"{rest}}}"#);
        check(r#"{"a":1.0}"#, None, &format!(r#"{{"_meta":{},"a":1.0}}"#, with("")));
        check("{}", Some("a=b"), &format!(r#"{{"_meta":{}}}"#, with(r#","tracestate":"a=b""#)));
        let old = format!(r#"{{"_meta":{{"v/x":1e3,"traceparent":"{PARENT}"}}}}"#);
        check(&old, None, &old);
    }

    #[test]
    fn zero_ids_name_no_span() {
        assert_eq!(TraceContext::local([0; 16], [1; 8], 1), None);
        assert_eq!(TraceContext::local([1; 16], [0; 8], 1), None);
        assert!(!TraceContext::local([1; 16], [1; 8], 1).unwrap().is_remote());
    }

    #[test]
    fn without_a_bridge_nothing_happens() {
        let parent = TraceContext::parse(PARENT, None).unwrap();
        let span = Span::none();
        set_parent(&span, &parent);
        link(&span, &parent, crate::attr::LINK_DEATH);
        event(&span, crate::attr::SPAN_EVENT_STDERR, (crate::attr::STDERR_TEXT, "x"));
        assert!(!is_on());
        assert_eq!(context_of(&span), None);
    }
}
