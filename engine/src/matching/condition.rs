//! What a rule can ask, as data: a condition is a subject and a test of its value.

use super::Tracked;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Conditions joined; what the fields of a rule and a TraceQL filter are both read into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Holds(Condition),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Condition {
    pub(super) subject: Subject,
    pub(super) test: Test,
}

/// An attribute goes by several names; the first that is there counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    ResourceAttribute(Vec<String>),
    SpanAttribute(Vec<String>),
    /// Of the span, else of its resource.
    Attribute(Vec<String>),
    /// `service.name`, empty where there is none.
    Service,
    Name,
    Status,
    Kind,
    /// In nanoseconds.
    Duration,
    /// Whether the span is the first of its trace.
    IsRoot,
    Tracked(Tracked),
    /// Of the root span.
    RootName,
    /// Of the root span's resource.
    RootService,
    /// In nanoseconds.
    TraceDuration,
    TraceSpans,
}

/// No test holds where there is no value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Test {
    IsPresent,
    IsText,
    IsNumber,
    IsBool,
    OneOf(BTreeSet<Value>),
    Ordered(Order, Value),
    /// An HTTP status in one of these inclusive ranges; a number, also as text.
    Code(Vec<(u16, u16)>),
    /// A text that one of these globs matches.
    Glob(Vec<String>),
    /// A text that the pattern matches from its begin to its end.
    Regex(String),
    /// The same, where numbers and booleans are texts too.
    RegexOfAny(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// Numbers compare by what they are worth, whether integer or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
    Int(i64),
    Double(Bits),
}

/// A finite number, by its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bits(u64);

/// When the value of a subject is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Resource,
    Span,
    /// At the decision.
    Trace,
}

impl Expression {
    /// What every span satisfies.
    pub(super) const TRUE: Self = Self::All(Vec::new());

    pub(super) fn holds(subject: Subject, test: Test) -> Self {
        Self::Holds(Condition { subject, test })
    }

    pub(super) fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl Subject {
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::ResourceAttribute(_) | Self::Service => Stage::Resource,
            Self::TraceDuration | Self::TraceSpans => Stage::Trace,
            _ => Stage::Span,
        }
    }
}

impl Test {
    pub(super) fn is(value: Value) -> Self {
        Self::OneOf(BTreeSet::from([value]))
    }
}

impl Order {
    pub(super) fn allows(self, ordering: Ordering) -> bool {
        match self {
            Self::Above => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
            Self::Below => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
        }
    }
}

impl Value {
    /// Of a number of nanoseconds, spans or the like.
    pub(super) fn count(count: u64) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(super) fn double(number: f64) -> Self {
        // Both zeros are one value.
        Self::Double(Bits((number + 0.0).to_bits()))
    }
}

impl Bits {
    pub(super) fn number(self) -> f64 {
        f64::from_bits(self.0)
    }
}
