//! Resource attributes, overwritten by splicing: nothing else of a block is touched or looked at.

use crate::protobuf::{Field, Value, located, put_bytes, put_message};
use crate::survey::{Block, attribute_key};

const ATTRIBUTES: u32 = 1;
const RESOURCE: u32 = 1;
const BLOCK: u32 = 1;

/// What to make of a resource: keys that go wherever they stand, then attributes that come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceEdit {
    removed: Vec<Box<[u8]>>,
    /// Bit `n`: a removed key has `n` bytes (63: or more). Most keys are passed by this alone.
    removed_lengths: u64,
    removed_prefixes: Vec<Box<[u8]>>,
    appended: Vec<u8>,
}

impl ResourceEdit {
    /// Sets `attributes` (each key once) and takes `removed_only` away. What a sender wrote under
    /// any of these keys is gone, in every occurrence.
    pub fn new(attributes: &[(&str, &str)], removed_only: &[&str]) -> Self {
        let keys = attributes.iter().map(|(key, _)| key).chain(removed_only);
        let removed: Vec<Box<[u8]>> = keys.map(|key| key.as_bytes().into()).collect();
        let removed_lengths = removed.iter().fold(0, |bits, key| bits | length_bit(key));
        let mut appended = Vec::new();
        for (key, value) in attributes {
            put_attribute(&mut appended, ATTRIBUTES, key, value);
        }
        Self { removed, removed_lengths, removed_prefixes: Vec::new(), appended }
    }

    /// Takes away, too, what a sender wrote under any key that begins with one of these.
    #[must_use]
    pub fn without_prefixes(mut self, prefixes: &[&str]) -> Self {
        self.removed_prefixes = prefixes.iter().map(|prefix| prefix.as_bytes().into()).collect();
        self
    }

    fn removes(&self, attribute: &[u8]) -> bool {
        let key = attribute_key(attribute);
        let is_named = self.removed_lengths & length_bit(key) != 0
            && self.removed.iter().any(|removed| **removed == *key);
        is_named || self.removed_prefixes.iter().any(|prefix| key.starts_with(prefix))
    }
}

fn length_bit(key: &[u8]) -> u64 {
    1 << key.len().min(63)
}

/// Appends one block to a request, edited or as it came: blocks after one another are a request.
pub fn write_block(body: &[u8], block: &Block, edit: Option<&ResourceEdit>, out: &mut Vec<u8>) {
    let Some(edit) = edit else {
        out.extend_from_slice(&body[block.field.clone()]);
        return;
    };
    let length = block.payload.len() + edit.appended.len();
    out.reserve(length + 16);
    put_message(out, BLOCK, length, |out| {
        put_resource(body, block, edit, out);
        let mut done = block.payload.start;
        for resource in block.resources() {
            out.extend_from_slice(&body[done..resource.field.start]);
            done = resource.field.end;
        }
        out.extend_from_slice(&body[done..block.payload.end]);
    });
}

/// One resource in place of all: protobuf merges them by concatenation.
fn put_resource(body: &[u8], block: &Block, edit: &ResourceEdit, out: &mut Vec<u8>) {
    let length =
        block.resources().map(|found| found.payload.len()).sum::<usize>() + edit.appended.len();
    put_message(out, RESOURCE, length, |out| {
        for resource in block.resources() {
            let resource = &body[resource.payload.clone()];
            for (field, at) in located(resource) {
                if !is_removed(field, edit) {
                    out.extend_from_slice(&resource[at]);
                }
            }
        }
        out.extend_from_slice(&edit.appended);
    });
}

fn is_removed(field: Field<'_>, edit: &ResourceEdit) -> bool {
    match (field.number, field.value) {
        (ATTRIBUTES, Value::Bytes(attribute)) => edit.removes(attribute),
        _ => false,
    }
}

/// Writes a `KeyValue` with a string as the field `number`.
pub(crate) fn put_attribute(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    put_message(out, number, key.len() + value.len() + 8, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_message(out, 2, value.len() + 4, |out| put_bytes(out, 1, value.as_bytes()));
    });
}
