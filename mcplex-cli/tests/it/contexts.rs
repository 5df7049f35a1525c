//! What becomes of the trace that a caller names, and what upstreams hear of it.

use crate::{
    client::text,
    gateway::{Gateway, PATIENCE, Setup},
    spans::{is_child, linked, traced},
    stateless::Stateless,
};
use mcplex_proto::attr;
use mcplex_testkit::otlp::{Receiver, Span};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const AMBIENT: &str = "00f067aa0ba902b7";

/// A gateway that says what becomes of the context, in front of one server that notes what it hears.
fn gateway(telemetry: &str, receiver: Option<&Receiver>) -> (Setup, Gateway) {
    let setup = Setup::new(&format!("[telemetry]\n{telemetry}"));
    let record = setup.path("record");
    let mut setup = setup.server("good", &["--record", &record]);
    if let Some(receiver) = receiver {
        setup = traced(setup, receiver);
    }
    let gateway = setup.serve();
    gateway.client_of(&["add"]);
    (setup, gateway)
}

/// Calls `add` in a trace, and gives what the server read in `_meta`.
fn heard(setup: &Setup, gateway: &Gateway, meta: &Value) -> Value {
    let mut client = gateway.client();
    let arguments = json!({ "a": 1, "b": 2 });
    let params = json!({ "name": "add", "arguments": arguments, "_meta": meta });
    assert_eq!(text(&client.request("tools/call", &params)["result"]), "3");
    last_call(setup)
}

fn last_call(setup: &Setup) -> Value {
    let lines = setup.lines("record");
    let all = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let call = all.rev().find(|message| message["method"] == "tools/call").unwrap();
    call["params"]["_meta"].clone()
}

fn named() -> Value {
    json!({
        "traceparent": format!("00-{TRACE}-{CALLER}-01"),
        "tracestate": "vendor=1",
        "baggage": "user=ada",
        "x/own": 1,
    })
}

/// The server span of the call and the client span below it.
fn call(receiver: &Receiver) -> (Span, Span) {
    let find = |spans: &[Span]| {
        let of = |kind: &'static str| {
            let is_it = move |span: &&Span| {
                span.kind == kind && span.attribute(attr::GEN_AI_TOOL_NAME) == Some("add")
            };
            spans.iter().find(is_it).cloned()
        };
        Some((of("server")?, of("client")?))
    };
    let spans = receiver.wait_for(PATIENCE, |spans| find(spans).is_some());
    let (server, client) = find(&spans).unwrap();
    assert!(is_child(&client, &server), "{client:?}");
    (server, client)
}

#[test]
fn a_caller_is_gone_on_with_and_its_baggage_stays_here() {
    let receiver = Receiver::start().unwrap();
    let (setup, gateway) = gateway("", Some(&receiver));
    let meta = heard(&setup, &gateway, &named());
    let (server, client) = call(&receiver);
    assert_eq!((&*server.trace_id, server.parent_span_id.as_deref()), (TRACE, Some(CALLER)));
    assert_eq!(meta["traceparent"], format!("00-{TRACE}-{}-01", client.span_id));
    assert_eq!((&meta["tracestate"], &meta["x/own"]), (&json!("vendor=1"), &json!(1)));
    assert_eq!(meta["baggage"], Value::Null);
    assert!(server.links.is_empty(), "{server:?}");
}

#[test]
fn the_environment_may_take_away_what_crosses_processes() {
    let telemetry = "[telemetry]\npropagate = [\"trace\", \"baggage\"]";
    for (propagators, trace, baggage) in [
        ("none", false, false),
        ("baggage", false, true),
        ("tracecontext", true, false),
        ("tracecontext,baggage", true, true),
    ] {
        let receiver = Receiver::start().unwrap();
        let setup = Setup::new(telemetry);
        let record = setup.path("record");
        let setup = traced(setup.server("good", &["--record", &record]), &receiver);
        let setup = setup.env("OTEL_PROPAGATORS", propagators);
        let gateway = setup.serve();
        gateway.client_of(&["add"]);
        let meta = heard(&setup, &gateway, &named());
        let (server, client) = call(&receiver);
        let parent = Some(CALLER).filter(|_| trace);
        assert_eq!(server.parent_span_id.as_deref(), parent, "{propagators}");
        let onward = format!("00-{TRACE}-{}-01", client.span_id);
        let expect = if trace { json!(onward) } else { Value::Null };
        assert_eq!(meta["traceparent"], expect, "{propagators}");
        let expect = if baggage { json!("user=ada") } else { Value::Null };
        assert_eq!(meta["baggage"], expect, "{propagators}");
    }
}

#[test]
fn a_caller_that_is_linked_to_begins_no_trace_of_ours() {
    let receiver = Receiver::start().unwrap();
    let (setup, gateway) = gateway("incoming_context = \"link\"", Some(&receiver));
    let meta = heard(&setup, &gateway, &named());
    let (server, client) = call(&receiver);
    assert_eq!(server.parent_span_id, None);
    assert_ne!(server.trace_id, TRACE);
    assert_eq!(linked(&server, attr::LINK_CALLER), BTreeSet::from([CALLER]));
    assert_eq!(meta["traceparent"], format!("00-{}-{}-01", server.trace_id, client.span_id));
    assert_eq!(meta["tracestate"], Value::Null, "it is the state of another trace");
}

#[test]
fn a_caller_that_is_ignored_leaves_no_sign() {
    let receiver = Receiver::start().unwrap();
    let (setup, gateway) = gateway("incoming_context = \"ignore\"", Some(&receiver));
    let meta = heard(&setup, &gateway, &named());
    let (server, _) = call(&receiver);
    assert_eq!((server.parent_span_id, server.links), (None, Vec::new()));
    assert!(!meta.to_string().contains(TRACE), "{meta}");
}

#[test]
fn headers_name_a_caller_where_meta_names_none_and_are_linked_to_where_it_does() {
    for (meta, parent, links) in
        [(json!({}), AMBIENT, BTreeSet::new()), (named(), CALLER, BTreeSet::from([AMBIENT]))]
    {
        let receiver = Receiver::start().unwrap();
        let (_setup, gateway) = gateway("", Some(&receiver));
        let mut client = Stateless::new(&gateway.url());
        client.headers = format!("traceparent: 00-{TRACE}-{AMBIENT}-01\r\n");
        let arguments = json!({ "a": 1, "b": 2 });
        let params = json!({ "name": "add", "arguments": arguments, "_meta": meta });
        client.request("tools/call", &params);
        let (server, _) = call(&receiver);
        assert_eq!((&*server.trace_id, server.parent_span_id.as_deref()), (TRACE, Some(parent)));
        assert_eq!(linked(&server, attr::LINK_AMBIENT), links);
        assert_eq!(server.attribute(attr::MCP_SESSION_ID), None, "it has no session");
        assert_eq!(server.attribute(attr::CLIENT_ADDRESS), Some("127.0.0.1"));
    }
}

#[test]
fn upstreams_get_of_a_context_what_they_are_meant_to_also_without_spans() {
    let check = |telemetry: &str, expect: &Value| {
        let (setup, gateway) = gateway(telemetry, None);
        assert_eq!(heard(&setup, &gateway, &named()), *expect, "{telemetry}");
    };
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let trace = json!({ "traceparent": parent, "tracestate": "vendor=1", "x/own": 1 });
    check("", &trace);
    check("propagate = ['trace', 'baggage']", &named());
    check("propagate = []", &json!({ "x/own": 1 }));
}

#[test]
fn an_upstream_that_is_told_nothing_has_its_spans_all_the_same() {
    let receiver = Receiver::start().unwrap();
    let (setup, gateway) = gateway("propagate = []", Some(&receiver));
    assert_eq!(heard(&setup, &gateway, &named()), json!({ "x/own": 1 }));
    let (server, _) = call(&receiver);
    assert_eq!(server.trace_id, TRACE);
    let lines = setup.lines("record").join("\n");
    assert!(!lines.contains("traceparent"), "{lines}");
}
