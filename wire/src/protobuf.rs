//! The protobuf wire format: fields out of bytes, and bytes out of fields.
//!
//! Groups are refused: no OTLP message has had one.

use std::ops::Range;

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LENGTH: u8 = 2;
pub(crate) const FIXED32: u8 = 5;

/// Splits a varint off. `None`: cut short, or more than 64 bits.
#[inline(always)]
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [first @ 0..0x80, rest @ ..] => Some((u64::from(*first), rest)),
        [first, second @ 0..0x80, rest @ ..] => {
            Some((u64::from(first & 0x7f) | u64::from(*second) << 7, rest))
        }
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return (at < 9 || *byte <= 1).then(|| (value, &bytes[at + 1..]));
        }
    }
    None
}

/// Splits a length-delimited payload off.
#[inline(always)]
pub(crate) fn delimited(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = varint(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// Splits a tag off: field number, wire type.
pub(crate) fn tag(bytes: &[u8]) -> Option<(u32, u8, &[u8])> {
    let (key, rest) = varint(bytes)?;
    let key = u32::try_from(key).ok()?;
    (key >= 8).then_some((key >> 3, (key & 7) as u8, rest))
}

/// One field of a message: its number, and its value by wire type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order; ends early where the bytes are no message.
pub(crate) fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    located(message).map(|(field, _)| field)
}

/// [`fields`], each with the place of its tag and value in `message`.
pub(crate) fn located(message: &[u8]) -> impl Iterator<Item = (Field<'_>, Range<usize>)> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let start = message.len() - rest.len();
        let (field, after) = field(rest)?;
        rest = after;
        Some((field, start..message.len() - rest.len()))
    })
}

/// What follows the first field.
pub(crate) fn skip(bytes: &[u8]) -> Option<&[u8]> {
    field(bytes).map(|(_, after)| after)
}

fn field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (number, wire, rest) = tag(bytes)?;
    let (value, rest) = match wire {
        VARINT => varint(rest).map(|(value, rest)| (Value::Varint(value), rest))?,
        FIXED64 => rest.split_first_chunk().map(|(value, rest)| (Value::Fixed64(*value), rest))?,
        FIXED32 => rest.split_first_chunk().map(|(value, rest)| (Value::Fixed32(*value), rest))?,
        LENGTH => delimited(rest).map(|(value, rest)| (Value::Bytes(value), rest))?,
        _ => return None,
    };
    Some((Field { number, value }, rest))
}

/// The payloads of the length-delimited fields with this number.
pub(crate) fn payloads(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    fields(message).filter(move |field| field.number == number).filter_map(|field| {
        match field.value {
            Value::Bytes(payload) => Some(payload),
            _ => None,
        }
    })
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Of a length-delimited field: all that stands before its payload.
pub(crate) fn put_start(out: &mut Vec<u8>, number: u32, length: usize) {
    put_tag(out, number, LENGTH);
    put_varint(out, length as u64);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, payload: &[u8]) {
    put_start(out, number, payload.len());
    out.extend_from_slice(payload);
}

pub(crate) fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Bytes that the varint of `value` takes.
pub(crate) fn varint_len(value: usize) -> usize {
    let bits = usize::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Writes a length-delimited field whose length is known only afterwards.
/// A good guess of the payload's length saves moving it.
pub(crate) fn put_message<R>(
    out: &mut Vec<u8>,
    number: u32,
    length_guess: usize,
    write: impl FnOnce(&mut Vec<u8>) -> R,
) -> R {
    put_tag(out, number, LENGTH);
    let prefix = out.len();
    let reserved = varint_len(length_guess);
    out.resize(prefix + reserved, 0);
    let result = write(out);
    close(out, prefix, reserved);
    result
}

fn close(out: &mut Vec<u8>, prefix: usize, reserved: usize) {
    let start = prefix + reserved;
    let length = out.len() - start;
    let needed = varint_len(length);
    if needed != reserved {
        out.resize(out.len().max(prefix + needed + length), 0);
        out.copy_within(start..start + length, prefix + needed);
        out.truncate(prefix + needed + length);
    }
    let mut value = length;
    for byte in &mut out[prefix..prefix + needed] {
        *byte = (value & 0x7f) as u8 | 0x80;
        value >>= 7;
    }
    out[prefix + needed - 1] &= 0x7f;
}
