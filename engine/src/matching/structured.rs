//! The fields of a rule, read into conditions.

use super::condition::{Expression, Order, Subject, Test, Value};
use super::pattern;
use super::{Tracked, aliases, trace_ql};
use crate::config::sampling::{AttributeMatch, AttributeOperator, Match, SpanStatus};
use std::collections::BTreeSet;

const HTTP_STATUS: &str = "http.response.status_code";

/// # Errors
/// Names the field, what it holds and what was expected.
pub(super) fn read(rule: &Match) -> Result<Expression, String> {
    let mut all: Vec<Expression> = of_span(rule);
    if !rule.http_status.is_empty() {
        all.push(codes(&rule.http_status)?);
    }
    for (place, attribute) in rule.attributes.iter().enumerate() {
        let problem = |problem| format!("attributes[{place}] ({}): {problem}", attribute.key);
        all.push(of_attribute(attribute).map_err(problem)?);
    }
    if let Some(minimum) = rule.trace_duration_min_ns {
        all.push(at_least(Subject::TraceDuration, minimum));
    }
    if let Some(minimum) = rule.span_count_min {
        all.push(at_least(Subject::TraceSpans, minimum.into()));
    }
    if let Some(filter) = &rule.trace_ql {
        all.push(trace_ql::parse(filter).map_err(|problem| format!("traceQL: {problem}"))?);
    }
    Ok(Expression::All(all))
}

fn of_span(rule: &Match) -> Vec<Expression> {
    let mut all = Vec::new();
    if let Some(status) = rule.status {
        let code = match status {
            SpanStatus::Unset => 0,
            SpanStatus::Ok => 1,
            SpanStatus::Error => 2,
        };
        all.push(Expression::holds(Subject::Status, Test::is(Value::Int(code))));
    }
    if let Some(minimum) = rule.span_duration_min_ns {
        all.push(at_least(Subject::Duration, minimum));
    }
    if !rule.services.is_empty() {
        all.push(Expression::holds(Subject::Service, Test::Glob(rule.services.clone())));
    }
    if !rule.operations.is_empty() {
        all.push(Expression::holds(Subject::Name, Test::Glob(rule.operations.clone())));
    }
    let slower = rule.slower_than.iter().cloned().map(Tracked::SlowerThan);
    let rare = rule.rare_operation.iter().cloned().map(Tracked::Rare);
    let is_true = Test::is(Value::Bool(true));
    let tracked = slower.chain(rare).map(Subject::Tracked);
    all.extend(tracked.map(|tracked| Expression::holds(tracked, is_true.clone())));
    all
}

fn at_least(subject: Subject, minimum: u64) -> Expression {
    Expression::holds(subject, Test::Ordered(Order::AtLeast, Value::count(minimum)))
}

fn codes(ranges: &[(u16, u16)]) -> Result<Expression, String> {
    if let Some((low, high)) = ranges.iter().find(|(low, high)| low > high) {
        return Err(format!("httpStatus: {low}-{high} is empty: expected the lower status first"));
    }
    let subject = Subject::SpanAttribute(aliases::names(HTTP_STATUS));
    Ok(Expression::holds(subject, Test::Code(ranges.to_vec())))
}

fn of_attribute(attribute: &AttributeMatch) -> Result<Expression, String> {
    use AttributeOperator as Operator;
    if attribute.key.is_empty() {
        return Err("expected a key".to_owned());
    }
    let values = &attribute.values;
    let test = match attribute.operator {
        Operator::In | Operator::NotIn => {
            Test::OneOf(some(values)?.iter().flat_map(readings).collect())
        }
        Operator::Exists | Operator::DoesNotExist if values.is_empty() => Test::IsPresent,
        Operator::Exists | Operator::DoesNotExist => return Err("expected no values".to_owned()),
        Operator::Regex => Test::RegexOfAny(pattern::any_of(some(values)?)?),
        Operator::Gt => Test::Ordered(Order::Above, only_number(values)?),
        Operator::Lt => Test::Ordered(Order::Below, only_number(values)?),
    };
    let holds = Expression::holds(Subject::Attribute(aliases::names(&attribute.key)), test);
    match attribute.operator {
        Operator::NotIn | Operator::DoesNotExist => Ok(holds.not()),
        _ => Ok(holds),
    }
}

fn some(values: &[String]) -> Result<&[String], String> {
    if values.is_empty() { Err("expected at least one value".to_owned()) } else { Ok(values) }
}

/// What a text can be the text form of.
fn readings(text: &String) -> BTreeSet<Value> {
    let mut readings = BTreeSet::from([Value::Text(text.clone())]);
    if let Ok(bit) = text.parse() {
        readings.insert(Value::Bool(bit));
    }
    match (text.parse::<i64>(), text.parse::<f64>()) {
        // "007" and "+7" are no number's text.
        (Ok(int), _) if int.to_string() == *text => {
            readings.insert(Value::Int(int));
        }
        (Err(_), Ok(double)) if double.is_finite() && text.contains('.') => {
            readings.insert(Value::double(double));
        }
        _ => {}
    }
    readings
}

fn only_number(values: &[String]) -> Result<Value, String> {
    let [value] = values else {
        return Err(format!("expected one number, not {} values", values.len()));
    };
    match (value.parse::<i64>(), value.parse::<f64>()) {
        (Ok(int), _) => Ok(Value::Int(int)),
        (_, Ok(double)) if double.is_finite() => Ok(Value::double(double)),
        _ => Err(format!("expected a number, not {value:?}")),
    }
}
