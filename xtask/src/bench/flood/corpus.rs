//! Forwards as an agent sends them, made once; each round of them gets trace ids of its own.

use crate::bench::tail::traces::{Mix, SPANS_PER_TRACE, Shop};
use crate::contest::corpus::spans;
use crate::contest::random::Random;
use crate::contest::spread::Spread;
use crate::contest::trace::{TraceId, now_ns};
use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use sluice_engine::sender::Sender;
use sluice_wire::forward::{Frame, write_frame};
use std::collections::HashMap;

/// Stands for a frame's id until it is sent.
const FRAME_ID: u64 = 0x5e17_ca7c_f00d_beef;

/// Traces that are sent again and again, each time as others.
pub(super) struct Corpus {
    pub(super) messages: Vec<Template>,
    /// Of each trace: whether some span failed.
    pub(super) failed: Vec<bool>,
}

/// A whole gRPC message, and what differs in each round.
pub(super) struct Template {
    bytes: Vec<u8>,
    frame_id: usize,
    /// Of each span: where the id of its trace is, and the trace's number.
    pub(super) spans: Vec<(usize, u32)>,
}

impl Corpus {
    /// `open` traces are under way at any time.
    pub(super) fn new(seed: u64, traces: usize, open: usize) -> Result<Self> {
        let (mut failed, mut numbers) = (Vec::new(), HashMap::new());
        let shop = Shop::new(seed, Mix::USUAL, now_ns()).take(traces).inspect(|trace| {
            numbers.insert(trace.id, failed.len() as u32);
            failed.push(trace.has_error());
        });
        let requests: Vec<_> = Spread::new(seed, shop).among(open).collect();
        let messages = requests.iter().map(|request| Template::new(request, &numbers));
        Ok(Self { messages: messages.collect::<Result<_>>()?, failed })
    }

    pub(super) fn spans(&self) -> usize {
        self.failed.len() * SPANS_PER_TRACE
    }
}

impl Template {
    fn new(request: &ExportTraceServiceRequest, numbers: &HashMap<TraceId, u32>) -> Result<Self> {
        let (sender, body) = (Sender::Claimed.to_bytes(), request.encode_to_vec());
        let mut forward = Vec::with_capacity(body.len() + 64);
        let frame = Frame { sender: &sender, body: &body, id: FRAME_ID, ..Frame::default() };
        write_frame(&frame, &mut forward);
        let bytes = [&[0], &u32::try_from(forward.len())?.to_be_bytes()[..], &forward].concat();
        let frame_id = FRAME_ID.to_le_bytes();
        let frame_id = bytes.windows(8).rposition(|at| at == frame_id).context("find the id")?;
        let (mut from, mut places) = (0, Vec::new());
        for span in spans(request) {
            // The first field of a span, with its tag and its length.
            let field = [&[0x0a, 16], &*span.trace_id].concat();
            let found = bytes[from..].windows(field.len()).position(|at| at == field);
            let at = from + found.context("find a span")? + 2;
            let id: TraceId = span.trace_id.as_slice().try_into().context("read a trace id")?;
            places.push((at, *numbers.get(&id).context("a trace that is not known")?));
            from = at + 16;
        }
        Ok(Self { bytes, frame_id, spans: places })
    }

    /// As it is sent in one round.
    pub(super) fn message(&self, round: u32, frame: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[self.frame_id..self.frame_id + 8].copy_from_slice(&frame.to_le_bytes());
        for (at, trace) in &self.spans {
            bytes[*at..at + 16].copy_from_slice(&id(Key { round, trace: *trace }));
        }
        bytes
    }
}

/// A trace of one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) round: u32,
    pub(super) trace: u32,
}

/// Its last bytes, by which it is sampled, are as good as random.
pub(super) fn id(key: Key) -> TraceId {
    let number = u64::from(key.round) << 32 | u64::from(key.trace);
    // Twice: numbers that follow one another give what looks random only when they are mixed first.
    let random = Random(Random(number).next()).next();
    (u128::from(number) << 64 | u128::from(random)).to_be_bytes()
}

pub(super) fn key(id: &TraceId) -> Key {
    let number = (u128::from_be_bytes(*id) >> 64) as u64;
    Key { round: (number >> 32) as u32, trace: number as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_wire::forward::frames;

    #[test]
    fn each_round_has_traces_and_a_frame_of_its_own() {
        let corpus = Corpus::new(1, 200, 50).unwrap();
        let mut seen = HashMap::new();
        for round in [3, 4] {
            for template in &corpus.messages {
                let message = template.message(round, 77);
                let frame = frames(&message[5..]).next().unwrap();
                assert_eq!(frame.id, 77);
                let request = ExportTraceServiceRequest::decode(frame.body).unwrap();
                for span in spans(&request) {
                    let key = key(&span.trace_id.clone().try_into().unwrap());
                    assert_eq!(key.round, round);
                    *seen.entry(key).or_insert(0) += 1;
                }
            }
        }
        assert_eq!(seen.len(), 400);
        assert!(seen.values().all(|spans| *spans == SPANS_PER_TRACE));
    }
}
