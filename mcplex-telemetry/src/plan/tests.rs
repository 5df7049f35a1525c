//! The decisions, as tables.

use super::*;
use crate::error::EndpointError;
use crate::options::Protocol;

const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ON: (&str, &str) = (BASE, "http://collector:4318");

fn options(env: &[(&str, &str)]) -> Options {
    let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Options { env, ..Options::default() }
}

fn check_endpoint(env: &[(&str, &str)], config: Option<&str>, expect: Option<&str>) {
    let options = Options { endpoint: config.map(Into::into), ..options(env) };
    let plan = plan(&options, false).unwrap();
    let endpoint = plan.spans.and_then(|spans| spans.way.otlp).map(|target| target.endpoint);
    assert_eq!(endpoint.as_deref(), expect, "{env:?} {config:?}");
}

fn check_warning(env: &[(&str, &str)], variable: &str, exports: bool) {
    let plan = plan(&options(env), false).unwrap();
    let variables: Vec<_> = plan.warnings.iter().map(|warning| warning.variable).collect();
    assert_eq!(variables, [variable], "{env:?}");
    assert_eq!(plan.spans.is_some(), exports, "{env:?}");
}

#[test]
fn spans_are_off_until_an_endpoint_is_given() {
    check_endpoint(&[], None, None);
    check_endpoint(&[(BASE, " ")], None, None);
    check_endpoint(&[ON], None, Some("http://collector:4318/v1/traces"));
    check_endpoint(&[], Some("http://file:1"), Some("http://file:1/v1/traces"));
    check_endpoint(&[], Some("https://file"), Some("https://file/v1/traces"));
}

#[test]
fn who_names_the_exporter_means_the_usual_place() {
    let named = ("OTEL_TRACES_EXPORTER", "otlp");
    check_endpoint(&[named], None, Some("http://localhost:4318/v1/traces"));
    check_endpoint(&[named], Some("http://file:1"), Some("http://file:1/v1/traces"));
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    check_endpoint(&[named, grpc], None, Some("http://localhost:4317"));
}

#[test]
fn grpc_has_a_place_without_a_path_and_maybe_without_a_scheme() {
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let plain = ("OTEL_EXPORTER_OTLP_INSECURE", "True");
    check_endpoint(&[grpc, (BASE, "http://c:4317")], None, Some("http://c:4317"));
    check_endpoint(&[grpc, (BASE, "c:4317")], None, Some("https://c:4317"));
    check_endpoint(&[grpc, plain, (TRACES, "c:4317")], None, Some("http://c:4317"));
    let plan = plan(&options(&[grpc, ON]), false).unwrap();
    let target = plan.spans.unwrap().way.otlp.unwrap();
    let method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert_eq!(target.uri.path(), method);
}

#[test]
fn a_base_gets_the_path_and_a_whole_url_does_not() {
    check_endpoint(&[(BASE, "http://c:1/otlp/")], None, Some("http://c:1/otlp/v1/traces"));
    check_endpoint(&[(TRACES, "http://c:1/spans")], None, Some("http://c:1/spans"));
    check_endpoint(&[(TRACES, "http://c:1/")], None, Some("http://c:1/"));
    check_endpoint(&[(BASE, "http://[::1]")], None, Some("http://[::1]/v1/traces"));
    check_endpoint(&[(BASE, "http://[::1]:1")], None, Some("http://[::1]:1/v1/traces"));
}

#[test]
fn the_more_special_endpoint_wins() {
    check_endpoint(&[ON, (TRACES, "http://t:1/x")], Some("http://file:1"), Some("http://t:1/x"));
    check_endpoint(&[ON], Some("http://file:1"), Some("http://collector:4318/v1/traces"));
}

#[test]
fn spans_can_be_switched_off() {
    check_endpoint(&[ON, ("OTEL_SDK_DISABLED", "TRUE")], None, None);
    check_endpoint(&[("OTEL_SDK_DISABLED", "true")], Some("http://file:1"), None);
    check_endpoint(&[ON, ("OTEL_TRACES_EXPORTER", "none")], None, None);
    let on = Some("http://collector:4318/v1/traces");
    check_endpoint(&[ON, ("OTEL_SDK_DISABLED", "false")], None, on);
    check_endpoint(&[ON, ("OTEL_SDK_DISABLED", "1")], None, on);
}

#[test]
fn what_the_environment_cannot_have_is_a_warning() {
    check_warning(&[ON, ("OTEL_SDK_DISABLED", "1")], "OTEL_SDK_DISABLED", true);
    check_warning(&[ON, ("OTEL_BSP_MAX_QUEUE_SIZE", "0")], "OTEL_BSP_MAX_QUEUE_SIZE", true);
    check_warning(&[(BASE, "localhost:4318")], BASE, false);
    check_warning(&[(TRACES, "http://me:secret@c:4318")], TRACES, false);
    let general = "OTEL_EXPORTER_OTLP_PROTOCOL";
    check_warning(&[ON, (general, "kafka")], general, false);
    let special = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
    check_warning(&[ON, (general, "http/protobuf"), (special, "thrift")], special, false);
    check_warning(&[ON, ("OTEL_TRACES_EXPORTER", "zipkin")], "OTEL_TRACES_EXPORTER", false);
    check_warning(&[ON, ("OTEL_TRACES_SAMPLER", "xray")], "OTEL_TRACES_SAMPLER", true);
    check_warning(&[ON, ("OTEL_BSP_SCHEDULE_DELAY", "5s")], "OTEL_BSP_SCHEDULE_DELAY", true);
    check_warning(&[ON, ("OTEL_BSP_EXPORT_TIMEOUT", "0")], "OTEL_BSP_EXPORT_TIMEOUT", true);
    let batch = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    check_warning(&[ON, ("OTEL_BSP_MAX_QUEUE_SIZE", "9"), (batch, "10")], batch, true);
    let headers = "OTEL_EXPORTER_OTLP_HEADERS";
    check_warning(&[ON, (headers, "just a token")], headers, true);
    let compression = "OTEL_EXPORTER_OTLP_COMPRESSION";
    check_warning(&[ON, (compression, "zstd")], compression, true);
    check_warning(&[ON, ("OTEL_PROPAGATORS", "b3,baggage")], "OTEL_PROPAGATORS", true);
    let attributes = "OTEL_RESOURCE_ATTRIBUTES";
    check_warning(&[ON, (attributes, "team=a,b")], attributes, true);
    check_warning(&[ON, ("OTEL_LOG_LEVEL", "debug")], "OTEL_LOG_LEVEL", true);
}

#[test]
fn a_protocol_for_others_does_not_concern_the_configured_endpoint() {
    let env = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    check_endpoint(&env, Some("http://file:1"), Some("http://file:1/v1/traces"));
}

#[test]
fn what_the_configuration_cannot_have_is_an_error() {
    for (endpoint, expect) in [
        ("c:4318", EndpointError::NotHttp),
        ("http://", EndpointError::NotHttp),
        ("http://:4318", EndpointError::NotHttp),
        ("http://c:port", EndpointError::NotHttp),
        ("http://c:70000", EndpointError::NotHttp),
        ("ftp://c", EndpointError::NotHttp),
        ("http://a b", EndpointError::NotHttp),
        ("http://u:p@c", EndpointError::Credentials),
    ] {
        let options = Options { endpoint: Some(endpoint.into()), ..Options::default() };
        let error = plan(&options, false).unwrap_err();
        assert!(error.hint().is_some());
        let InstallError::Endpoint(error) = error else { panic!("{error:?}") };
        assert_eq!(error, expect, "{endpoint}");
    }
}

#[test]
fn a_bad_filter_is_an_error_with_a_hint() {
    let options = Options { log_filter: "info,mcplex=loud".into(), ..Options::default() };
    let error = plan(&options, false).unwrap_err();
    assert_eq!(error.to_string(), "invalid log filter \"info,mcplex=loud\"");
    assert!(error.hint().unwrap().contains("debug"));
}

#[test]
fn numbers_bound_the_queue() {
    let batching = |env: &[(&str, &str)]| {
        plan(&options(&[&[ON], env].concat()), false).unwrap().spans.unwrap().batching
    };
    let env = [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_BSP_MAX_QUEUE_SIZE", "1")];
    let Batching { delay, queue, batch, .. } = batching(&env);
    assert_eq!((delay, queue, batch), (Duration::from_millis(50), 1, 1));
    assert_eq!(batching(&[("OTEL_BSP_MAX_QUEUE_SIZE", "99999999999")]).queue, 1 << 20);
    // Nothing would leave, and nobody would say why.
    assert_eq!(batching(&[("OTEL_BSP_MAX_QUEUE_SIZE", "0")]).queue, 8192);
    assert_eq!(batching(&[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0")]).batch, 512);
}

#[test]
fn a_configured_endpoint_speaks_the_configured_protocol() {
    let configured = Options {
        endpoint: Some("http://file:4317".into()),
        protocol: Protocol::Grpc,
        ..options(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")])
    };
    let target = plan(&configured, false).unwrap().spans.unwrap().way.otlp.unwrap();
    assert_eq!((target.protocol, &*target.endpoint), (Protocol::Grpc, "http://file:4317"));
    assert!(!target.from_env);
}

#[test]
fn no_secret_is_in_what_a_plan_says_of_itself() {
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret, x = y ");
    let plan = plan(&options(&[ON, headers]), false).unwrap();
    let target = plan.spans.as_ref().unwrap().way.otlp.as_ref().unwrap();
    assert_eq!(target.headers["authorization"], "Bearer s3cret");
    assert_eq!(target.headers["x"], "y");
    assert!(!format!("{plan:?}").contains("s3cret"));
}

#[test]
fn a_key_in_an_endpoint_is_sent_and_not_shown() {
    let asked = |env: &[(&str, &str)]| {
        let target = plan(&options(env), false).unwrap().spans.unwrap().way.otlp.unwrap();
        (target.endpoint, target.uri.to_string())
    };
    let (shown, asked_for) =
        asked(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/a/?key=s3cret")]);
    assert_eq!(shown, "http://c:4318/a/v1/traces?…");
    assert_eq!(asked_for, "http://c:4318/a/v1/traces?key=s3cret");
    let own = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/t?key=s3cret")];
    let (shown, asked_for) = asked(&own);
    assert_eq!((&*shown, &*asked_for), ("http://c:4318/t?…", "http://c:4318/t?key=s3cret"));
}

#[test]
fn looks_follow_the_terminal_unless_told() {
    let look = |format, color, env: &[_], terminal| {
        let options = Options { log_format: format, color, ..options(env) };
        let plan = plan(&options, terminal).unwrap();
        (plan.json, plan.ansi)
    };
    let plain = [("NO_COLOR", "1")];
    assert_eq!(look(LogFormat::Auto, Color::Auto, &[], true), (false, true));
    assert_eq!(look(LogFormat::Auto, Color::Auto, &[], false), (true, false));
    assert_eq!(look(LogFormat::Text, Color::Auto, &[], false), (false, false));
    assert_eq!(look(LogFormat::Json, Color::Auto, &[], true), (true, true));
    assert_eq!(look(LogFormat::Text, Color::Auto, &plain, true), (false, false));
    assert_eq!(look(LogFormat::Text, Color::Always, &plain, false), (false, true));
    assert_eq!(look(LogFormat::Text, Color::Never, &[], true), (false, false));
}

fn shown(push: Push) -> String {
    push.way.otlp.map_or_else(|| "stderr".into(), |target| target.endpoint)
}

/// What becomes of metrics: the endpoint, and whether they can be read.
fn check_metrics(env: &[(&str, &str)], prometheus: bool, expect: Option<(Option<&str>, bool)>) {
    let options = Options { prometheus, ..options(env) };
    let measure = plan(&options, false).unwrap().measure;
    let found = measure.map(|measure| (measure.push.map(shown), measure.pull));
    let expect = expect.map(|(endpoint, pull)| (endpoint.map(str::to_owned), pull));
    assert_eq!(found, expect, "{env:?} {prometheus}");
}

#[test]
fn metrics_are_sent_and_read_as_the_environment_says() {
    const EXPORTER: &str = "OTEL_METRICS_EXPORTER";
    const METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    let sent = Some("http://collector:4318/v1/metrics");
    check_metrics(&[], false, None);
    check_metrics(&[], true, Some((None, true)));
    check_metrics(&[ON], false, Some((sent, false)));
    check_metrics(&[ON], true, Some((sent, true)));
    check_metrics(&[ON, (METRICS, "http://m:1/x")], false, Some((Some("http://m:1/x"), false)));
    check_metrics(&[(TRACES, "http://t:1/x")], false, None);
    check_metrics(&[ON, (EXPORTER, "none")], true, None);
    check_metrics(&[ON, (EXPORTER, "otlp")], true, Some((sent, true)));
    check_metrics(&[ON, (EXPORTER, "prometheus")], false, Some((None, true)));
    check_metrics(&[ON, (EXPORTER, "otlp, prometheus")], false, Some((sent, true)));
    check_metrics(&[ON, (EXPORTER, "prometheus,otlp")], false, Some((sent, true)));
    check_metrics(&[ON, ("OTEL_SDK_DISABLED", "true")], true, None);
    check_metrics(&[(EXPORTER, "console")], true, Some((Some("stderr"), false)));
    let foreign = [ON, ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "thrift")];
    check_metrics(&foreign, true, Some((None, true)));
    check_warning(&foreign, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", true);
    check_warning(&[ON, (EXPORTER, "statsd")], EXPORTER, true);
}

#[test]
fn how_often_metrics_leave_and_how_is_chosen_by_the_environment() {
    let push = |env: &[(&str, &str)]| {
        let plan = plan(&options(&[&[ON], env].concat()), false).unwrap();
        let push = plan.measure.unwrap().push.unwrap();
        (push.interval, push.temporality, plan.warnings.len())
    };
    let (interval, how) =
        ("OTEL_METRIC_EXPORT_INTERVAL", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE");
    assert_eq!(push(&[]), (INTERVAL, Temporality::Cumulative, 0));
    let quick = Duration::from_millis(20);
    assert_eq!(push(&[(interval, "20"), (how, "Delta")]), (quick, Temporality::Delta, 0));
    let low = [(interval, "0"), (how, "lowmemory")];
    assert_eq!(push(&low), (INTERVAL, Temporality::LowMemory, 1));
    assert_eq!(push(&[(interval, "1m"), (how, "sum")]), (INTERVAL, Temporality::Cumulative, 2));
}
