//! A criterion as a SamplingPolicy.

use super::DECISION_WAIT;
use super::cases::{Criterion, Texts};
use crate::contest::message::Codec;
use crate::contest::objects;
use crate::contest::programs::Place;
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::Command;

pub(super) fn command(sluice: &Path, criterion: &Criterion, place: &Place) -> Result<Command> {
    objects::command(sluice, &policy(criterion), Codec::Plain, objects::Memory::Ample, place)
}

fn policy(criterion: &Criterion) -> Value {
    let mut policy = rules(criterion);
    policy["tail"] = json!({
        "decisionWait": format!("{}s", DECISION_WAIT.as_secs()),
        "decisionWaitAfterRoot": "0s",
        "maxTraces": 1_000_000,
    });
    policy["tagDecision"] = json!(false);
    policy
}

/// What is kept at all: floors above a default of nothing, or a cap of nothing under a default.
fn rules(criterion: &Criterion) -> Value {
    match criterion {
        Criterion::Always => json!({"default": {"keepPercent": 100}}),
        Criterion::Share(share) => {
            json!({"default": {"keepPercent": percent(share.percent())}})
        }
        Criterion::NoText { key, texts } => {
            let matched = json!({"attributes": [attribute(key, texts)]});
            let cap = json!({"name": "cap", "match": matched, "atMostPercent": 0});
            json!({"limit": [cap], "default": {"keepPercent": 100}})
        }
        Criterion::Any(criteria) => {
            let floors: Vec<Value> = criteria.iter().enumerate().map(floor).collect();
            json!({"keep": floors, "default": {"keepPercent": 0}})
        }
        criterion => {
            json!({"keep": [floor((0, criterion))], "default": {"keepPercent": 0}})
        }
    }
}

fn floor((number, criterion): (usize, &Criterion)) -> Value {
    let mut matched = Map::new();
    put(&mut matched, criterion);
    json!({"name": format!("floor-{number}"), "match": matched, "atLeastPercent": 100})
}

/// Adds the fields of a match; all that are given must hold.
fn put(matched: &mut Map<String, Value>, criterion: &Criterion) {
    let (field, value) = match criterion {
        Criterion::Error => ("status", json!("Error")),
        Criterion::DurationMin { ms } => ("minDuration", json!(format!("{ms}ms"))),
        Criterion::SpanCountMin(least) => ("spanCount", json!(least)),
        Criterion::Number { key, min, max } => ("attributes", number(key, *min, *max)),
        Criterion::Text { key, texts } => ("attributes", json!([attribute(key, texts)])),
        Criterion::All(criteria) => return criteria.iter().for_each(|one| put(matched, one)),
        // These are no floors: `rules` writes them.
        Criterion::Always | Criterion::NoText { .. } | Criterion::Any(_) | Criterion::Share(_) => {
            return;
        }
    };
    matched.insert(field.to_owned(), value);
}

/// Above and below, where the Collector means from and to.
fn number(key: &str, min: u32, max: Option<u32>) -> Value {
    let bound = |operator: &str, value: u32| json!({"key": key, "operator": operator, "values": [value.to_string()]});
    let below = max.map(|max| bound("Lt", max + 1));
    std::iter::once(bound("Gt", min - 1)).chain(below).collect()
}

/// A pattern is for the whole text, where the Collector's is for any part of it.
fn attribute(key: &str, texts: &Texts) -> Value {
    let (operator, values) = match texts {
        Texts::In(texts) => ("In", json!(texts)),
        Texts::StartsWith(start) => ("Regex", json!([format!("{start}.*")])),
        Texts::Contains(part) => ("Regex", json!([format!(".*{part}.*")])),
    };
    json!({"key": key, "operator": operator, "values": values})
}

/// Whole percents are numbers, others are text: there are no floats in the API.
fn percent(percent: f64) -> Value {
    match percent.fract() == 0.0 {
        true => json!(percent as u32),
        false => json!(percent.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases::CASES;
    use super::*;
    use sluice_crds::SamplingPolicySpec;

    #[test]
    fn the_api_has_all_fields_that_the_cases_need() {
        for case in CASES {
            let policy = policy(&case.criterion);
            assert!(objects::is_known::<SamplingPolicySpec>(&policy), "{}: {policy}", case.name);
        }
    }
}
