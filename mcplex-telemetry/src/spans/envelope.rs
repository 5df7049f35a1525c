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
use crate::queue::Pile;

/// The attribute under which the layer notes the target of a span, which does not leave.
pub(super) const TARGET: &str = "target";

/// The fields of `resource_spans`, of what is in it and of what is in that.
const OUTER: u32 = 1;
const HEAD: u32 = 1;
const INNER: u32 = 2;
const SCHEMA: u32 = 3;

/// A span as it leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct One<'a> {
    /// Which part of mcplex made it, as a place in [`attr::SCOPES`].
    pub(super) maker: usize,
    pub(super) bytes: &'a [u8],
}

/// The spans of a batch, as they leave, by what made them; in the order of [`attr::SCOPES`].
#[derive(Debug, Default)]
pub(super) struct Written(Vec<Vec<u8>>);

impl Pile<One<'_>> for Written {
    fn add(&mut self, One { maker, bytes }: One<'_>) {
        if self.0.len() <= maker {
            self.0.resize_with(attr::SCOPES.len().max(maker + 1), Vec::new);
        }
        wire::bytes(&mut self.0[maker], INNER, bytes);
    }
}

/// Makes exports of spans.
#[derive(Debug)]
pub(super) struct Envelope {
    /// Whose spans they are.
    resource: Vec<u8>,
    /// What may have made them, in the order of [`attr::SCOPES`].
    scopes: Vec<Vec<u8>>,
}

impl Envelope {
    pub(super) fn new(resource: &Resource) -> Self {
        let ResourceAttributesWithSchema { attributes, .. } = resource.into();
        let resource = ResourceMessage { attributes: attributes.0, ..ResourceMessage::default() };
        let written =
            |word: &attr::Word| ScopeMessage::from((scope(word.name), None)).encode_to_vec();
        let scopes = attr::SCOPES.iter().map(written).collect();
        Self { resource: resource.encode_to_vec(), scopes }
    }

    /// An export of these spans, which keep their memory for others.
    pub(super) fn around(&self, spans: &mut Written) -> Bytes {
        let field = |length: usize| 1 + wire::sized(length);
        let schema = field(SCHEMA_URL.len());
        let group =
            |(scope, spans): (&Vec<u8>, &Vec<u8>)| field(scope.len()) + spans.len() + schema;
        let made = || self.scopes.iter().zip(&spans.0).filter(|(_, spans)| !spans.is_empty());
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
        spans.0.iter_mut().for_each(Vec::clear);
        out.into()
    }
}

/// Which part of mcplex made a span, as a place in [`attr::SCOPES`].
///
/// The layer has one tracer for all, because a second one would lose parents; it notes the target.
pub(super) fn maker(span: &SpanData) -> usize {
    let target = span.attributes.iter().find(|pair| pair.key.as_str() == TARGET);
    let name = target.map_or(attr::SCOPE_PROGRAM, |it| attr::scope_of(&it.value.as_str()));
    attr::SCOPES.iter().position(|word| word.name == name).unwrap_or_default()
}

#[cfg(test)]
mod tests;
