//! Every variable of OpenTelemetry that mcplex follows, as one table.
//!
//! `Options::variable` refuses to read one that is not here, the reference page is written from
//! here, and a test shows what each of them does.

/// What the reference page says about one variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Whether there is one for each signal too, such as `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
    pub per_signal: bool,
}

impl Variable {
    /// All names that this row stands for.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.name.to_owned()];
        if let Some(what) = self.name.strip_prefix(OTLP).filter(|_| self.per_signal) {
            names.extend(SIGNALS.iter().map(|signal| format!("{OTLP}{signal}_{what}")));
        }
        names
    }
}

/// What the variables about the exporter begin with.
const OTLP: &str = "OTEL_EXPORTER_OTLP_";
/// The signals, as variables call them.
const SIGNALS: [&str; 3] = ["TRACES", "METRICS", "LOGS"];

/// Whether a variable is in the table.
pub(crate) fn is_listed(name: &str) -> bool {
    let special = name.strip_prefix(OTLP).and_then(|rest| {
        SIGNALS.iter().find_map(|signal| rest.strip_prefix(signal)?.strip_prefix('_'))
    });
    VARIABLES.iter().any(|variable| {
        let what = variable.name.strip_prefix(OTLP).filter(|_| variable.per_signal);
        variable.name == name || (special.is_some() && what == special)
    })
}

/// Declares the table.
macro_rules! variables {
    ($( $name:literal, $default:literal, $per_signal:literal: $meaning:literal; )+) => {
        /// Every variable that is followed.
        pub const VARIABLES: &[Variable] = &[ $( Variable {
            name: $name,
            default: $default,
            meaning: $meaning,
            per_signal: $per_signal,
        } ),+ ];
    };
}

variables! {
    "OTEL_SDK_DISABLED", "`false`", false:
        "`true` switches everything off that leaves or is counted. Logs on stderr stay.";
    "OTEL_TRACES_EXPORTER", "`otlp` where there is an endpoint", false:
        "Where spans go: `otlp`, `console`, several with commas, or `none`. `otlp` without an \
         endpoint means the usual one.";
    "OTEL_METRICS_EXPORTER", "`otlp` where there is an endpoint", false:
        "Where metrics go: `otlp`, `console`, `prometheus`, several with commas, or `none`.";
    "OTEL_LOGS_EXPORTER", "`none`", false:
        "Where log records go beside stderr: `otlp`, `console`, both with a comma, or `none`.";
    "OTEL_PROPAGATORS", "`tracecontext,baggage`", false:
        "What is taken from callers and given to upstreams: `tracecontext`, `baggage`, both with a \
         comma, or `none`.";
    "OTEL_SERVICE_NAME", "`telemetry.service_name`", false:
        "The name that everything is found under.";
    "OTEL_RESOURCE_ATTRIBUTES", "none", false:
        "More about who it is: `key=value,key=value`, percent-encoded.";
    "OTEL_TRACES_SAMPLER", "`parentbased_always_on`", false:
        "Which request spans are taken: `always_on`, `always_off`, `traceidratio`, and each with \
         `parentbased_` before it. Lifecycle spans are always taken.";
    "OTEL_TRACES_SAMPLER_ARG", "`1.0`", false:
        "The share of traces that `traceidratio` takes, from 0 to 1.";
    "OTEL_EXPORTER_OTLP_ENDPOINT", "none", true:
        "Where the collector is. Over HTTP the one for all signals gets a path such as \
         `/v1/traces`, and one for a signal is taken as it is.";
    "OTEL_EXPORTER_OTLP_PROTOCOL", "`http/protobuf`", true:
        "What it speaks: `http/protobuf`, `http/json` or `grpc`.";
    "OTEL_EXPORTER_OTLP_HEADERS", "none", true:
        "What goes with each request: `name=value,name=value`, percent-encoded. Tokens belong \
         here.";
    "OTEL_EXPORTER_OTLP_TIMEOUT", "`10000`", true:
        "How long one export may take with all its attempts, in milliseconds.";
    "OTEL_EXPORTER_OTLP_COMPRESSION", "`none`", true:
        "`gzip`, or `none`.";
    "OTEL_EXPORTER_OTLP_INSECURE", "`false`", true:
        "Whether a gRPC endpoint without a scheme is one without TLS.";
    "OTEL_EXPORTER_OTLP_CERTIFICATE", "what the system trusts", true:
        "A PEM file: who may have signed the certificate of the collector.";
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "none", true:
        "A PEM file: the certificate that mcplex shows.";
    "OTEL_EXPORTER_OTLP_CLIENT_KEY", "none", true:
        "A PEM file: the key of that certificate.";
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "`cumulative`", false:
        "Whether a sum is one since the start or since the last export: `cumulative`, `delta` or \
         `lowmemory`.";
    "OTEL_BSP_SCHEDULE_DELAY", "`5000`", false:
        "How long a span waits for others, in milliseconds. A lifecycle span waits a second at \
         most.";
    "OTEL_BSP_EXPORT_TIMEOUT", "`30000`", false:
        "How long one export of spans may take, in milliseconds; the smaller of this and the \
         timeout of the exporter holds.";
    "OTEL_BSP_MAX_QUEUE_SIZE", "`8192`", false:
        "How many request spans may wait. Lifecycle spans have a queue of their own, for 2048.";
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "`512`", false:
        "How many spans leave together.";
    "OTEL_BLRP_SCHEDULE_DELAY", "`1000`", false:
        "How long a log record waits for others, in milliseconds.";
    "OTEL_BLRP_EXPORT_TIMEOUT", "`30000`", false:
        "How long one export of log records may take, in milliseconds.";
    "OTEL_BLRP_MAX_QUEUE_SIZE", "`2048`", false:
        "How many log records may wait.";
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "`512`", false:
        "How many log records leave together.";
    "OTEL_METRIC_EXPORT_INTERVAL", "`60000`", false:
        "How often metrics leave, in milliseconds.";
    "OTEL_METRIC_EXPORT_TIMEOUT", "`30000`", false:
        "How long one export of metrics may take, in milliseconds.";
    "OTEL_ATTRIBUTE_COUNT_LIMIT", "`128`", false:
        "How many attributes a span or a log record may have.";
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "`2048`", false:
        "How many characters a text of a span or a log record may have.";
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "`128`", false:
        "How many attributes a span may have.";
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "`2048`", false:
        "How many characters a text of a span may have.";
    "OTEL_SPAN_EVENT_COUNT_LIMIT", "`128`", false:
        "How many events a span may have.";
    "OTEL_SPAN_LINK_COUNT_LIMIT", "`128`", false:
        "How many links a span may have.";
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "`128`", false:
        "How many attributes an event may have.";
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "`128`", false:
        "How many attributes a link may have.";
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "`128`", false:
        "How many attributes a log record may have.";
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "`2048`", false:
        "How many characters a text of a log record may have.";
    "NO_COLOR", "none", false:
        "Any value takes the color from the log on a terminal.";
}

/// What the specification knows and mcplex does not follow, and what it says of it.
pub const NOT_FOLLOWED: &[(&str, &str)] = &[
    (
        "OTEL_EXPERIMENTAL_CONFIG_FILE",
        "is not followed: the configuration of mcplex has no such file",
    ),
    ("OTEL_CONFIG_FILE", "is not followed: the configuration of mcplex has no such file"),
    ("OTEL_LOG_LEVEL", "is not followed: `telemetry.log` says what is logged"),
    ("OTEL_BSP_MAX_CONCURRENT_EXPORTS", "is not followed: batches of one queue leave in order"),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "is not followed: there are no exemplars"),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "is not followed: the conventions for MCP say the bounds",
    ),
    (
        "OTEL_EXPORTER_PROMETHEUS_HOST",
        "is not followed: metrics are read where `admin.listen` says",
    ),
    (
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        "is not followed: metrics are read where `admin.listen` says",
    ),
    ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "is not followed: spans leave over OTLP only"),
];

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;
    use std::{env, fs};

    use super::*;

    const INTRODUCTION: &str = "\
<!-- Written by a test of mcplex-telemetry from mcplex-telemetry/src/variables.rs. -->

# Variables of OpenTelemetry

Every variable of the environment that says what becomes of spans, metrics and logs. Each is read
once, at the start; an empty one is not set. Without any of them, and without the endpoint of
`[telemetry]`, nothing leaves: an endpoint switches spans and metrics on, and so does naming `otlp`
as an exporter, which then means `http://localhost:4318` (`http://localhost:4317` with gRPC). Log
records leave only where `OTEL_LOGS_EXPORTER` says so; they are on stderr in any case.

`console` writes one line per batch to stderr, in the JSON of OTLP. It is stderr for `mcplex stdio`
and `mcplex serve` alike, because stdout of the former belongs to the client.

A value that cannot be followed is a line of the log at the start, and the default holds. Where
endpoint or protocol cannot be followed nothing is sent: elsewhere would be worse than nowhere.

";

    fn page() -> String {
        let mut page = INTRODUCTION.to_owned();
        page.push_str("| variable | default | meaning |\n| --- | --- | --- |\n");
        for Variable { name, default, meaning, per_signal } in VARIABLES {
            let more = if *per_signal { " (¹)" } else { "" };
            writeln!(page, "| `{name}`{more} | {default} | {meaning} |").unwrap();
        }
        page.push_str(
            "\n¹ Also for one signal: `OTEL_EXPORTER_OTLP_TRACES_…`, `…_METRICS_…` and `…_LOGS_…` \
             win over the one for all.\n\n## Not followed\n\nThese are told at the start, so that \
             nobody waits for what they ask.\n\n| variable | why |\n| --- | --- |\n",
        );
        for (name, problem) in NOT_FOLLOWED {
            let why = problem.strip_prefix("is not followed: ").unwrap();
            writeln!(page, "| `{name}` | {why} |").unwrap();
        }
        page
    }

    #[test]
    fn the_page_of_variables_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/environment.md");
        let page = page();
        if env::var_os("MCPLEX_BLESS").is_some() {
            fs::write(&path, &page).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed.replace("\r\n", "\n") == page,
            "docs/reference/environment.md is out of date; run with MCPLEX_BLESS=1"
        );
    }

    #[test]
    fn a_row_may_stand_for_every_signal() {
        assert!(is_listed("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY"));
        assert!(is_listed("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"));
        assert!(!is_listed("OTEL_EXPORTER_OTLP_LOGS_TEMPORALITY_PREFERENCE"));
        assert!(!is_listed("OTEL_EXPORTER_OTLP_LOGS_"));
        assert!(!is_listed("OTEL_EXPORTER_ZIPKIN_ENDPOINT"));
        for variable in VARIABLES {
            assert!(variable.names().iter().all(|name| is_listed(name)), "{variable:?}");
        }
    }
}
