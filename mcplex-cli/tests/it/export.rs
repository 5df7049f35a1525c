//! What leaves `mcplex`, by which way, and what it costs when nobody takes it.

use crate::{
    gateway::{Gateway, PATIENCE, Setup},
    stdio::StdioClient,
    verbs::ok,
};
use mcplex_proto::attr;
use mcplex_testkit::otlp::{Receiver, Record, Span};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};
use tokio::net::TcpSocket;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
/// Where operators come over TCP.
const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"";

/// Nothing waits longer than a test wants to.
fn hasty(setup: Setup) -> Setup {
    setup
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "20")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
}

fn end(gateway: &mut Gateway) {
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());
}

fn is_step(span: &Span, step: &str) -> bool {
    span.attribute(attr::LIFECYCLE) == Some(step)
}

#[test]
fn every_signal_leaves_over_every_protocol() {
    for protocol in ["http/protobuf", "http/json", "grpc"] {
        let receiver = Receiver::start().unwrap();
        let setup = hasty(Setup::new("").server("good", &[]))
            .env(ENDPOINT, &receiver.endpoint())
            .env(PROTOCOL, protocol)
            .env("OTEL_LOGS_EXPORTER", "otlp")
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t0ken");
        let mut gateway = setup.serve();
        gateway.client_of(&["add"]).call("add", &json!({ "a": 1, "b": 2 }));
        receiver.wait_for(PATIENCE, |spans| {
            spans.iter().any(|span| span.name == "tools/call add" && span.kind == "server")
        });
        receiver.wait_for_points(PATIENCE, |points| !points.is_empty());
        receiver.wait_for_records(PATIENCE, |records| {
            records.iter().any(|record| record.event_name == attr::EVENT_CONNECT)
        });
        end(&mut gateway);
        // What happened at the very end left as well.
        assert!(receiver.spans().iter().any(|span| is_step(span, attr::LIFECYCLE_STOP)));
        for request in receiver.requests() {
            assert_eq!(request.protocol, protocol);
            assert_eq!(request.headers["authorization"], "Bearer t0ken");
        }
        assert!(!gateway.said().iter().any(|line| line.contains("t0ken")));
    }
}

#[test]
fn a_configured_endpoint_speaks_what_the_configuration_says() {
    let receiver = Receiver::start().unwrap();
    let telemetry = format!(
        "[telemetry]\nendpoint = \"{}\"\nprotocol = \"grpc\"\nservice_name = \"mine\"",
        receiver.endpoint()
    );
    let mut gateway = hasty(Setup::new(&telemetry).server("good", &[])).serve();
    receiver.wait_for(PATIENCE, |spans| {
        spans.iter().any(|span| is_step(span, attr::LIFECYCLE_CONNECT))
    });
    end(&mut gateway);
    assert!(receiver.requests().iter().all(|request| request.protocol == "grpc"));
    assert!(receiver.spans().iter().all(|span| span.resource["service.name"] == "mine"));
    assert!(receiver.records().is_empty());
}

#[test]
fn each_step_is_a_log_record_with_a_name_and_the_span_that_tells_more() {
    let receiver = Receiver::start().unwrap();
    let flags = ["--die-before-handshake", "0", "--exit", "7"];
    let fast = "backoff_first = \"20ms\"\nbackoff_factor = 1";
    let setup = hasty(Setup::new("").server_with("bad", &flags, fast).server("good", &[]))
        .env(ENDPOINT, &receiver.endpoint())
        .env("OTEL_LOGS_EXPORTER", "otlp");
    let gateway = setup.serve();
    gateway.wait_event("bad", "upstream tripped");
    // It trips again at once, which is no matter here.
    let _tripped_again = setup.run(&["reset", "bad"]);
    let expect = BTreeMap::from([
        (attr::EVENT_CONNECT, (attr::LIFECYCLE_CONNECT, "INFO")),
        (attr::EVENT_DEATH, (attr::LIFECYCLE_DEATH, "WARN")),
        (attr::EVENT_RESPAWN, (attr::LIFECYCLE_RESPAWN, "INFO")),
        (attr::EVENT_TRIP, (attr::LIFECYCLE_TRIP, "ERROR")),
        (attr::EVENT_RESET, (attr::LIFECYCLE_RESET, "INFO")),
    ]);
    let of = |name: &'static str| move |record: &&Record| record.event_name == name;
    let records = receiver.wait_for_records(PATIENCE, |records| {
        expect.keys().all(|name| records.iter().any(|record| of(name)(&record)))
    });
    for (name, (step, severity)) in expect {
        let record = records.iter().find(of(name)).unwrap();
        assert_eq!(record.severity, severity, "{record:?}");
        assert!(record.attributes.contains_key("upstream"), "{record:?}");
        assert_eq!(record.scope.name, "mcplex.supervisor");
        assert!(!record.scope.version.is_empty() && !record.scope.schema_url.is_empty());
        let told = |span: &Span| {
            (&*span.trace_id, &*span.span_id) == (&*record.trace_id, &*record.span_id)
        };
        let spans = receiver.wait_for(PATIENCE, |spans| spans.iter().any(told));
        let span = spans.iter().find(|span| told(span)).unwrap();
        assert!(is_step(span, step), "{name}: {span:?}");
    }
}

/// Two traps: a parent waits for its children, and a task that lives long holds its span.
#[test]
fn no_span_waits_for_what_comes_long_after_it() {
    let receiver = Receiver::start().unwrap();
    let flags = ["--die-before-handshake", "0", "--exit", "7"];
    let slow = "backoff_first = \"1h\"\nbackoff_max = \"1h\"";
    let setup = Setup::new("").server_with("bad", &flags, slow).server("good", &[]);
    let _gateway = hasty(setup).env(ENDPOINT, &receiver.endpoint()).serve();
    // The respawn after the death takes an hour, and the life after the connect takes for ever.
    let spans = receiver.wait_for(PATIENCE, |spans| {
        let of = |upstream, step| {
            spans.iter().any(|span| {
                is_step(span, step) && span.attribute(attr::UPSTREAM_NAME) == Some(upstream)
            })
        };
        of("bad", attr::LIFECYCLE_DEATH) && of("good", attr::LIFECYCLE_CONNECT)
    });
    assert!(!spans.iter().any(|span| is_step(span, attr::LIFECYCLE_RESPAWN)));
}

/// A trap: what is found before the log is there is not heard.
#[test]
fn what_cannot_be_followed_is_told_though_it_is_found_before_there_is_a_log() {
    let setup = Setup::new("")
        .server("good", &[])
        .env(ENDPOINT, "https://127.0.0.1:1")
        .env("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/roots.pem")
        .env("OTEL_TRACES_SAMPLER", "jaeger_remote")
        .env("OTEL_PROPAGATORS", "b3")
        .env("OTEL_BSP_SCHEDULE_DELAY", "5s")
        .env("OTEL_LOG_LEVEL", "debug");
    let mut gateway = setup.serve();
    gateway.wait_event("good", "upstream connected");
    let told = gateway.own("a variable cannot be followed");
    let told: BTreeSet<_> = told.iter().map(|line| line["variable"].as_str().unwrap()).collect();
    let expect =
        ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_LOG_LEVEL", "OTEL_PROPAGATORS", "OTEL_TRACES_SAMPLER"];
    assert_eq!(told, BTreeSet::from(expect));
    let unsent = gateway.own("nothing is sent there");
    assert!(unsent[0]["error"].as_str().unwrap().starts_with("/nowhere/roots.pem: "), "{unsent:?}");
    end(&mut gateway);
}

#[test]
fn the_doctor_tells_what_cannot_be_followed_and_which_collector_is_not_there() {
    let deaf = deaf();
    let setup = Setup::new("[gateway]\nlisten = \"127.0.0.1:0\"")
        .server("good", &[])
        .env(ENDPOINT, &format!("http://{}", deaf.local_addr().unwrap()))
        .env("OTEL_TRACES_SAMPLER", "xray");
    let ran = setup.run(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let of = |about| checks.iter().filter(move |check| check["about"] == about);
    // Spans and metrics go to one place, which is told once.
    assert_eq!(of("collector").count(), 1, "{report:#}");
    assert_eq!(of("collector").next().unwrap()["level"], "warning", "{report:#}");
    let what = of("telemetry").next().unwrap()["what"].as_str().unwrap();
    assert!(what.starts_with("OTEL_TRACES_SAMPLER names no sampler"), "{what}");
}

#[test]
fn what_is_disabled_asks_nobody_anything() {
    let receiver = Receiver::start().unwrap();
    let setup = hasty(Setup::new(ADMIN).server("good", &[]))
        .env(ENDPOINT, &receiver.endpoint())
        .env("OTEL_LOGS_EXPORTER", "otlp")
        .env("OTEL_TRACES_EXPORTER", "otlp,console")
        .env("OTEL_SDK_DISABLED", "true");
    let mut gateway = setup.serve();
    gateway.client_of(&["add"]).call("add", &json!({ "a": 1, "b": 2 }));
    assert!(page(&setup).0.starts_with("http/1.1 404"));
    end(&mut gateway);
    assert!(receiver.requests().is_empty());
    assert!(!gateway.said().iter().any(|line| line.contains("resourceSpans")));
}

#[test]
fn the_console_is_stderr_and_never_the_pipe_of_a_client() {
    let mut setup = hasty(Setup::new("").server("good", &[]));
    for signal in ["TRACES", "METRICS", "LOGS"] {
        setup = setup.env(&format!("OTEL_{signal}_EXPORTER"), "console");
    }
    setup.write();
    let mut client = StdioClient::start(&setup, &[]);
    client.gateway.wait_event("good", "upstream connected");
    let id = client.begin("tools/call", &json!({ "name": "add", "arguments": { "a": 1, "b": 2 } }));
    client.wait(|message| {
        assert_eq!(message["jsonrpc"], "2.0", "{message}");
        message["id"] == id && message["method"].is_null()
    });
    for key in ["resourceSpans", "resourceMetrics", "resourceLogs"] {
        let line = client.gateway.wait_for(&format!("{{\"{key}\":"));
        let batch: Value = serde_json::from_str(&line).unwrap();
        let name = &batch[key][0]["resource"]["attributes"];
        let is_name = |one: &&Value| one["key"] == "service.name";
        let name = name.as_array().unwrap().iter().find(is_name).unwrap();
        assert_eq!(name["value"]["stringValue"], "mcplex");
    }
    client.leave();
    assert!(client.gateway.ended().success());
}

/// A port that is taken and does not listen: nobody else can come to listen there.
fn deaf() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

/// Calls after which a full queue must have been noticed.
const MOST_CALLS: usize = 20_000;

#[test]
fn a_collector_that_is_gone_or_hung_costs_what_is_counted_and_nothing_else() {
    let deaf = deaf();
    // The kernel takes connections, and nobody else does.
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let places = [deaf.local_addr().unwrap(), hung.local_addr().unwrap()];
    for (place, protocol) in
        places.iter().flat_map(|place| [(place, "http/protobuf"), (place, "grpc")])
    {
        let setup = hasty(Setup::new(ADMIN).server("good", &[]))
            .env(ENDPOINT, &format!("http://{place}"))
            .env(PROTOCOL, protocol)
            .env("OTEL_LOGS_EXPORTER", "otlp")
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
            .env("OTEL_BSP_MAX_QUEUE_SIZE", "50")
            .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10");
        let mut gateway = setup.serve();
        let mut client = gateway.client_of(&["add"]);
        client.call("add", &json!({ "a": 1, "b": 2 }));
        let before = memory(gateway.pid());
        // However slow the machine is: the queue holds 50, and ten of them leave in a second.
        for n in 0..MOST_CALLS {
            let answer = client.call("add", &json!({ "a": n, "b": 2 }));
            assert!(answer["isError"] != true, "{answer}");
            if n > 200 && !gateway.own("the queue to the collector is full").is_empty() {
                break;
            }
        }
        let grown = memory(gateway.pid()).saturating_sub(before);
        assert!(grown < 32 << 20, "{grown} bytes more");
        let full = gateway.wait_own("the queue to the collector is full", 1);
        assert!(full[0]["lost"].as_u64().unwrap() > 0, "{full:?}");
        for signal in ["spans", "metrics", "log records"] {
            gateway.wait_for(&format!("\"signal\":\"{signal}\",\"error\":"));
        }
        let (_, text) = page(&setup);
        let lost = number(&text, "otel_sdk_exporter_span_exported_total", "error_type=\"_OTHER\"");
        assert!(lost > 0.0, "{text}");
        let told = ok(&setup, &["status"]);
        assert!(told.contains("\nNot exported: "), "{told}");
        let full = "error_type=\"queue_full\"";
        assert!(number(&text, "otel_sdk_processor_span_processed_total", full) > 0.0, "{text}");
        end(&mut gateway);
        let said = gateway.wait_own("some of the last spans are lost", 1);
        let said = said[0]["error"].as_str().unwrap();
        assert!(said.contains(" spans, ") && said.contains(" log records, "), "{said}");
        // A minute has not passed: each way out has said it once, and lifecycle spans have their own.
        let lines = gateway.own("an export failed");
        assert!(lines.len() <= 4, "{lines:?}");
    }
}

#[test]
fn an_exit_waits_for_a_hung_collector_no_longer_than_it_says() {
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", hung.local_addr().unwrap());
    for protocol in ["http/protobuf", "grpc"] {
        let setup = Setup::new("").server("good", &[]).env(ENDPOINT, &endpoint);
        let mut gateway = setup.env(PROTOCOL, protocol).serve();
        gateway.wait_event("good", "upstream connected");
        end(&mut gateway);
        let said = gateway.wait_own("some of the last spans are lost", 1);
        let said = said[0]["error"].as_str().unwrap();
        assert!(said.ends_with("still unsent after 3s"), "{said}");
    }
}

/// The memory that a process holds, in bytes.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Asks for the numbers as a scraper does: the head of the answer, and the text.
fn page(setup: &Setup) -> (String, String) {
    let all: Value = serde_json::from_str(&ok(setup, &["status", "--json"])).unwrap();
    let link = all["instance"]["dashboard"].as_str().unwrap();
    let (url, token) = link.split_once("#token=").unwrap();
    let address = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

/// One line of a page: a name, its labels as text, and a number.
fn sample(line: &str) -> (&str, &str, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
        None => (series, ""),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(!name.is_empty() && name.chars().all(is_name), "{line}");
    (name, labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
}

/// The number of a series whose labels hold this one.
fn number(text: &str, name: &str, label: &str) -> f64 {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let found = lines.map(sample).find(|(of, labels, _)| *of == name && labels.contains(label));
    found.map_or(0.0, |(_, _, value)| value)
}

#[test]
fn a_scraper_reads_every_number_and_clients_cannot_make_up_more_series() {
    let setup = Setup::new(ADMIN).server("good", &[]);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["add"]);
    client.call("add", &json!({ "a": 1, "b": 2 }));
    let ask = |client: &mut crate::client::Client, from: usize| {
        for n in from..from + 20 {
            let unknown = json!({ "name": format!("made up {n}"), "arguments": {} });
            client.request("tools/call", &unknown);
            client.request(&format!("made/up{n}"), &json!({}));
            client.request("resources/read", &json!({ "uri": format!("made://up/{n}") }));
        }
    };
    ask(&mut client, 0);
    let series = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect::<BTreeSet<_>>()
    };
    let before = series(&page(&setup).1);
    ask(&mut client, 20);
    client.delete();
    let (head, text) = page(&setup);
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let new: Vec<_> = series(&text).difference(&before).cloned().collect();
    assert!(new.iter().all(|name| name.starts_with("mcp_server_session_duration")), "{new:?}");

    let mut kinds = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(kinds.insert(name, kind).is_none(), "{name} is there twice");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, ..) = sample(line);
        let ends = ["_bucket", "_sum", "_count"].into_iter();
        let base = ends.filter_map(|end| name.strip_suffix(end)).find(|it| kinds.contains_key(it));
        assert!(kinds.contains_key(name) || base.is_some(), "{line}");
    }
    // The two for sessions with upstreams have no number before such a session has ended.
    for name in ["mcp_server_operation_duration", "mcp_client_operation_duration"] {
        has_buckets(&text, &format!("{name}_seconds"), "gen_ai_tool_name=\"add\"");
    }
    has_buckets(&text, "mcp_server_session_duration_seconds", "");
    ok(&setup, &["stop", "good"]);
    let (_, text) = page(&setup);
    has_buckets(&text, "mcp_client_session_duration_seconds", "mcplex_upstream_name=\"good\"");
}

/// Asserts that a histogram has the bounds of the conventions, and counts upward.
#[track_caller]
fn has_buckets(text: &str, name: &str, label: &str) {
    let bucket = format!("{name}_bucket");
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(sample);
    let lines = lines.filter(|(of, labels, _)| *of == bucket && labels.contains(label));
    let mut all: Vec<(String, f64)> = lines
        .map(|(_, labels, value)| (labels.split("le=\"").nth(1).unwrap().to_owned(), value))
        .collect();
    // One series is enough; a second one begins with the first bound again.
    all.truncate(15);
    let bounds: Vec<_> = all.iter().map(|(bound, _)| bound.trim_end_matches('"')).collect();
    let expect = [
        "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "30", "60", "120", "300",
        "+Inf",
    ];
    assert_eq!(bounds, expect, "{name}");
    assert!(all.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name}: {all:?}");
    assert!(all[14].1 >= 1.0, "{name}: {all:?}");
}
