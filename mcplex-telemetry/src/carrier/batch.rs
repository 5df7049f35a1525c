//! What leaves together, in the forms of OTLP.

use std::io;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use serde_json::Value;

/// One export of one signal.
#[derive(Debug)]
pub(crate) enum Batch {
    /// Written already, as protobuf: there are thousands of them for one of the others.
    Spans(Bytes),
    Metrics(ExportMetricsServiceRequest),
    Records(ExportLogsServiceRequest),
}

impl Batch {
    pub(crate) fn to_protobuf(&self) -> Bytes {
        match self {
            Self::Spans(written) => written.clone(),
            Self::Metrics(request) => request.encode_to_vec().into(),
            Self::Records(request) => request.encode_to_vec().into(),
        }
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        match self {
            Self::Spans(written) => {
                let request = ExportTraceServiceRequest::decode(&**written);
                serde_json::to_vec(
                    &request.map_err(io::Error::other).map_err(serde_json::Error::io)?,
                )
            }
            Self::Metrics(request) => serde_json::to_vec(request),
            Self::Records(request) => serde_json::to_vec(request),
        }
    }
}

/// What a collector says that took a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// How much of it was not to its taste; sending it again would not help.
    pub(crate) rejected: u64,
    /// Why.
    pub(crate) message: String,
}

impl Accepted {
    /// Reads an answer; the answers of all signals have the same fields in the same places.
    ///
    /// An answer that cannot be read was still one that everything is well.
    pub(crate) fn from_protobuf(answer: &[u8]) -> Self {
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        Self {
            rejected: u64::try_from(partial.rejected_spans).unwrap_or_default(),
            message: partial.error_message,
        }
    }

    /// Reads the same as JSON, where each signal calls it by another name.
    pub(crate) fn from_json(answer: &[u8]) -> Self {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let partial = &answer["partialSuccess"];
        let names = ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"];
        let rejected = names.iter().find_map(|name| match &partial[name] {
            Value::Number(number) => number.as_u64(),
            // Numbers of 64 bits are text in the JSON of protobuf.
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        Self {
            rejected: rejected.unwrap_or_default(),
            message: partial["errorMessage"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_much_was_not_taken() {
        let check = |text: &str, rejected, message: &str| {
            let accepted = Accepted::from_json(text.as_bytes());
            assert_eq!((accepted.rejected, &*accepted.message), (rejected, message), "{text}");
        };
        check("", 0, "");
        check("{}", 0, "");
        check(r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"old"}}"#, 3, "old");
        check(r#"{"partialSuccess":{"rejectedLogRecords":2}}"#, 2, "");
        // Field 1 with the fields 1 and 2 in it.
        let answer = Accepted::from_protobuf(b"\x0a\x05\x08\x04\x12\x01x");
        assert_eq!((answer.rejected, &*answer.message), (4, "x"));
        assert_eq!(Accepted::from_protobuf(b"\xff"), Accepted::default());
    }
}
