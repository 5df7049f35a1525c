//! Spans, numbers and log records through a collector that nobody here wrote: `cargo xtask interop`
//! installs it and runs this.

use crate::{
    gateway::{PATIENCE, Setup},
    spans::FAST,
};
use mcplex_proto::{attr, metric::Metric};
use mcplex_testkit::otlp::{Point, Receiver, Span};
use rustix::process::Signal;
use serde_json::json;
use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Names the program of the collector, which is rotel.
const PROGRAM: &str = "MCPLEX_COLLECTOR";

/// A collector that reads all it gets, and hands it on to a receiver in its own words.
struct Collector {
    child: Child,
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Collector {
    fn start(setup: &Setup, receiver: &Receiver) -> Self {
        let program = env::var_os(PROGRAM).expect("`cargo xtask interop` says where it is");
        // It wants to be told, so the ports are looked for, both before either is let go.
        let free = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [grpc, http] = free.map(|listener| listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "the collector is what is tested against")]
        let mut command = Command::new(program);
        command.args(["start", "--exporter", "otlp", "--otlp-exporter-protocol", "http"]);
        command.args(["--otlp-exporter-endpoint", &receiver.endpoint()]);
        command.args(["--otlp-grpc-endpoint", &grpc.to_string()]);
        command.args(["--otlp-http-endpoint", &http.to_string()]);
        command.args(["--pid-file", &setup.path("collector.pid")]);
        command.args(["--log-file", &setup.path("collector.log")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let collector = Self { child: child.spawn().unwrap(), grpc, http };
        for address in [grpc, http] {
            let is_there = (0..2_000).any(|_| {
                thread::park_timeout(Duration::from_millis(10));
                TcpStream::connect(address).is_ok()
            });
            assert!(is_there, "the collector does not listen on {address}");
        }
        collector
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Everything that leaves says the same when somebody else has read it and written it again.
fn check(protocol: &str, of: impl Fn(&Collector) -> SocketAddr) {
    let receiver = Receiver::start().unwrap();
    let flags = ["--die-before-handshake", "0", "--exit", "7"];
    let setup = Setup::new("").server("good", &[]).server_with("bad", &flags, FAST);
    let collector = Collector::start(&setup, &receiver);
    let setup = setup
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", of(&collector)))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env("OTEL_LOGS_EXPORTER", "otlp")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    let mut gateway = setup.serve();
    gateway.wait_event("bad", "upstream tripped");
    gateway.client_of(&["add"]).call("add", &json!({ "a": 1, "b": 2 }));
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());
    let lost = |line: &String| line.contains("an export failed") || line.contains("not everything");
    assert!(!gateway.said().iter().any(lost), "{:#?}", gateway.said());

    let is = |name: &'static str| move |span: &&Span| span.name == name;
    let spans = receiver.wait_for(PATIENCE, |spans| {
        ["mcplex.stop good", "mcplex.trip bad"]
            .iter()
            .all(|name| spans.iter().any(|it| it.name == *name))
            && spans.iter().filter(is("tools/call add")).count() == 2
            && spans.iter().filter(is("mcplex.death bad")).count() == 6
    });
    let trip = spans.iter().find(is("mcplex.trip bad")).unwrap();
    let deaths: Vec<_> = spans.iter().filter(is("mcplex.death bad")).collect();
    assert!(deaths.iter().any(|death| Some(&death.span_id) == trip.parent_span_id.as_ref()));
    assert_eq!((trip.links.len(), trip.status_code), (5, "error"), "{trip:?}");
    let is_death = |id: &String| deaths.iter().any(|death| death.span_id == *id);
    for link in &trip.links {
        assert!(is_death(&link.span_id), "{trip:?}");
        assert_eq!(link.attributes[attr::LINK_KIND], attr::LINK_DEATH);
    }
    assert_eq!(trip.scope.name, attr::SCOPE_SUPERVISOR);
    assert_eq!(trip.resource["service.name"], "mcplex");

    let points = receiver.wait_for_points(PATIENCE, |points| {
        let deaths = points.iter().filter(|it| it.name == Metric::UpstreamDeaths.doc().name);
        let is_call = |it: &&Point| {
            it.name == Metric::ClientDuration.doc().name
                && it.attribute(attr::MCP_METHOD_NAME) == Some("tools/call")
        };
        let took = points.iter().filter(is_call);
        deaths.map(|it| it.value).fold(0.0, f64::max) >= 5.9
            && took.map(|it| it.count).max() == Some(1)
    });
    assert!(points.iter().any(|it| it.attribute(attr::UPSTREAM_NAME) == Some("bad")));
    let records = receiver.wait_for_records(PATIENCE, |records| {
        records.iter().any(|record| record.event_name == attr::EVENT_TRIP)
    });
    let told = records.iter().find(|record| record.event_name == attr::EVENT_TRIP).unwrap();
    assert_eq!((&told.trace_id, &told.span_id), (&trip.trace_id, &trip.span_id), "{told:?}");
}

#[test]
#[ignore = "needs the collector that `cargo xtask interop` installs"]
fn collector_of_others_gets_everything_over_grpc() {
    check("grpc", |collector| collector.grpc);
}

#[test]
#[ignore = "needs the collector that `cargo xtask interop` installs"]
fn collector_of_others_gets_everything_over_http() {
    check("http/protobuf", |collector| collector.http);
}
