//! Consistent probability sampling of spans, as OpenTelemetry specifies it: 56 bits of randomness
//! against a threshold, so that all collectors keep the same traces and counts can be recovered.
//!
//! <https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>

use crate::items::rewrite;
use crate::protobuf::{Value, fields, located, put_bytes, put_message};
use crate::tracestate::{self, THRESHOLD_END};
use crate::{Signal, schema};

const SPAN: u32 = 2;
const TRACE_ID: u32 = 1;
const TRACE_STATE: u32 = 3;

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
    let threshold = threshold.min(THRESHOLD_END);
    let mut thinned = Thinned::default();
    let start = out.len();
    out.reserve(body.len());
    let any = rewrite(schema::request(Signal::Traces), body, out, &mut |whole, span, out| {
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

fn thin_span(whole: &[u8], span: &[u8], threshold: u64, out: &mut Vec<u8>) -> bool {
    let (mut trace_id, mut trace_state): (&[u8], &[u8]) = (&[], &[]);
    for field in fields(span) {
        match (field.number, field.value) {
            (TRACE_ID, Value::Bytes(bytes)) => trace_id = bytes,
            (TRACE_STATE, Value::Bytes(bytes)) => trace_state = bytes,
            _ => {}
        }
    }
    let trace_state = std::str::from_utf8(trace_state).unwrap_or_default();
    let sampling = tracestate::sampling(trace_state);
    if sampling.threshold.unwrap_or(0) >= threshold {
        out.extend_from_slice(whole);
        return true;
    }
    let randomness = sampling.randomness.or_else(|| tracestate::randomness(trace_id));
    if randomness.is_none_or(|randomness| randomness < threshold) {
        return false;
    }
    let trace_state = tracestate::with_threshold(trace_state, threshold);
    put_message(out, SPAN, span.len() + 20, |out| {
        for (field, at) in located(span) {
            if field.number != TRACE_STATE {
                out.extend_from_slice(&span[at]);
            }
        }
        put_bytes(out, TRACE_STATE, trace_state.as_bytes());
    });
    true
}
