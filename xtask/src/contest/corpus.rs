//! What is sent in a run, made before it: whole gRPC messages, and the ids that must arrive.

use super::message::{self, Codec};
use anyhow::{Result, bail};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::BTreeSet;

/// Trace id and span id.
pub(crate) type Id = [u8; 24];

pub(crate) struct Corpus {
    pub(crate) codec: Codec,
    pub(crate) messages: Vec<Bytes>,
    pub(crate) ids: BTreeSet<Id>,
    /// Of all messages before they were compressed.
    bytes: usize,
}

/// What is missing at the destination and what came more than once, in spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Ids that were not to arrive.
    pub(crate) foreign: u64,
}

impl Corpus {
    /// # Errors
    /// When ids repeat.
    pub(crate) fn new(
        requests: impl Iterator<Item = ExportTraceServiceRequest>,
        codec: Codec,
    ) -> Result<Self> {
        let (mut messages, mut ids, mut bytes) = (Vec::new(), Vec::new(), 0);
        for request in requests {
            ids.extend(spans(&request).map(id));
            let body = request.encode_to_vec();
            bytes += body.len();
            messages.push(message::write(codec, body)?);
        }
        let spans = ids.len();
        let ids: BTreeSet<Id> = ids.into_iter().collect();
        if ids.len() != spans {
            bail!("{spans} spans have {} ids", ids.len());
        }
        Ok(Self { codec, messages, ids, bytes })
    }

    pub(crate) fn spans(&self) -> usize {
        self.ids.len()
    }

    /// Resources and scopes count too.
    pub(crate) fn bytes_per_span(&self) -> f64 {
        self.bytes as f64 / self.spans() as f64
    }
}

pub(crate) fn spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    let scopes = request.resource_spans.iter().flat_map(|block| &block.scope_spans);
    scopes.flat_map(|scope| &scope.spans)
}

/// All zero if the span has not the ids that OTLP asks for.
pub(crate) fn id(span: &Span) -> Id {
    [&*span.trace_id, &*span.span_id].concat().try_into().unwrap_or_default()
}

/// What came against what had to come.
pub(crate) fn compare(expected: &BTreeSet<Id>, mut arrived: Vec<Id>) -> Arrived {
    let all = arrived.len();
    arrived.sort_unstable();
    arrived.dedup();
    let known = arrived.iter().filter(|id| expected.contains(*id)).count();
    Arrived {
        lost: (expected.len() - known) as u64,
        doubled: (all - arrived.len()) as u64,
        foreign: (arrived.len() - known) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::super::spread::test_traces;
    use super::*;

    #[test]
    fn what_is_sent_can_be_read_again_in_each_codec() {
        for codec in Codec::ALL {
            let corpus = Corpus::new(test_traces(1, 300), codec).unwrap();
            let mut arrived = Vec::new();
            for message in &corpus.messages {
                arrived.extend(spans(&message::read(message, codec).unwrap()).map(id));
            }
            assert_eq!(compare(&corpus.ids, arrived.clone()), Arrived::default());
            let last = arrived.pop().unwrap();
            arrived.extend([arrived[0], [7; 24]]);
            assert_ne!(last, arrived[0]);
            let expected = Arrived { lost: 1, doubled: 1, foreign: 1 };
            assert_eq!(compare(&corpus.ids, arrived), expected);
        }
    }
}
