//! JSON to protobuf, streamed: no tree is built, so the work and memory are those of the body.

use crate::Signal;
use crate::protobuf::{FIXED32, FIXED64, VARINT, put_bytes, put_message, put_tag, put_varint};
use crate::schema::{self, Field, Kind, Message};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Why a body is no OTLP JSON, with line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadJson(String);

impl fmt::Display for BadJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadJson {}

/// An export request in JSON as one in protobuf, which is still to be surveyed.
///
/// # Errors
/// When it is not JSON, known fields are nested deeper than 128, or a known field has a wrong value.
pub fn to_protobuf(signal: Signal, json: &[u8]) -> Result<Vec<u8>, BadJson> {
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut reader = serde_json::Deserializer::from_slice(json);
    Object { message: schema::request(signal), out: &mut out }
        .deserialize(&mut reader)
        .and_then(|()| reader.end())
        .map_err(|error| BadJson(error.to_string()))?;
    Ok(out)
}

/// The fields of a message, out of an object.
struct Object<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Name(self.message))? {
            match field {
                Some(field) => map.next_value_seed(Member { field, out: &mut *self.out })?,
                None => map.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }
}

/// The field of a name; `None`: unknown.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|field| field.name == name))
    }
}

/// A field's value, or its list of values. `null` is as if it were not there.
struct Member<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.field.repeated {
            deserializer.deserialize_any(self)
        } else {
            deserializer.deserialize_any(Element {
                field: self.field,
                out: self.out,
                packed: false,
            })
        }
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list for {:?}", self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let Self { field, out } = self;
        if matches!(field.kind, Kind::Uint64s | Kind::Fixed64s | Kind::Doubles) {
            put_message(out, field.number, 128, |out| elements(field, seq, true, out))
        } else {
            elements(field, seq, false, out)
        }
    }
}

fn elements<'de, A: SeqAccess<'de>>(
    field: &'static Field,
    mut seq: A,
    packed: bool,
    out: &mut Vec<u8>,
) -> Result<(), A::Error> {
    while seq.next_element_seed(Element { field, out: &mut *out, packed })?.is_some() {}
    Ok(())
}

/// One value of a field.
struct Element<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
    packed: bool,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for {:?}", self.field.name)
    }

    /// In a list of messages `null` holds the place of an empty one.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.field.kind.child() {
            Some(_) if self.field.repeated => put_bytes(self.out, self.field.number, &[]),
            None if self.field.repeated => return Err(wrong(self.field)),
            _ => {}
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Some(message) = self.field.kind.child() else { return Err(wrong(self.field)) };
        put_message(self.out, self.field.number, 64, |out| Object { message, out }.visit_map(map))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if !matches!(self.field.kind, Kind::Bool) {
            return Err(wrong(self.field));
        }
        put_tag(self.out, self.field.number, VARINT);
        self.out.push(u8::from(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(Number { whole: Some(value.into()), float: value as f64 })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(Number { whole: Some(value.into()), float: value as f64 })
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.number(Number::from_float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let Self { field, out, packed } = self;
        match field.kind {
            Kind::Text => put_bytes(out, field.number, text.as_bytes()),
            Kind::Id(_) => {
                put_bytes(out, field.number, &from_hex(text).ok_or_else(|| wrong(field))?);
            }
            Kind::Bytes => {
                put_bytes(out, field.number, &from_base64(text).ok_or_else(|| wrong(field))?);
            }
            Kind::Enum => return Err(wrong(field)),
            _ => {
                let number = Number::from_text(text).ok_or_else(|| wrong(field))?;
                return Element { field, out, packed }.number(number);
            }
        }
        Ok(())
    }
}

impl Element<'_> {
    fn number<E: Error>(self, number: Number) -> Result<(), E> {
        let Self { field, out, packed } = self;
        let (wire, value) = number.encode(&field.kind).ok_or_else(|| wrong(field))?;
        if !packed {
            put_tag(out, field.number, wire);
        }
        match wire {
            VARINT => put_varint(out, value),
            FIXED32 => out.extend_from_slice(&(value as u32).to_le_bytes()),
            _ => out.extend_from_slice(&value.to_le_bytes()),
        }
        Ok(())
    }
}

fn wrong<E: Error>(field: &Field) -> E {
    E::custom(format_args!("{:?} has a wrong value", field.name))
}

struct Number {
    /// Absent when it has a fraction, or no 64 bits hold it.
    whole: Option<i128>,
    float: f64,
}

impl Number {
    fn from_float(float: f64) -> Self {
        let is_whole = float.fract() == 0.0 && float.abs() < 2f64.powi(64);
        Self { whole: is_whole.then_some(float as i128), float }
    }

    /// Protobuf's JSON has 64-bit integers and what is not finite as strings, and takes any number so.
    fn from_text(text: &str) -> Option<Self> {
        let float = match text {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ if text.bytes().all(|byte| b"+-.0123456789Ee".contains(&byte)) => {
                text.parse().ok()?
            }
            _ => return None,
        };
        let whole = text.parse().ok();
        Some(if whole.is_some() { Self { whole, float } } else { Self::from_float(float) })
    }

    /// Wire type and bits of this number as a `kind`; `None` where it does not fit.
    fn encode(&self, kind: &Kind) -> Option<(u8, u64)> {
        if let Kind::Double | Kind::Doubles = kind {
            return Some((FIXED64, self.float.to_bits()));
        }
        let whole = self.whole?;
        Some(match kind {
            Kind::Int32 | Kind::Enum => (VARINT, i64::from(i32::try_from(whole).ok()?) as u64),
            Kind::Uint32 => (VARINT, u64::from(u32::try_from(whole).ok()?)),
            Kind::Sint32 => {
                let value = i32::try_from(whole).ok()?;
                (VARINT, u64::from((value << 1 ^ value >> 31) as u32))
            }
            Kind::Int64 => (VARINT, i64::try_from(whole).ok()? as u64),
            Kind::Uint64s => (VARINT, u64::try_from(whole).ok()?),
            Kind::Fixed32 => (FIXED32, u64::from(u32::try_from(whole).ok()?)),
            Kind::Fixed64 | Kind::Fixed64s => (FIXED64, u64::try_from(whole).ok()?),
            Kind::Sfixed64 => (FIXED64, i64::try_from(whole).ok()? as u64),
            _ => return None,
        })
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

/// Standard and URL-safe, with or without padding, as protobuf's JSON takes it.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let text = text.replace('-', "+").replace('_', "/");
    GeneralPurpose::new(&STANDARD, CONFIG).decode(text).ok()
}
