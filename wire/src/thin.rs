//! Consistent probability sampling of spans, as OpenTelemetry specifies it: 56 bits of randomness
//! against a threshold, so that all collectors keep the same traces and counts can be recovered.
//!
//! <https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>

use crate::items::rewrite;
use crate::protobuf::put_message;
use crate::sampling::{Sampling, Threshold};
use crate::schema::{self, Message};
use crate::spans::{Identity, SpanEdit, write_span};
use crate::{Block, Signal, Survey};

/// A block in its request.
const BLOCK: u32 = 1;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinned {
    pub kept: u32,
    pub sampled_out: u32,
}

/// Appends a surveyed request for traces, thinned: a span stays if its randomness (`ot=rv`, else
/// the last 7 bytes of its trace id) is at least `threshold`, of 2^56. A span that stays bears the
/// threshold in `ot=th`. One that was thinned as much before stays as it is. A span without either
/// source of randomness goes.
///
/// Where no span is left, so is nothing of the request.
pub fn thin_traces(body: &[u8], threshold: u64, out: &mut Vec<u8>) -> Thinned {
    let threshold = Threshold::new(threshold);
    out.reserve(body.len());
    thin(schema::request(Signal::Traces), body, threshold, out)
}

/// As [`thin_traces`], each block to a threshold of its own. Returns what became of each.
pub fn thin_blocks(
    body: &[u8],
    survey: &Survey,
    mut threshold: impl FnMut(&Block) -> Threshold,
    out: &mut Vec<u8>,
) -> Vec<Thinned> {
    out.reserve(body.len());
    let thin_block = |block: &Block| {
        let threshold = threshold(block);
        if threshold == Threshold::EVERYTHING {
            out.extend_from_slice(&body[block.field.clone()]);
            return Thinned { kept: block.items, sampled_out: 0 };
        }
        let payload = &body[block.payload.clone()];
        let start = out.len();
        let thinned = put_message(out, BLOCK, payload.len(), |out| {
            thin(schema::block(Signal::Traces), payload, threshold, out)
        });
        if thinned.kept == 0 {
            out.truncate(start);
        }
        thinned
    };
    survey.blocks.iter().map(thin_block).collect()
}

/// What is left of a message; nothing where no span is.
fn thin(message: &Message, payload: &[u8], threshold: Threshold, out: &mut Vec<u8>) -> Thinned {
    let mut thinned = Thinned::default();
    let start = out.len();
    let any = rewrite(message, payload, out, &mut |whole, span, out| {
        let kept = thin_span(whole, span, threshold, out);
        match kept {
            true => thinned.kept += 1,
            false => thinned.sampled_out += 1,
        }
        kept
    });
    if !any {
        out.truncate(start);
    }
    thinned
}

fn thin_span(whole: &[u8], span: &[u8], threshold: Threshold, out: &mut Vec<u8>) -> bool {
    let Identity { trace_id, trace_state, .. } = Identity::of(span);
    let sampling = Sampling::of(trace_id, trace_state.unwrap_or_default());
    if sampling.threshold.unwrap_or_default() >= threshold {
        out.extend_from_slice(whole);
        return true;
    }
    if sampling.randomness.is_none_or(|randomness| randomness < threshold.bits()) {
        return false;
    }
    write_span(span, SpanEdit { threshold, ..SpanEdit::default() }, out);
    true
}
