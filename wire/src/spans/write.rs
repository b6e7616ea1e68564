//! Spans as they leave: with the threshold that they were kept by.

use super::{ATTRIBUTES, SCOPE_SPANS, SPAN, TRACE_STATE};
use crate::edit::put_attribute;
use crate::protobuf::{located, payloads, put_bytes, put_fixed64, put_message};
use crate::sampling::{Sampling, Threshold};
use crate::tracestate;

/// How a span leaves that was kept with a probability below 1, or that says why it was kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanEdit<'a> {
    pub threshold: Threshold,
    /// Attributes to add, made by [`SpanEdit::attributes`].
    pub attributes: &'a [u8],
    /// The first fields of the span, where they were cut off its message: no `tracestate`.
    pub head: &'a [u8],
}

impl SpanEdit<'_> {
    /// Texts and numbers as attributes of a span.
    pub fn attributes(texts: &[(&str, &str)], numbers: &[(&str, f64)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, text) in texts {
            put_attribute(&mut out, ATTRIBUTES, key, text);
        }
        for (key, number) in numbers {
            put_message(&mut out, ATTRIBUTES, key.len() + 16, |out| {
                put_bytes(out, 1, key.as_bytes());
                put_message(out, 2, 9, |out| put_fixed64(out, 4, number.to_bits()));
            });
        }
        out
    }
}

/// Appends a span's message as a field of a `ScopeSpans`. Its `ot=th` is raised to the threshold,
/// never lowered; a threshold that keeps everything is not written.
pub fn write_span(message: &[u8], edit: SpanEdit<'_>, out: &mut Vec<u8>) {
    let state = payloads(message, TRACE_STATE).last();
    let before = Sampling::of(&[], state.unwrap_or_default()).threshold.unwrap_or_default();
    if edit.threshold <= before {
        let length = edit.head.len() + message.len() + edit.attributes.len();
        put_message(out, SPAN, length, |out| {
            out.extend_from_slice(edit.head);
            out.extend_from_slice(message);
            out.extend_from_slice(edit.attributes);
        });
        return;
    }
    let threshold = Some(edit.threshold.bits());
    let sampling = tracestate::Sampling { threshold, randomness: None };
    write_span_with((edit.head, message), (state, sampling), edit.attributes, out);
}

/// Appends a span's message as a field of a `ScopeSpans`, with what is given in its `tracestate`;
/// `None`: it has none so far.
pub(crate) fn write_span_with(
    (head, message): (&[u8], &[u8]),
    (state, sampling): (Option<&[u8]>, tracestate::Sampling),
    attributes: &[u8],
    out: &mut Vec<u8>,
) {
    let before = std::str::from_utf8(state.unwrap_or_default()).unwrap_or_default();
    let after = tracestate::with(before, sampling);
    put_message(out, SPAN, head.len() + message.len() + attributes.len() + 40, |out| {
        out.extend_from_slice(head);
        if state.is_none() {
            out.extend_from_slice(message);
        } else {
            let others = located(message).filter(|(field, _)| field.number != TRACE_STATE);
            others.for_each(|(_, at)| out.extend_from_slice(&message[at]));
        }
        put_bytes(out, TRACE_STATE, after.as_bytes());
        out.extend_from_slice(attributes);
    });
}

/// Appends a request for traces with one scope: what [`ScopeView`] says is around its spans, and
/// the spans that [`write_span`] wrote.
pub fn write_request(around_scopes: &[u8], around_spans: &[u8], spans: &[u8], out: &mut Vec<u8>) {
    let scope_length = around_spans.len() + spans.len();
    put_message(out, 1, around_scopes.len() + scope_length + 6, |out| {
        out.extend_from_slice(around_scopes);
        put_message(out, SCOPE_SPANS, scope_length, |out| {
            out.extend_from_slice(around_spans);
            out.extend_from_slice(spans);
        });
    });
}
