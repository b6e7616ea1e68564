//! Examples for the rules of SamplingPolicy.

use crate::{Case, object};
use serde_json::{Value, json};

const KIND: &str = "SamplingPolicy";

fn case(at: &'static str, message: &'static str, right: &Value, wrong: &Value) -> Case {
    let object = |spec| object(KIND, spec);
    Case { kind: KIND, at, message, old: None, right: object(right), wrong: object(wrong) }
}

pub(super) fn cases() -> Vec<Case> {
    [own(), stages(), rules(), matches()].into_iter().flatten().collect()
}

fn keep(name: &str) -> Value {
    json!({"name": name, "match": {"status": "Error"}, "atLeastPercent": 100})
}

fn limit(name: &str) -> Value {
    json!({"name": name, "match": {"operations": ["GET /healthz"]}, "atMostPercent": 0})
}

fn own() -> Vec<Case> {
    let empty = "an empty policy does nothing: set head, tail, keep, limit or default";
    let targets = |targets: Value| json!({"targetRefs": targets, "tail": {}});
    vec![
        case("spec", empty, &json!({"tail": {}}), &json!({})),
        case(
            "spec",
            empty,
            &json!({"keep": [keep("errors")], "limit": []}),
            &json!({"keep": [], "limit": [], "adaptive": {}}),
        ),
        case(
            "spec",
            "a keep and a limit rule must not share a name: status tells rules apart by it",
            &json!({"keep": [keep("a"), keep("b")], "limit": [limit("c")]}),
            &json!({"keep": [keep("a"), keep("b")], "limit": [limit("b")]}),
        ),
        case(
            "spec",
            "adaptive steers default.keepPercent: add default",
            &json!({"default": {"keepPercent": 1}, "adaptive": {"targetTracesPerSecond": 50}}),
            &json!({"tail": {}, "adaptive": {"targetTracesPerSecond": 50}}),
        ),
        case(
            "spec.targetRefs",
            "must not name a target twice",
            &targets(json!([
                {"kind": "TelemetryPipeline", "name": "a"},
                {"kind": "Collector", "name": "a"},
                {"kind": "TelemetryPipeline", "name": "b"},
            ])),
            &targets(json!([
                {"kind": "TelemetryPipeline", "name": "a"},
                {"kind": "TelemetryPipeline", "name": "a", "group": "sluice.dev"},
            ])),
        ),
    ]
}

fn stages() -> Vec<Case> {
    let tail = |tail: Value| json!({"tail": tail});
    let head = |head: Value| json!({"head": head});
    let bounds =
        |bounds: Value| json!({"default": {"keepPercent": 1}, "adaptive": {"bounds": bounds}});
    let automatic = "must be 0 (automatic) or at least 1000";
    vec![
        case(
            "spec.head",
            "set probabilistic or rateLimit, or remove head",
            &head(json!({"probabilistic": {"keepPercent": 10}})),
            &head(json!({})),
        ),
        case(
            "spec.head.rateLimit",
            "burst must be at least tracesPerSecond",
            &head(json!({"rateLimit": {"tracesPerSecond": 100, "burst": 100}})),
            &head(json!({"rateLimit": {"tracesPerSecond": 100, "burst": 99}})),
        ),
        case(
            "spec.tail",
            "decisionWaitAfterRoot (0s when absent) must not exceed decisionWait (10s when absent)",
            &tail(json!({"decisionWait": "1s", "decisionWaitAfterRoot": "1s"})),
            &tail(json!({"decisionWait": "1s", "decisionWaitAfterRoot": "2s"})),
        ),
        case(
            "spec.tail.maxTraces",
            automatic,
            &tail(json!({"maxTraces": 0})),
            &tail(json!({"maxTraces": 999})),
        ),
        case(
            "spec.tail.maxTraces",
            automatic,
            &tail(json!({"maxTraces": 1000})),
            &tail(json!({"maxTraces": 1})),
        ),
        case(
            "spec.adaptive.bounds",
            "minPercent (0.1 when absent) must not exceed maxPercent (20 when absent)",
            &bounds(json!({"minPercent": "0.5", "maxPercent": "10.25"})),
            &bounds(json!({"minPercent": 21})),
        ),
    ]
}

fn rules() -> Vec<Case> {
    let limit = |caps: Value| {
        let mut rule = json!({"name": "batch", "match": {"services": ["report-*"]}});
        let fields = caps.as_object().into_iter().flatten();
        fields.for_each(|(name, value)| rule[name] = value.clone());
        json!({"limit": [rule]})
    };
    let exactly_one = "set exactly one of atMostPercent and atMostPerSecond";
    vec![
        case("spec.limit[]", exactly_one, &limit(json!({"atMostPerSecond": 5})), &limit(json!({}))),
        case(
            "spec.limit[]",
            exactly_one,
            &limit(json!({"atMostPercent": "0.5"})),
            &limit(json!({"atMostPercent": 1, "atMostPerSecond": 5})),
        ),
    ]
}

const ATTRIBUTES: [&str; 2] = ["spec.keep[].match.attributes[]", "spec.limit[].match.attributes[]"];

/// A match stands in both lists.
fn matched(
    at: [&'static str; 2],
    message: &'static str,
    right: &Value,
    wrong: &Value,
) -> [Case; 2] {
    let keep = |of: &Value| json!({"keep": [{"name": "a", "match": of, "atLeastPercent": 100}]});
    let limit = |of: &Value| json!({"limit": [{"name": "a", "match": of, "atMostPercent": 0}]});
    let [in_keep, in_limit] = at;
    [
        case(in_keep, message, &keep(right), &keep(wrong)),
        case(in_limit, message, &limit(right), &limit(wrong)),
    ]
}

fn matches() -> Vec<Case> {
    [
        matched(
            ["spec.keep[].match", "spec.limit[].match"],
            "match needs at least one field, such as status: Error (traces that no rule matches \
             are for default)",
            &json!({"traceQL": "{ status = error }"}),
            &json!({}),
        ),
        matched(
            ["spec.keep[].match.httpStatus", "spec.limit[].match.httpStatus"],
            "a range goes up: write 500-599",
            &json!({"httpStatus": "429,5xx,500-500"}),
            &json!({"httpStatus": "404,599-500"}),
        ),
        matched(
            ["spec.keep[].match.slowerThan.percentile", "spec.limit[].match.slowerThan.percentile"],
            "must be 50 to 99.99 with at most 4 decimals",
            &json!({"slowerThan": {"percentile": 99}}),
            &json!({"slowerThan": {"percentile": "49.99"}}),
        ),
    ]
    .into_iter()
    .chain(attributes())
    .flatten()
    .collect()
}

fn attributes() -> Vec<[Case; 2]> {
    let values = "In, NotIn, Regex, Gt and Lt need values; Exists and DoesNotExist take none";
    let number = "Gt and Lt need exactly one value, a number in quotes such as \"500\"";
    let without = |operator| json!({"attributes": [{"key": "size", "operator": operator}]});
    let with = |operator: &str, values: &[&str]| json!({"attributes": [{"key": "size", "operator": operator, "values": values}]});
    vec![
        matched(ATTRIBUTES, values, &with("In", &["large"]), &without("In")),
        matched(ATTRIBUTES, values, &without("Exists"), &with("DoesNotExist", &["large"])),
        matched(ATTRIBUTES, number, &with("Gt", &["-5.25"]), &with("Gt", &["large"])),
        matched(ATTRIBUTES, number, &with("Lt", &["500"]), &with("Lt", &["1", "2"])),
    ]
}
