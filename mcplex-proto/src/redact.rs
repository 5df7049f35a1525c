//! Takes secrets out of text that people will read.
//!
//! Works on any text, also on JSON that was cut: what cannot be told apart is taken out. Two things
//! give a secret away, and each is enough: the name of what it is the value of, and its own shape.

mod known;

pub use known::{Secrets, redact_args};

use std::borrow::Cow;

/// What stands for a secret.
const HIDDEN: &str = "[redacted]";

/// Parts of names whose values are secret; compared without case, `_` and `-`.
const SECRET_NAMES: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "authorization",
    "credential",
    "cookie",
    "sessionid",
    "connectionstring",
];

/// Names that contain one of those and say nothing.
const HARMLESS_NAMES: [&str; 7] = [
    "progresstoken",
    "maxtokens",
    "tokens",
    "inputtokens",
    "outputtokens",
    "totaltokens",
    "tokencount",
];

/// How secrets of well-known services begin, and how many characters follow at least.
const SHAPES: [(&str, usize); 25] = [
    ("sk-", 8),
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("rk_live_", 8),
    ("pk_live_", 8),
    ("ghp_", 8),
    ("gho_", 8),
    ("ghu_", 8),
    ("ghs_", 8),
    ("ghr_", 8),
    ("github_pat_", 8),
    ("glpat-", 8),
    ("xoxb-", 8),
    ("xoxp-", 8),
    ("xoxa-", 8),
    ("xoxs-", 8),
    ("xapp-", 8),
    ("AKIA", 12),
    ("ASIA", 12),
    ("AIza", 12),
    ("ya29.", 8),
    ("npm_", 16),
    ("hf_", 16),
    ("pypi-", 16),
    // Two dots follow in a whole one; its header alone begins like this.
    ("eyJ", 12),
];

/// The text without what looks like a secret.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    // Up to where `text` was copied.
    let mut copied = 0;
    for (from, to) in spans(text) {
        out.push_str(&text[copied..from]);
        out.push_str(HIDDEN);
        copied = to;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Where secrets stand in a text, in order.
fn spans(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            match secret_at(text, at) {
                Some((from, to)) if to > from => {
                    at = to;
                    return Some((from, to));
                }
                Some(_) | None => at = next_word(text, at),
            }
        }
        None
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// What may stand in a token of any kind.
fn is_token(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
}

fn span(text: &str, from: usize, is_part: impl Fn(u8) -> bool) -> usize {
    let rest = &text.as_bytes()[from..];
    from + rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len())
}

/// The next place where a word begins.
fn next_word(text: &str, at: usize) -> usize {
    let end = span(text, at, is_word);
    let mut next = span(text, end.max(at + 1), |byte| !is_word(byte));
    while !text.is_char_boundary(next) {
        next += 1;
    }
    next
}

/// The secret that begins at a word, or that the word names.
fn secret_at(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..];
    if rest.starts_with("-----BEGIN ") {
        let key = rest.find("PRIVATE KEY").filter(|key| *key < 40)?;
        let end = rest[key + 11..].find("-----END").map(|end| key + 11 + end + 8);
        let end = end.and_then(|end| Some(end + rest[end..].find("-----")? + 5));
        return Some((at, at + end.unwrap_or(rest.len())));
    }
    if let Some(found) = shaped(text, at) {
        return Some(found);
    }
    let end = span(text, at, is_word);
    let word = &text[at..end];
    if word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic") {
        let from = span(text, end, |byte| byte == b' ');
        let to = span(text, from, is_token);
        // The English words are followed by words; credentials look like none.
        let value = &text.as_bytes()[from..to];
        let random = value.iter().any(u8::is_ascii_digit)
            || value.iter().skip(1).any(u8::is_ascii_uppercase);
        let is_long = value.len() >= 12 || to == text.len();
        return (from > end && is_long && (random || value.len() >= 40)).then_some((from, to));
    }
    if let Some(after) = text[end..].strip_prefix("://") {
        return password_in_url(after).map(|(from, to)| (end + 3 + from, end + 3 + to));
    }
    if is_secret_name(word) { value_after(text, at, end) } else { None }
}

/// A secret that shows by its own beginning.
fn shaped(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..];
    let (start, least) = SHAPES.iter().find(|(start, _)| rest.starts_with(start))?;
    let to = span(text, at, is_token);
    let is_long = to - at >= start.len() + least;
    let random = text[at..to].bytes().any(|byte| byte.is_ascii_digit() || byte == b'.');
    // A cut one may be of any length.
    ((is_long && (random || to - at >= 40)) || to == text.len()).then_some((at, to))
}

/// The password of `user:password@host`.
fn password_in_url(after: &str) -> Option<(usize, usize)> {
    let end = after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?'));
    let authority = &after[..end.unwrap_or(after.len())];
    let from = authority.find(':')? + 1;
    match authority.rfind('@') {
        Some(to) => Some((from, to)),
        // Cut: a port has digits alone.
        None if end.is_none() && !authority[from..].bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((from, authority.len()))
        }
        None => None,
    }
}

fn is_secret_name(word: &str) -> bool {
    let plain: String =
        word.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect();
    let is_secret = SECRET_NAMES.iter().any(|name| plain.contains(name));
    is_secret && !HARMLESS_NAMES.iter().any(|name| plain == *name || plain.ends_with("tokens"))
}

/// The value of a name that ends at `end`: after `:`, `=`, or a blank if it is an option.
fn value_after(text: &str, at: usize, end: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let quote = span(text, end, |byte| matches!(byte, b'"' | b'\'' | b'\\' | b'`'));
    let blank = span(text, quote, |byte| byte == b' ');
    let is_option = text[at..].starts_with("--");
    let name = text[at..end].to_ascii_lowercase();
    let is_header = quote == end && (name.contains("authorization") || name.contains("cookie"));
    let from = match bytes.get(blank) {
        Some(b':' | b'=') => span(text, blank + 1, |byte| matches!(byte, b' ' | b'=' | b'>')),
        Some(_) if is_option && blank > quote => blank,
        Some(_) | None => return None,
    };
    let to = match bytes.get(from)? {
        b'"' | b'\'' | b'`' => return Some((from + 1, quoted(text, from, from + 1))),
        // JSON inside JSON.
        b'\\' if bytes.get(from + 1) == Some(&b'"') => {
            let to = text[from + 2..].find("\\\"").map_or(text.len(), |to| from + 2 + to);
            return Some((from + 2, to));
        }
        b'{' | b'[' => nested(text, from),
        _ if is_header => span(text, from, |byte| !matches!(byte, b'"' | b'\'' | b'\n' | b'\r')),
        _ => span(text, from, |byte| {
            !byte.is_ascii_whitespace() && !matches!(byte, b',' | b'}' | b']' | b'&' | b';' | b'"')
        }),
    };
    let value = &text[from..to];
    let says_nothing = matches!(value, "null" | "true" | "false" | "undefined" | "None");
    (!says_nothing).then_some((from, to))
}

/// Where a quoted value ends; its quote stands at `quote`.
fn quoted(text: &str, quote: usize, from: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == bytes[quote] => return at,
            _ => at += 1,
        }
    }
    text.len()
}

/// Where an object or a list ends, or the text if it was cut.
fn nested(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, from);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = quoted(text, at, at + 1),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at.min(text.len());
        }
    }
    text.len()
}

#[cfg(test)]
mod tests;
