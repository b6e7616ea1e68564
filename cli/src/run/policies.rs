//! What SamplingPolicies did so far, as people read it: shares, and which rule decided what.

use serde_json::{Value, json};
use sluice_agent::Running;
use sluice_engine::tail::{DEFAULT_RULE, PolicyCounts, RuleCounts};
use std::collections::BTreeMap;

/// By `namespace/name`.
pub(super) type Policies = BTreeMap<String, PolicyCounts>;

pub(super) fn of(running: &Running) -> Policies {
    running.tail().map(|tail| tail.counts()).unwrap_or_default()
}

/// `1200 traces: kept 120 (10 %), with errors 30 of 30 (100 %)`, and what a tried policy would do.
pub(super) fn line(counts: &PolicyCounts) -> String {
    let PolicyCounts { traces, kept, error_traces, error_traces_kept, .. } = counts;
    let mut line = format!(
        "{traces} traces: kept {kept}{}, with errors {error_traces_kept} of {error_traces}{}",
        in_brackets(*kept, *traces),
        in_brackets(*error_traces_kept, *error_traces)
    );
    if 0 < counts.decided_early {
        line += &format!(", {} decided early", counts.decided_early);
    }
    if 0 < counts.would_keep {
        let share = in_brackets(counts.would_keep, *traces);
        line += &format!(
            "; would keep {}{share}, with errors {} of {error_traces}",
            counts.would_keep, counts.would_keep_errors
        );
    }
    line
}

/// One a rule: `errors: matched 30, decided 30, kept 30`.
pub(super) fn rules(counts: &PolicyCounts) -> impl Iterator<Item = String> {
    counts.rules.iter().map(|(rule, RuleCounts { matched, decided, kept })| match rule.as_str() {
        DEFAULT_RULE => format!("{rule}: decided {decided}, kept {kept}"),
        _ => format!("{rule}: matched {matched}, decided {decided}, kept {kept}"),
    })
}

pub(super) fn json((policy, counts): (&String, &PolicyCounts)) -> Value {
    let rule = |(rule, counts): (&String, &RuleCounts)| {
        let RuleCounts { matched, decided, kept } = counts;
        json!({"rule": rule, "matched": matched, "decided": decided, "kept": kept})
    };
    json!({
        "policy": policy,
        "traces": counts.traces,
        "kept": counts.kept,
        "errorTraces": counts.error_traces,
        "errorTracesKept": counts.error_traces_kept,
        "decidedEarly": counts.decided_early,
        "wouldKeep": counts.would_keep,
        "wouldKeepErrors": counts.would_keep_errors,
        "rules": counts.rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

fn in_brackets(part: u64, whole: u64) -> String {
    percent(part, whole).map_or_else(String::new, |percent| format!(" ({percent} %)"))
}

/// With one digit after the point, cut off, so that not quite all is never 100; `None` of nothing.
pub(super) fn percent(part: u64, whole: u64) -> Option<String> {
    let per_mille = part.saturating_mul(1000).checked_div(whole)?;
    let (percent, tenths) = (per_mille / 10, per_mille % 10);
    Some(if tenths == 0 { percent.to_string() } else { format!("{percent}.{tenths}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(counts: &PolicyCounts, expected: &str) {
        assert_eq!(line(counts), expected);
    }

    #[test]
    fn shares_are_of_what_was_seen() {
        let mut counts = PolicyCounts::default();
        check(&counts, "0 traces: kept 0, with errors 0 of 0");
        counts.traces = 3000;
        counts.kept = 2999;
        counts.error_traces = 3;
        counts.error_traces_kept = 3;
        check(&counts, "3000 traces: kept 2999 (99.9 %), with errors 3 of 3 (100 %)");
        counts.kept = 3000;
        counts.would_keep = 31;
        counts.would_keep_errors = 3;
        check(
            &counts,
            "3000 traces: kept 3000 (100 %), with errors 3 of 3 (100 %); would keep 31 (1 %), with \
             errors 3 of 3",
        );
    }
}
