//! Each field of a match.

use super::{Span, Value, check_error, check_rule, matches, span, text, with};
use sluice_engine::config::sampling::{
    AttributeMatch, AttributeOperator, Match, RareOperation, SlowerThan, SpanStatus,
};

fn attribute(key: &str, operator: AttributeOperator, values: &[&str]) -> Match {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    let attribute = AttributeMatch { key: key.to_owned(), operator, values };
    Match { attributes: vec![attribute], ..Match::default() }
}

/// Of a span with this attribute.
#[track_caller]
fn check(operator: AttributeOperator, values: &[&str], value: Value, expected: bool) {
    check_rule(&attribute("key", operator, values), &with(&[("key", value)]), expected);
}

#[track_caller]
fn check_absent(operator: AttributeOperator, values: &[&str], expected: bool) {
    check_rule(&attribute("key", operator, values), &span(), expected);
}

#[test]
fn a_rule_that_asks_nothing_matches_every_span() {
    check_rule(&Match::default(), &span(), true);
    assert_eq!(matches(&Match::default(), &[]), Ok(false), "but no span is no match");
}

#[test]
fn a_status() {
    let errors = Match { status: Some(SpanStatus::Error), ..Match::default() };
    check_rule(&errors, &Span { status: 2, ..span() }, true);
    check_rule(&errors, &Span { status: 1, ..span() }, false);
    let unset = Match { status: Some(SpanStatus::Unset), ..Match::default() };
    check_rule(&unset, &span(), true);
}

#[test]
fn an_http_status_by_either_name_as_number_or_text() {
    let rule = Match { http_status: vec![(429, 429), (500, 599)], ..Match::default() };
    for key in ["http.response.status_code", "http.status_code"] {
        check_rule(&rule, &with(&[(key, Value::Int(500))]), true);
        check_rule(&rule, &with(&[(key, Value::Int(599))]), true);
        check_rule(&rule, &with(&[(key, text("429"))]), true);
        check_rule(&rule, &with(&[(key, Value::Int(499))]), false);
        check_rule(&rule, &with(&[(key, Value::Int(66036))]), false);
        check_rule(&rule, &with(&[(key, Value::Int(-500))]), false);
        check_rule(&rule, &with(&[(key, text("5xx"))]), false);
    }
    check_rule(&rule, &span(), false);
    let broken = Match { http_status: vec![(599, 500)], ..Match::default() };
    check_error(&broken, "httpStatus: 599-500 is empty: expected the lower status first");
}

#[test]
fn the_new_name_of_an_attribute_counts_first() {
    let rule = Match { http_status: vec![(500, 599)], ..Match::default() };
    let old = ("http.status_code", Value::Int(500));
    let new = ("http.response.status_code", Value::Int(200));
    check_rule(&rule, &with(&[old.clone(), new.clone()]), false);
    check_rule(&rule, &with(&[new, old]), false);
}

#[test]
fn globs_over_services_and_operations() {
    let services = |globs: &[&str]| Match {
        services: globs.iter().map(|glob| (*glob).to_owned()).collect(),
        ..Match::default()
    };
    check_rule(&services(&["report-*", "api-*"]), &span(), true);
    check_rule(&services(&["report-*"]), &span(), false);
    check_rule(&services(&["*"]), &Span { resource: Vec::new(), ..span() }, true);
    let health = Match { operations: vec!["GET /health?".to_owned()], ..Match::default() };
    check_rule(&health, &Span { name: "GET /healthz".to_owned(), ..span() }, true);
    check_rule(&health, &span(), false);
}

#[test]
fn conditions_of_a_span_hold_on_one_span() {
    let rule = Match {
        status: Some(SpanStatus::Error),
        operations: vec!["POST *".to_owned()],
        ..Match::default()
    };
    let failed = Span { status: 2, ..span() };
    let post = Span { name: "POST /pay".to_owned(), ..span() };
    assert_eq!(matches(&rule, &[failed.clone(), post.clone()]), Ok(false));
    assert_eq!(matches(&rule, &[failed, Span { status: 2, ..post }]), Ok(true));
}

#[test]
fn conditions_of_a_trace_hold_for_all_its_spans_together() {
    let rule = Match {
        status: Some(SpanStatus::Error),
        trace_duration_min_ns: Some(200),
        span_count_min: Some(2),
        ..Match::default()
    };
    let failed = Span { status: 2, duration_ns: 1, ..span() };
    let slow = Span { duration_ns: 200, ..span() };
    assert_eq!(matches(&rule, &[failed.clone(), slow]), Ok(true));
    assert_eq!(matches(&rule, &[failed.clone(), failed.clone()]), Ok(false), "quick");
    assert_eq!(matches(&rule, &[Span { duration_ns: 200, ..failed }]), Ok(false), "alone");
}

#[test]
fn a_duration_of_one_span() {
    let rule = Match { span_duration_min_ns: Some(100_000_000), ..Match::default() };
    check_rule(&rule, &span(), true);
    check_rule(&rule, &Span { duration_ns: 99_999_999, ..span() }, false);
}

#[test]
fn trackers_are_asked_of_entry_spans_only() {
    let slower = SlowerThan { percentile_ppm: 990_000, window_ms: 600_000, samples_min: 1000 };
    let rare = RareOperation { below_ppm: 10_000, window_ms: 3_600_000, per_second_max: 10 };
    for rule in [
        Match { slower_than: Some(slower), ..Match::default() },
        Match { rare_operation: Some(rare), ..Match::default() },
    ] {
        let tracked = Span { is_tracked: true, ..span() };
        check_rule(&rule, &tracked, true);
        check_rule(&rule, &span(), false);
        check_rule(&rule, &Span { kind: 5, is_root: false, ..tracked.clone() }, true);
        check_rule(&rule, &Span { kind: 3, is_root: false, ..tracked }, false);
    }
}

#[test]
fn in_compares_the_text_form() {
    use AttributeOperator::{In, NotIn};
    check(In, &["silver", "gold"], text("gold"), true);
    check(In, &["gold"], text("Gold"), false);
    check(In, &["5"], Value::Int(5), true);
    check(In, &["5"], Value::Double(5.0), true);
    check(In, &["0.5"], Value::Double(0.5), true);
    check(In, &["05"], Value::Int(5), false);
    check(In, &["true"], Value::Bool(true), true);
    check(In, &["true"], Value::Bool(false), false);
    check(In, &["gold"], Value::List, false);
    check_absent(In, &["gold"], false);
    check(NotIn, &["gold"], text("silver"), true);
    check(NotIn, &["gold"], text("gold"), false);
    check(NotIn, &["5"], Value::Int(5), false);
    check_absent(NotIn, &["gold"], true);
}

#[test]
fn an_attribute_is_there_or_not() {
    use AttributeOperator::{DoesNotExist, Exists};
    check(Exists, &[], Value::List, true);
    check_absent(Exists, &[], false);
    check(DoesNotExist, &[], text(""), false);
    check_absent(DoesNotExist, &[], true);
}

#[test]
fn a_regular_expression_matches_the_whole_text() {
    use AttributeOperator::Regex;
    check(Regex, &["g.*", "platinum"], text("gold"), true);
    check(Regex, &["g.*", "platinum"], text("platinum"), true);
    check(Regex, &["ol"], text("gold"), false);
    check(Regex, &["a|b"], text("ab"), false);
    check(Regex, &["a.b"], text("a\nb"), true);
    check(Regex, &["5.."], Value::Int(503), true);
    check(Regex, &["5.."], Value::Int(403), false);
    check_absent(Regex, &[".*"], false);
}

#[test]
fn more_and_less_are_of_numbers() {
    use AttributeOperator::{Gt, Lt};
    check(Gt, &["10"], Value::Int(11), true);
    check(Gt, &["10"], Value::Int(10), false);
    check(Gt, &["10.5"], Value::Int(11), true);
    check(Gt, &["10"], Value::Double(10.1), true);
    check(Gt, &["10"], text("11"), false);
    check(Lt, &["-1"], Value::Int(-2), true);
    check(Lt, &["0"], Value::Double(f64::NAN), false);
    check(Gt, &["9007199254740992"], Value::Int(9_007_199_254_740_993), true);
    check_absent(Lt, &["10"], false);
}

#[test]
fn an_attribute_is_of_the_span_or_else_of_its_resource() {
    let rule = attribute("tier", AttributeOperator::In, &["gold"]);
    let resource = |value| vec![("tier".to_owned(), text(value))];
    check_rule(&rule, &Span { resource: resource("gold"), ..span() }, true);
    let silver = with(&[("tier", text("silver"))]);
    check_rule(&rule, &Span { resource: resource("gold"), ..silver }, false);
    let gold = with(&[("tier", text("gold"))]);
    check_rule(&rule, &Span { resource: resource("silver"), ..gold }, true);
}

#[test]
fn what_is_proven_wins_over_what_was_sent() {
    let key = "k8s.namespace.name";
    let rule = attribute(key, AttributeOperator::In, &["payments"]);
    let proven = |value: &str| vec![(key.to_owned(), text(value))];
    let claimed = Span {
        resource: vec![(key.to_owned(), text("payments"))],
        ..with(&[(key, text("payments"))])
    };
    check_rule(&rule, &claimed, true);
    check_rule(&rule, &Span { proven: proven("shop"), ..claimed }, false);
    check_rule(&rule, &Span { proven: proven("payments"), ..span() }, true);
}

#[test]
fn a_mistake_names_its_place() {
    use AttributeOperator::{Exists, Gt, In, Regex};
    check_error(&attribute("a", In, &[]), "attributes[0] (a): expected at least one value");
    check_error(&attribute("a", Exists, &["x"]), "attributes[0] (a): expected no values");
    check_error(&attribute("", Exists, &[]), "attributes[0] (): expected a key");
    let many = "attributes[0] (a): expected one number, not 2 values";
    check_error(&attribute("a", Gt, &["1", "2"]), many);
    check_error(&attribute("a", Gt, &["x"]), "attributes[0] (a): expected a number, not \"x\"");
    check_error(
        &attribute("a", Regex, &["("]),
        "attributes[0] (a): \"(\" is no regular expression: unclosed group",
    );
    check_error(
        &attribute("a", Regex, &["a)(b"]),
        "attributes[0] (a): \"a)(b\" is no regular expression: unopened group",
    );
}
