//! What a filter can compare with what, and which conditions that makes.

use super::super::condition::{Expression, Order, Subject, Test, Value};
use super::super::source::SERVICE_NAME;
use super::super::{aliases, pattern};
use super::lexer::{Comparison, Scope};
use super::{Fault, fault};

pub(super) const FIELDS: &str = "an attribute (span.x, resource.x or .x) or one of duration, \
                                 status, kind, name, rootName, rootServiceName, traceDuration";

/// What a condition is about, with the type of its values.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) subject: Subject,
    pub(super) value_type: Type,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Seen only with the value.
    Any,
    Text,
    Duration,
    Status,
    Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Value(Value),
    /// As OTLP numbers them.
    Status(i64),
    Kind(i64),
    Nil,
}

pub(super) fn keyword(word: &str) -> Option<Literal> {
    Some(match word {
        "true" => Literal::Value(Value::Bool(true)),
        "false" => Literal::Value(Value::Bool(false)),
        "nil" => Literal::Nil,
        "unset" => Literal::Status(0),
        "ok" => Literal::Status(1),
        "error" => Literal::Status(2),
        "unspecified" => Literal::Kind(0),
        "internal" => Literal::Kind(1),
        "server" => Literal::Kind(2),
        "client" => Literal::Kind(3),
        "producer" => Literal::Kind(4),
        "consumer" => Literal::Kind(5),
        _ => return None,
    })
}

/// # Errors
/// Says why this is no name that a filter can use.
pub(super) fn intrinsic(word: &str) -> Result<Field, String> {
    let (subject, value_type) = match word {
        "duration" | "span:duration" => (Subject::Duration, Type::Duration),
        "status" | "span:status" => (Subject::Status, Type::Status),
        "kind" | "span:kind" => (Subject::Kind, Type::Kind),
        "name" | "span:name" => (Subject::Name, Type::Text),
        "rootName" | "trace:rootName" => (Subject::RootName, Type::Text),
        "rootServiceName" | "trace:rootService" => (Subject::RootService, Type::Text),
        "traceDuration" | "trace:duration" => (Subject::TraceDuration, Type::Duration),
        // Tempo wants its scope; people leave it out.
        SERVICE_NAME => return Ok(Field::attribute(Scope::Resource, SERVICE_NAME)),
        "statusMessage" | "childCount" | "parent" | "nestedSetLeft" | "nestedSetRight"
        | "nestedSetParent" => return Err(format!("not supported: {word}")),
        _ if word.contains(':') => return Err(format!("not supported: {word}")),
        _ => return Err(format!("expected {FIELDS}, found {word}")),
    };
    Ok(Field { subject, value_type })
}

impl Type {
    pub(super) fn values(self) -> &'static str {
        match self {
            Self::Any => "a string, a number, a duration, true, false or nil",
            Self::Text => "a string",
            Self::Duration => "a duration such as 500ms",
            Self::Status => "error, ok or unset",
            Self::Kind => "server, client, producer, consumer, internal or unspecified",
        }
    }

    fn takes(self, literal: &Literal) -> bool {
        match literal {
            Literal::Nil => true,
            Literal::Status(_) => self == Self::Status,
            Literal::Kind(_) => self == Self::Kind,
            Literal::Value(Value::Text(_)) => matches!(self, Self::Any | Self::Text),
            Literal::Value(Value::Bool(_)) => self == Self::Any,
            Literal::Value(Value::Int(_) | Value::Double(_)) => {
                matches!(self, Self::Any | Self::Duration)
            }
        }
    }
}

impl Field {
    pub(super) fn attribute(scope: Scope, name: &str) -> Self {
        let names = aliases::names(name);
        let subject = match scope {
            Scope::Any => Subject::Attribute(names),
            Scope::Span => Subject::SpanAttribute(names),
            Scope::Resource => Subject::ResourceAttribute(names),
        };
        Self { subject, value_type: Type::Any }
    }

    pub(super) fn is(self, value: Value) -> Expression {
        Expression::holds(self.subject, Test::is(value))
    }

    /// Both the comparison and what the field is compared with come with where they stand.
    pub(super) fn compare(
        self,
        (operator_at, comparison): (usize, Comparison),
        (literal_at, literal): (usize, Literal),
    ) -> Result<Expression, Fault> {
        if !self.value_type.takes(&literal) {
            return fault(literal_at, format!("expected {}", self.value_type.values()));
        }
        let value = match literal {
            Literal::Value(value) => value,
            Literal::Status(number) | Literal::Kind(number) => Value::Int(number),
            Literal::Nil => return self.compare_with_nil(operator_at, comparison),
        };
        let is_text = matches!(value, Value::Text(_));
        let is_ordered = is_text || matches!(self.value_type, Type::Any | Type::Duration);
        match (comparison, value) {
            (Comparison::Equal, value) => Ok(self.is(value)),
            (Comparison::NotEqual, value) => Ok(self.differs(&value)),
            (Comparison::Like, Value::Text(text)) => self.like(literal_at, text),
            (Comparison::NotLike, Value::Text(text)) => {
                let guard = self.guard(&Value::Text(text.clone()));
                let like = self.like(literal_at, text)?;
                Ok(Expression::All(guard.into_iter().chain([like.not()]).collect()))
            }
            (Comparison::Like | Comparison::NotLike, _) => {
                fault(literal_at, "expected a string after =~ or !~")
            }
            (_, Value::Bool(_)) => fault(operator_at, "expected = or != before true or false"),
            _ if !is_ordered => fault(operator_at, "expected = or !="),
            (comparison, value) => {
                let order = match comparison {
                    Comparison::Above => Order::Above,
                    Comparison::AtLeast => Order::AtLeast,
                    Comparison::Below => Order::Below,
                    _ => Order::AtMost,
                };
                Ok(Expression::holds(self.subject, Test::Ordered(order, value)))
            }
        }
    }

    fn compare_with_nil(self, at: usize, comparison: Comparison) -> Result<Expression, Fault> {
        let is_present = Expression::holds(self.subject, Test::IsPresent);
        match comparison {
            Comparison::NotEqual => Ok(is_present),
            Comparison::Equal => Ok(is_present.not()),
            _ => fault(at, "expected = or != before nil"),
        }
    }

    fn like(self, at: usize, text: String) -> Result<Expression, Fault> {
        match pattern::regex(&text) {
            Ok(_) => Ok(Expression::holds(self.subject, Test::Regex(text))),
            Err(problem) => fault(at, problem),
        }
    }

    /// Something else, of the same type.
    fn differs(self, value: &Value) -> Expression {
        let guard = self.guard(value);
        let is = self.is(value.clone());
        Expression::All(guard.into_iter().chain([is.not()]).collect())
    }

    /// Nothing differs from a value of another type, nor from one that is not there.
    fn guard(&self, value: &Value) -> Option<Expression> {
        let of_type = match value {
            Value::Text(_) => Test::IsText,
            Value::Bool(_) => Test::IsBool,
            Value::Int(_) | Value::Double(_) => Test::IsNumber,
        };
        let may_miss = self.value_type == Type::Any || self.subject == Subject::RootService;
        may_miss.then(|| Expression::holds(self.subject.clone(), of_type))
    }
}
