//! The policy of the articles, the SDK of OpenTelemetry, a real Collector: what is kept arrives,
//! and the status says it.

mod apps;

use super::arrived::{Arrived, Trace};
use super::sampling::randomness;
use crate::destination::Destination;
use crate::gateways;
use crate::kubectl::{apply, get, kubectl, wait_for};
use crate::stage::Stage;
use anyhow::{Context, Result, ensure};
use apps::{SEED, SPANS, TRACES, kind};
use serde_json::Value;
use std::fs;
use std::time::Duration;

const POLICY: &str = "manifests/samples/sampling.yaml";
/// 99 % of 2^56, to four hexadecimal digits: what 1 % of all traces reach.
const HUNDREDTH: u64 = 0xfd_70a0_0000_0000;

/// By then every gateway has seen enough calls to tell what is rare.
const RARE_FROM: usize = 10_000;
/// One ordinary duration in twenty is longer, so whatever is above p99 is.
const SLOWISH_MS: u64 = 90;

pub(crate) fn what_the_articles_policy_keeps_of_an_sdk_s_traces_arrives_whole(
    stage: &Stage,
) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    let policy = fs::read_to_string(POLICY).with_context(|| format!("read {POLICY}"))?;
    let policy = policy.replace("namespace: shop", &format!("namespace: {namespace}"));
    apply(&policy)?;
    stage.ready(namespace, "samplingpolicy/shop")?;
    gateways::wait_for_summary("2/2")?;
    apps::send(namespace)?;
    let arrived = all_that_is_kept(namespace, &destination)?;
    check_each(&arrived)?;
    check_shares(&arrived)?;
    status_says_so(namespace, &arrived)?;
    kubectl(&["-n", namespace, "delete", "samplingpolicy", "shop"])?;
    gateways::wait_for_none()
}

/// By the gateways' own count, all traces are decided, and those that they keep have arrived.
fn all_that_is_kept(namespace: &str, destination: &Destination) -> Result<Arrived> {
    let policy = format!("policy=\"{namespace}/shop\"");
    let count = |name: &str, fate: &str| gateways::count(name, &[&policy, fate]);
    let kept = wait_for("the gateways to decide", Duration::from_secs(60), || {
        let decided = count("sluice_tail_traces_total", "")?;
        ensure!(decided == TRACES as u64, "{decided} of {TRACES} traces are decided");
        count("sluice_tail_traces_total", "fate=\"kept\"")
    })?;
    let lost = count("sluice_tail_error_traces_total", "fate=\"sampled_out\"")?;
    ensure!(lost == 0, "{lost} traces with an error are dropped");
    wait_for("what is kept to arrive", Duration::from_secs(60), || {
        let arrived = Arrived::read(destination)?;
        let whole = arrived.traces.values().filter(|trace| trace.spans.len() as u64 == SPANS);
        let whole = whole.count() as u64;
        ensure!(whole == kept, "of {kept} traces that are kept, {whole} have arrived whole");
        ensure!(arrived.traces.len() as u64 == kept, "{} arrived", arrived.traces.len());
        Ok(arrived)
    })
}

/// Each trace for itself: what must arrive does, and what arrives has a reason.
fn check_each(arrived: &Arrived) -> Result<()> {
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for number in 0..TRACES {
        let kind = kind(number);
        let is_of_the_hundredth = HUNDREDTH <= randomness(SEED + number);
        let is_kept = match kind {
            "ordinary" => is_of_the_hundredth,
            "rare" => is_of_the_hundredth || RARE_FROM <= number,
            _ => true,
        };
        match arrived.traces.get(&number) {
            None if is_kept => missing.push(format!("{number} ({kind})")),
            Some(trace) if !is_explained(trace, kind, is_of_the_hundredth) => {
                wrong.push(format!("{number} ({kind}): {trace:?}"));
            }
            _ => {}
        }
    }
    let some = |all: &[String]| all.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    ensure!(missing.is_empty(), "{} are missing, such as {}", missing.len(), some(&missing));
    ensure!(wrong.is_empty(), "{} are wrong, such as {}", wrong.len(), some(&wrong));
    ensure!(arrived.traces.keys().all(|number| *number < TRACES), "nobody sent some traces");
    Ok(())
}

fn is_explained(trace: &Trace, kind: &str, is_of_the_hundredth: bool) -> bool {
    let rule = match trace.rules.iter().collect::<Vec<_>>()[..] {
        [rule] => rule.rsplit('/').next().unwrap_or_default(),
        _ => return false,
    };
    let is_right = match kind {
        "ordinary" => match rule {
            "default" => is_of_the_hundredth,
            "above-p99" => SLOWISH_MS <= trace.duration_ms,
            _ => false,
        },
        "rare" => ["rare", "above-p99", "default"].contains(&rule),
        "error" => rule == "errors" || rule == "above-p99",
        "5xx" => rule == "http-5xx" || rule == "above-p99",
        _ => rule == "slow" || rule == "above-p99",
    };
    is_right && trace.kind == kind && trace.spans.iter().copied().eq(0..SPANS)
}

/// Of the ordinary traces, 1 % by their ids; `above-p99` adds, by its name, at most as many.
fn check_shares(arrived: &Arrived) -> Result<()> {
    let ordinary = (0..TRACES).filter(|number| kind(*number) == "ordinary").count() as f64;
    let by = |rule: &str| arrived.count(|trace| trace.kind == "ordinary" && trace.is_by(rule));
    let (hundredth, above) = (by("default") as f64, by("above-p99") as f64);
    let (wanted, error) = (ordinary * 0.01, (ordinary * 0.01 * 0.99).sqrt());
    // A slow one of the hundredth is there by the other rule.
    ensure!(
        (hundredth - wanted).abs() <= 3.0 * error,
        "{hundredth} of {ordinary} ordinary traces are kept by default, not {wanted:.0}"
    );
    ensure!(above <= ordinary * 0.01, "above-p99 keeps {above} of {ordinary} ordinary traces");
    ensure!(above > 0.0, "above-p99 keeps nothing");
    Ok(())
}

/// Statuses have two digits, and are written anew when a number moved by a tenth.
fn status_says_so(namespace: &str, arrived: &Arrived) -> Result<()> {
    let all = arrived.traces.len() as f64;
    wait_for("the status to say so", Duration::from_secs(120), || {
        let status = get(&["-n", namespace, "samplingpolicy", "shop"])?["status"].clone();
        let observed = |member: &str| percent(&status["observed"][member]);
        let (errors, kept) = (observed("errorsKeptPercent")?, observed("keepPercent")?);
        ensure!((errors - 100.0).abs() < f64::EPSILON, "errors kept: {errors} %");
        let really = all * 100.0 / TRACES as f64;
        ensure!((kept - really).abs() <= really * 0.11, "kept: {kept} %, not {really} %");
        let rules = status["rules"].as_array().context("no rules")?;
        ensure!(rules.len() == 6, "{} rules", rules.len());
        for rule in rules {
            let name = rule["name"].as_str().unwrap_or_default();
            ensure!(rule["state"] == "Active", "{name} is {}", rule["state"]);
            let share = percent(&rule["sharePercent"])?;
            let really = arrived.count(|trace| trace.is_by(name)) as f64 * 100.0 / all;
            let is_near = (share - really).abs() <= really * 0.11 + 1.0;
            ensure!(is_near, "{name} decided {share} % of what is kept, not {really} %");
        }
        Ok(())
    })
}

fn percent(value: &Value) -> Result<f64> {
    let text = value.as_str().context("not said yet")?;
    text.parse().with_context(|| format!("{text:?} is no number"))
}
