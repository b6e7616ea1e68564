//! What a request holds, found in one pass: its blocks, their resources and their items.

use crate::Signal;
use crate::protobuf::{LENGTH, Value, delimited, fields, payloads, tag};
use crate::schema::{self, Message, RESOURCE};
use crate::walk::{Malformed, Walk, leaf};
use std::ops::Range;

/// What a request may hold. The size of the body is bounded by who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub items_max: u32,
    pub blocks_max: u32,
    /// Of one resource, scope, item, event, link or key-value list.
    pub attributes_max: u32,
    /// Of values in values; a plain attribute has depth 1.
    pub depth_max: u32,
    /// How often one block may repeat its `resource`.
    pub resources_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            items_max: 1 << 20,
            blocks_max: 1 << 14,
            attributes_max: 1 << 13,
            depth_max: 16,
            resources_max: 64,
        }
    }
}

impl Limits {
    /// For what was made of a request that was within its limits.
    pub const NONE: Self = Self {
        items_max: u32::MAX,
        blocks_max: u32::MAX,
        attributes_max: u32::MAX,
        depth_max: u32::MAX,
        resources_max: u32::MAX,
    };
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Spans, data points or log records.
    pub items: u32,
    pub blocks: Vec<Block>,
}

/// One `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`; ranges count in the request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The whole field: tag, length and payload.
    pub field: Range<usize>,
    pub payload: Range<usize>,
    pub items: u32,
    /// When it is repeated, the first one.
    resource: Option<Resource>,
    resources_repeated: Vec<Resource>,
}

/// A field `resource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) field: Range<usize>,
    pub(crate) payload: Range<usize>,
}

/// Checks a request and finds its blocks. Fields of the request itself that OTLP does not know
/// are in no block, so they go no further.
///
/// # Errors
/// When the body is not such a request, or beyond the limits.
pub fn survey(signal: Signal, body: &[u8], limits: &Limits) -> Result<Survey, Malformed> {
    let message = schema::block(signal);
    let mut walk = Walk { limits, items: 0 };
    blocks(body, limits, |payload, field| block(message, payload, field, (&mut walk, None)))
}

/// Finds the blocks of a request, each made by `block` of its payload and of its place.
pub(crate) fn blocks<'b>(
    body: &'b [u8],
    limits: &Limits,
    mut block: impl FnMut(&'b [u8], Range<usize>) -> Result<Block, Malformed>,
) -> Result<Survey, Malformed> {
    let mut survey = Survey::default();
    let mut rest = body;
    while !rest.is_empty() {
        let start = body.len() - rest.len();
        let (number, wire, after) = tag(rest).ok_or(Malformed::Varint)?;
        if number != 1 {
            rest = leaf(schema::unknown(wire), after)?;
            continue;
        }
        if wire != LENGTH {
            return Err(Malformed::WireType);
        }
        if survey.blocks.len() as u64 >= u64::from(limits.blocks_max) {
            return Err(Malformed::TooManyBlocks);
        }
        let (payload, after) = delimited(after).ok_or(Malformed::Truncated)?;
        rest = after;
        let end = body.len() - rest.len();
        let block = block(payload, start..end)?;
        survey.items += block.items;
        survey.blocks.push(block);
    }
    Ok(survey)
}

/// Checks a block, and counts its items. What is in fields with the tag `but` is left to the caller.
pub(crate) fn block(
    message: &Message,
    payload: &[u8],
    field: Range<usize>,
    (walk, but): (&mut Walk<'_>, Option<u8>),
) -> Result<Block, Malformed> {
    let items_before = walk.items;
    let (mut resource, mut resources_repeated) = (None, Vec::new());
    let (mut rest, mut attributes) = (payload, 0);
    while !rest.is_empty() {
        if let [0x0a, after @ ..] = rest {
            let (inner, after) = delimited(after).ok_or(Malformed::Truncated)?;
            walk.message(&RESOURCE, inner, 0)?;
            let end = field.end - after.len();
            let found =
                Resource { field: field.end - rest.len()..end, payload: end - inner.len()..end };
            match &resource {
                None => resource = Some(found),
                Some(_) => resources_repeated.push(found),
            }
            if resources_repeated.len() as u64 >= u64::from(walk.limits.resources_max) {
                return Err(Malformed::TooManyResources);
            }
            rest = after;
            continue;
        }
        rest = walk.field_but(message, rest, but, &mut attributes)?;
    }
    let items = walk.items - items_before;
    let payload = field.end - payload.len()..field.end;
    Ok(Block { field, payload, items, resource, resources_repeated })
}

impl Block {
    /// A resource attribute that is a string; the last one, where the key stands repeatedly.
    pub fn attribute<'b>(&self, body: &'b [u8], key: &str) -> Option<&'b str> {
        let attribute = self
            .resources()
            .flat_map(|resource| payloads(&body[resource.payload.clone()], 1))
            .filter(|attribute| attribute_key(attribute) == key.as_bytes())
            .last()?;
        let value = payloads(attribute, 2).flat_map(fields).last()?;
        match (value.number, value.value) {
            (1, Value::Bytes(text)) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// All its resources, in order. Protobuf merges them: that is the concatenation of payloads.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.resource.iter().chain(&self.resources_repeated)
    }
}

/// The key of a `KeyValue`; the last one, where the field stands repeatedly.
pub(crate) fn attribute_key(attribute: &[u8]) -> &[u8] {
    payloads(attribute, 1).last().unwrap_or_default()
}
