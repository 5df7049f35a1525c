//! Spans that really leave: one subscriber per process, so one test per file.

use std::time::Duration;

use mcplex_proto::attr;
use mcplex_proto::trace::{self, TraceContext};
use mcplex_telemetry::Options;
use mcplex_testkit::otlp::{Receiver, Span};
use tracing::field::Empty;

const SOON: Duration = Duration::from_secs(20);
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

#[test]
fn spans_arrive_with_their_parents_links_and_attributes() {
    let receiver = Receiver::start().unwrap();
    let options = Options {
        env: vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), receiver.endpoint()),
            ("OTEL_BSP_SCHEDULE_DELAY".into(), "20".into()),
            // Requests are taken only if the caller takes them.
            ("OTEL_TRACES_SAMPLER".into(), "parentbased_always_off".into()),
        ],
        ..Options::default()
    };
    let telemetry = mcplex_telemetry::install(options).unwrap();
    assert_eq!(telemetry.endpoint().unwrap(), format!("{}/v1/traces", receiver.endpoint()));

    let connect = connect();
    let death = death(&connect);
    respawn(&death);
    request("called by a sampled trace", Some(SAMPLED), &death);
    request("called by an unsampled trace", Some(UNSAMPLED), &death);
    request("called by nobody", None, &death);
    tracing::info_span!("from some library").in_scope(|| {});

    // Before any flush: the queues empty themselves.
    let spans = receiver.wait_for(SOON, |spans| spans.len() >= 5);
    check_lifecycle(&spans, &connect, &death);
    check_requests(&spans, &death);
    // What is still open at the end leaves with the flush.
    lifecycle(attr::STOP, attr::LIFECYCLE_STOP);
    telemetry.shutdown(SOON).unwrap();
    let spans = receiver.spans();
    named(&spans, "mcplex.stop telegram");
    assert_eq!(spans.len(), 6, "{spans:#?}");
    check_catalogue(&spans);
}

/// Makes a lifecycle span without a parent.
fn lifecycle(name: &str, step: &str) -> tracing::Span {
    tracing::info_span!(
        target: attr::TARGET_LIFE,
        parent: None,
        "lifecycle",
        { attr::OTEL_NAME } = format!("{name} telegram"),
        { attr::LIFECYCLE } = step,
        { attr::UPSTREAM_NAME } = "telegram",
        { attr::UPSTREAM_INCARNATION } = 1_u64,
        { attr::ERROR_TYPE } = Empty,
        { attr::OTEL_STATUS_CODE } = Empty,
        { attr::OTEL_STATUS_DESCRIPTION } = Empty,
    )
}

/// Makes a connect with its handshake, and returns what outlives it.
fn connect() -> TraceContext {
    let span = lifecycle(attr::CONNECT, attr::LIFECYCLE_CONNECT);
    span.in_scope(|| {
        tracing::info_span!(
            target: attr::TARGET_HANDSHAKE,
            attr::CLIENT,
            { attr::OTEL_NAME } = "initialize",
            { attr::OTEL_KIND } = attr::KIND_CLIENT,
        );
    });
    trace::context_of(&span).expect("spans are exported")
}

/// Makes a death that links to a connect which has closed.
fn death(connect: &TraceContext) -> TraceContext {
    let span = lifecycle(attr::DEATH, attr::LIFECYCLE_DEATH);
    trace::link(&span, connect, attr::LINK_CONNECT);
    span.record(attr::ERROR_TYPE, attr::ERROR_PROCESS_EXIT);
    span.record(attr::OTEL_STATUS_CODE, attr::STATUS_ERROR);
    span.record(attr::OTEL_STATUS_DESCRIPTION, "exited with code 1");
    trace::context_of(&span).expect("spans are exported")
}

/// Makes a respawn below a death which has closed.
fn respawn(death: &TraceContext) {
    let span = lifecycle(attr::RESPAWN, attr::LIFECYCLE_RESPAWN);
    trace::set_parent(&span, death);
}

/// Makes a server span that failed because of a death.
fn request(name: &str, caller: Option<&str>, death: &TraceContext) {
    let span = tracing::info_span!(
        target: attr::TARGET_ROUTED,
        parent: None,
        attr::SERVER,
        { attr::OTEL_NAME } = name,
        { attr::OTEL_KIND } = attr::KIND_SERVER,
        { attr::MCP_METHOD_NAME } = "tools/call",
    );
    let caller =
        caller.map(|caller| TraceContext::parse(caller, Some("vendor=1")).expect("it is valid"));
    if let Some(caller) = &caller {
        trace::set_parent(&span, caller);
    }
    // What goes into `_meta`: the same trace, another span, and the caller's decision.
    let onward = trace::context_of(&span).expect("spans are exported");
    if let Some(caller) = caller {
        assert_eq!(onward.trace_id(), caller.trace_id());
        assert_ne!(onward.span_id(), caller.span_id());
        assert_eq!(onward.is_sampled(), caller.is_sampled());
        assert_eq!(onward.tracestate(), Some("vendor=1"));
    }
    trace::link(&span, death, attr::LINK_DEATH);
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.name == name);
    assert!(found.is_some(), "no {name}: {spans:#?}");
    found.expect("it was just found")
}

fn check_lifecycle(spans: &[Span], connect: &TraceContext, death: &TraceContext) {
    let connected = named(spans, "mcplex.connect telegram");
    assert_eq!(connected.kind, "internal");
    assert_eq!(connected.status_code, "unset");
    assert_eq!(connected.span_id, connect.span_id_hex());
    assert_eq!(connected.parent_span_id, None);
    assert_eq!(connected.resource["service.name"], "mcplex");
    assert_eq!(connected.resource["service.instance.id"].len(), 36);
    for expect in ["host.arch", "os.type", "process.pid", "process.executable.name"] {
        assert!(connected.resource.contains_key(expect), "{expect}: {:?}", connected.resource);
    }
    let schema = "https://opentelemetry.io/schemas/1.44.0";
    assert_eq!(connected.scope.name, attr::SCOPE_SUPERVISOR);
    assert_eq!(connected.scope.schema_url, schema);
    assert_eq!(connected.scope.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(connected.scope.resource_schema_url, schema);

    let handshake = named(spans, "initialize");
    assert_eq!(handshake.parent_span_id.as_ref(), Some(&connected.span_id));

    let died = named(spans, "mcplex.death telegram");
    assert_eq!((died.status_code, died.status_message.as_str()), ("error", "exited with code 1"));
    assert_eq!(died.attribute(attr::UPSTREAM_INCARNATION), Some("1"));
    assert_eq!(died.value_kinds[attr::UPSTREAM_INCARNATION], "int");
    assert_eq!(died.links[0].trace_id, connect.trace_id_hex());
    assert_eq!(died.links[0].attributes[attr::LINK_KIND], attr::LINK_CONNECT);

    let respawned = named(spans, "mcplex.respawn telegram");
    assert_eq!(respawned.trace_id, death.trace_id_hex());
    assert_eq!(respawned.parent_span_id, Some(death.span_id_hex()));
}

fn check_requests(spans: &[Span], death: &TraceContext) {
    let called = named(spans, "called by a sampled trace");
    assert_eq!(called.kind, "server");
    assert_eq!(called.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(called.parent_span_id.as_deref(), Some("b7ad6b7169203331"));
    assert_eq!(called.links[0].span_id, death.span_id_hex());
    assert_eq!(called.trace_state, "vendor=1");
    // Sampled, and the parent is in another process.
    assert_eq!(called.flags, 0x301);
}

/// Nothing beyond the table of names: no thread ids, no lines of code, no targets.
fn check_catalogue(spans: &[Span]) {
    let declared: Vec<_> =
        attr::CONVENTIONS.iter().chain(attr::ATTRIBUTES).map(|word| word.name).collect();
    for span in spans {
        for name in span.attributes.keys() {
            assert!(declared.contains(&name.as_str()), "{name} in {}", span.name);
        }
        assert!(span.events.is_empty(), "{span:#?}");
    }
}
