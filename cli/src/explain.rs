//! What became of a trace, and why: asked of a collector, told to a person.

mod cluster;

use crate::arguments::{Explain, ExplainFormat, ExplainTrace, Subject};
use crate::{Outcome, http, say};
use anyhow::{Context, Result, bail};
use sluice_agent::decisions::{Answer, DECISIONS, Decision};
use std::fmt::Write;

/// Hexadecimal digits of the part of a trace id that decides.
const RANDOM_DIGITS: usize = 14;
const RANDOM_BITS: u128 = (1 << 56) - 1;

pub(crate) fn run(arguments: &Explain) -> Result<Outcome> {
    match &arguments.subject {
        Subject::Trace(arguments) => trace(arguments),
    }
}

fn trace(arguments: &ExplainTrace) -> Result<Outcome> {
    let ExplainTrace { id, at, cluster, system_namespace, output } = arguments;
    let forward = cluster.then(|| cluster::Forward::start(system_namespace)).transpose()?;
    let at = forward.as_ref().map_or(at.as_str(), |forward| &forward.address);
    // As `sluice run` prints it, too.
    let at = at.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or(at);
    let nobody = || {
        format!(
            "no collector answers at {at} (`sluice run` prints the address of its metrics, which \
             --at takes)"
        )
    };
    let (status, body) = http::get(at, &format!("{DECISIONS}{id:032x}")).with_context(nobody)?;
    if status != 200 {
        bail!("the collector at {at} answers {status}: {}", body.trim());
    }
    let answer: Answer = serde_json::from_str(&body)
        .with_context(|| format!("what answers at {at} is no collector of this version"))?;
    match output {
        ExplainFormat::Json => say(body),
        ExplainFormat::Text => say(as_text(*id, &answer)),
    }
    let is_answered = !matches!(answer, Answer::Unknown | Answer::Elsewhere);
    Ok(if is_answered { Outcome::Good } else { Outcome::Bad })
}

fn as_text(trace: u128, answer: &Answer) -> String {
    let trace_text = format!("Trace {trace:032x}");
    match answer {
        Answer::NoPolicy => {
            format!("{trace_text}: no SamplingPolicy is in force, so every trace is passed on")
        }
        Answer::Elsewhere => {
            format!("{trace_text}: this agent decides no traces, its gateways do; ask one of them")
        }
        Answer::Unknown => format!(
            "{trace_text}: nothing is known of it. It never came here, was not taken up for lack of \
             room, or was decided so long ago that it is forgotten"
        ),
        Answer::Open => {
            format!("{trace_text}: not decided yet; its spans are held until its wait is over")
        }
        Answer::Decided(decision) => format!("{trace_text}: {}", decided(trace, decision)),
    }
}

fn decided(trace: u128, decision: &Decision) -> String {
    let fate = if decision.is_kept { "kept" } else { "sampled out" };
    let mut text = format!("{fate}, {}", cause(decision.rule.as_deref()));
    let mut line = |name: &str, value: &str| {
        let _ = write!(text, "\n  {name:<12} {value}");
    };
    line("probability", &probability(trace, decision));
    let seconds = decision.age_ms as f64 / 1000.0;
    let (spans, late) = (counted(decision.spans), counted(decision.late_spans));
    line("decided", &format!("{seconds:.1} s ago, with {spans}"));
    if let Some(gateway) = &decision.gateway {
        line("gateway", gateway);
    }
    if decision.is_early {
        line("early", "before its wait was over: no room, a trace too large, or a shutdown");
    }
    if 0 < decision.late_spans {
        line("late", &format!("{late} came after the decision and followed it"));
    }
    text
}

fn cause(rule: Option<&str>) -> String {
    match rule.and_then(|rule| rule.rsplit_once('/')) {
        Some((policy, "default")) => format!("by the default of SamplingPolicy {policy}"),
        Some((policy, rule)) => format!("by rule {rule} of SamplingPolicy {policy}"),
        None => "as no policy is about it".to_owned(),
    }
}

/// Where the id itself decided, it is shown against the threshold.
fn probability(trace: u128, decision: &Decision) -> String {
    let percent = format!("{} %", percent(decision.probability));
    let random = trace & RANDOM_BITS;
    let threshold = u128::from(decision.threshold);
    let by_id = (threshold <= random) == decision.is_kept;
    match threshold {
        0 => format!("{percent}: such traces are all kept"),
        all if RANDOM_BITS < all => format!("{percent}: such traces are never kept"),
        _ if !by_id => format!("{percent}: decided by the randomness that its spans brought along"),
        _ => {
            let order = if decision.is_kept { "reaches" } else { "is below" };
            format!(
                "{percent}: the end of the id, {random:0RANDOM_DIGITS$x}, {order} \
                 {threshold:0RANDOM_DIGITS$x}"
            )
        }
    }
}

/// With four digits that count, and no more than needed.
fn percent(probability: f64) -> String {
    let percent = probability * 100.0;
    let places = if 10.0 <= percent { 2 } else { 4 };
    let text = format!("{percent:.places$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn counted(spans: u32) -> String {
    if spans == 1 { "1 span".to_owned() } else { format!("{spans} spans") }
}

#[cfg(test)]
mod tests;
