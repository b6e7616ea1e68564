//! What an SDK's remote sampler did, told to who comes after: the threshold of the rate that it was
//! told, and the randomness that it decided by, in the `tracestate` of its spans.
//!
//! Such SDKs write neither, and decide by other bits of the trace id than OpenTelemetry's thresholds
//! do ([`sdk_randomness`]). docs/decisions/0012.

use crate::items::rewrite;
use crate::protobuf::put_message;
use crate::sampling::{Sampling, Threshold, sdk_randomness};
use crate::spans::{Identity, write_span_with};
use crate::{Block, Signal, Survey, schema, tracestate};

const BLOCK: u32 = 1;

/// What a service's SDK was told to keep; the default stands for one that was told nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub threshold: Threshold,
    /// In force for spans that start earlier than `since_ns`.
    pub before: Threshold,
    /// In nanoseconds since 1970.
    pub since_ns: u64,
}

impl Told {
    fn at(&self, start_ns: u64) -> Threshold {
        if start_ns < self.since_ns { self.before } else { self.threshold }
    }
}

/// A surveyed request for traces, with the randomness of SDKs in each span that has no `ot=th` and
/// no `ot=rv`, and the threshold of what its service was told where the randomness reaches it. (A
/// span that does not reach it was not decided by that rate, but followed its parent.)
pub fn mark_traces(body: &[u8], survey: &Survey, told: impl Fn(&Block) -> Told) -> Vec<u8> {
    let message = schema::block(Signal::Traces);
    let mut out = Vec::with_capacity(body.len() + 48 * survey.items as usize);
    for block in &survey.blocks {
        let told = told(block);
        let payload = &body[block.payload.clone()];
        let length = payload.len() + 48 * block.items as usize;
        put_message(&mut out, BLOCK, length, |out| {
            rewrite(message, payload, out, &mut |whole, span, out| {
                mark(whole, span, &told, out);
                true
            });
        });
    }
    out
}

fn mark(whole: &[u8], span: &[u8], told: &Told, out: &mut Vec<u8>) {
    let Identity { trace_id, trace_state, start_ns } = Identity::of(span);
    let said = Sampling::of(trace_id, trace_state.unwrap_or_default());
    let (None, false, Some(randomness)) =
        (said.threshold, said.is_explicit, sdk_randomness(trace_id))
    else {
        out.extend_from_slice(whole);
        return;
    };
    let threshold = told.at(start_ns);
    let is_sampled = threshold != Threshold::EVERYTHING && threshold.keeps(randomness);
    let sampling = tracestate::Sampling {
        threshold: is_sampled.then_some(threshold.bits()),
        randomness: Some(randomness),
    };
    write_span_with((&[], span), (trace_state, sampling), &[], out);
}
