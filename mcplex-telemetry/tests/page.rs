//! The reference page says what the code says.
//!
//! `MCPLEX_BLESS=1 cargo test -p mcplex-telemetry --test page` writes it anew.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fmt, fs};

use mcplex_proto::attr::{self, Kind, SpanDoc, Word};
use mcplex_proto::metric::{Instrument, METRICS, MetricDoc};

const INTRODUCTION: &str = "\
<!-- Written by the test `page` of mcplex-telemetry from mcplex-proto/src/attr.rs and
metric.rs. -->

# Telemetry

Every span and every metric that mcplex exports, and every name they carry. They leave over OTLP, by
gRPC or HTTP, once an endpoint is set in the environment or in `[telemetry]`, and not otherwise;
[environment.md](environment.md) has all the variables. `OTEL_TRACES_SAMPLER` decides about requests;
lifecycle spans, those with `mcplex.lifecycle`, are always exported.

No span lives as long as an upstream does. A death, its respawn and the connect after it are one
trace; links lead from a failed call to the death that took it, and from there to the connect
before.
";

const SCOPES_INTRODUCTION: &str = "
### Scopes

The instrumentation scope of a span names the crate that makes it; its version is that of the crate,
its schema that of the conventions. Log records have the crate that wrote the line, numbers are of
the program.

";

const METRICS_INTRODUCTION: &str = "
## Metrics

The same numbers leave in two ways. Over OTLP they are sent every 60 s to the endpoint that spans
have, or to one of their own. As text of Prometheus they can be read where
`telemetry.prometheus` is on, with dots as underscores, the unit as a suffix and `_total` on
counters. `OTEL_METRICS_EXPORTER` (`otlp`, `prometheus`, both with a comma, or `none`) has the last
word. If neither is wanted nothing is counted and no clock is read.

Every label is from a closed set: upstreams of the configuration, methods of the specification,
tools and prompts that an upstream has listed (where the catalog gave the name a way; anything else
is `_OTHER`), revisions, words of the tables below. Ids, URIs, sessions and incarnations are never
labels. Beyond 2000 series of one metric, which takes hundreds of tools with many ways to fail, what
is new is counted in one series with `otel.metric.overflow`.
";

const EVENTS_INTRODUCTION: &str = "
## Lines of the log

Each lifecycle step is one line, of this name in the field `event`. Where spans are exported the
fields `trace_id` and `span_id` say where the step is told at length. Where `OTEL_LOGS_EXPORTER` is
`otlp` every line leaves as a log record too: these names are then the name of the event, the ids
are those of the record, the text is its body, and the other fields are its attributes, under the
names that they have in a line of JSON.

";

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/telemetry.md");
    let page = page().unwrap();
    if env::var_os("MCPLEX_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed.replace("\r\n", "\n") == page,
        "docs/reference/telemetry.md is out of date; run with MCPLEX_BLESS=1"
    );
}

fn page() -> Result<String, fmt::Error> {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## Spans\n");
    for span in attr::SPANS {
        section(&mut page, span)?;
    }
    page.push_str(SCOPES_INTRODUCTION);
    values(&mut page, attr::SCOPES)?;
    page.push_str(METRICS_INTRODUCTION);
    for metric in METRICS {
        number(&mut page, metric)?;
    }
    page.push_str("\n## Attributes\n\n");
    page.push_str("Of the OpenTelemetry semantic conventions:\n\n");
    typed(&mut page, attr::CONVENTIONS)?;
    page.push_str("\nOf mcplex:\n\n");
    typed(&mut page, attr::ATTRIBUTES)?;
    page.push_str(EVENTS_INTRODUCTION);
    values(&mut page, attr::EVENTS)?;
    page.push_str("\n## Values of `error.type`\n\n");
    page.push_str(
        "A JSON-RPC error is its code as text, an operator's request that failed has the \
                   status of HTTP; everything else is one of these.\n\n",
    );
    values(&mut page, attr::ERROR_TYPES)?;
    page.push_str("\n## Events inside spans\n\n");
    values(&mut page, attr::SPAN_EVENTS)?;
    page.push_str("\n## Values of `mcplex.link.kind`\n\n");
    values(&mut page, attr::LINK_KINDS)?;
    Ok(page)
}

fn section(page: &mut String, span: &SpanDoc) -> fmt::Result {
    let kind = match span.kind {
        Kind::Internal => "internal",
        Kind::Server => "server",
        Kind::Client => "client",
    };
    let attributes: Vec<_> = span.attributes.iter().map(|name| format!("`{name}`")).collect();
    let scopes: Vec<_> = span.scopes.iter().map(|name| format!("`{name}`")).collect();
    let SpanDoc { name, meaning, parent, links, .. } = span;
    write!(
        page,
        "\n### `{name}` ({kind})\n\n{meaning}\n\n- Scope: {}.\n- Parent: {parent}.\n- Links: {links}.\n\
         - Attributes: {}.\n",
        scopes.join(" or "),
        attributes.join(", ")
    )?;
    match span.events {
        [] => Ok(()),
        events => writeln!(page, "- Events: `{}`.", events.join("`, `")),
    }
}

fn number(page: &mut String, metric: &MetricDoc) -> fmt::Result {
    let instrument = match metric.instrument {
        Instrument::Counter => "counter",
        Instrument::UpDownCounter => "up-down counter",
        Instrument::Histogram => "histogram",
    };
    let MetricDoc { name, unit, meaning, .. } = metric;
    write!(page, "\n### `{name}` ({instrument}, unit `{unit}`)\n\n{}\n", meaning.trim())?;
    if !metric.attributes.is_empty() {
        let names: Vec<_> = metric.attributes.iter().map(|name| format!("`{name}`")).collect();
        write!(page, "\n- Attributes: {}.\n", names.join(", "))?;
    }
    if !metric.bounds.is_empty() {
        let bounds: Vec<_> = metric.bounds.iter().map(f64::to_string).collect();
        let before = if metric.attributes.is_empty() { "\n" } else { "" };
        writeln!(page, "{before}- Bounds: {}.", bounds.join(", "))?;
    }
    Ok(())
}

fn typed(page: &mut String, words: &[Word]) -> fmt::Result {
    page.push_str("| name | kind | meaning |\n| --- | --- | --- |\n");
    for Word { name, kind, meaning } in words {
        writeln!(page, "| `{name}` | {kind} | {} |", meaning.trim())?;
    }
    Ok(())
}

fn values(page: &mut String, words: &[Word]) -> fmt::Result {
    page.push_str("| value | meaning |\n| --- | --- |\n");
    for Word { name, meaning, .. } in words {
        writeln!(page, "| `{name}` | {} |", meaning.trim())?;
    }
    Ok(())
}
