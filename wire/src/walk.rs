//! The structural check: is this protobuf, and is it this message?
//!
//! Checked: tags, wire types, lengths, varints of at most 64 bits, UTF-8 of every string, lengths
//! of ids, depth of values, counts. Not checked: what the values mean.

use crate::protobuf::{delimited, tag, varint};
use crate::schema::{ANY_VALUE, KEY_VALUE, Message, Step};
use crate::survey::Limits;
use std::fmt;

/// Why a body is not what it should be. The sender is wrong: sending it again cannot help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    Truncated,
    /// Field number 0, a group, or a known field with another wire type than its own.
    WireType,
    Varint,
    Utf8,
    /// A trace id that is not 16 bytes, a span id that is not 8.
    IdLength,
    PackedLength,
    TooDeep,
    TooManyItems,
    TooManyAttributes,
    TooManyBlocks,
    TooManyResources,
}

impl Malformed {
    /// A whole message for the sender, also a bounded label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "a field is longer than its message",
            Self::WireType => "a field has a wrong wire type",
            Self::Varint => "a varint is cut short or longer than 64 bits",
            Self::Utf8 => "a string is not UTF-8",
            Self::IdLength => "a trace id must have 16 bytes, a span id 8",
            Self::PackedLength => "a packed field has a broken length",
            Self::TooDeep => "an attribute value is nested too deep",
            Self::TooManyItems => "the request has too many items",
            Self::TooManyAttributes => "an item has too many attributes",
            Self::TooManyBlocks => "the request has too many resources",
            Self::TooManyResources => "a block repeats its resource too often",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Malformed {}

/// An attribute: its key, and its value, which is an `AnyValue`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyValue<'b> {
    pub(crate) key: &'b [u8],
    pub(crate) value: &'b [u8],
}

/// One walk: what may be, and what was counted so far.
pub(crate) struct Walk<'l> {
    pub(crate) limits: &'l Limits,
    pub(crate) items: u32,
}

impl Walk<'_> {
    /// Checks one message and all that is in it.
    pub(crate) fn message(
        &mut self,
        message: &Message,
        mut rest: &[u8],
        depth: u32,
    ) -> Result<(), Malformed> {
        let mut attributes = 0;
        while !rest.is_empty() {
            rest = self.field(message, rest, depth, &mut attributes)?;
        }
        Ok(())
    }

    /// Checks the first field of what is left of a message that is in no value. Of a field with the
    /// tag `but` only the length is checked.
    pub(crate) fn field_but<'b>(
        &mut self,
        message: &Message,
        rest: &'b [u8],
        but: Option<u8>,
        attributes: &mut u32,
    ) -> Result<&'b [u8], Malformed> {
        match rest {
            [tag, after @ ..] if Some(*tag) == but => Ok(split(after)?.1),
            _ => self.field(message, rest, 0, attributes),
        }
    }

    /// Checks the first field of what is left of a message; `attributes` counts that message's.
    #[inline(always)]
    pub(crate) fn field<'b>(
        &mut self,
        message: &Message,
        rest: &'b [u8],
        depth: u32,
        attributes: &mut u32,
    ) -> Result<&'b [u8], Malformed> {
        let [tag, after @ ..] = rest else { return Err(Malformed::Truncated) };
        if *tag >= 0x80 {
            return long(message, rest);
        }
        let step = message.step(*tag);
        if !matches!(step, Step::Attribute | Step::Value | Step::Child | Step::Item) {
            return leaf(step, after);
        }
        let (payload, after) = split(after)?;
        match (step, message.child(*tag)) {
            (Step::Attribute, _) => {
                self.attribute(payload, depth, attributes)?;
            }
            (Step::Value, _) => self.value(payload, depth + 1)?,
            (Step::Item, Some(item)) => {
                self.count()?;
                self.message(item, payload, depth)?;
            }
            (_, Some(child)) => self.message(child, payload, depth)?,
            (_, None) => {}
        }
        Ok(after)
    }

    /// Checks an attribute; gives it where all of it is seen at a glance.
    #[inline(always)]
    pub(crate) fn attribute<'b>(
        &mut self,
        payload: &'b [u8],
        depth: u32,
        attributes: &mut u32,
    ) -> Result<Option<KeyValue<'b>>, Malformed> {
        *attributes += 1;
        if *attributes > self.limits.attributes_max {
            return Err(Malformed::TooManyAttributes);
        }
        let plain = plain_attribute(payload).filter(|_| depth < self.limits.depth_max);
        if plain.is_none() {
            self.message(&KEY_VALUE, payload, depth)?;
        }
        Ok(plain)
    }

    fn value(&mut self, payload: &[u8], depth: u32) -> Result<(), Malformed> {
        if depth > self.limits.depth_max {
            return Err(Malformed::TooDeep);
        }
        self.message(&ANY_VALUE, payload, depth)
    }

    pub(crate) fn count(&mut self) -> Result<(), Malformed> {
        self.items += 1;
        if self.items > self.limits.items_max {
            return Err(Malformed::TooManyItems);
        }
        Ok(())
    }
}

/// A field whose tag takes more than one byte. No message has a child there; a tag that is longer
/// than it need be is refused, since it would hide one.
fn long<'b>(message: &Message, bytes: &'b [u8]) -> Result<&'b [u8], Malformed> {
    let (number, wire, rest) = tag(bytes).ok_or(Malformed::Varint)?;
    if number < 16 {
        return Err(Malformed::WireType);
    }
    leaf(message.long_step(number, wire), rest)
}

/// Nearly all attributes are a short key, then a short string or a number, in the usual order:
/// those are seen at a glance. All lengths are below 128, so every byte but a number's is ASCII.
#[inline(always)]
fn plain_attribute(payload: &[u8]) -> Option<KeyValue<'_>> {
    let [0x0a, key_length @ 0..0x80, rest @ ..] = payload else { return None };
    let (key, value) = rest.split_at_checked(usize::from(*key_length))?;
    let [0x12, length @ 0..0x80, value @ ..] = value else { return None };
    let is_plain = match value {
        _ if usize::from(*length) != value.len() => false,
        [0x0a, length @ 0..0x80, text @ ..] => {
            usize::from(*length) == text.len() && is_ascii(payload)
        }
        [0x18, number @ ..] => matches!(varint(number), Some((_, []))) && is_ascii(key),
        _ => false,
    };
    is_plain.then_some(KeyValue { key, value })
}

/// Walks over the value of a field that holds no message.
#[inline(always)]
pub(crate) fn leaf(step: Step, after: &[u8]) -> Result<&[u8], Malformed> {
    match step {
        Step::Varint => skip_varint(after),
        Step::Fixed64 => after.get(8..).ok_or(Malformed::Truncated),
        Step::Fixed32 => after.get(4..).ok_or(Malformed::Truncated),
        Step::Bytes => Ok(split(after)?.1),
        Step::Text => Ok(text(after)?.1),
        Step::Id16 => Ok(id(after, 16)?.1),
        Step::Id8 => Ok(id(after, 8)?.1),
        Step::Fixed64s => {
            let (packed, after) = split(after)?;
            if packed.len() % 8 == 0 { Ok(after) } else { Err(Malformed::PackedLength) }
        }
        Step::Varints => {
            let (mut packed, after) = split(after)?;
            while !packed.is_empty() {
                packed = skip_varint(packed)?;
            }
            Ok(after)
        }
        Step::Child | Step::Item | Step::Attribute | Step::Value | Step::Wrong => {
            Err(Malformed::WireType)
        }
    }
}

#[inline(always)]
pub(crate) fn split(after: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    delimited(after).ok_or(Malformed::Truncated)
}

#[inline(always)]
fn skip_varint(after: &[u8]) -> Result<&[u8], Malformed> {
    varint(after).map(|(_, rest)| rest).ok_or(Malformed::Varint)
}

/// Splits an id off, of this length or empty.
#[inline(always)]
pub(crate) fn id(after: &[u8], length: usize) -> Result<(&[u8], &[u8]), Malformed> {
    let (id, after) = split(after)?;
    if id.len() == length || id.is_empty() { Ok((id, after)) } else { Err(Malformed::IdLength) }
}

/// Splits a string off.
#[inline(always)]
pub(crate) fn text(after: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (text, after) = split(after)?;
    if is_text(text) { Ok((text, after)) } else { Err(Malformed::Utf8) }
}

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Most strings are short and ASCII: those are seen eight bytes at a time.
#[inline(always)]
fn is_text(text: &[u8]) -> bool {
    is_ascii(text) || std::str::from_utf8(text).is_ok()
}

#[inline(always)]
fn is_ascii(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else {
        return text.iter().fold(0, |bits, byte| bits | byte) < 0x80;
    };
    let (chunks, _) = text.as_chunks::<8>();
    let bits = chunks
        .iter()
        .fold(u64::from_ne_bytes(*last), |bits, chunk| bits | u64::from_ne_bytes(*chunk));
    bits & HIGH_BITS == 0
}
