//! What stands around the spans of a batch, and is the same in each.

use bytes::Bytes;
use mcplex_proto::attr;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope as ScopeMessage;
use opentelemetry_proto::tonic::resource::v1::Resource as ResourceMessage;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;

use super::{SCHEMA_URL, scope, wire};

/// The attribute under which the layer notes the target of a span, which does not leave.
pub(super) const TARGET: &str = "target";

/// The fields of `resource_spans`, of what is in it and of what is in that.
const OUTER: u32 = 1;
const HEAD: u32 = 1;
const INNER: u32 = 2;
const SCHEMA: u32 = 3;

/// Makes exports of spans.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// Whose spans they are.
    resource: Vec<u8>,
    /// What may have made them, in the order of [`attr::SCOPES`].
    scopes: Vec<Vec<u8>>,
    /// How many characters of a text leave.
    value_length: Option<usize>,
}

impl Envelope {
    pub(super) fn new(resource: &Resource, value_length: Option<usize>) -> Self {
        let ResourceAttributesWithSchema { attributes, .. } = resource.into();
        let resource = ResourceMessage { attributes: attributes.0, ..ResourceMessage::default() };
        let written =
            |word: &attr::Word| ScopeMessage::from((scope(word.name), None)).encode_to_vec();
        let scopes = attr::SCOPES.iter().map(written).collect();
        Self { resource: resource.encode_to_vec(), scopes, value_length }
    }

    /// An export of these spans.
    pub(super) fn around(&self, spans: &[SpanData]) -> Bytes {
        let mut groups = vec![Vec::new(); self.scopes.len()];
        let mut one = Vec::new();
        for span in spans {
            one.clear();
            wire::span(&mut one, span, self.value_length);
            wire::bytes(&mut groups[maker(span)], INNER, &one);
        }
        let mut inner = Vec::new();
        wire::bytes(&mut inner, HEAD, &self.resource);
        for (scope, spans) in self.scopes.iter().zip(groups).filter(|(_, it)| !it.is_empty()) {
            let head = [scope.len(), SCHEMA_URL.len()].map(|length| 1 + wire::sized(length));
            wire::message(&mut inner, INNER, head[0] + spans.len() + head[1]);
            wire::bytes(&mut inner, HEAD, scope);
            inner.extend_from_slice(&spans);
            wire::text(&mut inner, SCHEMA, SCHEMA_URL);
        }
        wire::text(&mut inner, SCHEMA, SCHEMA_URL);
        let mut out = Vec::with_capacity(inner.len() + 16);
        wire::bytes(&mut out, OUTER, &inner);
        out.into()
    }
}

/// Which part of mcplex made a span, as a place in [`attr::SCOPES`].
///
/// The layer has one tracer for all, because a second one would lose parents; it notes the target.
fn maker(span: &SpanData) -> usize {
    let target = span.attributes.iter().find(|pair| pair.key.as_str() == TARGET);
    let name = target.map_or(attr::SCOPE_PROGRAM, |it| attr::scope_of(&it.value.as_str()));
    attr::SCOPES.iter().position(|word| word.name == name).unwrap_or_default()
}

#[cfg(test)]
mod tests;
