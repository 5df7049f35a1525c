//! Events to stderr, one line each.

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::records::Recording;

/// A layer of the subscriber of this process.
pub(crate) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The crates that carry spans out.
///
/// What they say about an export is about telemetry itself: at `trace` every export would write
/// lines of its own.
const CARRIERS: [&str; 3] = ["opentelemetry", "hyper", "h2"];

/// Builds the layer that writes events.
///
/// It asks for no spans, so that they cost nothing while nothing exports them.
pub(crate) fn layer<W>(filter: Targets, json: bool, ansi: bool, writer: W) -> BoxedLayer
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Without the hint the filter below would be asked about every callsite there is.
    let ours = filter_fn(is_logged).with_max_level_hint(LevelFilter::TRACE);
    // Asked first, because a span is told from an event at once, and each call has spans.
    let filter = ours.and(filter);
    // A closed stderr is no reason to panic, and there is nowhere else to complain.
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    if json {
        let lines = lines.json().flatten_event(true);
        lines.with_current_span(false).with_span_list(false).with_filter(filter).boxed()
    } else {
        lines.with_ansi(ansi).with_filter(filter).boxed()
    }
}

/// Builds the layer that sends the same events to a collector.
///
/// Those about exports are not among them: a failure to export would be one more thing to export.
pub(crate) fn sent(filter: Targets, records: &Recording) -> BoxedLayer {
    let ours = filter_fn(|metadata| is_logged(metadata) && !is_of_telemetry(metadata));
    let filter = ours.with_max_level_hint(LevelFilter::TRACE).and(filter);
    records.layer().with_filter(filter).boxed()
}

fn is_of_telemetry(metadata: &Metadata<'_>) -> bool {
    metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}

/// Whether this is an event of mcplex or of a library it uses, except those that carry spans.
fn is_logged(metadata: &Metadata<'_>) -> bool {
    if !metadata.is_event() {
        return false;
    }
    let krate = metadata.target().split("::").next().unwrap_or_default();
    let carries =
        CARRIERS.iter().any(|name| krate.strip_prefix(name).is_some_and(is_end_of_family));
    !carries
}

/// Whether a crate belongs to a family: `hyper` itself, or `hyper_util`.
fn is_end_of_family(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['_', '-'])
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs with logs into memory and returns them.
    fn logged(filter: &str, json: bool, work: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = layer(filter.parse().unwrap(), json, false, move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(vec![layer]);
        tracing::subscriber::with_default(subscriber, work);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_of_text() {
        let text = logged("info", false, || {
            tracing::info!(upstream = "telegram", "connected");
            tracing::debug!("too fine");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("connected upstream=\"telegram\""), "{text}");
    }

    #[test]
    fn an_event_is_one_json_object() {
        let text = logged("info", true, || tracing::warn!(deaths = 3, "tripped\nnow"));
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in [r#""level":"WARN""#, r#""message":"tripped\nnow""#, r#""deaths":3"#] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn spans_are_not_asked_for() {
        logged("trace", false, || assert!(tracing::info_span!("some").is_disabled()));
    }

    #[test]
    fn what_carries_spans_out_is_silent() {
        let text = logged("trace", false, || {
            tracing::error!(target: "hyper_util::client", "one");
            tracing::error!(target: "opentelemetry-otlp", "two");
            tracing::error!(target: "h2::proto", "three");
            tracing::error!(target: "hyperbole", "four");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("four"), "{text}");
    }
}
