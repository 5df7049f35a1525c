//! Texts and numbers with a meaning: durations, sizes, addresses.
//!
//! Every function is a `deserialize_with` that answers with what was expected and what was found;
//! `translate` adds key and place.

use crate::{Propagate, config::AllowedArgument};
use serde::{
    Deserialize,
    de::{Deserializer, Error as _, Unexpected, Visitor},
};
use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// A duration of zero or more.
pub(crate) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(from, "a duration such as \"5s\"", |text| humantime::parse_duration(text).ok())
}

/// A duration that must not be zero.
pub(crate) fn positive_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(from, "a duration above zero such as \"5s\"", |text| {
        humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero())
    })
}

/// A number of bytes above zero.
pub(crate) fn size<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    parse(from, "a size above zero such as \"64MiB\"", |text| {
        parse_size(text).filter(|bytes| *bytes > 0)
    })
}

/// An IP address with a port.
pub(crate) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let expected = "an IP address with a port such as \"127.0.0.1:3100\" or \"[::1]:3100\"";
    parse(from, expected, |text| match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse().ok(),
        None => text.parse().ok(),
    })
}

/// An IP address with a port, or nothing.
pub(crate) fn optional_address<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SocketAddr>, D::Error> {
    parse(from, "an IP address with a port such as \"127.0.0.1:3101\", or \"\"", |text| {
        match (text, text.strip_prefix("localhost:")) {
            ("", _) => Some(None),
            (_, Some(port)) => format!("127.0.0.1:{port}").parse().ok().map(Some),
            (_, None) => text.parse().ok().map(Some),
        }
    })
}

/// A token that nobody guesses, or nothing. What is wrong with it is said without it.
pub(crate) fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let is_good = text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic());
    match (text.is_empty(), is_good) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(text)),
        (false, false) => Err(D::Error::invalid_value(
            Unexpected::Other("a shorter or odd one"),
            &"a token of at least 16 letters, digits or signs without spaces",
        )),
    }
}

/// A number of bytes that a head of HTTP fits in.
pub(crate) fn head_size<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    parse(from, "a size of at least \"8KiB\"", |text| {
        parse_size(text).filter(|bytes| *bytes >= 8 * 1024)
    })
}

/// A path such as `/mcp`.
pub(crate) fn url_path<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    parse(from, "a path such as \"/mcp\"", |text| is_url_path(text).then(|| text.to_owned()))
}

/// A path such as `/sse`, or nothing.
pub(crate) fn optional_url_path<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<String>, D::Error> {
    parse(from, "a path such as \"/sse\", or \"\"", |text| match text {
        "" => Some(None),
        _ => is_url_path(text).then(|| Some(text.to_owned())),
    })
}

fn is_url_path(text: &str) -> bool {
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    text.starts_with('/') && clean
}

/// Values of a Host header.
pub(crate) fn hosts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let is_host = |text: &String| !text.is_empty() && !text.contains(['/', ' ', '*', '@']);
    list(from, "hosts such as \"mcp.example\" or \"mcp.example:3100\"", is_host)
}

/// Values of an Origin header.
pub(crate) fn origins<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    list(from, "origins such as \"https://chat.example\", without a path", |text| {
        text.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && !host.contains(['/', ' ', '*', '@'])
        })
    })
}

/// URLs of authorization servers.
pub(crate) fn issuers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let expected = "https URLs such as \"https://login.example\", or http ones on this machine";
    list(from, expected, |text| is_secure(text) && !text.contains('?'))
}

/// The URL of a resource, or nothing.
pub(crate) fn resource<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let expected =
        "an https URL such as \"https://mcp.example/mcp\", or an http one on this machine";
    parse(from, expected, |text| match text {
        "" => Some(None),
        _ => is_secure(text).then(|| Some(text.to_owned())),
    })
}

/// What a token allows, one each.
pub(crate) fn scopes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    list(from, "scopes without spaces or quotes", |text| is_scope(text))
}

/// Whether a text is one scope.
pub(crate) fn is_scope(text: &str) -> bool {
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
    clean && !text.is_empty()
}

/// Texts that are not empty.
pub(crate) fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    list(from, "texts that are not empty", |text| !text.trim().is_empty())
}

/// Algorithms of signatures that a public key verifies.
pub(crate) fn algorithms<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    const KNOWN: [&str; 9] =
        ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    let expected = "algorithms of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA";
    list(from, expected, |text| KNOWN.contains(&text.as_str()))
}

/// Whether nobody can read along on the way to a URL.
pub(crate) fn is_secure(text: &str) -> bool {
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#@".contains(&byte));
    let host = |rest: &str| rest.split(['/', '?']).next().unwrap_or_default().to_owned();
    let is_here = |host: &str| {
        let name = host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
        });
        matches!(name, "localhost" | "127.0.0.1" | "[::1]")
    };
    let is_there = text.strip_prefix("https://").map(host).is_some_and(|host| !host.is_empty());
    clean && (is_there || text.strip_prefix("http://").map(host).is_some_and(|host| is_here(&host)))
}

/// A text that is not empty.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    parse(from, "a text that is not empty", |text| {
        (!text.trim().is_empty()).then(|| text.to_owned())
    })
}

/// What may stand between an upstream's name and a tool's.
pub(crate) fn separator<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    parse(from, "1 to 8 letters, digits, `_` or `-`", |text| {
        let clean = text.bytes().all(is_name_byte);
        (clean && (1..=8).contains(&text.len())).then(|| text.to_owned())
    })
}

/// A URL of a collector, or nothing.
pub(crate) fn endpoint<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    parse(from, "a URL such as \"http://localhost:4318\"", |text| {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        match rest {
            Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => {
                Some(Some(text.to_owned()))
            }
            Some(_) => None,
            None => text.is_empty().then_some(None),
        }
    })
}

/// What of a caller's context goes on, as a list of words.
pub(crate) fn propagate<'de, D: Deserializer<'de>>(from: D) -> Result<Propagate, D::Error> {
    #[derive(PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Carried {
        Trace,
        Baggage,
    }
    let carried = Vec::<Carried>::deserialize(from)?;
    let has = |what| carried.contains(&what);
    Ok(Propagate { trace: has(Carried::Trace), baggage: has(Carried::Baggage) })
}

/// The same where it may be left out.
pub(crate) fn some_propagate<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Propagate>, D::Error> {
    propagate(from).map(Some)
}

/// A path, or nothing.
pub(crate) fn path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    parse(from, "an absolute path, or \"\"", |text| match text {
        "" => Some(None),
        _ => Some(PathBuf::from(text)).filter(|path| path.is_absolute()).map(Some),
    })
}

/// A file, or nothing; where it is not absolute, somebody else knows below what.
pub(crate) fn file<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    parse(from, "the name of a file such as \"audit.jsonl\", or \"\"", |text| match text {
        "" => Some(None),
        _ => Some(PathBuf::from(text)).filter(|path| path.file_name().is_some()).map(Some),
    })
}

/// Arguments that may be written, such as `files/read_file /path`.
pub(crate) fn allowed<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<AllowedArgument>, D::Error> {
    let expected = "texts such as \"files/read_file /path\": a server, its tool or `*`, and a JSON \
                    pointer";
    let all = list(from, expected, |text| allowed_argument(text).is_some())?;
    Ok(all.iter().filter_map(|text| allowed_argument(text)).collect())
}

fn allowed_argument(text: &str) -> Option<AllowedArgument> {
    let (upstream, rest) = text.split_once('/')?;
    // A name of a tool has no blank; a member of its arguments may.
    let (tool, pointer) = rest.split_once(' ')?;
    let is_good = !upstream.is_empty() && !tool.is_empty() && pointer.starts_with('/');
    let [upstream, tool, pointer] = [upstream, tool, pointer].map(str::to_owned);
    is_good.then_some(AllowedArgument { upstream, tool, pointer })
}

/// A whole number by which a wait grows.
pub(crate) fn factor<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    number(from, "a whole number of at least 1")
}

/// A whole number above zero.
pub(crate) fn positive_number<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    number(from, "a whole number above zero")
}

/// A count above zero.
pub(crate) fn positive_count<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let expected = "a whole number above zero";
    let found = usize::deserialize(from)?;
    if found == 0 {
        Err(D::Error::invalid_value(Unexpected::Unsigned(0), &expected))
    } else {
        Ok(found)
    }
}

/// A share from 0 to 1.
pub(crate) fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let found = f64::deserialize(from)?;
    if (0.0..=1.0).contains(&found) {
        Ok(found)
    } else {
        Err(D::Error::invalid_value(Unexpected::Float(found), &"a number from 0 to 1"))
    }
}

/// Whether a byte may stand in the name of an upstream.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The number of bytes that a text such as `64MiB` means.
fn parse_size(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1000,
        "mb" => 1000 * 1000,
        "gb" => 1000 * 1000 * 1000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

fn list<'de, D: Deserializer<'de>>(
    from: D,
    expected: &'static str,
    fits: impl Fn(&String) -> bool,
) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    match texts.iter().find(|text| !fits(text)) {
        Some(odd) => Err(D::Error::invalid_value(Unexpected::Str(odd), &expected)),
        None => Ok(texts),
    }
}

fn number<'de, D: Deserializer<'de>>(from: D, expected: &'static str) -> Result<u32, D::Error> {
    let found = u32::deserialize(from)?;
    if found == 0 {
        Err(D::Error::invalid_value(Unexpected::Unsigned(0), &expected))
    } else {
        Ok(found)
    }
}

fn parse<'de, D: Deserializer<'de>, T>(
    from: D,
    expected: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = from.deserialize_str(Text(expected))?;
    read(&text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &expected))
}

/// Takes a string and says what the string should have meant.
struct Text(&'static str);

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{is_secure, parse_size};

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        let cases = [
            ("https://login.example/a", true),
            ("http://localhost:9000", true),
            ("http://127.0.0.1/a?b", true),
            ("http://[::1]:9000", true),
            ("http://login.example", false),
            ("http://localhost.example", false),
            ("http://localhost:9000@login.example", false),
            ("https://", false),
            ("https://a b", false),
            ("https://a.example#b", false),
            ("login.example", false),
        ];
        for (text, expect) in cases {
            assert_eq!(is_secure(text), expect, "{text}");
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        let cases = [
            ("64MiB", Some(64 << 20)),
            ("1 kb", Some(1000)),
            ("7B", Some(7)),
            ("7", None),
            ("MiB", None),
            ("-1MiB", None),
            ("99999999999999999999GiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }
}
