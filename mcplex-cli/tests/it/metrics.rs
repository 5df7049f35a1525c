//! Numbers that really left `mcplex` over OTLP.

use crate::gateway::{PATIENCE, Setup};
use mcplex_proto::{
    attr,
    metric::{METRICS, Metric},
};
use mcplex_testkit::otlp::{Point, Receiver};
use serde_json::json;

fn measured(setup: Setup, receiver: &Receiver) -> Setup {
    setup
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint())
        // Numbers leave once a minute; a test does not want to wait for that.
        .env("OTEL_METRIC_EXPORT_INTERVAL", "20")
}

/// The newest points of a metric whose attributes are like this.
fn newest<'a>(
    points: &'a [Point],
    metric: Metric,
    like: &'a [(&'a str, &'a str)],
) -> impl Iterator<Item = &'a Point> {
    points.iter().rev().filter(move |point| {
        let is_like = |(name, value): &(&str, &str)| point.attribute(name) == Some(*value);
        point.name == metric.doc().name && like.iter().all(is_like)
    })
}

/// Whether the newest such point has this number.
fn is(points: &[Point], metric: Metric, like: &[(&str, &str)], expect: f64) -> bool {
    newest(points, metric, like).next().is_some_and(|point| (point.value - expect).abs() < 0.1)
}

#[test]
fn a_crash_loop_in_numbers() {
    let receiver = Receiver::start().unwrap();
    let flags = ["--die-before-handshake", "0", "--exit", "7"];
    let fast = "backoff_first = \"20ms\"\nbackoff_factor = 1";
    let setup = Setup::new("").server("good", &[]).server_with("bad", &flags, fast);
    let mut gateway = measured(setup, &receiver).serve();
    let bad = (attr::UPSTREAM_NAME, "bad");
    let good = (attr::UPSTREAM_NAME, "good");
    let state = |state| (attr::UPSTREAM_STATE, state);
    let exit = (attr::ERROR_TYPE, attr::ERROR_PROCESS_EXIT);
    receiver.wait_for_points(PATIENCE, |points| {
        is(points, Metric::UpstreamStatus, &[bad, state("tripped")], 1.0)
            && is(points, Metric::UpstreamStatus, &[bad, state("recovering")], 0.0)
            && is(points, Metric::UpstreamStatus, &[good, state("ready")], 1.0)
            && is(points, Metric::UpstreamDeaths, &[bad, (attr::DEATH_REASON, "exit")], 6.0)
            && is(points, Metric::UpstreamRespawns, &[bad, exit], 5.0)
            && is(points, Metric::BreakerTrips, &[bad], 1.0)
            && is(points, Metric::ChildCount, &[bad], 0.0)
            && is(points, Metric::ChildCount, &[good], 1.0)
    });
    let points = receiver.points();
    assert_eq!(newest(&points, Metric::ConnectDuration, &[bad, exit]).next().unwrap().count, 6);
    assert_eq!(newest(&points, Metric::ConnectDuration, &[good]).next().unwrap().count, 1);
    assert!(newest(&points, Metric::UpstreamDeaths, &[good]).next().is_none());

    gateway.signal(rustix::process::Signal::TERM);
    assert!(gateway.ended().success());
    // What happened at the very end left as well.
    let points = receiver.points();
    assert_eq!(newest(&points, Metric::UpstreamLifetime, &[good]).next().unwrap().count, 1);
    assert!(is(&points, Metric::ChildCount, &[good], 0.0));
    only_the_table(&points);
}

#[test]
fn calls_in_numbers_and_what_a_client_makes_up_is_one_label() {
    let receiver = Receiver::start().unwrap();
    let gateway = measured(Setup::new("").server("good", &[]), &receiver).serve();
    let mut client = gateway.client_of(&["add"]);
    for n in 0..3 {
        client.call("add", &json!({ "a": n, "b": 2 }));
    }
    for n in 0..5 {
        let unknown = json!({ "name": format!("made up {n}"), "arguments": {} });
        client.request("tools/call", &unknown);
    }
    client.delete();
    let add = [(attr::GEN_AI_TOOL_NAME, "add"), (attr::UPSTREAM_NAME, "good")];
    let other = [(attr::GEN_AI_TOOL_NAME, attr::ERROR_OTHER)];
    let points = receiver.wait_for_points(PATIENCE, |points| {
        let count = |metric, like: &[(&str, &str)]| {
            newest(points, metric, like).next().map_or(0, |point| point.count)
        };
        count(Metric::ServerDuration, &add) == 3
            && count(Metric::ClientDuration, &add) == 3
            && count(Metric::ServerDuration, &other) == 5
            && count(Metric::ServerSession, &[]) == 1
            && is(points, Metric::RequestActive, &[], 0.0)
    });
    let told = newest(&points, Metric::ServerDuration, &add).next().unwrap();
    assert_eq!(told.attribute(attr::MCP_METHOD_NAME), Some("tools/call"));
    assert_eq!(told.attribute(attr::MCP_PROTOCOL_VERSION), Some("2025-11-25"));
    assert_eq!(told.attribute(attr::NETWORK_TRANSPORT), Some("tcp"));
    assert_eq!(told.attribute(attr::ERROR_TYPE), None);
    // A bad name is the client's fault: the code is told, and it is no failure of mcplex.
    let refused = newest(&points, Metric::ServerDuration, &other).next().unwrap();
    assert_eq!(refused.attribute(attr::RPC_RESPONSE_STATUS_CODE), Some("-32602"));
    assert_eq!(refused.attribute(attr::ERROR_TYPE), None);
    only_the_table(&points);
}

#[test]
fn sessions_and_calls_over_http_say_where_and_how() {
    let receiver = Receiver::start().unwrap();
    let far = Setup::new("").server("deep", &[]).serve();
    far.wait_event("deep", "upstream connected");
    let url = far.url();
    let mut setup = Setup::new("").server("near", &[]);
    setup.push(&format!("[[servers]]\nname = \"far\"\nurl = \"{url}\"\nera = \"legacy\""));
    // Numbers say it whether or not there are spans.
    let setup = measured(setup, &receiver).env("OTEL_TRACES_EXPORTER", "none");
    let mut gateway = setup.serve();
    let mut client = gateway.client_of(&["near__add", "far__add"]);
    for name in ["near__add", "far__add"] {
        client.call(name, &json!({ "a": 1, "b": 2 }));
    }
    client.delete();
    gateway.signal(rustix::process::Signal::TERM);
    assert!(gateway.ended().success());
    let points = receiver.points();
    let port = url.trim_end_matches("/mcp").rsplit(':').next().unwrap();
    let http = [
        (attr::NETWORK_TRANSPORT, Some("tcp")),
        (attr::NETWORK_PROTOCOL_NAME, Some("http")),
        (attr::NETWORK_PROTOCOL_VERSION, Some("1.1")),
    ];
    let there = [(attr::SERVER_ADDRESS, Some("127.0.0.1")), (attr::SERVER_PORT, Some(port))];
    let pipe = [(attr::NETWORK_TRANSPORT, Some("pipe")), (attr::NETWORK_PROTOCOL_NAME, None)];
    let nowhere = [(attr::SERVER_ADDRESS, None), (attr::SERVER_PORT, None)];
    let far = [(attr::UPSTREAM_NAME, "far")];
    let near = [(attr::UPSTREAM_NAME, "near")];
    let check = |metric: Metric, like: &[(&str, &str)], expect: &[(&str, Option<&str>)]| {
        let point = newest(&points, metric, like).next();
        let point = point.unwrap_or_else(|| panic!("{metric:?} of {like:?}: {points:#?}"));
        for (name, value) in expect {
            assert_eq!(point.attribute(name), *value, "{name}: {point:?}");
        }
        assert!(point.attribute(attr::MCP_PROTOCOL_VERSION).is_some(), "{point:?}");
    };
    // What was called, what mcplex asked by itself, and the session as a whole.
    for (metric, method) in [
        (Metric::ClientDuration, Some("tools/call")),
        (Metric::ClientDuration, Some("initialize")),
        (Metric::ClientDuration, Some("tools/list")),
        (Metric::ClientSession, None),
    ] {
        let of = |like: [(&'static str, &'static str); 1]| {
            let method = method.map(|method| (attr::MCP_METHOD_NAME, method));
            like.into_iter().chain(method).collect::<Vec<_>>()
        };
        check(metric, &of(far), &[&http[..], &there].concat());
        check(metric, &of(near), &[&pipe[..], &nowhere].concat());
    }
    let refused = [near[0], (attr::MCP_METHOD_NAME, "server/discover")];
    let refused = newest(&points, Metric::ClientDuration, &refused).next().unwrap();
    assert_eq!(refused.attribute(attr::ERROR_TYPE), Some("-32601"));
    check(Metric::ServerDuration, &far, &[&http[..], &nowhere].concat());
    check(Metric::ServerSession, &[], &http);
    only_the_table(&points);
}

fn only_the_table(points: &[Point]) {
    for point in points {
        let doc = METRICS.iter().find(|doc| doc.name == point.name).expect("it is in the table");
        for name in point.attributes.keys() {
            assert!(doc.attributes.contains(&&**name), "{name} on {}", doc.name);
        }
    }
}
