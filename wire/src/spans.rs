//! Spans seen in place: the fields and the attributes that somebody asks for, never a decoded object.

use crate::Signal;
use crate::edit::{ResourceEdit, put_attribute, write_block};
use crate::protobuf::{
    LENGTH, Value, delimited, fields, located, payloads, put_bytes, put_fixed64, put_message, skip,
    varint,
};
use crate::sampling::{Sampling, Threshold};
use crate::survey::{Limits, attribute_key, survey};
use crate::tracestate;
use crate::walk::Malformed;
use std::borrow::Cow;

const RESOURCE: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SPAN: u32 = 2;
const TRACE_STATE: u32 = 3;
const ATTRIBUTES: u32 = 9;
/// Of [`Probes::ends`].
const ENDS: usize = 64;

/// Attribute keys to look for; a key's number is its place in the list that it was made from.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    keys: Vec<Box<[u8]>>,
    /// By the length of a key (63 stands for all longer ones), a bit for each of its last bytes:
    /// nearly every key that is not looked for ends there.
    ends: Vec<u64>,
    /// Key numbers, sorted by (length, key).
    sorted: Vec<u16>,
}

/// A value that a rule can be about; lists and maps are `Other`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'b> {
    Text(&'b [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Other,
}

/// An attribute that was looked for: its probe's number, and its value.
pub type Found<'b> = (u16, Scalar<'b>);

/// What the spans of one `ScopeSpans` share.
#[derive(Clone, Debug)]
pub struct ScopeView<'b> {
    /// Counts the `ScopeSpans` of the body from 0.
    pub number: u32,
    /// Fields of the `ResourceSpans` but its `scope_spans`, each with its tag.
    pub around_scopes: &'b [u8],
    /// Fields of the `ScopeSpans` but its spans, each with its tag.
    pub around_spans: &'b [u8],
    /// Of the resource.
    pub attributes: &'b [Found<'b>],
}

/// One span; what is absent is empty or zero.
#[derive(Clone, Debug, Default)]
pub struct SpanView<'b> {
    /// The span's message.
    pub payload: &'b [u8],
    /// 16 bytes, or none.
    pub trace_id: &'b [u8],
    /// 8 bytes, or none.
    pub span_id: &'b [u8],
    pub parent_span_id: &'b [u8],
    pub trace_state: &'b [u8],
    pub name: &'b [u8],
    /// As OTLP numbers them: 2 is a server, 5 a consumer.
    pub kind: u64,
    pub start_ns: u64,
    pub end_ns: u64,
    /// As OTLP numbers them: 2 is an error.
    pub status: u64,
    pub attributes: Vec<Found<'b>>,
}

impl Probes {
    /// # Panics
    /// With more than 65535 keys.
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k str>) -> Self {
        let keys: Vec<Box<[u8]>> = keys.into_iter().map(|key| key.as_bytes().into()).collect();
        assert!(u16::try_from(keys.len()).is_ok(), "at most 65535 keys are looked for");
        let mut ends = vec![0; ENDS];
        for key in &keys {
            ends[key.len().min(ENDS - 1)] |= end_bit(key);
        }
        let mut sorted: Vec<u16> = (0..=u16::MAX).take(keys.len()).collect();
        sorted.sort_by_key(|number| order(&keys[usize::from(*number)]));
        Self { keys, ends, sorted }
    }

    /// The key of a number.
    pub fn key(&self, number: u16) -> &[u8] {
        self.keys.get(usize::from(number)).map_or(&[], |key| key)
    }

    /// The number of a key that is looked for.
    #[inline]
    pub fn number(&self, key: &[u8]) -> Option<u16> {
        let ends = self.ends.get(key.len().min(ENDS - 1)).copied().unwrap_or_default();
        if ends & end_bit(key) == 0 {
            return None;
        }
        let found = self
            .sorted
            .binary_search_by_key(&order(key), |number| order(&self.keys[usize::from(*number)]));
        found.ok().map(|at| self.sorted[at])
    }

    /// The values of these attributes (fields `number` of a message) that are looked for.
    fn find<'b>(&self, message: &'b [u8], number: u32, found: &mut Vec<Found<'b>>) {
        if self.keys.is_empty() {
            return;
        }
        for field in fields(message).filter(|field| field.number == number) {
            if let Value::Bytes(attribute) = field.value {
                self.look(attribute, found);
            }
        }
    }

    #[inline]
    fn look<'b>(&self, attribute: &'b [u8], found: &mut Vec<Found<'b>>) {
        // Nearly always the key comes first and is short: most attributes end here.
        if let [0x0a, length @ 0..0x80, rest @ ..] = attribute
            && let Some(key) = rest.get(..usize::from(*length))
            && self.number(key).is_none()
            && rest.get(key.len()) == Some(&0x12)
        {
            return;
        }
        let (mut key, mut value) = (&[][..], &[][..]);
        for field in fields(attribute) {
            match (field.number, field.value) {
                (1, Value::Bytes(bytes)) => key = bytes,
                (2, Value::Bytes(bytes)) => value = bytes,
                _ => {}
            }
        }
        if let Some(number) = self.number(key) {
            found.push((number, scalar(value)));
        }
    }
}

fn end_bit(key: &[u8]) -> u64 {
    1 << (key.last().copied().unwrap_or_default() & 63)
}

fn order(key: &[u8]) -> (usize, &[u8]) {
    (key.len(), key)
}

/// The scalar of an `AnyValue`.
fn scalar(value: &[u8]) -> Scalar<'_> {
    let last = fields(value).last();
    match last.map(|field| (field.number, field.value)) {
        Some((1, Value::Bytes(text))) => Scalar::Text(text),
        Some((2, Value::Varint(bit))) => Scalar::Bool(bit != 0),
        Some((3, Value::Varint(int))) => Scalar::Int(int.cast_signed()),
        Some((4, Value::Fixed64(bits))) => Scalar::Double(f64::from_le_bytes(bits)),
        _ => Scalar::Other,
    }
}

/// Calls `see` for each span of a surveyed request for traces, with what is around it. Attributes
/// of resources are looked for by `of_resource`, those of spans by `of_span`.
pub fn spans<'b>(
    body: &'b [u8],
    of_resource: &Probes,
    of_span: &Probes,
    mut see: impl FnMut(&ScopeView<'_>, &SpanView<'b>),
) {
    let (mut number, mut span) = (0, SpanView::default());
    let (mut scopes, mut messages) = (Vec::new(), Vec::new());
    for block in payloads(body, 1) {
        let around_scopes = apart(block, SCOPE_SPANS, &mut scopes);
        let mut attributes = Vec::new();
        for resource in payloads(&around_scopes, RESOURCE) {
            of_resource.find(resource, 1, &mut attributes);
        }
        for scope in &scopes {
            let around_spans = apart(scope, SPAN, &mut messages);
            let view = ScopeView {
                number,
                around_scopes: &around_scopes,
                around_spans: &around_spans,
                attributes: &attributes,
            };
            number += 1;
            for message in &messages {
                span.read(message, of_span);
                see(&view, &span);
            }
        }
    }
}

/// The fields of a message but those of this number, which is below 16; their payloads go to
/// `parts`.
pub(crate) fn apart<'b>(
    message: &'b [u8],
    number: u32,
    parts: &mut Vec<&'b [u8]>,
) -> Cow<'b, [u8]> {
    parts.clear();
    let part_tag = (number << 3) as u8 | LENGTH;
    let (mut around, mut scattered) = (0..0, Vec::new());
    let mut rest = message;
    while let [tag, after @ ..] = rest {
        if *tag == part_tag
            && let Some((part, after)) = delimited(after)
        {
            parts.push(part);
            rest = after;
            continue;
        }
        let Some(after) = skip(rest) else { break };
        let at = message.len() - rest.len()..message.len() - after.len();
        rest = after;
        if around.is_empty() {
            around = at;
        } else if scattered.is_empty() && around.end == at.start {
            around.end = at.end;
        } else {
            if scattered.is_empty() {
                scattered.extend_from_slice(&message[around.clone()]);
            }
            scattered.extend_from_slice(&message[at]);
        }
    }
    if scattered.is_empty() { Cow::Borrowed(&message[around]) } else { Cow::Owned(scattered) }
}

impl<'b> SpanView<'b> {
    /// Without attributes.
    pub(crate) fn of(message: &'b [u8]) -> Self {
        let mut span = Self::default();
        span.read(message, &Probes::default());
        span
    }

    fn read(&mut self, message: &'b [u8], probes: &Probes) {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        *self = Self { payload: message, attributes, ..Self::default() };
        let mut rest = message;
        while let Some(after) = self.read_field(rest, probes) {
            rest = after;
        }
    }

    /// Known fields are taken by their tag, which has one byte; the others are walked over.
    #[inline(always)]
    fn read_field(&mut self, rest: &'b [u8], probes: &Probes) -> Option<&'b [u8]> {
        let (tag, after) = rest.split_first()?;
        let bytes = match tag {
            0x0a => &mut self.trace_id,
            0x12 => &mut self.span_id,
            0x1a => &mut self.trace_state,
            0x22 => &mut self.parent_span_id,
            0x2a => &mut self.name,
            0x4a => {
                let (attribute, after) = delimited(after)?;
                probes.look(attribute, &mut self.attributes);
                return Some(after);
            }
            0x39 | 0x41 => {
                let (time, after) = after.split_first_chunk()?;
                let own = if *tag == 0x39 { &mut self.start_ns } else { &mut self.end_ns };
                *own = u64::from_le_bytes(*time);
                return Some(after);
            }
            0x30 => {
                let (kind, after) = varint(after)?;
                self.kind = kind;
                return Some(after);
            }
            0x7a => {
                let (status, after) = delimited(after)?;
                self.read_status(status);
                return Some(after);
            }
            _ => return skip(rest),
        };
        let (payload, after) = delimited(after)?;
        *bytes = payload;
        Some(after)
    }

    fn read_status(&mut self, message: &[u8]) {
        // Nearly always nothing, or the code alone.
        match message {
            [] => return,
            [0x18, code @ 0..0x80] => {
                self.status = u64::from(*code);
                return;
            }
            _ => {}
        }
        for field in fields(message) {
            if let (3, Value::Varint(code)) = (field.number, field.value) {
                self.status = code;
            }
        }
    }

    /// Zero where it ends before it starts.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// No parent: the first span of its trace.
    pub fn is_root(&self) -> bool {
        self.parent_span_id.iter().all(|byte| *byte == 0)
    }

    /// Where a request enters a service: a server's or a consumer's span, or the first of a trace.
    pub fn is_entry(&self) -> bool {
        matches!(self.kind, 2 | 5) || self.is_root()
    }
}

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
    let state = payloads(message, TRACE_STATE).last().unwrap_or_default();
    let before = Sampling::of(&[], state).threshold.unwrap_or_default();
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

/// Appends a span's message as a field of a `ScopeSpans`, with what is given in its `tracestate`.
pub(crate) fn write_span_with(
    (head, message): (&[u8], &[u8]),
    (state, sampling): (&[u8], tracestate::Sampling),
    attributes: &[u8],
    out: &mut Vec<u8>,
) {
    let state = tracestate::with(std::str::from_utf8(state).unwrap_or_default(), sampling);
    put_message(out, SPAN, head.len() + message.len() + attributes.len() + 40, |out| {
        out.extend_from_slice(head);
        for (field, at) in located(message) {
            if field.number != TRACE_STATE {
                out.extend_from_slice(&message[at]);
            }
        }
        put_bytes(out, TRACE_STATE, state.as_bytes());
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

/// A resource attribute that is a string, in what is around the scopes of a block; the last one,
/// where the key stands repeatedly.
pub fn resource_text<'b>(around_scopes: &'b [u8], key: &str) -> Option<&'b str> {
    let attributes = payloads(around_scopes, RESOURCE).flat_map(|resource| payloads(resource, 1));
    let attribute = attributes.filter(|own| attribute_key(own) == key.as_bytes()).last()?;
    match scalar(payloads(attribute, 2).last()?) {
        Scalar::Text(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

/// What is around the scopes of a block ([`ScopeView::around_scopes`]), with an edited resource.
pub fn edit_resource(around_scopes: &[u8], edit: &ResourceEdit) -> Result<Vec<u8>, Malformed> {
    let mut body = Vec::new();
    put_bytes(&mut body, 1, around_scopes);
    let survey = survey(Signal::Traces, &body, &Limits::default())?;
    let mut edited = Vec::new();
    for block in &survey.blocks {
        write_block(&body, block, Some(edit), &mut edited);
    }
    Ok(payloads(&edited, 1).next().unwrap_or_default().to_vec())
}
