//! Reads whose answer a line is that is too long to be kept.
//!
//! Most servers write the id before the result, so the first bytes tell; some write it after, so
//! the last ones do. What lies between is never looked at.

use crate::id::Id;
use serde_json::value::RawValue;

/// How many of its first bytes are looked at: the members before a result are short.
pub(super) const HEAD: usize = 1024;

/// How many of its last bytes are looked at.
pub(super) const TAIL: usize = 256;

/// What the first bytes of a line say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// It answers a request; the id may have come already.
    Answer(Option<Id>),
    /// It is something else, or nothing that we know.
    Other,
}

/// Looks at the first bytes of a line.
pub(super) fn head(bytes: &[u8]) -> Head {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Some(mut rest) = bytes.trim_ascii_start().strip_prefix(b"{") else { return Head::Other };
    let mut id = None;
    // An envelope has a handful of members.
    for _ in 0..8 {
        let Some((name, value)) = member(rest) else { return Head::Other };
        match name {
            b"result" | b"error" => return Head::Answer(id),
            b"method" => return Head::Other,
            _ => {}
        }
        let Some((value, after)) = scalar(value) else { return Head::Other };
        if name == b"id" {
            id = read(value);
        }
        let Some(after) = after.trim_ascii_start().strip_prefix(b",") else { return Head::Other };
        rest = after;
    }
    Head::Other
}

/// The id of an answer whose last bytes are these, if it stands at the end.
///
/// The last brace closes the message, so what stands before it are members of the message itself;
/// and a quote within a string has a backslash before it, so a string is told from the end too.
pub(super) fn id_at_end(bytes: &[u8]) -> Option<Id> {
    let mut rest = bytes.trim_ascii_end().strip_suffix(b"}")?;
    for _ in 0..8 {
        rest = rest.trim_ascii_end();
        let start = if rest.ends_with(b"\"") {
            opening_quote(rest)?
        } else {
            rest.iter().rposition(|byte| !matches!(byte, b'-' | b'0'..=b'9'))? + 1
        };
        let (before, value) = rest.split_at(start);
        let before = before.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
        let (before, name) = before.split_at(opening_quote(before)?);
        if name == b"\"id\"" {
            return read(value);
        }
        rest = before.trim_ascii_end().strip_suffix(b",")?;
    }
    None
}

/// The name of the member that begins here, and what follows the colon.
fn member(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.trim_ascii_start().strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', rest)?;
    let value = rest[end + 1..].trim_ascii_start().strip_prefix(b":")?;
    Some((&rest[..end], value.trim_ascii_start()))
}

/// The string, number or word that begins here, and what follows it.
fn scalar(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = if bytes.first() == Some(&b'"') {
        let mut is_escaped = false;
        let end = bytes.iter().skip(1).position(|byte| {
            let is_end = *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            is_end
        })?;
        end + 2
    } else {
        let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        bytes.iter().position(|byte| !is_inside(byte)).filter(|end| *end > 0)?
    };
    Some(bytes.split_at(end))
}

/// Where the string begins that ends here.
fn opening_quote(bytes: &[u8]) -> Option<usize> {
    let mut end = bytes.strip_suffix(b"\"")?.len();
    loop {
        let at = memchr::memrchr(b'"', &bytes[..end])?;
        let backslashes = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(at);
        }
        end = at;
    }
}

fn read(value: &[u8]) -> Option<Id> {
    Id::read(serde_json::from_slice::<&RawValue>(value).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_an_answer_and_mostly_its_id() {
        let check = |text: &str, expect: Head| assert_eq!(head(text.as_bytes()), expect, "{text}");
        let answer = |id: u64| Head::Answer(Some(id.into()));
        check(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"#, answer(7));
        check(r#"{"id":7,"jsonrpc":"2.0","error":{"#, answer(7));
        check("\u{feff} { \"id\" : 7 , \"result\" : [", answer(7));
        check(r#"{"id":"a\"b","result":""#, Head::Answer(Some(Id::Text("a\"b".into()))));
        check(r#"{"result":{"content":[{"text":"{\"id\":3"#, Head::Answer(None));
        check(r#"{"jsonrpc":"2.0","result":"#, Head::Answer(None));
        check(r#"{"id":null,"result":"#, Head::Answer(None));
        for other in [
            "",
            "{",
            "xxxxxxxx",
            r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"#,
            r#"{"id":7,"params":{"result":"#,
            r#"[{"id":7,"result":"#,
            r#"{"id":7 "result":"#,
        ] {
            check(other, Head::Other);
        }
    }

    #[test]
    fn the_last_bytes_tell_an_id_that_comes_last() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(id_at_end(text.as_bytes()), expect.map(Into::into), "{text}");
        };
        check(r#"xxx"}]},"jsonrpc":"2.0","id":7}"#, Some(7));
        check(r#"xxx"}]} , "id" : 7 , "jsonrpc" : "2.0" } "#, Some(7));
        check(r#"xxx"}]},"id":7}"#, Some(7));
        // Inside a text a quote has a backslash; what looks like a member is none.
        check(r#"{\"id\":7}"}"#, None);
        check(r#"{"result":"a,\"id\":7"}"#, None);
        check(r#"{"id":7}}"#, None);
        check(r#"","id":7"#, None);
        check("", None);
        let text = id_at_end(br#"xx"},"id":"a\\\"b"}"#);
        assert_eq!(text, Some(Id::Text("a\\\"b".into())));
    }
}
