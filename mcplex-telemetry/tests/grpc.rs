//! gRPC from a thread that is blocked: everything leaves all the same.

use std::time::Duration;

use mcplex_proto::attr;
use mcplex_telemetry::Options;
use mcplex_testkit::otlp::Receiver;

const SOON: Duration = Duration::from_secs(20);

/// The trap: where the exporter lives on the runtime that shuts it down, it waits for itself.
#[test]
fn a_shutdown_on_the_only_thread_of_a_runtime_neither_hangs_nor_loses() {
    let receiver = Receiver::start().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let telemetry = mcplex_telemetry::install(Options {
            env: vec![
                ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), receiver.endpoint()),
                ("OTEL_EXPORTER_OTLP_PROTOCOL".into(), "grpc".into()),
                ("OTEL_EXPORTER_OTLP_COMPRESSION".into(), "gzip".into()),
                ("OTEL_LOGS_EXPORTER".into(), "otlp".into()),
                ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT".into(), "4".into()),
                ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT".into(), "2".into()),
                ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT".into(), "8".into()),
                ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT".into(), "2".into()),
                ("OTEL_RESOURCE_ATTRIBUTES".into(), "team=a%2Cb".into()),
            ],
            ..Options::default()
        })
        .unwrap();
        for n in 0..1000 {
            tracing::info_span!(
                target: attr::TARGET_REQUEST,
                parent: None,
                attr::SERVER,
                { attr::MCP_METHOD_NAME } = "tools/call",
                { attr::JSONRPC_REQUEST_ID } = n,
                { attr::GEN_AI_TOOL_NAME } = "add",
            );
        }
        tracing::warn!(
            { attr::EVENT } = attr::EVENT_DEATH,
            trace_id = "0af7651916cd43dd8448eb211c80319c",
            span_id = "b7ad6b7169203331",
            upstream = "telegram and more",
            deaths = 3_u64,
            more = true,
            "upstream died"
        );
        tracing::debug!("too fine for the log, and so for the collector");
        telemetry.shutdown(SOON).unwrap();
    });
    check_spans(&receiver);
    check_records(&receiver);
    assert!(!receiver.points().is_empty());
    assert!(receiver.requests().iter().all(|request| request.protocol == "grpc"));
}

fn check_spans(receiver: &Receiver) {
    let spans = receiver.spans();
    assert_eq!(spans.len(), 1000);
    for span in spans {
        assert_eq!(span.attribute(attr::MCP_METHOD_NAME), Some("tool"));
        assert_eq!((span.attributes.len(), span.dropped_attributes), (2, 1));
        assert_eq!(span.resource["team"], "a,b");
    }
}

fn check_records(receiver: &Receiver) {
    let records = receiver.records();
    let told: Vec<_> = records.iter().map(|record| &*record.body).collect();
    // A text is as long as the limit says; what telemetry says of itself stays here.
    assert_eq!(told, ["upstream"], "{records:#?}");
    let record = &records[0];
    assert_eq!(record.event_name, attr::EVENT_DEATH);
    assert_eq!((&*record.severity, record.severity_number), ("WARN", 13));
    assert_eq!(record.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(record.span_id, "b7ad6b7169203331");
    assert_eq!(record.attribute("upstream"), Some("telegram"));
    assert_eq!(record.attribute("deaths"), Some("3"));
    assert_eq!(record.attributes.len(), 2);
    assert_eq!(record.scope.name, "grpc");
    assert_eq!(record.resource["service.name"], "mcplex");
    assert!(record.time > 0);
}
