//! What each variable of the table does.

use super::*;
use crate::variables::VARIABLES;

const BASE: [(&str, &str); 2] =
    [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_LOGS_EXPORTER", "otlp")];

fn planned(env: &[(&str, &str)]) -> Plan {
    let env = BASE.iter().filter(|(name, _)| env.iter().all(|(other, _)| other != name)).chain(env);
    let env = env.map(|(name, value)| ((*name).into(), (*value).into())).collect();
    plan(&Options { prometheus: true, env, ..Options::default() }, true).unwrap()
}

/// One variable, what it is set to, and what of the plan it changes.
type Case = (&'static str, &'static str, fn(&Plan) -> String, &'static str, &'static str);

fn spans_of(plan: &Plan) -> &Spans {
    plan.spans.as_ref().unwrap()
}

fn records_of(plan: &Plan) -> &Records {
    plan.records.as_ref().unwrap()
}

fn push_of(plan: &Plan) -> &Push {
    plan.measure.as_ref().unwrap().push.as_ref().unwrap()
}

fn debug(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

const CASES: &[Case] = &[
    (
        "OTEL_SDK_DISABLED",
        "true",
        |p| debug((p.spans.is_some(), p.measure.is_some())),
        "(true, true)",
        "(false, false)",
    ),
    ("OTEL_TRACES_EXPORTER", "none", |p| debug(p.spans.is_some()), "true", "false"),
    (
        "OTEL_METRICS_EXPORTER",
        "prometheus",
        |p| debug(p.measure.as_ref().unwrap().push.is_some()),
        "true",
        "false",
    ),
    ("OTEL_LOGS_EXPORTER", "console", |p| debug(records_of(p).way.console), "false", "true"),
    ("OTEL_PROPAGATORS", "baggage", |p| debug(p.propagators.trace), "true", "false"),
    ("OTEL_SERVICE_NAME", "other", |p| p.service.name.clone(), "mcplex", "other"),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=a,team=b%20c",
        |p| debug(&p.service),
        r#"Service { name: "mcplex", attributes: [] }"#,
        r#"Service { name: "a", attributes: [("team", "b c")] }"#,
    ),
    (
        "OTEL_TRACES_SAMPLER",
        "always_off",
        |p| debug(&spans_of(p).sampler),
        "ParentBased(AlwaysOn)",
        "AlwaysOff",
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "delta",
        |p| debug(push_of(p).temporality),
        "Cumulative",
        "Delta",
    ),
    ("OTEL_BSP_SCHEDULE_DELAY", "7", |p| debug(spans_of(p).batching.delay), "5s", "7ms"),
    ("OTEL_BSP_EXPORT_TIMEOUT", "7", |p| debug(spans_of(p).batching.timeout), "30s", "7ms"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "700", |p| debug(spans_of(p).batching.queue), "8192", "700"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "7", |p| debug(spans_of(p).batching.batch), "512", "7"),
    ("OTEL_BLRP_SCHEDULE_DELAY", "7", |p| debug(records_of(p).batching.delay), "1s", "7ms"),
    ("OTEL_BLRP_EXPORT_TIMEOUT", "7", |p| debug(records_of(p).batching.timeout), "30s", "7ms"),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", "700", |p| debug(records_of(p).batching.queue), "2048", "700"),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "7", |p| debug(records_of(p).batching.batch), "512", "7"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "7", |p| debug(push_of(p).interval), "60s", "7ms"),
    ("OTEL_METRIC_EXPORT_TIMEOUT", "7", |p| debug(push_of(p).timeout), "30s", "7ms"),
    (
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
        "7",
        |p| debug((spans_of(p).limits.attributes, records_of(p).limits.attributes)),
        "(128, 128)",
        "(7, 7)",
    ),
    (
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "7",
        |p| debug((spans_of(p).limits.value_length, records_of(p).limits.value_length)),
        "(2048, 2048)",
        "(7, 7)",
    ),
    (
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        "7",
        |p| debug((spans_of(p).limits.attributes, records_of(p).limits.attributes)),
        "(128, 128)",
        "(7, 128)",
    ),
    (
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "7",
        |p| debug((spans_of(p).limits.value_length, records_of(p).limits.value_length)),
        "(2048, 2048)",
        "(7, 2048)",
    ),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", "7", |p| debug(spans_of(p).limits.events), "128", "7"),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "7", |p| debug(spans_of(p).limits.links), "128", "7"),
    (
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
        "7",
        |p| debug(spans_of(p).limits.event_attributes),
        "128",
        "7",
    ),
    (
        "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
        "7",
        |p| debug(spans_of(p).limits.link_attributes),
        "128",
        "7",
    ),
    (
        "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
        "7",
        |p| debug(records_of(p).limits.attributes),
        "128",
        "7",
    ),
    (
        "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "7",
        |p| debug(records_of(p).limits.value_length),
        "2048",
        "7",
    ),
    ("NO_COLOR", "1", |p| debug(p.ansi), "true", "false"),
];

/// What follows `OTEL_EXPORTER_OTLP_`, what it is set to, and what of a target it changes.
type Family = (&'static str, &'static str, fn(&Target) -> String, &'static str, &'static str);

const FAMILIES: &[Family] = &[
    ("PROTOCOL", "http/json", |t| debug(t.protocol), "HttpProtobuf", "HttpJson"),
    ("HEADERS", "a=b", |t| debug(t.headers.contains_key("a")), "false", "true"),
    ("TIMEOUT", "7", |t| debug(t.timeout), "10s", "7ms"),
    ("COMPRESSION", "gzip", |t| debug(t.gzip), "false", "true"),
    ("CERTIFICATE", "/a", |t| debug(&t.trust.roots), "None", r#"Some("/a")"#),
    ("CLIENT_CERTIFICATE", "/a", |t| debug(&t.trust.certificate), "None", r#"Some("/a")"#),
    ("CLIENT_KEY", "/a", |t| debug(&t.trust.key), "None", r#"Some("/a")"#),
];

/// The targets of spans, metrics and log records.
fn targets(plan: &Plan) -> [&Target; 3] {
    [&spans_of(plan).way, &push_of(plan).way, &records_of(plan).way]
        .map(|way| way.otlp.as_ref().unwrap())
}

/// The names of one variable: for all signals, and for each of them in the order of [`targets`].
fn names(what: &str) -> [String; 4] {
    ["", "TRACES_", "METRICS_", "LOGS_"].map(|signal| format!("OTEL_EXPORTER_OTLP_{signal}{what}"))
}

#[test]
fn each_variable_changes_what_it_says() {
    let mut shown = vec!["OTEL_TRACES_SAMPLER_ARG".to_owned()];
    let sampler = ("OTEL_TRACES_SAMPLER", "traceidratio");
    let plan = planned(&[sampler, ("OTEL_TRACES_SAMPLER_ARG", "0.5")]);
    assert_eq!(debug(&spans_of(&plan).sampler), "TraceIdRatioBased(0.5)");

    for (name, value, look, before, after) in CASES {
        assert_eq!(look(&planned(&[])), *before, "{name}");
        let changed = planned(&[(name, value)]);
        assert_eq!(look(&changed), *after, "{name}");
        assert_eq!(changed.warnings, [], "{name}");
        shown.push((*name).to_owned());
    }
    for (what, value, look, before, after) in FAMILIES {
        for (at, name) in names(what).into_iter().enumerate() {
            let plan = planned(&[(&name, value)]);
            for (signal, target) in targets(&plan).into_iter().enumerate() {
                let expect = if at == 0 || at == signal + 1 { after } else { before };
                assert_eq!(look(target), *expect, "{name} for signal {signal}");
            }
            shown.push(name);
        }
    }
    shown.extend(endpoints());
    shown.extend(insecure());

    let mut listed: Vec<_> = VARIABLES.iter().flat_map(|variable| variable.names()).collect();
    shown.sort();
    listed.sort();
    assert_eq!(shown, listed);
}

/// The one for all signals is a base, those for one are whole.
fn endpoints() -> [String; 4] {
    let names = names("ENDPOINT");
    let paths = ["/v1/traces", "/v1/metrics", "/v1/logs"];
    for (at, name) in names.iter().enumerate() {
        let plan = planned(&[(name, "http://d:1/x")]);
        for (signal, target) in targets(&plan).into_iter().enumerate() {
            let path = paths[signal];
            let expect = match at {
                0 => format!("http://d:1/x{path}"),
                _ if at == signal + 1 => "http://d:1/x".to_owned(),
                _ => format!("http://c:4318{path}"),
            };
            assert_eq!(target.endpoint, expect, "{name}");
        }
    }
    names
}

/// It is about gRPC without a scheme only.
fn insecure() -> [String; 4] {
    let names = names("INSECURE");
    for (at, name) in names.iter().enumerate() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317");
        let plan = planned(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), (name, "true")]);
        for (signal, target) in targets(&plan).into_iter().enumerate() {
            let is_plain = at == 0 || at == signal + 1;
            let expect = if is_plain { "http://c:4317" } else { "https://c:4317" };
            assert_eq!(target.endpoint, expect, "{name}");
        }
    }
    names
}
