//! What a client can read (`Accept`), and what it wrote (`Content-Type`).

use hyper::{HeaderMap, header};

/// JSON text.
pub(crate) const JSON: &str = "application/json";
/// A stream of events.
pub(crate) const SSE: &str = "text/event-stream";

/// Which of our two kinds of response a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accept {
    pub(crate) json: bool,
    pub(crate) sse: bool,
}

impl Accept {
    /// Reads `Accept`; without one everything is taken, as HTTP says.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        if !headers.contains_key(header::ACCEPT) {
            return Self { json: true, sse: true };
        }
        let ranges = || {
            let values = headers.get_all(header::ACCEPT).iter();
            values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','))
        };
        Self { json: is_taken(JSON, ranges()), sse: is_taken(SSE, ranges()) }
    }
}

/// Whether the most specific range that covers `kind` has a weight above zero.
fn is_taken<'a>(kind: &str, ranges: impl Iterator<Item = &'a str>) -> bool {
    let family = kind.split('/').next().unwrap_or_default();
    let best = ranges.filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let rank = if name.eq_ignore_ascii_case(kind) {
            2
        } else if name.strip_suffix("/*").is_some_and(|name| name.eq_ignore_ascii_case(family)) {
            1
        } else if name == "*/*" {
            0
        } else {
            return None;
        };
        let weight = parts.find_map(|part| {
            part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))?.trim().parse::<f32>().ok()
        });
        Some((rank, weight.unwrap_or(1.0) > 0.0))
    });
    best.max().is_some_and(|(_, is_wanted)| is_wanted)
}

/// Whether the body of a request is said to be JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let Ok(value) = value.to_str() else { return false };
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON))
}

/// The charset of a body that is not the one JSON has.
pub(crate) fn foreign_charset(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let mut parameters = value.split(';').skip(1).filter_map(|part| part.split_once('='));
    let (_, charset) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    let charset = charset.trim().trim_matches('"');
    // ASCII is UTF-8 as well.
    let is_fine = |known: &&str| charset.eq_ignore_ascii_case(known);
    ["utf-8", "utf8", "us-ascii"].iter().all(|known| !is_fine(known)).then_some(charset)
}

/// What was done to a body that has to be undone before it can be read.
pub(crate) fn coding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let all = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let all: Vec<_> = all.filter(|value| !value.trim().eq_ignore_ascii_case("identity")).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_read_as_http_says() {
        let check = |value: &str, json: bool, sse: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value.parse().unwrap());
            assert_eq!(Accept::read(&headers), Accept { json, sse }, "{value}");
        };
        check("application/json, text/event-stream", true, true);
        check("application/json", true, false);
        check("text/event-stream", false, true);
        check("Application/JSON; charset=utf-8,text/*;q=0.5", true, true);
        check("*/*", true, true);
        check("*/*, application/json;q=0", false, true);
        check("text/html", false, false);
        check("", false, false);
        assert_eq!(Accept::read(&HeaderMap::new()), Accept { json: true, sse: true });
    }

    #[test]
    fn only_json_is_json() {
        let check = |value: &str, expect: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), expect, "{value}");
        };
        check("application/json", true);
        check("application/json; charset=utf-8", true);
        check("APPLICATION/JSON", true);
        check("application/json-patch+json", false);
        check("text/plain", false);
        assert!(!is_json(&HeaderMap::new()));
    }
}
