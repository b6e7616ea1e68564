//! Protobuf to JSON. A message is scanned once for what is there, then once for each field that is:
//! no tree is built; lists and repeated messages merge as protobuf says.

use crate::Signal;
use crate::protobuf::{Value, fields, located, varint};
use crate::schema::{self, Field, Kind, Message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Write;

/// Appends a surveyed request as one line of JSON, without the line's end.
pub fn from_protobuf(signal: Signal, body: &[u8], out: &mut Vec<u8>) {
    object(schema::request(signal), body, out);
}

fn object(message: &'static Message, payload: &[u8], out: &mut Vec<u8>) {
    let present = Present::new(message, payload);
    let mut separator = b'{';
    for field in message.fields {
        if present.numbers & bit(field.number) == 0 {
            continue;
        }
        let mut payload = payload;
        if field.choice {
            if present.choice != field.number {
                continue;
            }
            payload = &payload[present.choice_start..];
        }
        out.push(separator);
        separator = b',';
        let _ = write!(out, "\"{}\":", field.name);
        if field.repeated { list(field, payload, out) } else { single(field, payload, out) }
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

/// What a message has: a bit for each field, and which choice stands last.
struct Present {
    numbers: u32,
    choice: u32,
    /// Where the fields of that choice begin, after the last field of another one.
    choice_start: usize,
}

impl Present {
    fn new(message: &Message, payload: &[u8]) -> Self {
        let mut present = Self { numbers: 0, choice: 0, choice_start: 0 };
        for (found, at) in located(payload) {
            let Some(field) = message.field(found.number) else { continue };
            present.numbers |= bit(field.number);
            if field.choice && present.choice != field.number {
                present.choice = field.number;
                present.choice_start = at.start;
            }
        }
        present
    }
}

fn bit(number: u32) -> u32 {
    1 << (number & 31)
}

fn list(field: &'static Field, payload: &[u8], out: &mut Vec<u8>) {
    out.push(b'[');
    let start = out.len();
    for value in values(payload, field.number) {
        match (&field.kind, value) {
            (Kind::Uint64s, Value::Bytes(mut packed)) => {
                while let Some((value, rest)) = varint(packed) {
                    element(field, Value::Varint(value), start, out);
                    packed = rest;
                }
            }
            (Kind::Fixed64s | Kind::Doubles, Value::Bytes(packed)) => {
                for chunk in packed.as_chunks().0 {
                    element(field, Value::Fixed64(*chunk), start, out);
                }
            }
            _ => element(field, value, start, out),
        }
    }
    out.push(b']');
}

fn element(field: &'static Field, value: Value<'_>, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    put(field, value, out);
}

/// The last value counts; of a message, all of them after one another.
fn single(field: &'static Field, payload: &[u8], out: &mut Vec<u8>) {
    let mut all = values(payload, field.number);
    let (first, second) = (all.next(), all.next());
    match (first, second) {
        (Some(value), None) => put(field, value, out),
        (Some(_), Some(_)) if field.kind.child().is_some() => {
            let merged: Vec<u8> = crate::protobuf::payloads(payload, field.number)
                .flat_map(|part| part.iter().copied())
                .collect();
            put(field, Value::Bytes(&merged), out);
        }
        (_, second) => {
            if let Some(value) = all.last().or(second) {
                put(field, value, out);
            }
        }
    }
}

fn values(payload: &[u8], number: u32) -> impl Iterator<Item = Value<'_>> {
    fields(payload).filter(move |field| field.number == number).map(|field| field.value)
}

fn put(field: &'static Field, value: Value<'_>, out: &mut Vec<u8>) {
    // A `Vec` takes every write.
    let _ = match (&field.kind, value) {
        (Kind::Text, Value::Bytes(bytes)) => {
            let text = String::from_utf8_lossy(bytes);
            serde_json::to_writer(out, &*text).map_err(Into::into)
        }
        (Kind::Id(_), Value::Bytes(bytes)) => hex(bytes, out),
        (Kind::Bytes, Value::Bytes(bytes)) => write!(out, "\"{}\"", STANDARD.encode(bytes)),
        (kind, Value::Bytes(payload)) => {
            if let Some(message) = kind.child() {
                object(message, payload, out);
            }
            Ok(())
        }
        (Kind::Bool, Value::Varint(bits)) => write!(out, "{}", bits != 0),
        (Kind::Int32 | Kind::Enum, Value::Varint(bits)) => write!(out, "{}", bits as i32),
        (Kind::Uint32, Value::Varint(bits)) => write!(out, "{}", bits as u32),
        (Kind::Sint32, Value::Varint(bits)) => {
            let bits = bits as u32;
            write!(out, "{}", (bits >> 1) as i32 ^ -((bits & 1) as i32))
        }
        (Kind::Int64, Value::Varint(bits)) => write!(out, "\"{}\"", bits as i64),
        (_, Value::Varint(bits)) => write!(out, "\"{bits}\""),
        (_, Value::Fixed32(bytes)) => write!(out, "{}", u32::from_le_bytes(bytes)),
        (Kind::Double | Kind::Doubles, Value::Fixed64(bytes)) => {
            double(f64::from_le_bytes(bytes), out)
        }
        (Kind::Sfixed64, Value::Fixed64(bytes)) => write!(out, "\"{}\"", i64::from_le_bytes(bytes)),
        (_, Value::Fixed64(bytes)) => write!(out, "\"{}\"", u64::from_le_bytes(bytes)),
    };
}

fn double(value: f64, out: &mut Vec<u8>) -> std::io::Result<()> {
    if value.is_finite() {
        write!(out, "{value:?}")
    } else if value.is_nan() {
        write!(out, "\"NaN\"")
    } else {
        write!(out, "\"{}Infinity\"", if value < 0.0 { "-" } else { "" })
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    out.push(b'"');
    for byte in bytes {
        write!(out, "{byte:02x}")?;
    }
    out.push(b'"');
    Ok(())
}
