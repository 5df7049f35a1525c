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
    /// The spans of a batch by what made them, and one of them; kept, because memory that is new for
    /// each batch costs more than what is written into it.
    groups: Vec<Vec<u8>>,
    one: Vec<u8>,
}

impl Envelope {
    pub(super) fn new(resource: &Resource, value_length: Option<usize>) -> Self {
        let ResourceAttributesWithSchema { attributes, .. } = resource.into();
        let resource = ResourceMessage { attributes: attributes.0, ..ResourceMessage::default() };
        let written =
            |word: &attr::Word| ScopeMessage::from((scope(word.name), None)).encode_to_vec();
        let scopes: Vec<_> = attr::SCOPES.iter().map(written).collect();
        let groups = vec![Vec::new(); scopes.len()];
        let resource = resource.encode_to_vec();
        Self { resource, scopes, value_length, groups, one: Vec::new() }
    }

    /// An export of these spans.
    pub(super) fn around(&mut self, spans: &[SpanData]) -> Bytes {
        self.groups.iter_mut().for_each(Vec::clear);
        for span in spans {
            self.one.clear();
            wire::span(&mut self.one, span, self.value_length);
            wire::bytes(&mut self.groups[maker(span)], INNER, &self.one);
        }
        let field = |length: usize| 1 + wire::sized(length);
        let schema = field(SCHEMA_URL.len());
        let group =
            |(scope, spans): (&Vec<u8>, &Vec<u8>)| field(scope.len()) + spans.len() + schema;
        let made = || self.scopes.iter().zip(&self.groups).filter(|(_, spans)| !spans.is_empty());
        let groups: usize = made().map(|made| field(group(made))).sum();
        let inner = field(self.resource.len()) + groups + schema;
        let mut out = Vec::with_capacity(field(inner));
        wire::message(&mut out, OUTER, inner);
        wire::bytes(&mut out, HEAD, &self.resource);
        for (scope, spans) in made() {
            wire::message(&mut out, INNER, group((scope, spans)));
            wire::bytes(&mut out, HEAD, scope);
            out.extend_from_slice(spans);
            wire::text(&mut out, SCHEMA, SCHEMA_URL);
        }
        wire::text(&mut out, SCHEMA, SCHEMA_URL);
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
