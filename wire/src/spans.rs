//! Spans seen in place: the fields and the attributes that somebody asks for, never a decoded object.

mod write;

pub(crate) use write::write_span_with;
pub use write::{SpanEdit, write_request, write_span};

use crate::Signal;
use crate::edit::{ResourceEdit, write_block};
use crate::protobuf::{LENGTH, Value, delimited, fields, payloads, put_bytes, skip, varint};
use crate::schema::{self, RESOURCE_SPANS, STATUS};
use crate::survey::{Limits, Survey, attribute_key, block, blocks, survey};
use crate::walk::{KeyValue, Malformed, Walk, id, split, text};
use std::borrow::Cow;

const RESOURCE: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SPAN: u32 = 2;
const TRACE_STATE: u32 = 3;
const ATTRIBUTES: u32 = 9;
/// Of `flags`, the field 16: the first of two bytes.
const FLAGS_TAG: u8 = 0x85;
/// Of both: a field 2 with a length.
const PART_TAG: u8 = 0x12;
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

/// What sampling goes by, of a span that was checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity<'b> {
    pub(crate) trace_id: &'b [u8],
    pub(crate) trace_state: Option<&'b [u8]>,
    pub(crate) start_ns: u64,
}

impl<'b> Identity<'b> {
    pub(crate) fn of(message: &'b [u8]) -> Self {
        let mut own = Self::default();
        for field in fields(message) {
            match (field.number, field.value) {
                (1, Value::Bytes(id)) => own.trace_id = id,
                (TRACE_STATE, Value::Bytes(state)) => own.trace_state = Some(state),
                (7, Value::Fixed64(time)) => own.start_ns = u64::from_le_bytes(time),
                _ => {}
            }
        }
        own
    }
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
    #[inline(always)]
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
                self.look((attribute, None), found);
            }
        }
    }

    /// `plain`: the same, where it was seen at a glance.
    #[inline(always)]
    fn look<'b>(
        &self,
        (attribute, plain): (&'b [u8], Option<KeyValue<'b>>),
        found: &mut Vec<Found<'b>>,
    ) {
        let KeyValue { key, value } = plain.unwrap_or_else(|| key_value(attribute));
        if let Some(number) = self.number(key) {
            found.push((number, scalar(value)));
        }
    }
}

fn key_value(attribute: &[u8]) -> KeyValue<'_> {
    let mut own = KeyValue::default();
    for field in fields(attribute) {
        match (field.number, field.value) {
            (1, Value::Bytes(key)) => own.key = key,
            (2, Value::Bytes(value)) => own.value = value,
            _ => {}
        }
    }
    own
}

/// Splits a point in time off.
fn time(after: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let (time, after) = after.split_first_chunk().ok_or(Malformed::Truncated)?;
    Ok((u64::from_le_bytes(*time), after))
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

/// Checks a request for traces as [`survey`] does, and reads it in the same pass: `see` gets each span
/// with what is around it. Attributes of resources are looked for by `of_resource`, those of spans by
/// `of_span`.
///
/// # Errors
/// As [`survey`]. Then some spans may have been seen before.
pub fn read_spans<'b>(
    body: &'b [u8],
    limits: &Limits,
    (of_resource, of_span): (&Probes, &Probes),
    mut see: impl FnMut(&ScopeView<'_>, &SpanView<'b>),
) -> Result<Survey, Malformed> {
    let mut walk = Walk { limits, items: 0 };
    let (mut number, mut span) = (0, SpanView::default());
    let (mut scopes, mut messages) = (Vec::new(), Vec::new());
    blocks(body, limits, |payload, field| {
        let items_before = walk.items;
        let mut found = block(&RESOURCE_SPANS, payload, field, (&mut walk, Some(PART_TAG)))?;
        let around_scopes = apart(payload, SCOPE_SPANS, &mut scopes);
        let mut attributes = Vec::new();
        for resource in payloads(&around_scopes, RESOURCE) {
            of_resource.find(resource, 1, &mut attributes);
        }
        for scope in &scopes {
            let (mut rest, mut count) = (*scope, 0);
            while !rest.is_empty() {
                rest = walk.field_but(&schema::SCOPE_SPANS, rest, Some(PART_TAG), &mut count)?;
            }
            let around_spans = apart(scope, SPAN, &mut messages);
            let view = ScopeView {
                number,
                around_scopes: &around_scopes,
                around_spans: &around_spans,
                attributes: &attributes,
            };
            number += 1;
            for message in &messages {
                walk.count()?;
                span.read(message, of_span, &mut walk)?;
                see(&view, &span);
            }
        }
        found.items = walk.items - items_before;
        Ok(found)
    })
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
    /// Known fields are taken by their tag, which has one byte; the others are walked over.
    fn read(
        &mut self,
        message: &'b [u8],
        probes: &Probes,
        walk: &mut Walk<'_>,
    ) -> Result<(), Malformed> {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        *self = Self { payload: message, attributes, ..Self::default() };
        let (mut rest, mut count) = (message, 0);
        while let [tag, after @ ..] = rest {
            match *tag {
                0x0a => (self.trace_id, rest) = id(after, 16)?,
                0x12 => (self.span_id, rest) = id(after, 8)?,
                0x1a => (self.trace_state, rest) = text(after)?,
                0x22 => (self.parent_span_id, rest) = id(after, 8)?,
                0x2a => (self.name, rest) = text(after)?,
                0x30 => (self.kind, rest) = varint(after).ok_or(Malformed::Varint)?,
                0x39 => (self.start_ns, rest) = time(after)?,
                0x41 => (self.end_ns, rest) = time(after)?,
                0x4a => {
                    let attribute;
                    (attribute, rest) = split(after)?;
                    let plain = walk.attribute(attribute, 0, &mut count)?;
                    probes.look((attribute, plain), &mut self.attributes);
                }
                0x7a => {
                    let status;
                    (status, rest) = split(after)?;
                    self.read_status(status, walk)?;
                }
                FLAGS_TAG if let [0x01, _, _, _, _, others @ ..] = after => rest = others,
                _ => rest = walk.field(&schema::SPAN, rest, 0, &mut count)?,
            }
        }
        Ok(())
    }

    fn read_status(&mut self, message: &[u8], walk: &mut Walk<'_>) -> Result<(), Malformed> {
        // Nearly always nothing, or the code alone.
        match message {
            [] => return Ok(()),
            [0x18, code @ 0..0x80] => {
                self.status = u64::from(*code);
                return Ok(());
            }
            _ => walk.message(&STATUS, message, 0)?,
        }
        for field in fields(message) {
            if let (3, Value::Varint(code)) = (field.number, field.value) {
                self.status = code;
            }
        }
        Ok(())
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
