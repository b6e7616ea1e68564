use super::*;
use sluice_engine::config::sampling::{AttributeMatch, AttributeOperator};

/// `field: value` in YAML, as collectors read it.
fn matches(yaml: &str) -> Match {
    serde_yaml::from_str(&format!("{{{yaml}}}")).unwrap()
}

fn check(narrow: &str, wide: &str, expected: bool) {
    let implied = implies(&matches(narrow), &matches(wide));
    assert_eq!(implied, expected, "{narrow} under {wide}");
}

#[test]
fn what_asks_for_more_is_a_special_case() {
    check("status: Error", "status: Error", true);
    check("status: Error, span_count_min: 9", "status: Error", true);
    check("status: Error", "status: Error, span_count_min: 9", false);
    check("status: Error", "status: Ok", false);
    check("trace_duration_min_ns: 5", "trace_duration_min_ns: 1", true);
    check("trace_duration_min_ns: 1", "trace_duration_min_ns: 5", false);
    check("span_duration_min_ns: 5", "span_duration_min_ns: 5", true);
    check("span_duration_min_ns: 5", "trace_duration_min_ns: 1", false);
    check("status: Error", "span_count_min: 1", true);
    check("span_count_min: 3", "span_count_min: 2", true);
}

#[test]
fn status_codes_may_be_covered_by_several_ranges() {
    check("http_status: [[503, 503]]", "http_status: [[500, 599]]", true);
    check("http_status: [[500, 599]]", "http_status: [[500, 549], [550, 599]]", true);
    check("http_status: [[500, 599]]", "http_status: [[500, 549], [551, 599]]", false);
    check("http_status: [[429, 429], [500, 599]]", "http_status: [[500, 599]]", false);
    check("status: Error", "http_status: [[500, 599]]", false);
}

#[test]
fn globs_are_compared_as_far_as_it_is_certain() {
    check("services: [report-eu]", "services: ['report-*']", true);
    check("services: ['report-eu-*']", "services: ['report-*']", true);
    check("services: ['report-?u']", "services: ['*']", true);
    check("services: ['report-*']", "services: ['report-eu-*']", false);
    check("services: [a, b]", "services: [b, a, c]", true);
    check("services: [a, b]", "services: [a]", false);
    check("services: [a]", "operations: [a]", false);
    check("status: Ok", "services: ['*']", false);
    check("operations: ['a*b']", "operations: ['a*', c]", true);
    check("operations: ['*b']", "operations: ['a*']", false);
}

#[test]
fn attributes_are_compared_by_operator() {
    let attribute = |operator: &str| {
        let (operator, values) = operator.split_once(' ').unwrap_or((operator, "[]"));
        format!("attributes: [{{key: a, operator: {operator}, values: {values}}}]")
    };
    let check = |narrow: &str, wide: &str, expected| {
        check(&attribute(narrow), &attribute(wide), expected);
    };
    check("In [x]", "In [y, x]", true);
    check("In [y, x]", "In [x]", false);
    check("NotIn [y, x]", "NotIn [x]", true);
    check("NotIn [x]", "NotIn [y, x]", false);
    check("Regex ['x.*']", "Regex [y, 'x.*']", true);
    check("In [x]", "Exists", true);
    check("Gt ['5']", "Exists", true);
    check("NotIn [x]", "Exists", false);
    check("DoesNotExist", "NotIn [x]", true);
    check("In [x]", "NotIn [y]", false);
    check("Gt ['500']", "Gt ['99.5']", true);
    check("Gt ['99.5']", "Gt ['500']", false);
    check("Lt ['-2']", "Lt ['1']", true);
    check("Lt ['1']", "Lt ['-2']", false);
    check("Exists", "Exists", true);
}

#[test]
fn attributes_of_other_keys_say_nothing() {
    let of = |key: &str| AttributeMatch {
        key: key.to_owned(),
        operator: AttributeOperator::Exists,
        values: Vec::new(),
    };
    let a = Match { attributes: vec![of("a")], ..Match::default() };
    let both = Match { attributes: vec![of("b"), of("a")], ..Match::default() };
    assert!(implies(&both, &a));
    assert!(!implies(&a, &both));
}

#[test]
fn what_cannot_be_compared_must_be_equal() {
    check("trace_ql: '{ status = error }'", "trace_ql: '{ status = error }'", true);
    check("status: Error", "trace_ql: '{ status = error }'", false);
    let slow = |percentile: &str| {
        format!("slower_than: {{percentile_ppm: {percentile}, window_ms: 1, samples_min: 1}}")
    };
    check(&slow("990000"), &slow("990000"), true);
    check(&slow("999000"), &slow("990000"), false);
}

/// Floors as `name percent match`, caps alike with `/s` after a rate, and the effects told.
fn told(floors: &[(&str, u32, &str)], caps: &[(&str, &str, &str)]) -> Vec<String> {
    let keep = floors.iter().map(|(name, percent, of)| Floor {
        name: (*name).to_owned(),
        matches: matches(of),
        at_least_ppm: percent * 10_000,
    });
    let limit = caps.iter().map(|(name, most, of)| Cap {
        name: (*name).to_owned(),
        matches: matches(of),
        at_most: match most.strip_suffix("/s") {
            Some(rate) => AtMost::PerSecond(rate.parse().unwrap()),
            None => AtMost::Ppm(most.parse::<u32>().unwrap() * 10_000),
        },
    });
    let policy = Policy {
        generation: 1,
        mode: Default::default(),
        scope: Default::default(),
        keep: keep.collect(),
        limit: limit.collect(),
        default_ppm: None,
        tag_decision: false,
        head: None,
        adaptive: None,
    };
    let found = effects(&policy);
    let rules = found.rules.iter().map(|rule| format!("{} {:?}", rule.name, rule.effect));
    let contradictions = found.contradictions.iter().map(|(cap, floor)| format!("{cap} ! {floor}"));
    rules.chain(contradictions).collect()
}

#[test]
fn a_floor_below_a_wider_and_higher_one_is_shadowed() {
    let slow = ("slow", 100, "trace_duration_min_ns: 1");
    let slower = ("slower", 100, "trace_duration_min_ns: 5");
    let expected = [r#"slower Shadowed("slow")"#, "slow Active"];
    assert_eq!(told(&[slower, slow], &[]), expected);
    let lower = ("slow", 50, "trace_duration_min_ns: 1");
    assert_eq!(told(&[slower, lower], &[]), ["slower Active", "slow Active"]);
}

#[test]
fn of_two_rules_with_one_match_the_higher_or_first_stays() {
    let errors = |name, percent| (name, percent, "status: Error");
    let both = told(&[errors("a", 100), errors("b", 100)], &[]);
    assert_eq!(both, ["a Active", r#"b Duplicate("a")"#]);
    let both = told(&[errors("a", 50), errors("b", 100)], &[]);
    assert_eq!(both, [r#"a Duplicate("b")"#, "b Active"]);
}

#[test]
fn a_chain_of_shadows_ends_in_the_rule_that_stays() {
    let all = [
        ("c", 100, "span_count_min: 30"),
        ("b", 100, "span_count_min: 20"),
        ("a", 100, "span_count_min: 10"),
    ];
    assert_eq!(told(&all, &[]), [r#"c Shadowed("a")"#, r#"b Shadowed("a")"#, "a Active"]);
}

#[test]
fn a_cap_above_a_wider_and_lower_one_is_shadowed() {
    let caps = [
        ("one", "5", "operations: [a]"),
        ("all", "1", "operations: [a, b]"),
        ("rate", "9/s", "operations: [a]"),
        ("rates", "5/s", "operations: ['*']"),
    ];
    let expected =
        [r#"one Shadowed("all")"#, "all Active", r#"rate Shadowed("rates")"#, "rates Active"];
    assert_eq!(told(&[], &caps), expected);
}

#[test]
fn a_cap_and_a_higher_floor_of_the_same_traces_contradict_each_other() {
    let health = "operations: [health]";
    let found = told(&[("keep", 100, health)], &[("drop", "0", health)]);
    assert_eq!(found, ["keep Active", r#"drop Shadowed("keep")"#, "drop ! keep"]);
    let found = told(&[("keep", 50, health)], &[("drop", "10", health)]);
    assert_eq!(found, ["keep Active", "drop Active", "drop ! keep"], "it lowers the default still");
    let found = told(&[("keep", 10, health)], &[("drop", "50", health)]);
    assert_eq!(found, ["keep Active", "drop Active"], "a range is no contradiction");
    let found = told(&[("keep", 100, "status: Error")], &[("drop", "0", health)]);
    assert_eq!(found, ["keep Active", "drop Active"]);
}
