//! Server-sent events: bytes to events, with a bound on a line and on an event.
//!
//! What HTTP servers write to a stream that they keep open. The decoder holds no connection: it is
//! given bytes as they come, wherever they were cut.
//!
//! ```
//! use mcplex_proto::sse::EventDecoder;
//!
//! let mut decoder = EventDecoder::new(1024);
//! decoder.push(b": hello\nid: 7\ndata: {\"a\"");
//! assert!(decoder.next_event()?.is_none());
//! decoder.push(b":1}\r\n\r\n");
//! let event = decoder.next_event()?.expect("it is whole");
//! assert_eq!(&event.data[..], br#"{"a":1}"#);
//! assert_eq!(decoder.last_id(), Some("7"));
//! # Ok::<(), mcplex_proto::sse::EventTooLong>(())
//! ```

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use std::time::Duration;

/// The longest id that is kept: it goes back in a header, and servers bound those at some KiB.
const MAX_ID: usize = 1024;

/// One event that carries data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its `event` field; `message` where it has none.
    pub name: String,
    /// Its `data` fields, joined by line breaks; never empty.
    pub data: Bytes,
}

/// A line or an event grew past its bound; what follows cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {max} bytes")]
pub struct EventTooLong {
    /// The bound, in bytes.
    pub max: usize,
}

/// Collects bytes of one stream and hands out whole events.
#[derive(Debug)]
pub struct EventDecoder {
    buffer: BytesMut,
    /// Up to here no line end was found.
    scanned: usize,
    max: usize,
    is_first_line: bool,
    /// The last line ended with CR; a LF that follows belongs to it.
    may_skip_lf: bool,
    pending: Pending,
    last_id: Option<String>,
    retry: Option<Duration>,
}

/// The fields of an event whose end was not seen yet.
#[derive(Debug, Default)]
struct Pending {
    name: Option<String>,
    data: Option<Data>,
    id: Option<Option<String>>,
}

/// One line is nearly always all, and is not copied.
#[derive(Debug)]
enum Data {
    One(Bytes),
    Many(BytesMut),
}

impl EventDecoder {
    /// A decoder that accepts lines and events of up to `max` bytes of data.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            max,
            is_first_line: true,
            may_skip_lf: false,
            pending: Pending::default(),
            last_id: None,
            retry: None,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event with data, or `None` until more bytes are there.
    ///
    /// Comments and events without data give none; ids and waits of these count all the same.
    ///
    /// # Errors
    /// When a line or an event grows past the bound.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventTooLong> {
        while let Some(line) = self.next_line()? {
            if line.is_empty() {
                if let Some(event) = self.dispatch() {
                    return Ok(Some(event));
                }
            } else {
                self.take_field(&line)?;
            }
        }
        Ok(None)
    }

    /// The id of the last event that had one: where a new stream could go on.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants to be left alone before the stream is opened anew.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn next_line(&mut self) -> Result<Option<Bytes>, EventTooLong> {
        if self.may_skip_lf && !self.buffer.is_empty() {
            if self.buffer[0] == b'\n' {
                self.buffer.advance(1);
            }
            self.may_skip_lf = false;
        }
        let Some(at) = memchr::memchr2(b'\n', b'\r', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            return if self.scanned > self.max { Err(self.too_long()) } else { Ok(None) };
        };
        let end = self.scanned + at;
        if end > self.max {
            return Err(self.too_long());
        }
        let line = self.buffer.split_to(end).freeze();
        self.may_skip_lf = self.buffer[0] == b'\r';
        self.buffer.advance(1);
        self.scanned = 0;
        let is_first = std::mem::take(&mut self.is_first_line);
        match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if is_first => Ok(Some(line.slice_ref(rest))),
            Some(_) | None => Ok(Some(line)),
        }
    }

    fn take_field(&mut self, line: &Bytes) -> Result<(), EventTooLong> {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (&line[..], &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                // An empty slice of nothing is no part of the line.
                let value = if value.is_empty() { Bytes::new() } else { line.slice_ref(value) };
                self.take_data(value)?;
            }
            b"event" => self.pending.name = Some(String::from_utf8_lossy(value).into_owned()),
            b"id" if !value.contains(&0) => self.pending.id = Some(id(value)),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let ms = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.retry = Some(Duration::from_millis(ms.unwrap_or(u64::MAX)));
            }
            // A comment has no name; unknown fields mean nothing.
            _ => {}
        }
        Ok(())
    }

    fn take_data(&mut self, value: Bytes) -> Result<(), EventTooLong> {
        let joined = match self.pending.data.take() {
            None => Data::One(value),
            Some(before) => {
                let mut all = match before {
                    Data::One(first) => BytesMut::from(&first[..]),
                    Data::Many(all) => all,
                };
                if all.len() + 1 + value.len() > self.max {
                    return Err(self.too_long());
                }
                all.put_u8(b'\n');
                all.put_slice(&value);
                Data::Many(all)
            }
        };
        self.pending.data = Some(joined);
        Ok(())
    }

    fn dispatch(&mut self) -> Option<Event> {
        let Pending { name, data, id } = std::mem::take(&mut self.pending);
        if let Some(id) = id {
            self.last_id = id;
        }
        let data = match data? {
            Data::One(data) => data,
            Data::Many(data) => data.freeze(),
        };
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| "message".to_owned());
        (!data.is_empty()).then_some(Event { name, data })
    }

    fn too_long(&self) -> EventTooLong {
        EventTooLong { max: self.max }
    }
}

/// An id that can be sent back; an empty one takes the last one away, as one that is too long does.
fn id(value: &[u8]) -> Option<String> {
    if value.is_empty() || value.len() > MAX_ID {
        return None;
    }
    std::str::from_utf8(value).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests;
