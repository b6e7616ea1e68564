//! `cargo xtask jaeger`: an application with the OpenTelemetry SDK of Go and its Jaeger remote sampler
//! takes its rate from Sluice. What it sampled must pass the head whole, say what it stands for, and
//! be sampled on by the tail as if the SDK had not sampled at all.

use crate::commands;
use crate::contest::destination::{Arrival, Destination};
use crate::contest::message::Codec;
use crate::contest::objects::{self, Memory};
use crate::contest::programs::{self, Place};
use crate::contest::threshold::{Share, ot_field, threshold_of};
use crate::contest::trace::TraceId;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Of each trace: two of the service that asks, one of a service that does not.
const SPANS: usize = 3;
/// Standard errors that a share or an estimate may be off.
const ERRORS_MAX: f64 = 4.0;
/// 2^56: what randomness is of.
const ALL: f64 = (1_u64 << 56) as f64;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many the application makes in each case.
    #[arg(long, default_value_t = 100_000)]
    traces: u32,
    /// Of the traces' ids.
    #[arg(long, default_value_t = 20_260_101)]
    seed: u64,
}

/// What the policy keeps, in parts per million.
struct Case {
    name: &'static str,
    head: Share,
    default: Share,
}

const CASES: [Case; 3] = [
    Case { name: "a head alone", head: Share(100_000), default: Share(1_000_000) },
    Case { name: "a tail that keeps less", head: Share(100_000), default: Share(50_000) },
    Case { name: "a rate that is no round number", head: Share(333_333), default: Share(70_000) },
];

struct Programs {
    application: PathBuf,
    sluice: PathBuf,
}

/// What the application says.
#[derive(Debug, Deserialize)]
struct Said {
    rate: f64,
    traces: u32,
    sampled: u32,
}

/// What arrived of a trace.
#[derive(Default)]
struct Whole {
    spans: usize,
    threshold: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let programs = Programs {
        application: crate::programs::ensure("jaeger")?.join("jaeger"),
        sluice: programs::sluice()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    for case in &CASES {
        println!("{}", case.name);
        let checked = runtime.block_on(check(&programs, case, arguments));
        checked.with_context(|| format!("{:?} does not hold", case.name))?;
    }
    Ok(())
}

async fn check(programs: &Programs, case: &Case, arguments: &Arguments) -> Result<()> {
    let destination = Destination::start().await?;
    let place = Place::new(destination.address)?.with_sampling()?;
    let [_, http] = place.sampling.context("a place where rates are told")?;
    let policy = policy(case);
    let mut command =
        objects::command(&programs.sluice, &policy, Codec::Plain, Memory::Ample, &place)?;
    let running = place.start(&mut command).await?;
    let mut application = Command::new(&programs.application);
    application
        .arg(format!("--sampling=http://127.0.0.1:{http}/sampling"))
        .arg(format!("--endpoint={}", running.address))
        .arg(format!("--traces={}", arguments.traces))
        .arg(format!("--seed={}", arguments.seed));
    let said = tokio::task::spawn_blocking(move || commands::output(&mut application));
    let said: Said = serde_json::from_str(&said.await.context("wait for the application")??)
        .context("read what the application says")?;
    // All that is held is decided and sent.
    running.process.stop().await?;
    check_sdk(case, &said)?;
    check_arrived(case, &said, destination.into_arrived()?)
}

/// The rate is the agent's, and the SDK keeps as much.
fn check_sdk(case: &Case, said: &Said) -> Result<()> {
    let told = 1.0 - case.head.threshold() as f64 / ALL;
    ensure!(said.rate == told, "the SDK's rate is {}, not {told}", said.rate);
    println!("  the SDK's rate is {}", said.rate);
    near("sampled by the SDK", f64::from(said.sampled), f64::from(said.traces) * told, told)
}

fn check_arrived(case: &Case, said: &Said, arrived: Vec<Arrival>) -> Result<()> {
    let whole = gather(arrived)?;
    let threshold = case.head.threshold().max(case.default.threshold());
    for (trace, whole) in &whole {
        ensure!(
            whole.spans == SPANS && whole.threshold == Some(threshold),
            "of trace {trace:02x?} came {} spans with th {:x?}",
            whole.spans,
            whole.threshold
        );
    }
    let (kept, made) = (whole.len() as f64, f64::from(said.traces));
    if case.default == Share(1_000_000) {
        ensure!(kept == f64::from(said.sampled), "{kept} traces of {} arrived", said.sampled);
        println!("  all of them arrived, whole: nothing was thinned again");
    }
    let share = 1.0 - threshold as f64 / ALL;
    near("arrived", kept, made * share, share)?;
    println!("  by their adjusted counts there were {:.0} traces of {made}", kept / share);
    Ok(())
}

/// By trace; every span that bears both has a randomness that reaches its threshold.
fn gather(arrived: Vec<Arrival>) -> Result<BTreeMap<TraceId, Whole>> {
    let mut traces = BTreeMap::<TraceId, Whole>::new();
    for Arrival { id, trace_state } in arrived {
        let field = |name| ot_field(&trace_state, name).map(threshold_of);
        let (threshold, randomness) = (field("th"), field("rv"));
        ensure!(randomness.is_some(), "a span without rv: {trace_state:?}");
        ensure!(threshold <= randomness, "th contradicts rv: {trace_state:?}");
        let trace = id.first_chunk().copied().unwrap_or_default();
        let whole = traces.entry(trace).or_default();
        if 0 < whole.spans && whole.threshold != threshold {
            bail!("a trace with several th: {trace_state:?}");
        }
        whole.spans += 1;
        whole.threshold = threshold;
    }
    Ok(traces)
}

/// Whether a count of a sample with this probability is as good as it can be.
fn near(what: &str, found: f64, expected: f64, probability: f64) -> Result<()> {
    let off = (found - expected) / (expected * (1.0 - probability)).sqrt();
    println!(
        "  {what}: {found:.0} traces where {expected:.0} are expected, {off:+.1} standard errors"
    );
    ensure!(off.abs() < ERRORS_MAX, "{what}: {off:+.1} standard errors off");
    Ok(())
}

fn policy(case: &Case) -> Value {
    json!({
        "head": {"probabilistic": {"keepPercent": percent(case.head)}},
        "default": {"keepPercent": percent(case.default)},
        // Longer than the application runs: traces are decided when Sluice is stopped.
        "tail": {"decisionWait": "120s", "decisionWaitAfterRoot": "0s", "maxTraces": 1_000_000},
        "tagDecision": false,
    })
}

fn percent(share: Share) -> Value {
    match share.percent().fract() == 0.0 {
        true => json!(share.percent() as u32),
        false => json!(share.percent().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_crds::SamplingPolicySpec;

    #[test]
    fn the_api_has_all_fields_that_the_cases_need() {
        for case in &CASES {
            let policy = policy(case);
            assert!(objects::is_known::<SamplingPolicySpec>(&policy), "{}: {policy}", case.name);
        }
    }
}
