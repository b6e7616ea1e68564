//! Traces as agents send them: many are open at once, and a trace's spans leave in the requests of
//! all nodes that its services run on.

use super::random::Random;
use super::trace::{Piece, Sender, Trace};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::vec;

pub(crate) const SPANS_PER_REQUEST: usize = 480;
/// Open at once unless said otherwise; the next span is one of a random trace among them.
const OPEN_TRACES: usize = 64;

/// Makes one request after the other until all traces are sent.
pub(crate) struct Spread<Traces> {
    traces: Traces,
    open_max: usize,
    open: Vec<vec::IntoIter<Piece>>,
    /// What each node's agent has gathered.
    gathered: BTreeMap<usize, Vec<Piece>>,
    random: Random,
}

impl<Traces: Iterator<Item = Trace>> Spread<Traces> {
    pub(crate) fn new(seed: u64, traces: Traces) -> Self {
        let (open, gathered) = (Vec::new(), BTreeMap::new());
        Self { traces, open_max: OPEN_TRACES, open, gathered, random: Random(seed) }
    }

    /// As many traces are open at once.
    pub(crate) fn among(self, open_max: usize) -> Self {
        Self { open_max, ..self }
    }

    /// The next span of some open trace; `None`: all are sent.
    fn piece(&mut self) -> Option<Piece> {
        while self.open.len() < self.open_max {
            let Some(trace) = self.traces.next() else { break };
            self.open.push(trace.spans.into_iter());
        }
        if self.open.is_empty() {
            return None;
        }
        let at = self.random.below(self.open.len() as u64) as usize;
        let piece = self.open[at].next();
        if self.open[at].len() == 0 {
            self.open.swap_remove(at);
        }
        piece
    }
}

impl<Traces: Iterator<Item = Trace>> Iterator for Spread<Traces> {
    type Item = ExportTraceServiceRequest;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(piece) = self.piece() {
            let gathered = self.gathered.entry(piece.sender.node).or_default();
            gathered.push(piece);
            if gathered.len() == SPANS_PER_REQUEST {
                return Some(request(std::mem::take(gathered)));
            }
        }
        let rest = std::iter::from_fn(|| self.gathered.pop_first());
        rest.map(|(_, pieces)| pieces).find(|pieces| !pieces.is_empty()).map(request)
    }
}

/// One block a sender.
fn request(pieces: Vec<Piece>) -> ExportTraceServiceRequest {
    let mut blocks: Vec<(Arc<Sender>, Vec<Span>)> = Vec::new();
    for piece in pieces {
        match blocks.iter_mut().find(|(sender, _)| Arc::ptr_eq(sender, &piece.sender)) {
            Some((_, spans)) => spans.push(piece.span),
            None => blocks.push((piece.sender, vec![piece.span])),
        }
    }
    let blocks = blocks.into_iter().map(|(sender, spans)| block(&sender, spans));
    ExportTraceServiceRequest { resource_spans: blocks.collect() }
}

fn block(sender: &Sender, spans: Vec<Span>) -> ResourceSpans {
    let scope = InstrumentationScope {
        name: "io.opentelemetry.tomcat-10.0".to_owned(),
        version: "2.15.0-alpha".to_owned(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(sender.resource.clone()),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        schema_url: "https://opentelemetry.io/schemas/1.24.0".to_owned(),
    }
}

/// Small traces of three spans on three nodes.
#[cfg(test)]
pub(crate) fn test_traces(
    seed: u64,
    count: usize,
) -> impl Iterator<Item = ExportTraceServiceRequest> {
    let senders = [0, 1, 2].map(|node| Arc::new(Sender { resource: Default::default(), node }));
    let mut random = Random(seed);
    let traces = (0..count).map(move |_| {
        let id: [u8; 16] = random.bytes();
        let spans = senders.each_ref().map(|sender| {
            let span = Span {
                trace_id: id.to_vec(),
                span_id: random.bytes::<8>().to_vec(),
                ..Span::default()
            };
            Piece { sender: Arc::clone(sender), span }
        });
        Trace { id, spans: spans.to_vec() }
    });
    Spread::new(seed, traces)
}

#[cfg(test)]
mod tests {
    use super::super::corpus::{id, spans};
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn all_spans_leave_and_a_trace_is_spread_over_requests() {
        let requests: Vec<_> = test_traces(7, 1000).collect();
        let ids: BTreeSet<_> = requests.iter().flat_map(spans).map(id).collect();
        assert_eq!(ids.len(), 3000);
        assert!(requests.iter().all(|request| spans(request).count() <= SPANS_PER_REQUEST));
        let first: BTreeSet<_> = spans(&requests[0]).map(|span| &span.trace_id).collect();
        assert_eq!(first.len(), SPANS_PER_REQUEST);
    }
}
