//! The black box of one upstream: the last messages both ways, and which calls were there when it
//! died.
//!
//! Recording copies the head of a message into a slot that is used again and again: no
//! allocation, no parsing and no clock. Secrets are taken out when a report is made.

use crate::time::Time;
use mcplex_proto::{
    edit,
    message::{Message, Outcome},
    raw::{self, Raw},
    redact::Secrets,
    report::Seen,
};
use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// Messages kept; with what each keeps it is 8 KiB per upstream.
const SLOTS: usize = 16;
/// How much of a message is kept: its envelope and the first arguments.
const HEAD: usize = 512;
/// Calls remembered from earlier deaths; a poisonous one comes back soon or not at all.
const SUSPECTS: usize = 64;
/// Arguments longer than this are not kept with a call that is sent, and so never suspect.
const KEPT: usize = 256 * 1024;

/// The last messages, and the calls of earlier deaths.
#[derive(Debug, Default)]
pub(crate) struct BlackBox {
    /// Made as they are needed, then used in turns.
    slots: Vec<Slot>,
    /// The oldest slot.
    next: usize,
    /// Calls that were in flight at a death, oldest first.
    suspects: VecDeque<u64>,
}

struct Slot {
    at: Time,
    is_from_upstream: bool,
    bytes: u64,
    head: Box<[u8; HEAD]>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Slot {
    fn put(&mut self, bytes: &[u8]) {
        let held = usize::try_from(self.bytes).unwrap_or(HEAD).min(HEAD);
        let fits = bytes.len().min(HEAD - held);
        self.head[held..held + fits].copy_from_slice(&bytes[..fits]);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }
}

impl fmt::Write for Slot {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

impl BlackBox {
    /// Another life begins: what the one before said and heard is in its own report.
    pub(crate) fn begin(&mut self) {
        self.next = 0;
        self.slots.clear();
    }

    /// Notes a message.
    pub(crate) fn record(&mut self, is_from_upstream: bool, message: &Message, at: Time) {
        let index = self.next;
        if self.slots.len() < SLOTS {
            let head = Box::new([0; HEAD]);
            self.slots.push(Slot { at, is_from_upstream, bytes: 0, head });
        }
        let slot = &mut self.slots[index];
        (slot.at, slot.is_from_upstream, slot.bytes) = (at, is_from_upstream, 0);
        // The envelope as it stands on the line; a slot takes whatever is written.
        let _always_fits: fmt::Result = write_message(slot, message);
        self.next = (index + 1) % SLOTS;
    }

    /// The last messages, oldest first, without secrets; `wall_ms` tells the wall's time of a
    /// moment.
    pub(crate) fn seen(&self, secrets: &Secrets, wall_ms: impl Fn(Time) -> u64) -> Vec<Seen> {
        let from = if self.slots.len() < SLOTS { 0 } else { self.next };
        let slots = (0..self.slots.len()).map(|n| &self.slots[(from + n) % self.slots.len()]);
        let seen = |slot: &Slot| {
            let held = usize::try_from(slot.bytes).unwrap_or(HEAD).min(HEAD);
            let text = String::from_utf8_lossy(&slot.head[..held]);
            // What the cut left of a letter.
            let text = text.trim_end_matches('\u{fffd}');
            Seen {
                at_ms: wall_ms(slot.at),
                is_from_upstream: slot.is_from_upstream,
                bytes: slot.bytes,
                text: secrets.redact(text).into_owned(),
            }
        };
        slots.map(seen).collect()
    }

    /// Notes that calls were in flight at a death; says of each whether it was before.
    pub(crate) fn suspect(&mut self, calls: &[Option<u64>]) -> Vec<bool> {
        let known = |call: &Option<u64>| call.is_some_and(|call| self.suspects.contains(&call));
        let verdicts = calls.iter().map(known).collect();
        for call in calls.iter().flatten() {
            self.suspects.retain(|known| known != call);
            self.suspects.push_back(*call);
        }
        let extra = self.suspects.len().saturating_sub(SUSPECTS);
        self.suspects.drain(..extra);
        verdicts
    }

    /// Somebody repaired it: what was in flight before says nothing any more.
    pub(crate) fn forgive(&mut self) {
        self.suspects.clear();
    }
}

fn write_message(slot: &mut Slot, message: &Message) -> fmt::Result {
    slot.write_str(r#"{"jsonrpc":"2.0""#)?;
    let (name, body) = match message {
        Message::Request(request) => {
            write!(slot, r#","id":{},"method":"{}""#, request.id, request.method)?;
            ("params", request.params.as_ref())
        }
        Message::Notification(notification) => {
            write!(slot, r#","method":"{}""#, notification.method)?;
            ("params", notification.params.as_ref())
        }
        Message::Response(response) => {
            if let Some(id) = &response.id {
                write!(slot, r#","id":{id}"#)?;
            }
            match &response.outcome {
                Outcome::Result(raw) => ("result", Some(raw)),
                Outcome::Error(raw) => ("error", Some(raw)),
            }
        }
    };
    if let Some(body) = body {
        write!(slot, r#","{name}":"#)?;
        slot.put(body.bytes());
    }
    slot.write_str("}")
}

/// What is kept of the parameters of a call that is sent.
pub(crate) fn kept(params: Option<&Raw>) -> Option<Raw> {
    params.filter(|params| params.bytes().len() <= KEPT).cloned()
}

/// What a call is for: the tool, prompt or resource.
pub(crate) fn target(secrets: &Secrets, params: Option<&Raw>) -> Option<String> {
    let params = params?.as_str();
    let word = |name| edit::member(params, name).and_then(raw::string);
    let name = word("name").or_else(|| word("uri"))?;
    Some(secrets.redact(&name.chars().take(200).collect::<String>()).into_owned())
}

/// The same for the same call: method, target and arguments, but not its `_meta`.
pub(crate) fn signature(method: &str, params: Option<&Raw>) -> Option<u64> {
    let params = params?.as_str();
    let mut hasher = DefaultHasher::new();
    method.hash(&mut hasher);
    for name in ["name", "uri", "arguments"] {
        edit::member(params, name).map(|value| value.get()).hash(&mut hasher);
    }
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::parse(text.to_owned().into()).unwrap()
    }

    #[test]
    fn the_last_messages_are_kept_in_order_and_no_more_of_them_than_fits() {
        let mut black_box = BlackBox::default();
        for n in 0..20_u64 {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{n},"result":{{"n":{n}}}}}"#);
            black_box.record(n % 2 == 0, &message(&text), Time(n));
        }
        let seen = black_box.seen(&Secrets::default(), |time| 1000 + time.0);
        assert_eq!(seen.len(), SLOTS);
        assert_eq!((seen[0].at_ms, seen[0].is_from_upstream), (1004, true));
        assert_eq!(seen[15].text, r#"{"jsonrpc":"2.0","id":19,"result":{"n":19}}"#);
        assert_eq!(seen[15].bytes, 43);
        let long =
            format!(r#"{{"jsonrpc":"2.0","method":"x","params":{{"a":"{}"}}}}"#, "ä".repeat(999));
        black_box.record(true, &message(&long), Time(20));
        let newest = black_box.seen(&Secrets::default(), |time| time.0).pop().unwrap();
        assert_eq!(newest.bytes, long.len() as u64);
        assert!(newest.text.len() <= HEAD && newest.text.ends_with('ä'), "{}", newest.text);
    }

    #[test]
    fn every_kind_of_message_stands_as_on_its_line() {
        for text in [
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#,
        ] {
            let mut black_box = BlackBox::default();
            black_box.record(true, &message(text), Time(0));
            assert_eq!(black_box.seen(&Secrets::default(), |time| time.0)[0].text, text);
        }
    }

    #[test]
    fn a_call_is_suspect_at_its_second_death_whatever_its_meta_says() {
        let call = |text: &str| {
            let params = Raw::parse(text.to_owned()).unwrap();
            signature("tools/call", Some(&params))
        };
        let poison = call(r#"{"name":"a","arguments":{"x":1},"_meta":{"progressToken":1}}"#);
        let again = call(r#"{"name":"a","arguments":{"x":1},"_meta":{"progressToken":2}}"#);
        let other = call(r#"{"name":"a","arguments":{"x":2}}"#);
        let mut black_box = BlackBox::default();
        assert_eq!(black_box.suspect(&[poison, None]), [false, false]);
        assert_eq!(black_box.suspect(&[other, again, None]), [false, true, false]);
        black_box.forgive();
        assert_eq!(black_box.suspect(&[again]), [false]);
        for n in 0..1000 {
            black_box.suspect(&[Some(n)]);
        }
        assert_eq!(black_box.suspects.len(), SUSPECTS);
    }
}
