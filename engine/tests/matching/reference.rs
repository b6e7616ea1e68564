//! What a rule means, said plainly: one rule, one span after the other, nothing shared.

use super::{Span, Value};
use sluice_engine::config::sampling::{AttributeMatch, AttributeOperator as Operator, Match};
use sluice_engine::matching::TraceFacts;
use sluice_engine::selector::glob;
use std::cmp::Ordering;

#[derive(Clone, Debug)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    /// A field, a comparison, a value; `None` is nil.
    Is(String, &'static str, Option<Value>),
}

/// Whether a trace matches, by those of its spans that the rule may look at.
pub(super) fn matched(rule: &(Match, Option<Filter>), spans: &[&Span], facts: TraceFacts) -> bool {
    let (fields, filter) = rule;
    let root = spans.iter().find(|span| span.is_root).copied();
    let allows = |span| filter.as_ref().is_none_or(|filter| of(filter, true, span, root, facts));
    facts.duration_ns >= fields.trace_duration_min_ns.unwrap_or(0)
        && facts.spans >= fields.span_count_min.unwrap_or(0)
        && spans.iter().any(|span| has_fields(fields, span) && allows(span))
}

fn has_fields(fields: &Match, span: &Span) -> bool {
    let code = match value(span, "span.http.status_code") {
        Some(Value::Int(int)) => u16::try_from(int).ok(),
        Some(Value::Text(text)) => text.parse().ok(),
        _ => None,
    };
    let service = match value(span, "resource.service.name") {
        Some(Value::Text(text)) => text,
        _ => String::new(),
    };
    let in_range =
        |(low, high): &(u16, u16)| code.is_some_and(|code| (*low..=*high).contains(&code));
    let any = |globs: &[String], text| globs.is_empty() || globs.iter().any(|one| glob(one, text));
    let is_tracked = span.is_tracked && (span.is_root || matches!(span.kind, 2 | 5));
    fields.status.is_none_or(|status| span.status == status as u64)
        && (fields.http_status.is_empty() || fields.http_status.iter().any(in_range))
        && span.duration_ns >= fields.span_duration_min_ns.unwrap_or(0)
        && any(&fields.services, &service)
        && any(&fields.operations, &span.name)
        && fields.attributes.iter().all(|attribute| has(attribute, span))
        && (is_tracked || (fields.slower_than.is_none() && fields.rare_operation.is_none()))
}

fn has(attribute: &AttributeMatch, span: &Span) -> bool {
    let found = value(span, &format!(".{}", attribute.key));
    let form = match &found {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Bool(bit)) => bit.to_string(),
        Some(Value::Int(int)) => int.to_string(),
        Some(Value::Double(double)) => double.to_string(),
        Some(Value::List) | None => "no text".to_owned(),
    };
    let bound = || Value::Double(attribute.values[0].parse().unwrap());
    let order = || found.as_ref().and_then(|found| compare(found, &bound()));
    match attribute.operator {
        Operator::In => attribute.values.contains(&form),
        Operator::NotIn => !attribute.values.contains(&form),
        Operator::Exists => found.is_some(),
        Operator::DoesNotExist => found.is_none(),
        Operator::Regex => form != "no text" && attribute.values.iter().any(|one| like(one, &form)),
        Operator::Gt => order() == Some(Ordering::Greater),
        Operator::Lt => order() == Some(Ordering::Less),
    }
}

/// Whether a filter says `yes` of a span.
fn of(filter: &Filter, yes: bool, span: &Span, root: Option<&Span>, facts: TraceFacts) -> bool {
    let one = |filter, yes| of(filter, yes, span, root, facts);
    match filter {
        Filter::Not(inner) => one(inner, !yes),
        Filter::And(left, right) if yes => one(left, true) && one(right, true),
        Filter::Or(left, right) if !yes => one(left, false) && one(right, false),
        Filter::And(left, right) | Filter::Or(left, right) => one(left, yes) || one(right, yes),
        Filter::Is(field, comparison, wanted) => {
            let found = match (field.as_str(), root) {
                // Nothing is known of a root that is not there.
                ("rootName" | "rootServiceName", None) => return false,
                ("rootName", Some(root)) => Some(Value::Text(root.name.clone())),
                ("rootServiceName", Some(root)) => value(root, "resource.service.name"),
                ("traceDuration", _) => Some(Value::Int(facts.duration_ns as i64)),
                (field, _) => value(span, field),
            };
            is(found, comparison, wanted.as_ref()) == yes
        }
    }
}

fn is(found: Option<Value>, comparison: &str, wanted: Option<&Value>) -> bool {
    let (Some(found), Some(wanted)) = (&found, wanted) else {
        return wanted.is_none() && found.is_some() == (comparison == "!=");
    };
    match (comparison, found, wanted, compare(found, wanted)) {
        ("=~", Value::Text(found), Value::Text(wanted), _) => like(wanted, found),
        ("!~", Value::Text(found), Value::Text(wanted), _) => !like(wanted, found),
        ("=", .., Some(order)) => order.is_eq(),
        ("!=", .., Some(order)) => order.is_ne(),
        (">", .., Some(order)) => order.is_gt(),
        (">=", .., Some(order)) => order.is_ge(),
        ("<", .., Some(order)) => order.is_lt(),
        ("<=", .., Some(order)) => order.is_le(),
        _ => false,
    }
}

fn compare(found: &Value, wanted: &Value) -> Option<Ordering> {
    let number = |value: &Value| match value {
        Value::Int(int) => Some(*int as f64),
        Value::Double(double) => Some(*double),
        _ => None,
    };
    match (found, wanted) {
        (Value::Text(found), Value::Text(wanted)) => Some(found.cmp(wanted)),
        (Value::Bool(found), Value::Bool(wanted)) => Some(found.cmp(wanted)),
        _ => number(found)?.partial_cmp(&number(wanted)?),
    }
}

/// The patterns that rules are drawn from.
fn like(pattern: &str, text: &str) -> bool {
    match pattern {
        "a.*" => text.starts_with('a'),
        "b" => text == "b",
        "[ab]+" => !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a' | b'b')),
        "5.." => text.len() == 3 && text.starts_with('5'),
        ".*" => true,
        other => panic!("{other} is new"),
    }
}

/// Of a field as a filter writes it.
fn value(span: &Span, field: &str) -> Option<Value> {
    let (scope, key) = field.split_once('.').unwrap_or((field, ""));
    let names = match key {
        "http.method" | "http.request.method" => &["http.request.method", "http.method"],
        "http.status_code" | "http.response.status_code" => {
            &["http.response.status_code", "http.status_code"]
        }
        key => &[key, key],
    };
    let first = |attributes: &[(String, Value)]| {
        let named = |name| attributes.iter().find(move |(key, _)| key == name);
        names.iter().find_map(named).map(|(_, value)| value.clone())
    };
    match scope {
        "name" => Some(Value::Text(span.name.clone())),
        "status" => Some(Value::Int(span.status as i64)),
        "kind" => Some(Value::Int(span.kind as i64)),
        "duration" => Some(Value::Int(span.duration_ns as i64)),
        "span" => first(&span.attributes),
        "resource" => first(&span.proven).or_else(|| first(&span.resource)),
        _ => first(&span.proven)
            .or_else(|| first(&span.attributes))
            .or_else(|| first(&span.resource)),
    }
}
