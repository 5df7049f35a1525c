//! The graph of a crash loop that clients and operators meet: from each span one comes to those that
//! explain it.

use crate::{
    gateway::{PATIENCE, Setup},
    panel,
    spans::{FAST, incarnation, is_child, linked, steps, traced},
};
use mcplex_proto::attr;
use mcplex_testkit::otlp::{Receiver, Span};
use serde_json::{Value, json};

/// Calls of a tool on one side, oldest first.
fn calls<'a>(spans: &'a [Span], kind: &str, tool: &str) -> Vec<&'a Span> {
    let is_it =
        |span: &&Span| span.kind == kind && span.attribute(attr::GEN_AI_TOOL_NAME) == Some(tool);
    let mut found: Vec<_> = spans.iter().filter(is_it).collect();
    found.sort_by_key(|span| span.start);
    found
}

/// What the first link of a span points to, and what it says that is.
fn first_link(span: &Span) -> (&str, &str) {
    let link = span.links.first().unwrap_or_else(|| panic!("no link: {span:?}"));
    (&link.attributes[attr::LINK_KIND], &link.span_id)
}

fn ids(span: &Span) -> [Option<&str>; 2] {
    [span.attribute(attr::CAUSE_TRACE_ID), span.attribute(attr::CAUSE_SPAN_ID)]
}

#[test]
fn six_deaths_five_respawns_and_a_trip_lead_to_each_other_and_to_the_calls() {
    let receiver = Receiver::start().unwrap();
    let setup = Setup::new(panel::ADMIN);
    let record = setup.path("record");
    let flags = ["--record", &record, "--exit", "7"];
    let setup = traced(setup.server_with("frail", &flags, FAST), &receiver);
    let (gateway, panel) = panel::serve(&setup);
    // From here on somebody wants to know them.
    panel.json("GET /api/v1/calls");
    let mut client = gateway.client_of(&["crash"]);
    for _ in 0..6 {
        assert_eq!(client.call("crash", &json!({}))["isError"], true);
    }
    gateway.wait_event("frail", "upstream tripped");
    assert_eq!(client.call("add", &json!({ "a": 1, "b": 2 }))["isError"], true);
    panel.json("POST /api/v1/upstreams/frail/reset");
    let spans = receiver.wait_for(PATIENCE, |spans| {
        let of = |step| steps(spans, step).len();
        let lives = [attr::LIFECYCLE_CONNECT, attr::LIFECYCLE_DEATH, attr::LIFECYCLE_RESPAWN];
        lives.map(of) == [7, 6, 5]
            && [attr::LIFECYCLE_TRIP, attr::LIFECYCLE_RESET].map(of) == [1, 1]
            && calls(spans, "server", "crash").len() == 6
            && calls(spans, "client", "crash").len() == 6
            && calls(spans, "server", "add").len() == 1
            && spans.iter().any(|span| span.name.starts_with("POST "))
    });
    check_deaths(&spans);
    check_trip(&spans);
    check_reset(&spans);

    // The last calls, as the dashboard shows them, are told in these traces.
    let told = panel.json("GET /api/v1/calls");
    let told: Vec<_> =
        told.as_array().unwrap().iter().rev().map(|call| &call["trace_id"]).collect();
    let crashes = calls(&spans, "server", "crash");
    let refused = calls(&spans, "server", "add");
    let traces = crashes.iter().chain(&refused);
    assert_eq!(told, traces.map(|call| &*call.trace_id).collect::<Vec<_>>());

    // What the upstream heard is where its work belongs.
    let heard = setup.lines("record");
    let heard = heard.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let heard: Vec<_> = heard
        .filter(|message| message["params"]["name"] == "crash")
        .map(|message| message["params"]["_meta"]["traceparent"].as_str().unwrap().to_owned())
        .collect();
    let sent: Vec<_> = calls(&spans, "client", "crash")
        .iter()
        .map(|call| format!("00-{}-{}-01", call.trace_id, call.span_id))
        .collect();
    assert_eq!(heard, sent);
}

fn check_deaths(spans: &[Span]) {
    let connects = steps(spans, attr::LIFECYCLE_CONNECT);
    let deaths = steps(spans, attr::LIFECYCLE_DEATH);
    let respawns = steps(spans, attr::LIFECYCLE_RESPAWN);
    let (servers, clients) = (calls(spans, "server", "crash"), calls(spans, "client", "crash"));
    for (index, death) in deaths.iter().enumerate() {
        let (server, client, connect) = (servers[index], clients[index], connects[index]);
        assert_eq!(incarnation(death), index as u64 + 1);
        assert_eq!(incarnation(client), incarnation(death), "{client:?}");
        assert_eq!(death.parent_span_id, None);
        assert_eq!(first_link(death), (attr::LINK_CONNECT, &*connect.span_id));
        assert_eq!(incarnation(connect), incarnation(death));
        // Its lists may have been read just then, which comes second.
        let lost = &death.links[1];
        assert_eq!(lost.attributes[attr::LINK_KIND], attr::LINK_IN_FLIGHT);
        assert_eq!(lost.span_id, client.span_id);
        assert!(is_child(client, server), "{client:?}");
        for call in [server, client] {
            assert_eq!(call.attribute(attr::ERROR_TYPE), Some(attr::ERROR_UPSTREAM_DIED));
            assert_eq!(first_link(call), (attr::LINK_DEATH, &*death.span_id), "{call:?}");
            assert_eq!(ids(call), [Some(&*death.trace_id), Some(&*death.span_id)]);
        }
        // The death was there before anybody was told of it.
        assert!(death.end <= client.end, "{death:?} {client:?}");
        if let Some(respawn) = respawns.get(index) {
            assert!(is_child(respawn, death), "{respawn:?}");
            assert!(is_child(connects[index + 1], respawn), "{respawn:?}");
            assert_eq!(first_link(respawn), (attr::LINK_PREVIOUS_CONNECT, &*connect.span_id));
            let next = first_link(connects[index + 1]);
            assert_eq!(next, (attr::LINK_PREVIOUS_CONNECT, &*connect.span_id));
        }
    }
}

fn check_trip(spans: &[Span]) {
    let deaths = steps(spans, attr::LIFECYCLE_DEATH);
    let trip = steps(spans, attr::LIFECYCLE_TRIP)[0];
    assert!(is_child(trip, deaths[5]), "{trip:?}");
    let others = deaths[..5].iter().map(|death| &*death.span_id).collect();
    assert_eq!(linked(trip, attr::LINK_DEATH), others);
    assert_eq!(trip.links.len(), 5);
    let why = "6 deaths in 60 s";
    assert!(trip.status_message.contains(why), "{trip:?}");
    for call in [calls(spans, "server", "add")[0], calls(spans, "client", "add")[0]] {
        assert_eq!(call.attribute(attr::ERROR_TYPE), Some(attr::ERROR_UPSTREAM_TRIPPED));
        assert_eq!(first_link(call), (attr::LINK_TRIP, &*trip.span_id), "{call:?}");
        assert_eq!(ids(call), [Some(&*trip.trace_id), Some(&*trip.span_id)]);
    }
    let refused = calls(spans, "server", "add")[0];
    assert_eq!(refused.attribute(attr::REQUEST_OUTCOME), Some("rejected"));
}

fn check_reset(spans: &[Span]) {
    let trip = steps(spans, attr::LIFECYCLE_TRIP)[0];
    let reset = steps(spans, attr::LIFECYCLE_RESET)[0];
    let asked = spans.iter().find(|span| span.name.starts_with("POST ")).unwrap();
    assert_eq!(asked.name, "POST /api/v1/upstreams/{upstream}/{verb}");
    assert_eq!(asked.attribute(attr::HTTP_RESPONSE_STATUS_CODE), Some("200"));
    assert!(is_child(reset, asked), "{reset:?}");
    assert_eq!(first_link(reset), (attr::LINK_TRIP, &*trip.span_id));
    let connect = steps(spans, attr::LIFECYCLE_CONNECT)[6];
    assert!(is_child(connect, reset), "{connect:?}");
    assert_eq!(connect.attribute(attr::CONNECT_REASON), Some("reset"));
}

#[test]
fn a_call_by_a_name_that_was_never_listed_links_to_the_trip_too() {
    let receiver = Receiver::start().unwrap();
    let flags = ["--die-before-handshake", "0"];
    let setup = Setup::new("[router]\nnaming = \"prefix\"").server("good", &[]);
    let setup = traced(setup.server_with("telegram", &flags, FAST), &receiver);
    let gateway = setup.serve();
    gateway.wait_event("telegram", "upstream tripped");
    let mut client = gateway.client_of(&["good__add"]);
    assert_eq!(client.call("telegram__send", &json!({}))["isError"], true);
    let spans = receiver.wait_for(PATIENCE, |spans| {
        !calls(spans, "server", "telegram__send").is_empty()
            && !steps(spans, attr::LIFECYCLE_TRIP).is_empty()
    });
    let call = calls(&spans, "server", "telegram__send")[0];
    let trip = steps(&spans, attr::LIFECYCLE_TRIP)[0];
    assert_eq!(call.attribute(attr::ERROR_TYPE), Some(attr::ERROR_UPSTREAM_TRIPPED));
    assert_eq!(call.attribute(attr::UPSTREAM_NAME), Some("telegram"));
    assert_eq!(first_link(call), (attr::LINK_TRIP, &*trip.span_id));
}
