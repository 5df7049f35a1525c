//! The reference page says what the code says.
//!
//! `MCPLEX_BLESS=1 cargo test -p mcplex-telemetry --test page` writes it anew.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fmt, fs};

use mcplex_proto::attr::{self, Kind, SpanDoc, Word};

const INTRODUCTION: &str = "\
<!-- Written by the test `page` of mcplex-telemetry from mcplex-proto/src/attr.rs. -->

# Telemetry

Every span that mcplex exports, and every name it carries. Spans leave over OTLP (HTTP with
protobuf) once `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or the endpoint
in `[telemetry]` is set, and not otherwise. `OTEL_TRACES_SAMPLER` decides about requests; lifecycle
spans, those with `mcplex.lifecycle`, are always exported.

No span lives as long as an upstream does. A death, its respawn and the connect after it are one
trace; links lead from a failed call to the death that took it, and from there to the connect
before.
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
    page.push_str("\n## Attributes\n\n");
    page.push_str("Of the OpenTelemetry semantic conventions:\n\n");
    typed(&mut page, attr::CONVENTIONS)?;
    page.push_str("\nOf mcplex:\n\n");
    typed(&mut page, attr::ATTRIBUTES)?;
    page.push_str("\n## Values of `error.type`\n\n");
    page.push_str("A JSON-RPC error is its code as text; everything else is one of these.\n\n");
    values(&mut page, attr::ERROR_TYPES)?;
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
    let SpanDoc { name, meaning, parent, links, .. } = span;
    write!(
        page,
        "\n### `{name}` ({kind})\n\n{meaning}\n\n- Parent: {parent}.\n- Links: {links}.\n\
         - Attributes: {}.\n",
        attributes.join(", ")
    )
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
