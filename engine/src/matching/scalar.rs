//! Values of spans against values of rules.

use super::condition::Value;
use sluice_wire::spans::Scalar;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A value that outlives the request that it came in.
#[derive(Clone, Debug)]
pub(super) enum Owned {
    Text(Box<[u8]>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Other,
}

impl Owned {
    pub(super) fn new(value: Scalar<'_>) -> Self {
        match value {
            Scalar::Text(text) => Self::Text(text.into()),
            Scalar::Bool(bit) => Self::Bool(bit),
            Scalar::Int(int) => Self::Int(int),
            Scalar::Double(double) => Self::Double(double),
            Scalar::Other => Self::Other,
        }
    }

    pub(super) fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Text(text) => Scalar::Text(text),
            Self::Bool(bit) => Scalar::Bool(*bit),
            Self::Int(int) => Scalar::Int(*int),
            Self::Double(double) => Scalar::Double(*double),
            Self::Other => Scalar::Other,
        }
    }
}

/// Of a number of nanoseconds, spans or the like.
pub(super) fn count<'a>(count: u64) -> Scalar<'a> {
    Scalar::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// `None`: values of different types, which have no order.
pub(super) fn compare(found: Scalar<'_>, value: &Value) -> Option<Ordering> {
    match (found, value) {
        (Scalar::Text(found), Value::Text(value)) => Some(found.cmp(value.as_bytes())),
        (Scalar::Bool(found), Value::Bool(value)) => Some(found.cmp(value)),
        (Scalar::Int(found), Value::Int(value)) => Some(found.cmp(value)),
        (Scalar::Int(found), Value::Double(value)) => (found as f64).partial_cmp(&value.number()),
        (Scalar::Double(found), Value::Int(value)) => found.partial_cmp(&(*value as f64)),
        (Scalar::Double(found), Value::Double(value)) => found.partial_cmp(&value.number()),
        _ => None,
    }
}

/// An HTTP status: a number, also as text.
pub(super) fn code(found: Scalar<'_>) -> Option<u16> {
    match found {
        Scalar::Int(int) => u16::try_from(int).ok(),
        Scalar::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

/// A number or boolean as people write it.
pub(super) fn text_form(found: Scalar<'_>) -> Option<Cow<'_, [u8]>> {
    match found {
        Scalar::Text(text) => Some(Cow::Borrowed(text)),
        Scalar::Bool(bit) => Some(Cow::Owned(bit.to_string().into_bytes())),
        Scalar::Int(int) => Some(Cow::Owned(int.to_string().into_bytes())),
        Scalar::Double(double) => Some(Cow::Owned(double.to_string().into_bytes())),
        Scalar::Other => None,
    }
}
