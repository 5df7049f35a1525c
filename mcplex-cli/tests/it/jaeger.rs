//! The example for Jaeger, with a receiver of ours in its place: what its page leads to is really there.

use crate::{
    gateway::{PATIENCE, Setup},
    spans::{FAST, steps},
};
use mcplex_proto::attr;
use mcplex_testkit::otlp::{Receiver, Span};
use serde_json::Value;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

fn example(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/jaeger");
    fs::read_to_string(folder.join(file)).unwrap()
}

/// The call that the guide makes with curl: its headers and its body.
fn call_of_the_guide() -> (Vec<String>, String) {
    let guide = example("README.md");
    let (_, command) = guide.split_once("curl -s http://127.0.0.1:3100/mcp").unwrap();
    let command = command.split("```").next().unwrap();
    let quoted = |flag: &str| -> Vec<String> {
        let parts = command.split(flag).skip(1);
        parts.map(|part| part.split('\'').nth(1).unwrap().to_owned()).collect()
    };
    let [body] = <[String; 1]>::try_from(quoted(" -d ")).unwrap();
    (quoted(" -H "), body)
}

/// Posts like that, and gives the whole answer.
fn post(url: &str, headers: &[String], body: &str) -> String {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (headers, length) = (headers.join("\r\n"), body.len());
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A text of an address as it was before it was written into one.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap().as_bytes().to_vec();
    let bytes = parts.fold(first, |mut bytes, part| {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
        bytes
    });
    String::from_utf8(bytes).unwrap()
}

/// What a search of Jaeger asks for: the service, and what must stand in one span together.
fn search(url: &str) -> (String, Value) {
    let query = url.strip_prefix("/search?").unwrap_or_else(|| panic!("no search: {url}"));
    let of = |name: &str| {
        let part = query.split('&').find_map(|part| part.strip_prefix(name)).unwrap();
        decoded(part)
    };
    assert_eq!(of("lookback="), "24h");
    (of("service="), serde_json::from_str(&of("tags=")).unwrap())
}

fn found<'a>(spans: &'a [Span], tags: &Value) -> Vec<&'a Span> {
    let has_all = |span: &&Span| {
        let mut tags = tags.as_object().unwrap().iter();
        tags.all(|(name, value)| span.attribute(name) == value.as_str())
    };
    spans.iter().filter(has_all).collect()
}

/// A pattern with what stands in a span; `None` where it lacks something, and Jaeger shows no link.
fn filled(pattern: &str, span: &Span) -> Option<String> {
    let mut parts = pattern.split("#{");
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}')?;
        text += span.attribute(name)?;
        text += rest;
    }
    Some(text)
}

#[test]
fn its_menu_and_its_links_lead_to_spans_that_are_there() {
    let receiver = Receiver::start().unwrap();
    let toml = example("mcplex.toml");
    let (collector, admin) = ("http://127.0.0.1:4318", "127.0.0.1:3101");
    assert!(toml.contains(collector) && toml.contains(admin), "{toml}");
    let toml = toml.replace(collector, &receiver.endpoint()).replace(admin, "127.0.0.1:0");
    let own = Path::new(env!("CARGO_BIN_EXE_mcplex")).parent().unwrap();
    let path = format!("{}:{}", own.to_str().unwrap(), std::env::var("PATH").unwrap());
    // As it is, but for how long nothing happens between two lives.
    let toml = format!("{toml}\n[supervise]\n{FAST}");
    let setup = Setup::new(&toml).env("PATH", &path).env("OTEL_BSP_SCHEDULE_DELAY", "20");
    let gateway = setup.serve();
    gateway.wait_event("telegram", "upstream tripped");
    let (headers, body) = call_of_the_guide();
    let answer = post(&gateway.url(), &headers, &body);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("telegram is tripped"),
        "{answer}"
    );
    let failed = |spans: &[Span]| {
        let is_it = |span: &&Span| span.name.starts_with("tools/call ") && span.kind == "server";
        spans.iter().find(is_it).cloned()
    };
    let spans = receiver.wait_for(PATIENCE, |spans| {
        steps(spans, attr::LIFECYCLE_TRIP).len() == 1 && failed(spans).is_some()
    });
    let (trip, failed) = (steps(&spans, attr::LIFECYCLE_TRIP)[0], failed(&spans).unwrap());

    let page: Value = serde_json::from_str(&example("jaeger-ui.json")).unwrap();
    for item in page["menu"][0]["items"].as_array().unwrap() {
        let (service, tags) = search(item["url"].as_str().unwrap());
        assert!(spans.iter().all(|span| span.resource["service.name"] == service), "{service}");
        // No call was under way at a death of this one; that such calls are told so is in `graph.rs`.
        let is_other = tags[attr::ERROR_TYPE] == attr::ERROR_UPSTREAM_DIED;
        assert!(is_other || !found(&spans, &tags).is_empty(), "nothing has {tags}");
    }
    for pattern in page["linkPatterns"].as_array().unwrap() {
        assert_eq!(pattern["type"], "tags", "{pattern}");
        let (key, url) = (pattern["key"].as_str().unwrap(), pattern["url"].as_str().unwrap());
        let with_key: Vec<_> = spans.iter().filter(|span| span.attribute(key).is_some()).collect();
        assert!(!with_key.is_empty(), "nothing has {key}");
        for span in with_key {
            let url =
                filled(url, span).unwrap_or_else(|| panic!("{url} lacks something in {span:?}"));
            if url.starts_with("/search?") {
                let (_, tags) = search(&url);
                let wanted = span.attribute(key) == Some("telegram");
                assert_eq!(!found(&spans, &tags).is_empty(), wanted, "{tags}");
            }
        }
    }
    // From the failed call to the trip that refused it, as the guide says.
    let cause = page["linkPatterns"].as_array().unwrap();
    let cause = cause.iter().find(|it| it["key"] == attr::CAUSE_TRACE_ID).unwrap();
    let expect = format!("/trace/{}?uiFind={}", trip.trace_id, trip.span_id);
    assert_eq!(filled(cause["url"].as_str().unwrap(), &failed), Some(expect));
}
