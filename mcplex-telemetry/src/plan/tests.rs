//! The decisions, as tables.

use super::*;
use crate::error::EndpointError;

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
    let endpoint = plan.export.map(|export| export.endpoint);
    assert_eq!(endpoint.as_deref(), expect, "{env:?} {config:?}");
}

fn check_warning(env: &[(&str, &str)], variable: &str, exports: bool) {
    let plan = plan(&options(env), false).unwrap();
    let variables: Vec<_> = plan.warnings.iter().map(|warning| warning.variable).collect();
    assert_eq!(variables, [variable], "{env:?}");
    assert_eq!(plan.export.is_some(), exports, "{env:?}");
}

#[test]
fn spans_are_off_until_an_endpoint_is_given() {
    check_endpoint(&[], None, None);
    check_endpoint(&[(BASE, " ")], None, None);
    check_endpoint(&[("OTEL_TRACES_EXPORTER", "otlp")], None, None);
    check_endpoint(&[ON], None, Some("http://collector:4318/v1/traces"));
    check_endpoint(&[], Some("http://file:1"), Some("http://file:1/v1/traces"));
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
    check_warning(&[(BASE, "https://c:4318")], BASE, false);
    check_warning(&[(BASE, "localhost:4318")], BASE, false);
    check_warning(&[(TRACES, "http://me:secret@c:4318")], TRACES, false);
    let general = "OTEL_EXPORTER_OTLP_PROTOCOL";
    check_warning(&[ON, (general, "grpc")], general, false);
    let special = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
    check_warning(&[ON, (general, "http/protobuf"), (special, "http/json")], special, false);
    check_warning(&[ON, ("OTEL_TRACES_EXPORTER", "zipkin")], "OTEL_TRACES_EXPORTER", false);
    check_warning(&[ON, ("OTEL_TRACES_SAMPLER", "xray")], "OTEL_TRACES_SAMPLER", true);
    check_warning(&[ON, ("OTEL_BSP_SCHEDULE_DELAY", "5s")], "OTEL_BSP_SCHEDULE_DELAY", true);
}

#[test]
fn a_protocol_for_others_does_not_concern_the_configured_endpoint() {
    let env = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    check_endpoint(&env, Some("http://file:1"), Some("http://file:1/v1/traces"));
}

#[test]
fn what_the_configuration_cannot_have_is_an_error() {
    for (endpoint, expect) in [
        ("https://c", EndpointError::Https),
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
    let env = [ON, ("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_BSP_MAX_QUEUE_SIZE", "0")];
    let export = plan(&options(&env), false).unwrap().export.unwrap();
    assert_eq!(export.delay, Duration::from_millis(50));
    assert_eq!(export.queue, 1);
    let env = [ON, ("OTEL_BSP_MAX_QUEUE_SIZE", "99999999999")];
    assert_eq!(plan(&options(&env), false).unwrap().export.unwrap().queue, REQUEST_QUEUE_MAX);
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

/// What becomes of metrics: the endpoint, and whether they can be read.
fn check_metrics(env: &[(&str, &str)], prometheus: bool, expect: Option<(Option<&str>, bool)>) {
    let options = Options { prometheus, ..options(env) };
    let measure = plan(&options, false).unwrap().measure;
    let found = measure.map(|measure| (measure.push.map(|push| push.endpoint), measure.pull));
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
    let foreign = [ON, ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc")];
    check_metrics(&foreign, true, Some((None, true)));
    check_warning(&foreign, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", true);
    check_warning(&[ON, (EXPORTER, "console")], EXPORTER, true);
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
    assert_eq!(push(&low), (Duration::from_millis(1), Temporality::LowMemory, 0));
    assert_eq!(push(&[(interval, "1m"), (how, "sum")]), (INTERVAL, Temporality::Cumulative, 2));
}
