//! Which spans are taken.

use mcplex_proto::attr;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

use crate::options::Options;
use crate::plan::Warning;

/// The variable that chooses the sampler.
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
/// The variable that holds its ratio.
const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Takes every lifecycle span, keeps traces whole, and asks another sampler about the rest.
///
/// A trip is one span in a million requests; a ratio that is right for requests would lose it.
#[derive(Clone, Debug)]
pub(crate) struct LifecycleSampler {
    requests: Sampler,
}

impl LifecycleSampler {
    pub(crate) fn new(requests: Sampler) -> Self {
        Self { requests }
    }
}

impl ShouldSample for LifecycleSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let local = parent.map(|parent| parent.span().span_context().clone());
        let local = local.filter(|parent| parent.is_valid() && !parent.is_remote());
        let sampler = match local {
            _ if is_lifecycle(attributes) => &Sampler::AlwaysOn,
            // The handshake inside a connect; the client span of a call.
            Some(parent) if parent.is_sampled() => &Sampler::AlwaysOn,
            Some(_) => &Sampler::AlwaysOff,
            None => &self.requests,
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

/// Whether these are the attributes of a lifecycle span.
pub(crate) fn is_lifecycle(attributes: &[KeyValue]) -> bool {
    attributes.iter().any(|attribute| attribute.key.as_str() == attr::LIFECYCLE)
}

/// Reads the sampler for requests from the environment.
pub(crate) fn for_requests(options: &Options, warnings: &mut Vec<Warning>) -> Sampler {
    let parent_based = |root| Sampler::ParentBased(Box::new(root));
    match options.variable(SAMPLER) {
        None | Some("parentbased_always_on") => parent_based(Sampler::AlwaysOn),
        Some("parentbased_always_off") => parent_based(Sampler::AlwaysOff),
        Some("parentbased_traceidratio") => parent_based(ratio(options, warnings)),
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("traceidratio") => ratio(options, warnings),
        Some(_) => {
            let problem = "names no sampler known here; parentbased_always_on is used";
            warnings.push(Warning { variable: SAMPLER, problem });
            parent_based(Sampler::AlwaysOn)
        }
    }
}

/// Reads the share of traces that are taken; all without one.
fn ratio(options: &Options, warnings: &mut Vec<Warning>) -> Sampler {
    let Some(text) = options.variable(ARGUMENT) else { return Sampler::TraceIdRatioBased(1.0) };
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    if ratio.is_none() {
        let problem = "is not a number from 0 to 1; every trace is taken";
        warnings.push(Warning { variable: ARGUMENT, problem });
    }
    Sampler::TraceIdRatioBased(ratio.unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    fn check(env: &[(&str, &str)], expect: &str, warned: bool) {
        let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut warnings = Vec::new();
        let options = Options { env, ..Options::default() };
        assert_eq!(format!("{:?}", for_requests(&options, &mut warnings)), expect);
        assert_eq!(!warnings.is_empty(), warned, "{expect}");
    }

    #[test]
    fn the_environment_chooses_the_sampler() {
        check(&[], "ParentBased(AlwaysOn)", false);
        check(&[(SAMPLER, "always_off")], "AlwaysOff", false);
        check(&[(SAMPLER, "always_on")], "AlwaysOn", false);
        check(&[(SAMPLER, "parentbased_always_off")], "ParentBased(AlwaysOff)", false);
        let ratio = (SAMPLER, "traceidratio");
        check(&[ratio], "TraceIdRatioBased(1.0)", false);
        check(&[ratio, (ARGUMENT, "0.25")], "TraceIdRatioBased(0.25)", false);
        check(&[ratio, (ARGUMENT, "25%")], "TraceIdRatioBased(1.0)", true);
        check(&[ratio, (ARGUMENT, "NaN")], "TraceIdRatioBased(1.0)", true);
        check(&[(SAMPLER, "jaeger_remote")], "ParentBased(AlwaysOn)", true);
    }

    /// A parent in this process or another one.
    fn parent(sampled: bool, remote: bool) -> Context {
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let (trace, span) = (TraceId::from(1), SpanId::from(1));
        let parent = SpanContext::new(trace, span, flags, remote, TraceState::default());
        Context::new().with_remote_span_context(parent)
    }

    fn takes(parent: Option<&Context>, attributes: &[KeyValue]) -> bool {
        let sampler = LifecycleSampler::new(Sampler::AlwaysOff);
        let kind = SpanKind::Internal;
        let result = sampler.should_sample(parent, TraceId::from(1), "", &kind, attributes, &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn lifecycle_spans_are_always_taken() {
        let death = [KeyValue::new(attr::LIFECYCLE, attr::LIFECYCLE_DEATH)];
        assert!(takes(None, &death));
        assert!(takes(Some(&parent(false, false)), &death));
        assert!(!takes(None, &[]));
    }

    #[test]
    fn traces_stay_whole() {
        assert!(takes(Some(&parent(true, false)), &[]));
        assert!(!takes(Some(&parent(false, false)), &[]));
        assert!(!takes(Some(&parent(true, true)), &[]), "always_off does not ask the caller");
    }
}
