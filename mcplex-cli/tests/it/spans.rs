//! Spans that really left `mcplex` over OTLP.

use crate::{
    client::text,
    gateway::{Gateway, PATIENCE, Setup},
};
use mcplex_proto::attr;
use mcplex_testkit::otlp::{Receiver, Span};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The wait between two lives; the rules of the breaker stay as they are.
pub(crate) const FAST: &str = "backoff_first = \"20ms\"\nbackoff_factor = 1";

pub(crate) fn traced(setup: Setup, receiver: &Receiver) -> Setup {
    setup
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint())
        // Spans leave in batches; a test does not want to wait for the next one.
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
}

/// The spans of one lifecycle step, oldest first.
pub(crate) fn steps<'a>(spans: &'a [Span], step: &str) -> Vec<&'a Span> {
    let is_it = |span: &&Span| span.attribute(attr::LIFECYCLE) == Some(step);
    let mut found: Vec<_> = spans.iter().filter(is_it).collect();
    found.sort_by_key(|span| incarnation(span));
    found
}

pub(crate) fn incarnation(span: &Span) -> u64 {
    span.attribute(attr::UPSTREAM_INCARNATION).unwrap().parse().unwrap()
}

/// The spans a link of this kind points to.
pub(crate) fn linked<'a>(span: &'a Span, kind: &str) -> BTreeSet<&'a str> {
    let is_it = |of: Option<&String>| of.is_some_and(|of| of == kind);
    let links = span.links.iter().filter(|link| is_it(link.attributes.get(attr::LINK_KIND)));
    links.map(|link| &*link.span_id).collect()
}

pub(crate) fn is_child(child: &Span, parent: &Span) -> bool {
    child.parent_span_id.as_ref() == Some(&parent.span_id) && child.trace_id == parent.trace_id
}

fn crash_loop(receiver: &Receiver) -> (Gateway, Vec<Span>) {
    let flags = ["--die-before-handshake", "0", "--exit", "7"];
    let setup = Setup::new("").server("good", &[]).server_with("bad", &flags, FAST);
    let gateway = traced(setup, receiver).serve();
    let spans = receiver.wait_for(PATIENCE, |spans| {
        let of = |step| steps(&of_upstream(spans, "bad"), step).len();
        of(attr::LIFECYCLE_TRIP) == 1 && of(attr::LIFECYCLE_CONNECT) == 6
    });
    let spans = of_upstream(&spans, "bad");
    (gateway, spans)
}

pub(crate) fn of_upstream(spans: &[Span], upstream: &str) -> Vec<Span> {
    let is_it = |span: &&Span| span.attribute(attr::UPSTREAM_NAME) == Some(upstream);
    spans.iter().filter(is_it).cloned().collect()
}

#[test]
fn a_crash_loop_is_told_as_spans_that_lead_from_one_to_the_next() {
    let receiver = Receiver::start().unwrap();
    let (_gateway, spans) = crash_loop(&receiver);
    let connects = steps(&spans, attr::LIFECYCLE_CONNECT);
    let deaths = steps(&spans, attr::LIFECYCLE_DEATH);
    let respawns = steps(&spans, attr::LIFECYCLE_RESPAWN);
    let trips = steps(&spans, attr::LIFECYCLE_TRIP);
    let counts = [connects.len(), deaths.len(), respawns.len(), trips.len()];
    assert_eq!(counts, [6, 6, 5, 1]);

    for (index, (connect, death)) in connects.iter().zip(&deaths).enumerate() {
        assert_eq!(incarnation(connect), index as u64 + 1);
        assert_eq!(connect.name, "mcplex.connect bad");
        assert_eq!(connect.attribute(attr::ERROR_TYPE), Some(attr::ERROR_PROCESS_EXIT));
        assert_eq!(death.name, "mcplex.death bad");
        assert_eq!(death.attribute(attr::PROCESS_EXIT_CODE), Some("7"));
        let count = (index + 1).to_string();
        assert_eq!(death.attribute(attr::BREAKER_DEATHS_IN_WINDOW), Some(&*count));
        assert_eq!(death.attribute(attr::PROCESS_PID), connect.attribute(attr::PROCESS_PID));
        assert_eq!(death.parent_span_id, None);
        let of_it = BTreeSet::from([&*connect.span_id]);
        assert_eq!(linked(death, attr::LINK_CONNECT), of_it, "{death:?}");
        assert_eq!([connect.status_code, death.status_code], ["error", "error"]);
    }
    for (index, respawn) in respawns.iter().enumerate() {
        assert_eq!(respawn.name, "mcplex.respawn bad");
        assert!(is_child(respawn, deaths[index]), "{respawn:?}");
        assert!(is_child(connects[index + 1], respawn), "{respawn:?}");
        let attempt = (index + 1).to_string();
        assert_eq!(respawn.attribute(attr::RESPAWN_ATTEMPT), Some(&*attempt));
    }
    let trip = trips[0];
    assert_eq!(trip.name, "mcplex.trip bad");
    assert!(is_child(trip, deaths[5]), "{trip:?}");
    let others = deaths[..5].iter().map(|death| &*death.span_id).collect();
    assert_eq!(linked(trip, attr::LINK_DEATH), others);
    assert_eq!(trip.attribute(attr::BREAKER_STATE), Some("open"));
    assert_eq!(trip.attribute(attr::BREAKER_THRESHOLD), Some("5"));
    assert_eq!(trip.attribute(attr::ERROR_TYPE), Some(attr::ERROR_UPSTREAM_TRIPPED));
}

#[test]
fn each_step_is_a_line_of_the_log_that_names_its_span() {
    let receiver = Receiver::start().unwrap();
    let (gateway, spans) = crash_loop(&receiver);
    for (step, event, message) in [
        (attr::LIFECYCLE_DEATH, attr::EVENT_DEATH, "upstream died"),
        (attr::LIFECYCLE_RESPAWN, attr::EVENT_RESPAWN, "upstream will be started again"),
        (attr::LIFECYCLE_TRIP, attr::EVENT_TRIP, "upstream tripped"),
    ] {
        let told = steps(&spans, step);
        let lines = gateway.wait_events("bad", message, told.len());
        for (span, line) in told.iter().zip(&lines) {
            assert_eq!(line["event"], event);
            assert_eq!(line["trace_id"], *span.trace_id);
            assert_eq!(line["span_id"], *span.span_id);
        }
    }
    assert_eq!(gateway.wait_event("good", "upstream connected")["event"], attr::EVENT_CONNECT);
}

/// What the table says about a span.
fn doc(span: &Span) -> &'static attr::SpanDoc {
    let step = span.name.split(' ').next();
    let is_it = |doc: &&attr::SpanDoc| match span.kind {
        "client" => doc.kind == attr::Kind::Client,
        "server" => doc.kind == attr::Kind::Server,
        _ => doc.name.split(' ').next() == step,
    };
    attr::SPANS.iter().find(is_it).expect("it is in the table")
}

#[test]
fn spans_carry_only_what_the_table_declares() {
    let receiver = Receiver::start().unwrap();
    let (gateway, _) = crash_loop(&receiver);
    gateway.client_of(&["add"]).call("add", &json!({ "a": 1, "b": 2 }));
    let spans = receiver.wait_for(PATIENCE, |spans| {
        pair(spans, "tools/call").is_some() && spans.iter().any(|span| span.name == attr::STARTUP)
    });
    for span in &spans {
        for name in span.attributes.keys() {
            assert!(doc(span).attributes.contains(&&**name), "{}: {name}", span.name);
        }
    }
}

/// A server span with the client span below it, both of a method.
pub(crate) fn pair<'a>(spans: &'a [Span], method: &str) -> Option<(&'a Span, &'a Span)> {
    let of = |kind: &'static str| {
        spans.iter().filter(move |span| {
            span.kind == kind && span.attribute(attr::MCP_METHOD_NAME) == Some(method)
        })
    };
    of("server").find_map(|server| {
        let client = of("client").find(|client| is_child(client, server))?;
        Some((server, client))
    })
}

#[test]
fn a_call_is_a_server_span_with_a_client_span_and_the_upstream_hears_of_it() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";
    let receiver = Receiver::start().unwrap();
    let setup = Setup::new("");
    let record = setup.path("record");
    let setup = traced(setup.server("good", &["--record", &record]), &receiver);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["add"]);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let answer = client.request(
        "tools/call",
        &json!({ "name": "add", "arguments": { "a": 1, "b": 2 }, "_meta": { "traceparent": traceparent } }),
    );
    assert_eq!(text(&answer["result"]), "3");
    let spans = receiver.wait_for(PATIENCE, |spans| pair(spans, "tools/call").is_some());
    let (server, below) = pair(&spans, "tools/call").unwrap();
    assert_eq!([&*server.name, &*below.name], ["tools/call add", "tools/call add"]);
    assert_eq!(server.trace_id, TRACE);
    assert_eq!(server.parent_span_id.as_deref(), Some(PARENT));
    assert_eq!(server.attribute(attr::GEN_AI_TOOL_NAME), Some("add"));
    assert_eq!(server.attribute(attr::UPSTREAM_NAME), Some("good"));
    assert_eq!(server.attribute(attr::NETWORK_TRANSPORT), Some("tcp"));
    assert_eq!(server.attribute(attr::ERROR_TYPE), None);
    assert_eq!(server.status_code, "unset");

    let heard = setup.lines("record");
    let call = heard.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let call = call.into_iter().find(|message| message["method"] == "tools/call").unwrap();
    let expected = format!("00-{TRACE}-{}-01", below.span_id);
    assert_eq!(call["params"]["_meta"]["traceparent"], *expected);
}

/// A finished server span of a tool.
pub(crate) fn served<'a>(spans: &'a [Span], tool: &str) -> Option<&'a Span> {
    spans
        .iter()
        .find(|span| span.kind == "server" && span.attribute(attr::GEN_AI_TOOL_NAME) == Some(tool))
}

#[test]
fn a_call_that_its_upstream_takes_along_links_to_the_death() {
    let receiver = Receiver::start().unwrap();
    let gateway = traced(Setup::new("").server("frail", &[]), &receiver).serve();
    let mut client = gateway.client_of(&["crash"]);
    assert_eq!(client.call("crash", &json!({}))["isError"], true);
    let spans = receiver.wait_for(PATIENCE, |spans| {
        pair(spans, "tools/call").is_some() && !steps(spans, attr::LIFECYCLE_DEATH).is_empty()
    });
    let (server, below) = pair(&spans, "tools/call").unwrap();
    let death = steps(&spans, attr::LIFECYCLE_DEATH)[0];
    for span in [server, below] {
        assert_eq!(span.attribute(attr::ERROR_TYPE), Some(attr::ERROR_UPSTREAM_DIED), "{span:?}");
        assert_eq!(linked(span, attr::LINK_DEATH), BTreeSet::from([&*death.span_id]), "{span:?}");
    }
    assert_eq!(server.attribute(attr::CAUSE_SPAN_ID), Some(&*death.span_id));
    assert_eq!(linked(death, attr::LINK_IN_FLIGHT), BTreeSet::from([&*below.span_id]));
}

#[test]
fn a_call_while_tripped_links_to_the_trip() {
    let receiver = Receiver::start().unwrap();
    let setup = Setup::new("").server_with("frail", &[], &format!("{FAST}\nmax_deaths = 0"));
    let gateway = traced(setup, &receiver).serve();
    let mut client = gateway.client_of(&["crash"]);
    assert_eq!(client.call("crash", &json!({}))["isError"], true);
    gateway.wait_event("frail", "upstream tripped");
    assert_eq!(client.call("add", &json!({ "a": 1, "b": 2 }))["isError"], true);
    let spans = receiver.wait_for(PATIENCE, |spans| {
        served(spans, "add").is_some() && !steps(spans, attr::LIFECYCLE_TRIP).is_empty()
    });
    let trip = steps(&spans, attr::LIFECYCLE_TRIP)[0];
    let refused = served(&spans, "add").unwrap();
    assert_eq!(refused.attribute(attr::ERROR_TYPE), Some(attr::ERROR_UPSTREAM_TRIPPED));
    assert_eq!(linked(refused, attr::LINK_TRIP), BTreeSet::from([&*trip.span_id]));
    assert_eq!(refused.attribute(attr::CAUSE_TRACE_ID), Some(&*trip.trace_id));
}

#[test]
fn an_end_at_the_question_for_the_era_is_no_failure_and_no_death() {
    let receiver = Receiver::start().unwrap();
    let setup =
        Setup::new("").server("old", &["--exit-on-probe"]).server("new", &["--era", "both"]);
    let _gateway = traced(setup, &receiver).serve();
    let spans = receiver.wait_for(PATIENCE, |spans| {
        let of = |upstream| steps(&of_upstream(spans, upstream), attr::LIFECYCLE_CONNECT).len();
        (of("old"), of("new")) == (2, 1)
    });
    let (old, new) = (of_upstream(&spans, "old"), of_upstream(&spans, "new"));
    let told = |span: &Span| {
        let word = |name| span.attribute(name).unwrap_or("-").to_owned();
        [word(attr::CONNECT_REASON), word(attr::ERA), word(attr::ERA_VERDICT)].join(" ")
    };
    let connects = steps(&old, attr::LIFECYCLE_CONNECT);
    assert_eq!(
        connects.iter().map(|span| told(span)).collect::<Vec<_>>(),
        ["startup - ended", "era legacy ended"]
    );
    assert!(connects.iter().all(|span| span.attribute(attr::ERROR_TYPE).is_none()));
    assert!(steps(&old, attr::LIFECYCLE_DEATH).is_empty());
    assert!(steps(&old, attr::LIFECYCLE_RESPAWN).is_empty());
    let connect = steps(&new, attr::LIFECYCLE_CONNECT)[0];
    assert_eq!(told(connect), "startup modern probed");
    assert_eq!(connect.attribute(attr::MCP_PROTOCOL_VERSION), Some("2026-07-28"));
}

#[test]
fn the_start_is_one_trace_with_the_first_connects_and_what_was_asked_in_them() {
    let receiver = Receiver::start().unwrap();
    let setup = Setup::new("").server("old", &[]).server("new", &["--era", "both"]);
    let _gateway = traced(setup, &receiver).serve();
    let startup = |spans: &[Span]| spans.iter().find(|span| span.name == attr::STARTUP).cloned();
    let spans = receiver.wait_for(PATIENCE, |spans| startup(spans).is_some());
    let startup = startup(&spans).unwrap();
    assert_eq!(startup.parent_span_id, None);
    assert_eq!(startup.attribute(attr::UPSTREAM_COUNT), Some("2"));
    // Questions leave with the requests, which have a queue of their own.
    let spans = receiver.wait_for(PATIENCE, |spans| {
        let is_question = |span: &&Span| span.kind == "client" && span.trace_id == startup.trace_id;
        spans.iter().filter(is_question).count() >= 5
            && steps(spans, attr::LIFECYCLE_CONNECT).len() == 2
    });
    for (upstream, expect) in [
        (
            "old",
            [("server/discover", Some("-32601")), ("initialize", None), ("tools/list", None)]
                .as_slice(),
        ),
        ("new", &[("server/discover", None), ("tools/list", None)]),
    ] {
        let all = of_upstream(&spans, upstream);
        let connect = steps(&all, attr::LIFECYCLE_CONNECT)[0];
        assert!(is_child(connect, &startup), "{connect:?}");
        let mut asked: Vec<_> = all.iter().filter(|span| is_child(span, connect)).collect();
        asked.retain(|span| span.kind == "client");
        asked.sort_by_key(|span| span.start);
        let told: Vec<_> =
            asked.iter().map(|span| (&*span.name, span.attribute(attr::ERROR_TYPE))).collect();
        assert_eq!(told, expect, "{asked:?}");
        if expect[0].1.is_some() {
            assert_eq!(asked[0].status_message, "Method not found: server/discover");
        }
    }
}

#[test]
fn without_an_endpoint_nothing_is_exported() {
    let receiver = Receiver::start().unwrap();
    let setup = Setup::new("").server("good", &[]).env("OTEL_BSP_SCHEDULE_DELAY", "20");
    let mut gateway = setup.serve();
    gateway.client_of(&["add"]).call("add", &json!({ "a": 1, "b": 2 }));
    gateway.signal(rustix::process::Signal::TERM);
    // Spans that are left are flushed at the end.
    assert!(gateway.ended().success());
    assert!(receiver.spans().is_empty());
}
