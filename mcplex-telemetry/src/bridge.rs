//! Says to the SDK what `tracing` cannot say.

use std::str::FromStr as _;

use mcplex_proto::attr;
use mcplex_proto::trace::{self, Described, TraceBridge, TraceContext};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue, StringValue, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The bridge to the SDK; without the layer in the subscriber it does nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bridge {
    /// Whether traces of other processes are continued.
    pub(crate) continues: bool,
}

impl TraceBridge for Bridge {
    fn context(&self, span: &Span) -> Option<TraceContext> {
        told(span.context().span().span_context())
    }

    fn describe(&self, span: &Span, attributes: &mut Described<'_>) -> Option<TraceContext> {
        let context = span.context();
        let span = context.span();
        let at = span.span_context();
        if at.is_sampled() {
            span.set_attributes(attributes.map(|(name, value)| KeyValue::new(name, said(value))));
        }
        told(at)
    }

    fn set_parent(&self, span: &Span, parent: &TraceContext) {
        if parent.is_remote() && !self.continues {
            return;
        }
        let parent = Context::new().with_remote_span_context(outward(parent));
        // Fails for a span that is not exported or has started: then there is nothing to set.
        drop(span.set_parent(parent));
    }

    fn add_link(&self, span: &Span, to: &TraceContext, kind: &'static str) {
        let attributes = vec![KeyValue::new(attr::LINK_KIND, kind)];
        span.add_link_with_attributes(outward(to), attributes);
    }

    fn add_event(&self, span: &Span, name: &'static str, (key, value): (&'static str, &str)) {
        span.add_event(name, vec![KeyValue::new(key, value.to_owned())]);
    }
}

/// Turns where a span stands into our words; none of a span that is not exported.
fn told(at: &SpanContext) -> Option<TraceContext> {
    let (trace, id) = (at.trace_id().to_bytes(), at.span_id().to_bytes());
    let known = TraceContext::local(trace, id, at.trace_flags().to_u8())?;
    Some(match at.trace_state().header() {
        state if state.is_empty() => known,
        state => known.with_state(&state),
    })
}

/// Turns what an attribute says into the words of the SDK.
fn said(value: trace::Value) -> Value {
    match value {
        trace::Value::Word(word) => Value::String(word.into()),
        trace::Value::Shared(text) => Value::String(StringValue::from(text)),
        trace::Value::Text(text) => Value::String(text.into()),
        trace::Value::Number(number) => Value::I64(number),
        trace::Value::Flag(flag) => Value::Bool(flag),
    }
}

/// Turns a context into the words of the SDK.
fn outward(context: &TraceContext) -> SpanContext {
    let state = context.tracestate().and_then(|state| TraceState::from_str(state).ok());
    SpanContext::new(
        TraceId::from_bytes(context.trace_id()),
        SpanId::from_bytes(context.span_id()),
        TraceFlags::new(context.flags()),
        context.is_remote(),
        state.unwrap_or_default(),
    )
}
