//! Telemetry of what is unusual: clients that leave, servers and clients that write megabytes,
//! collectors that refuse.

use crate::{
    gateway::{Gateway, PATIENCE, Setup},
    spans::{is_child, linked, of_upstream, pair, served, steps, traced},
    stateless::Stateless,
};
use mcplex_proto::attr;
use mcplex_testkit::otlp::{Receiver, Span};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// How often is looked for what will be there.
const MOST_LOOKS: usize = 2_000;

/// Waits until it is so.
#[track_caller]
fn wait(is_so: impl Fn() -> bool) {
    let is_so = (0..MOST_LOOKS).any(|_| {
        let is_so = is_so();
        if !is_so {
            thread::park_timeout(PATIENCE / u32::try_from(MOST_LOOKS).unwrap());
        }
        is_so
    });
    assert!(is_so, "it never came to that");
}

/// Waits until a server has been called so many times, as its call log says.
#[track_caller]
fn wait_for_calls(setup: &Setup, count: usize) {
    wait(|| setup.lines("calls").len() >= count);
}

/// A server that notes which tools are called.
fn noting(setup: Setup, supervise: &str) -> Setup {
    let calls = setup.path("calls");
    setup.server_with("good", &["--call-log", &calls], supervise)
}

fn sleeping() -> Value {
    json!({ "name": "sleep", "arguments": { "ms": 600_000 } })
}

#[test]
fn what_a_client_leaves_behind_says_that_it_gave_up() {
    let receiver = Receiver::start().unwrap();
    let setup = traced(noting(Setup::new(""), ""), &receiver);
    let gateway = setup.serve();
    gateway.client_of(&["sleep"]);
    let pending = Stateless::new(&gateway.url()).begin("tools/call", &sleeping());
    wait_for_calls(&setup, 1);
    pending.vanish();
    let spans = receiver.wait_for(PATIENCE, |spans| pair(spans, "tools/call").is_some());
    let (server, client) = pair(&spans, "tools/call").unwrap();
    for span in [server, client] {
        assert_eq!(span.attribute(attr::ERROR_TYPE), Some(attr::ERROR_CANCELLED), "{span:?}");
        assert_eq!(span.status_code, "error", "{span:?}");
    }
    assert_eq!(server.attribute(attr::REQUEST_OUTCOME), Some("cancelled"));
}

#[test]
fn a_call_that_its_upstream_has_no_life_for_links_to_the_death() {
    let receiver = Receiver::start().unwrap();
    let slow = "backoff_first = \"1h\"\nbackoff_max = \"1h\"\nqueue_wait = \"1ms\"";
    let gateway = traced(Setup::new("").server_with("frail", &[], slow), &receiver).serve();
    let mut client = gateway.client_of(&["crash"]);
    assert_eq!(client.call("crash", &json!({}))["isError"], true);
    assert_eq!(client.call("add", &json!({ "a": 1, "b": 2 }))["isError"], true);
    let spans = receiver.wait_for(PATIENCE, |spans| {
        served(spans, "add").is_some() && !steps(spans, attr::LIFECYCLE_DEATH).is_empty()
    });
    let death = steps(&spans, attr::LIFECYCLE_DEATH)[0];
    let refused = served(&spans, "add").unwrap();
    let error = Some(attr::ERROR_UPSTREAM_UNAVAILABLE);
    assert_eq!(refused.attribute(attr::ERROR_TYPE), error, "{refused:?}");
    assert_eq!(linked(refused, attr::LINK_DEATH), BTreeSet::from([&*death.span_id]));
    assert_eq!(refused.attribute(attr::CAUSE_TRACE_ID), Some(&*death.trace_id));
}

/// More calls than a death links to.
const CALLS: usize = 12;

#[test]
fn of_many_calls_a_death_links_to_the_latest() {
    let receiver = Receiver::start().unwrap();
    let setup = traced(noting(Setup::new(""), ""), &receiver);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["crash"]);
    let pending: Vec<_> = (0..CALLS).map(|_| client.begin("tools/call", &sleeping())).collect();
    wait_for_calls(&setup, CALLS);
    client.call("crash", &json!({}));
    pending.into_iter().for_each(|call| drop(call.answer()));
    let is_client = |span: &&Span| span.kind == "client" && span.name.starts_with("tools/call");
    let spans = receiver.wait_for(PATIENCE, |spans| {
        spans.iter().filter(is_client).count() == CALLS + 1
            && !steps(spans, attr::LIFECYCLE_DEATH).is_empty()
    });
    let death = steps(&spans, attr::LIFECYCLE_DEATH)[0];
    let crash = spans.iter().find(|span| is_client(span) && span.name == "tools/call crash");
    assert_eq!(death.links[1].span_id, crash.unwrap().span_id, "{death:?}");
    assert_eq!(linked(death, attr::LINK_IN_FLIGHT).len(), 8);
    assert_eq!(death.attribute(attr::REQUESTS_IN_FLIGHT), Some(&*(CALLS + 1).to_string()));
}

#[test]
fn the_start_of_what_a_session_has_for_itself_is_in_the_trace_of_its_call() {
    let receiver = Receiver::start().unwrap();
    let setup = Setup::new("").server_with("own", &[], "isolation = \"session\"");
    let gateway = traced(setup, &receiver).serve();
    gateway.client_of(&["add"]).call("add", &json!({ "a": 1, "b": 2 }));
    let own = |spans: &[Span]| {
        let connects = steps(spans, attr::LIFECYCLE_CONNECT);
        connects.into_iter().find(|span| span.attribute(attr::UPSTREAM_MEMBER).is_some()).cloned()
    };
    let spans = receiver
        .wait_for(PATIENCE, |spans| own(spans).is_some() && pair(spans, "tools/call").is_some());
    let (call, _) = pair(&spans, "tools/call").unwrap();
    let connect = own(&spans).unwrap();
    assert!(is_child(&connect, call), "{connect:?}");
    assert_eq!(connect.attribute(attr::CONNECT_REASON), Some("lazy"));
}

#[test]
fn what_a_changed_file_adds_connects_for_that_reason() {
    let receiver = Receiver::start().unwrap();
    let setup = traced(Setup::new("").server("old", &[]), &receiver);
    let gateway = setup.serve();
    gateway.wait_event("old", "upstream connected");
    setup.clone().server("new", &[]).write_to("mcplex.toml");
    gateway.signal(Signal::HUP);
    for (upstream, reason) in [("old", "startup"), ("new", "reload")] {
        let connects =
            |spans: &[Span]| steps(&of_upstream(spans, upstream), attr::LIFECYCLE_CONNECT).len();
        let spans = receiver.wait_for(PATIENCE, |spans| connects(spans) == 1);
        let spans = of_upstream(&spans, upstream);
        let connect = steps(&spans, attr::LIFECYCLE_CONNECT)[0];
        assert_eq!(connect.attribute(attr::CONNECT_REASON), Some(reason), "{connect:?}");
    }
}

/// The memory that a process holds, in bytes.
fn memory(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn names_of_megabytes_do_not_wait_for_a_collector_that_hangs() {
    // The kernel takes connections, and nobody else does.
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Setup::new("").server("good", &[]);
    let endpoint = format!("http://{}", hung.local_addr().unwrap());
    let gateway = setup.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).serve();
    let mut client = gateway.client_of(&["add"]);
    let long = json!({ "name": "x".repeat(1 << 20), "arguments": {} });
    client.request("tools/call", &long);
    let before = memory(&gateway);
    for _ in 0..200 {
        client.request("tools/call", &long);
    }
    let grown = memory(&gateway).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
}

/// A collector that answers each export with such a head and body; what it is sent is not looked at.
fn answering(answer: impl Fn() -> (&'static str, String) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || serve(stream.unwrap(), &*answer));
        }
    });
    endpoint
}

fn serve(stream: TcpStream, answer: &dyn Fn() -> (&'static str, String)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut stream, mut line, mut length) = (stream, String::new(), 0);
    while reader.read_line(&mut line)? > 0 {
        let lower = line.trim().to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if lower.is_empty() {
            reader.read_exact(&mut vec![0; std::mem::take(&mut length)])?;
            let (head, body) = answer();
            write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        }
        line.clear();
    }
    Ok(())
}

/// The line about what became of spans.
fn told(gateway: &Gateway, message: &str) -> Value {
    let ours = "\"signal\":\"spans\"";
    let line = gateway.wait_for_line(message, |line| line.contains(message) && line.contains(ours));
    assert_eq!(line.matches("\"message\":").count(), 1, "one field has one meaning: {line}");
    serde_json::from_str(&line).unwrap()
}

fn exporting(head: &'static str, body: &str) -> Gateway {
    let body = body.to_owned();
    let endpoint = answering(move || (head, body.clone()));
    let setup = Setup::new("").server("good", &[]).env("OTEL_BSP_SCHEDULE_DELAY", "20");
    let setup = setup.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    setup.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).serve()
}

#[test]
fn what_a_collector_says_of_a_refusal_is_told() {
    let partial = r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}"#;
    let line = told(&exporting("200 OK\r\nContent-Type: application/json", partial), "want");
    assert_eq!(line["message"], "the collector did not want everything");
    assert_eq!((&line["why"], &line["rejected"]), (&json!("too old"), &json!(1)));

    let refusal = r#"{"code":3,"message":"no such field"}"#;
    let line =
        told(&exporting("400 Bad Request\r\nContent-Type: application/json", refusal), "fail");
    assert_eq!(line["error"], "the collector answered 400: no such field");

    // A page of a proxy, longer than anything that a collector has to say.
    let page = "<p>".repeat(1 << 16);
    let line = told(&exporting("401 Unauthorized\r\nContent-Type: text/html", &page), "fail");
    assert_eq!(line["error"], "the collector answered 401");
}

#[test]
fn an_end_does_not_wait_for_the_time_that_a_collector_asked_for() {
    let (is_busy, refused) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (busy, count) = (Arc::clone(&is_busy), Arc::clone(&refused));
    let endpoint = answering(move || {
        if busy.load(Ordering::SeqCst) {
            count.fetch_add(1, Ordering::SeqCst);
            ("503 Service Unavailable\r\nRetry-After: 30", String::new())
        } else {
            ("200 OK", String::new())
        }
    });
    let setup = Setup::new("").server("good", &[]).env("OTEL_BSP_SCHEDULE_DELAY", "20");
    let setup = setup.env("OTEL_EXPORTER_OTLP_TIMEOUT", "60000");
    let mut gateway = setup.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).serve();
    gateway.wait_event("good", "upstream connected");
    wait(|| refused.load(Ordering::SeqCst) > 0);
    is_busy.store(false, Ordering::SeqCst);
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());
    let lost = |line: &String| line.contains("some of the last spans are lost");
    assert!(!gateway.all_said().iter().any(lost), "{:?}", gateway.all_said());
}

#[test]
fn what_is_completed_is_named_on_both_sides() {
    let receiver = Receiver::start().unwrap();
    let setup = Setup::new("").server("good", &["--prompts"]);
    let gateway = traced(setup, &receiver).serve();
    let mut client = gateway.client_of(&["add"]);
    let about = json!({ "type": "ref/prompt", "name": "greet_1" });
    let argument = json!({ "name": "who", "value": "a" });
    client.request("completion/complete", &json!({ "ref": about, "argument": argument }));
    let spans = receiver.wait_for(PATIENCE, |spans| pair(spans, "completion/complete").is_some());
    let (server, below) = pair(&spans, "completion/complete").unwrap();
    assert_eq!([&*server.name, &*below.name], ["completion/complete greet_1"; 2]);
    assert_eq!(server.attribute(attr::GEN_AI_PROMPT_NAME), Some("greet_1"));
}
