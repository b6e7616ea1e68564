//! A trace before it is sent, and its facts: computed plainly from its spans, so that both programs
//! can be held against them.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) type TraceId = [u8; 16];

/// In the order in which its spans are sent.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    pub(crate) spans: Vec<Piece>,
}

/// A span and who sends it.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) sender: Arc<Sender>,
    pub(crate) span: Span,
}

/// A service's process.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) resource: Resource,
    /// The node it runs on: the agent there gathers its spans.
    pub(crate) node: usize,
}

impl Trace {
    pub(crate) fn has_error(&self) -> bool {
        let status = |piece: &Piece| piece.span.status.as_ref().map_or(0, |status| status.code);
        self.spans.iter().any(|piece| status(piece) == 2)
    }

    /// Last end minus first start.
    pub(crate) fn duration_ns(&self) -> i128 {
        let start = self.spans.iter().map(|piece| piece.span.start_time_unix_nano).min();
        let end = self.spans.iter().map(|piece| piece.span.end_time_unix_nano).max();
        i128::from(end.unwrap_or_default()) - i128::from(start.unwrap_or_default())
    }

    /// The values of an attribute on any span or its resource.
    pub(crate) fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Value> {
        let attributes = self.spans.iter().flat_map(|piece| {
            piece.sender.resource.attributes.iter().chain(&piece.span.attributes)
        });
        attributes
            .filter(move |attribute| attribute.key == key)
            .filter_map(|attribute| attribute.value.as_ref()?.value.as_ref())
    }

    pub(crate) fn texts<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.values(key).filter_map(|value| match value {
            Value::StringValue(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// All spans have the same.
    pub(crate) fn state(&self) -> &str {
        self.spans.first().map_or("", |piece| &piece.span.trace_state)
    }
}

/// Nanoseconds since the epoch: a collector may mistrust spans that are far from its own clock.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

pub(crate) fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
