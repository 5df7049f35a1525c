//! JSON text that nobody has read yet.

use bytes::{Buf as _, Bytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// One complete JSON value as text, shared without a copy.
///
/// It is valid JSON in UTF-8 and holds no line break, so it can stand inside one line of a
/// stdio connection. Numbers, key order and white space are those of the sender.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw(Bytes);

/// Without the byte order mark that some programs begin with.
pub(crate) fn without_mark(mut bytes: Bytes) -> Bytes {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.advance(3);
    }
    bytes
}

impl Raw {
    /// Checks `bytes` and takes them as one JSON value.
    ///
    /// # Errors
    /// When the bytes are not exactly one JSON value.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, serde_json::Error> {
        let bytes = bytes.into();
        let _: &RawValue = serde_json::from_slice(&bytes)?;
        Ok(Self(trim(&unbreak(bytes))))
    }

    /// Takes a value that was found inside `whole` as a slice of it, without a copy.
    pub(crate) fn inside(whole: &Bytes, value: &RawValue) -> Self {
        Self(whole.slice_ref(value.get().as_bytes()))
    }

    /// Takes a value that was read from `whole` as a slice of it, without a copy.
    ///
    /// # Panics
    /// When the value is not a part of that text.
    #[must_use]
    pub fn part(whole: &Self, value: &RawValue) -> Self {
        Self::inside(&whole.0, value)
    }

    /// Takes text that the caller built from JSON pieces.
    pub(crate) fn trusted(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Writes `value` as JSON.
    ///
    /// # Panics
    /// When the value cannot be JSON (a map with keys that are no strings); ours always can.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(serde_json::to_vec(value).expect("plain data serializes to JSON").into())
    }

    /// The empty object, `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self(Bytes::from_static(b"{}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a Raw is checked to be UTF-8 when it is made")
    }

    /// The text as bytes that share the buffer.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Reads the text as a `T`.
    ///
    /// # Errors
    /// When the value has another shape.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    /// Reads the text as an owned `T`, or `None` when it has another shape.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.0).ok()
    }
}

/// The text.
impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// As much as a log line should carry of a payload.
        const SHOWN: usize = 200;
        let text = String::from_utf8_lossy(&self.0[..self.0.len().min(SHOWN)]);
        f.write_str(&text)?;
        if self.0.len() > SHOWN { write!(f, "… ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}

/// Reads a JSON string without a copy when it has no escapes.
#[must_use]
pub fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(text).ok().map(Cow::Owned)
}

/// Whether values stand inside each other more than `max` times; for JSON text.
#[must_use]
pub fn is_deeper_than(text: &[u8], max: usize) -> bool {
    // Every level takes two bytes, so nearly every message is done with here.
    if text.len() / 2 <= max {
        return false;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at += string_len(&text[at..]),
            _ => {}
        }
    }
    false
}

/// How many bytes a string takes up to and with its end.
fn string_len(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &text[at..]) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        // Whatever is escaped does not end it.
        at = (at + 1).min(text.len());
    }
    text.len()
}

/// Replaces line breaks by blanks.
///
/// In valid JSON a line break can only stand between tokens, where a blank means the same. In a
/// string it is an error that a blank would hide, so callers check the bytes first.
pub(crate) fn unbreak(bytes: Bytes) -> Bytes {
    if memchr::memchr2(b'\n', b'\r', &bytes).is_none() {
        return bytes;
    }
    let mut owned: Vec<u8> = bytes.into();
    for byte in &mut owned {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    owned.into()
}

fn trim(bytes: &Bytes) -> Bytes {
    bytes.slice_ref(bytes.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_between_tokens_become_blanks() {
        let raw = Raw::parse(" {\n\"a\" :\r\n1.50}\n".to_owned()).unwrap();
        assert_eq!(raw.as_str(), "{ \"a\" :  1.50}");
    }

    #[test]
    fn a_line_break_inside_a_string_must_not_turn_a_bad_value_into_a_good_one() {
        assert!(Raw::parse("{\"a\": \"b\nc\"}".to_owned()).is_err());
        assert!(Raw::parse("{\"a\": tr\nue}".to_owned()).is_err());
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let check = |text: &str, depth: usize| {
            assert!(!is_deeper_than(text.as_bytes(), depth), "{text}");
            assert!(depth == 0 || is_deeper_than(text.as_bytes(), depth - 1), "{text}");
        };
        check("1", 0);
        check("{}", 1);
        check(r#"[[{"a":[]}],{}]"#, 4);
        check(r#"{"a[[[[[[":"]]]]{{{{\"[[[[","b":[1,2,3,4,5,6,7,8]}"#, 2);
        check(r#"["\\",[],[[]]]"#, 3);
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(is_deeper_than(deep.as_bytes(), 512));
        // What is no JSON is somebody else's affair, as long as it ends.
        for text in ["\"", "\"\\", "]]]]{\"\\"] {
            assert!(!is_deeper_than(text.repeat(3).as_bytes(), 3));
        }
    }

    #[test]
    fn strings_are_read_with_and_without_escapes() {
        let check = |text: &str, expect: Option<&str>| {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            assert_eq!(string(&raw).as_deref(), expect, "{text}");
        };
        check(r#""plain""#, Some("plain"));
        check(r#""a\"b""#, Some("a\"b"));
        check("12", None);
    }
}
