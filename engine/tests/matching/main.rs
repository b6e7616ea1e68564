//! Rules against spans: each field, each word of a filter, and the laws of all of them together.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails loudly")]

mod articles;
mod fields;
mod filters;
mod laws;
mod random;
mod reference;

use sluice_engine::config::sampling::Match;
use sluice_engine::matching::{Matcher, TraceFacts};
use sluice_wire::spans::{Found, Probes, Scalar, SpanView};

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    List,
}

#[derive(Clone, Debug)]
struct Span {
    name: String,
    /// As OTLP numbers them.
    kind: u64,
    status: u64,
    duration_ns: u64,
    is_root: bool,
    attributes: Vec<(String, Value)>,
    resource: Vec<(String, Value)>,
    /// What the collector stamps.
    proven: Vec<(String, Value)>,
    /// What every tracker says of it.
    is_tracked: bool,
}

/// A quick root span of a server.
fn span() -> Span {
    Span {
        name: "GET /cart".to_owned(),
        kind: 2,
        status: 0,
        duration_ns: 100_000_000,
        is_root: true,
        attributes: Vec::new(),
        resource: vec![("service.name".to_owned(), text("api-gateway"))],
        proven: Vec::new(),
        is_tracked: false,
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn with(attributes: &[(&str, Value)]) -> Span {
    let own = |(key, value): &(&str, Value)| ((*key).to_owned(), value.clone());
    Span { attributes: attributes.iter().map(own).collect(), ..span() }
}

fn filter(text: &str) -> Match {
    Match { trace_ql: Some(text.to_owned()), ..Match::default() }
}

/// The bits that these spans leave in a trace; `in_scope` is asked with the number of a rule.
fn bits(matcher: &Matcher, spans: &[Span], in_scope: &dyn Fn(usize, &Span) -> bool) -> Vec<u64> {
    let mut bits = vec![0; matcher.words()];
    let mut scratch = matcher.scratch();
    for span in spans {
        let proven = |key: &str| {
            let stamped = span.proven.iter().find(|(name, _)| name == key);
            stamped.map(|(_, value)| match value {
                Value::Text(text) => text.clone(),
                other => panic!("{other:?} is stamped by nobody"),
            })
        };
        let found = found(matcher.resource_probes(), &span.resource);
        let resource = matcher.resource(&found, &proven, &|rule| in_scope(rule, span));
        let view = SpanView {
            name: span.name.as_bytes(),
            kind: span.kind,
            status: span.status,
            end_ns: span.duration_ns,
            parent_span_id: if span.is_root { &[] } else { &[1; 8] },
            attributes: self::found(matcher.span_probes(), &span.attributes),
            ..SpanView::default()
        };
        let mut asked = vec![0; matcher.tracked().len()];
        let mut is_tracked = |number: usize| {
            asked[number] += 1;
            span.is_tracked
        };
        matcher.span(&resource, &view, &mut scratch, &mut is_tracked, &mut bits);
        assert!(asked.iter().all(|times| *times <= 1), "a tracker was asked twice of one span");
        let may_ask = matches!(span.kind, 2 | 5) || span.is_root;
        assert!(may_ask || asked.iter().all(|times| *times == 0), "asked of an inner span");
    }
    bits
}

fn found<'s>(probes: &Probes, attributes: &'s [(String, Value)]) -> Vec<Found<'s>> {
    let found = |(key, value): &'s (String, Value)| {
        let scalar = match value {
            Value::Text(text) => Scalar::Text(text.as_bytes()),
            Value::Bool(bit) => Scalar::Bool(*bit),
            Value::Int(int) => Scalar::Int(*int),
            Value::Double(double) => Scalar::Double(*double),
            Value::List => Scalar::Other,
        };
        Some((probes.number(key.as_bytes())?, scalar))
    };
    attributes.iter().filter_map(found).collect()
}

fn facts(spans: &[Span]) -> TraceFacts {
    let duration_ns = spans.iter().map(|span| span.duration_ns).max().unwrap_or_default();
    TraceFacts { duration_ns, spans: spans.len() as u32 }
}

/// Whether a rule matches a trace of these spans, and what it would say of a broken one.
fn matches(rule: &Match, spans: &[Span]) -> Result<bool, String> {
    let matcher = Matcher::new([rule]).map_err(|error| error.problem)?;
    let bits = bits(&matcher, spans, &|_, _| true);
    let facts = facts(spans);
    let matched = matcher.matched(0, &bits, &facts);
    assert!(matched || !matcher.matched_for_good(0, &bits, &facts), "for good, but not at all");
    Ok(matched)
}

#[track_caller]
fn check_rule(rule: &Match, span: &Span, expected: bool) {
    assert_eq!(matches(rule, std::slice::from_ref(span)), Ok(expected), "{rule:?} of {span:?}");
}

#[track_caller]
fn check(text: &str, span: &Span, expected: bool) {
    check_rule(&filter(text), span, expected);
}

#[track_caller]
fn check_error(rule: &Match, expected: &str) {
    assert_eq!(matches(rule, &[]), Err(expected.to_owned()), "{rule:?}");
}
