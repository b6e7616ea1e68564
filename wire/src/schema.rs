//! The OTLP messages as data: what the walker checks and what the JSON form is made by.
//!
//! From opentelemetry-proto 1.10; fields that are not here are unknown: walked over and kept.

use crate::Signal;
use crate::protobuf::{FIXED32, FIXED64, LENGTH, VARINT};

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) fields: &'static [Field],
    /// By the only byte of a tag (numbers up to 15).
    steps: [Step; 128],
    /// By field number; `Some` where the step is `Child` or `Item`.
    children: [Option<&'static Message>; 16],
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// In the JSON form.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) repeated: bool,
    /// Of the one `oneof` of its message.
    pub(crate) choice: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bool,
    Int32,
    Uint32,
    Sint32,
    Enum,
    Int64,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    Text,
    Bytes,
    /// Empty, or an id of this many bytes.
    Id(u8),
    Message(&'static Message),
    /// A message that is counted: a span, a log record, a data point.
    Item(&'static Message),
    /// A [`KEY_VALUE`].
    Attribute,
    /// An [`ANY_VALUE`].
    Value,
    Uint64s,
    Fixed64s,
    Doubles,
}

/// What the walker does after a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Varint,
    Fixed32,
    Fixed64,
    Bytes,
    Text,
    Id16,
    Id8,
    Varints,
    Fixed64s,
    Child,
    Item,
    Attribute,
    Value,
    /// Field number 0, a group, or a known field with another wire type than its own.
    Wrong,
}

impl Kind {
    /// The message that a field of this kind holds.
    pub(crate) fn child(&self) -> Option<&'static Message> {
        match self {
            Self::Message(child) | Self::Item(child) => Some(child),
            Self::Attribute => Some(&KEY_VALUE),
            Self::Value => Some(&ANY_VALUE),
            _ => None,
        }
    }
}

impl Message {
    #[inline(always)]
    pub(crate) fn step(&self, tag: u8) -> Step {
        self.steps[usize::from(tag & 0x7f)]
    }

    #[inline(always)]
    pub(crate) fn child(&self, tag: u8) -> Option<&'static Message> {
        self.children[usize::from((tag & 0x7f) >> 3)]
    }

    /// The step of a field whose tag takes more than one byte.
    pub(crate) fn long_step(&self, number: u32, wire: u8) -> Step {
        match self.field(number) {
            Some(field) => step(&field.kind, wire),
            None => unknown(wire),
        }
    }

    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        self.fields.iter().rfind(|field| field.number == number)
    }

    /// The message that this field holds, where it holds items at some level.
    pub(crate) fn way_to_items(&self, number: u32) -> Option<&'static Message> {
        match self.field(number)?.kind {
            Kind::Message(child) if child.leads_to_items() => Some(child),
            _ => None,
        }
    }

    pub(crate) fn holds_items(&self, number: u32) -> bool {
        matches!(self.field(number), Some(Field { kind: Kind::Item(_), .. }))
    }

    fn leads_to_items(&self) -> bool {
        self.fields.iter().any(|field| match field.kind {
            Kind::Item(_) => true,
            Kind::Message(child) => child.leads_to_items(),
            _ => false,
        })
    }
}

/// What the body of a request is.
pub(crate) fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
        Signal::Logs => &LOGS,
    }
}

/// One `ResourceSpans`, `ResourceMetrics` or `ResourceLogs`.
pub(crate) fn block(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &RESOURCE_SPANS,
        Signal::Metrics => &RESOURCE_METRICS,
        Signal::Logs => &RESOURCE_LOGS,
    }
}

const fn step(kind: &Kind, wire: u8) -> Step {
    match (kind, wire) {
        (Kind::Bool | Kind::Int32 | Kind::Uint32 | Kind::Sint32, VARINT)
        | (Kind::Enum | Kind::Int64 | Kind::Uint64s, VARINT) => Step::Varint,
        (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double, FIXED64)
        | (Kind::Fixed64s | Kind::Doubles, FIXED64) => Step::Fixed64,
        (Kind::Fixed32, FIXED32) => Step::Fixed32,
        (Kind::Text, LENGTH) => Step::Text,
        (Kind::Bytes, LENGTH) => Step::Bytes,
        (Kind::Id(16), LENGTH) => Step::Id16,
        (Kind::Id(_), LENGTH) => Step::Id8,
        (Kind::Message(_), LENGTH) => Step::Child,
        (Kind::Item(_), LENGTH) => Step::Item,
        (Kind::Attribute, LENGTH) => Step::Attribute,
        (Kind::Value, LENGTH) => Step::Value,
        (Kind::Uint64s, LENGTH) => Step::Varints,
        (Kind::Fixed64s | Kind::Doubles, LENGTH) => Step::Fixed64s,
        _ => Step::Wrong,
    }
}

pub(crate) const fn unknown(wire: u8) -> Step {
    match wire {
        VARINT => Step::Varint,
        FIXED32 => Step::Fixed32,
        FIXED64 => Step::Fixed64,
        LENGTH => Step::Bytes,
        _ => Step::Wrong,
    }
}

const fn message(fields: &'static [Field]) -> Message {
    let mut steps = [Step::Wrong; 128];
    let mut tag = 8;
    while tag < 128 {
        steps[tag] = unknown(tag as u8 & 7);
        tag += 1;
    }
    let mut children = [None; 16];
    let mut at = 0;
    while at < fields.len() {
        let Field { number, kind, .. } = &fields[at];
        let mut wire = 0;
        while wire < 8 && *number < 16 {
            steps[(*number << 3) as usize | wire] = step(kind, wire as u8);
            wire += 1;
        }
        if let Kind::Message(child) | Kind::Item(child) = kind {
            children[*number as usize] = Some(*child);
        }
        at += 1;
    }
    Message { fields, steps, children }
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: false, choice: false }
}

const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: true, choice: false }
}

const fn choice(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: false, choice: true }
}

const ATTRIBUTES: &str = "attributes";
const DROPPED_ATTRIBUTES: &str = "droppedAttributesCount";
const START: &str = "startTimeUnixNano";
const TIME: &str = "timeUnixNano";

static TRACES: Message = message(&[many(1, "resourceSpans", Kind::Message(&RESOURCE_SPANS))]);
static METRICS: Message = message(&[many(1, "resourceMetrics", Kind::Message(&RESOURCE_METRICS))]);
static LOGS: Message = message(&[many(1, "resourceLogs", Kind::Message(&RESOURCE_LOGS))]);

pub(crate) static RESOURCE: Message = message(&[
    many(1, ATTRIBUTES, Kind::Attribute),
    one(2, DROPPED_ATTRIBUTES, Kind::Uint32),
    many(3, "entityRefs", Kind::Message(&ENTITY_REF)),
]);

static ENTITY_REF: Message = message(&[
    one(1, "schemaUrl", Kind::Text),
    one(2, "type", Kind::Text),
    many(3, "idKeys", Kind::Text),
    many(4, "descriptionKeys", Kind::Text),
]);

static SCOPE: Message = message(&[
    one(1, "name", Kind::Text),
    one(2, "version", Kind::Text),
    many(3, ATTRIBUTES, Kind::Attribute),
    one(4, DROPPED_ATTRIBUTES, Kind::Uint32),
]);

pub(crate) static KEY_VALUE: Message = message(&[
    one(1, "key", Kind::Text),
    one(2, "value", Kind::Value),
    one(3, "keyStrindex", Kind::Int32),
]);

pub(crate) static ANY_VALUE: Message = message(&[
    choice(1, "stringValue", Kind::Text),
    choice(2, "boolValue", Kind::Bool),
    choice(3, "intValue", Kind::Int64),
    choice(4, "doubleValue", Kind::Double),
    choice(5, "arrayValue", Kind::Message(&ARRAY_VALUE)),
    choice(6, "kvlistValue", Kind::Message(&KEY_VALUE_LIST)),
    choice(7, "bytesValue", Kind::Bytes),
    choice(8, "stringValueStrindex", Kind::Int32),
]);

static ARRAY_VALUE: Message = message(&[many(1, "values", Kind::Value)]);
static KEY_VALUE_LIST: Message = message(&[many(1, "values", Kind::Attribute)]);

pub(crate) static RESOURCE_SPANS: Message = message(&[
    one(1, "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeSpans", Kind::Message(&SCOPE_SPANS)),
    one(3, "schemaUrl", Kind::Text),
]);

pub(crate) static SCOPE_SPANS: Message = message(&[
    one(1, "scope", Kind::Message(&SCOPE)),
    many(2, "spans", Kind::Item(&SPAN)),
    one(3, "schemaUrl", Kind::Text),
]);

pub(crate) static SPAN: Message = message(&[
    one(1, "traceId", Kind::Id(16)),
    one(2, "spanId", Kind::Id(8)),
    one(3, "traceState", Kind::Text),
    one(4, "parentSpanId", Kind::Id(8)),
    one(16, "flags", Kind::Fixed32),
    one(5, "name", Kind::Text),
    one(6, "kind", Kind::Enum),
    one(7, START, Kind::Fixed64),
    one(8, "endTimeUnixNano", Kind::Fixed64),
    many(9, ATTRIBUTES, Kind::Attribute),
    one(10, DROPPED_ATTRIBUTES, Kind::Uint32),
    many(11, "events", Kind::Message(&EVENT)),
    one(12, "droppedEventsCount", Kind::Uint32),
    many(13, "links", Kind::Message(&LINK)),
    one(14, "droppedLinksCount", Kind::Uint32),
    one(15, "status", Kind::Message(&STATUS)),
]);

static EVENT: Message = message(&[
    one(1, TIME, Kind::Fixed64),
    one(2, "name", Kind::Text),
    many(3, ATTRIBUTES, Kind::Attribute),
    one(4, DROPPED_ATTRIBUTES, Kind::Uint32),
]);

static LINK: Message = message(&[
    one(1, "traceId", Kind::Id(16)),
    one(2, "spanId", Kind::Id(8)),
    one(3, "traceState", Kind::Text),
    many(4, ATTRIBUTES, Kind::Attribute),
    one(5, DROPPED_ATTRIBUTES, Kind::Uint32),
    one(6, "flags", Kind::Fixed32),
]);

pub(crate) static STATUS: Message =
    message(&[one(2, "message", Kind::Text), one(3, "code", Kind::Enum)]);

static RESOURCE_LOGS: Message = message(&[
    one(1, "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeLogs", Kind::Message(&SCOPE_LOGS)),
    one(3, "schemaUrl", Kind::Text),
]);

static SCOPE_LOGS: Message = message(&[
    one(1, "scope", Kind::Message(&SCOPE)),
    many(2, "logRecords", Kind::Item(&LOG_RECORD)),
    one(3, "schemaUrl", Kind::Text),
]);

static LOG_RECORD: Message = message(&[
    one(1, TIME, Kind::Fixed64),
    one(11, "observedTimeUnixNano", Kind::Fixed64),
    one(2, "severityNumber", Kind::Enum),
    one(3, "severityText", Kind::Text),
    one(5, "body", Kind::Value),
    many(6, ATTRIBUTES, Kind::Attribute),
    one(7, DROPPED_ATTRIBUTES, Kind::Uint32),
    one(8, "flags", Kind::Fixed32),
    one(9, "traceId", Kind::Id(16)),
    one(10, "spanId", Kind::Id(8)),
    one(12, "eventName", Kind::Text),
]);

static RESOURCE_METRICS: Message = message(&[
    one(1, "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeMetrics", Kind::Message(&SCOPE_METRICS)),
    one(3, "schemaUrl", Kind::Text),
]);

static SCOPE_METRICS: Message = message(&[
    one(1, "scope", Kind::Message(&SCOPE)),
    many(2, "metrics", Kind::Message(&METRIC)),
    one(3, "schemaUrl", Kind::Text),
]);

static METRIC: Message = message(&[
    one(1, "name", Kind::Text),
    one(2, "description", Kind::Text),
    one(3, "unit", Kind::Text),
    choice(5, "gauge", Kind::Message(&GAUGE)),
    choice(7, "sum", Kind::Message(&SUM)),
    choice(9, "histogram", Kind::Message(&HISTOGRAM)),
    choice(10, "exponentialHistogram", Kind::Message(&EXPONENTIAL_HISTOGRAM)),
    choice(11, "summary", Kind::Message(&SUMMARY)),
    many(12, "metadata", Kind::Attribute),
]);

const POINTS: &str = "dataPoints";
const TEMPORALITY: &str = "aggregationTemporality";

static GAUGE: Message = message(&[many(1, POINTS, Kind::Item(&NUMBER_POINT))]);

static SUM: Message = message(&[
    many(1, POINTS, Kind::Item(&NUMBER_POINT)),
    one(2, TEMPORALITY, Kind::Enum),
    one(3, "isMonotonic", Kind::Bool),
]);

static HISTOGRAM: Message =
    message(&[many(1, POINTS, Kind::Item(&HISTOGRAM_POINT)), one(2, TEMPORALITY, Kind::Enum)]);

static EXPONENTIAL_HISTOGRAM: Message = message(&[
    many(1, POINTS, Kind::Item(&EXPONENTIAL_HISTOGRAM_POINT)),
    one(2, TEMPORALITY, Kind::Enum),
]);

static SUMMARY: Message = message(&[many(1, POINTS, Kind::Item(&SUMMARY_POINT))]);

static NUMBER_POINT: Message = message(&[
    many(7, ATTRIBUTES, Kind::Attribute),
    one(2, START, Kind::Fixed64),
    one(3, TIME, Kind::Fixed64),
    choice(4, "asDouble", Kind::Double),
    choice(6, "asInt", Kind::Sfixed64),
    many(5, "exemplars", Kind::Message(&EXEMPLAR)),
    one(8, "flags", Kind::Uint32),
]);

static HISTOGRAM_POINT: Message = message(&[
    many(9, ATTRIBUTES, Kind::Attribute),
    one(2, START, Kind::Fixed64),
    one(3, TIME, Kind::Fixed64),
    one(4, "count", Kind::Fixed64),
    one(5, "sum", Kind::Double),
    many(6, "bucketCounts", Kind::Fixed64s),
    many(7, "explicitBounds", Kind::Doubles),
    many(8, "exemplars", Kind::Message(&EXEMPLAR)),
    one(10, "flags", Kind::Uint32),
    one(11, "min", Kind::Double),
    one(12, "max", Kind::Double),
]);

static EXPONENTIAL_HISTOGRAM_POINT: Message = message(&[
    many(1, ATTRIBUTES, Kind::Attribute),
    one(2, START, Kind::Fixed64),
    one(3, TIME, Kind::Fixed64),
    one(4, "count", Kind::Fixed64),
    one(5, "sum", Kind::Double),
    one(6, "scale", Kind::Sint32),
    one(7, "zeroCount", Kind::Fixed64),
    one(8, "positive", Kind::Message(&BUCKETS)),
    one(9, "negative", Kind::Message(&BUCKETS)),
    one(10, "flags", Kind::Uint32),
    many(11, "exemplars", Kind::Message(&EXEMPLAR)),
    one(12, "min", Kind::Double),
    one(13, "max", Kind::Double),
    one(14, "zeroThreshold", Kind::Double),
]);

static BUCKETS: Message =
    message(&[one(1, "offset", Kind::Sint32), many(2, "bucketCounts", Kind::Uint64s)]);

static SUMMARY_POINT: Message = message(&[
    many(7, ATTRIBUTES, Kind::Attribute),
    one(2, START, Kind::Fixed64),
    one(3, TIME, Kind::Fixed64),
    one(4, "count", Kind::Fixed64),
    one(5, "sum", Kind::Double),
    many(6, "quantileValues", Kind::Message(&QUANTILE)),
    one(8, "flags", Kind::Uint32),
]);

static QUANTILE: Message =
    message(&[one(1, "quantile", Kind::Double), one(2, "value", Kind::Double)]);

static EXEMPLAR: Message = message(&[
    many(7, "filteredAttributes", Kind::Attribute),
    one(2, TIME, Kind::Fixed64),
    choice(3, "asDouble", Kind::Double),
    choice(6, "asInt", Kind::Sfixed64),
    one(4, "spanId", Kind::Id(8)),
    one(5, "traceId", Kind::Id(16)),
]);
