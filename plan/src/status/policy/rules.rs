//! What each rule of a policy does, and whether it can do what it says.

use super::super::conditions::Conditions;
use super::super::flow::sentence;
use super::super::numbers::{rate, share};
use super::measured::Measured;
use crate::effects::{Effect, Effects};
use crate::report::{DEFAULT_RULE, RuleCounts};
use sluice_crds::conditions::{ConditionType, Reason, Status};
use sluice_crds::policy::{RuleShare, RuleState};
use sluice_engine::config::sampling::Policy;

/// As many as the schema takes.
const RULES_MAX: usize = 64;

/// Floors, caps, then the default, with the texts shown before where nothing moved.
pub(super) fn told(
    policy: Option<&Policy>,
    effects: &Effects<'_>,
    measured: &Measured,
    before: &[RuleShare],
) -> Vec<RuleShare> {
    let rules = effects.rules.iter().map(|rule| {
        let (state, by) = match rule.effect {
            Effect::Shadowed(by) => (RuleState::Shadowed, Some(by.to_owned())),
            Effect::Duplicate(by) => (RuleState::Duplicate, Some(by.to_owned())),
            Effect::Unreachable => (RuleState::Unreachable, None),
            Effect::Active => (seen(rule.name, rule.is_tracked, measured), None),
        };
        RuleShare { name: rule.name.to_owned(), state, by, ..RuleShare::default() }
    });
    let default = policy.and_then(|policy| policy.default_ppm);
    let default =
        default.map(|_| RuleShare { name: DEFAULT_RULE.to_owned(), ..Default::default() });
    let rules = rules.chain(default).take(RULES_MAX);
    rules
        .map(|rule| {
            let before = before.iter().find(|before| before.name == rule.name);
            with_counts(rule, measured, before)
        })
        .collect()
}

/// What the counts say of a rule that nothing is known against.
fn seen(name: &str, is_tracked: bool, measured: &Measured) -> RuleState {
    let counts = measured.total.rules.get(name).copied().unwrap_or_default();
    let has_traffic = measured.total.traces > 0;
    if measured.warming.contains(name) || is_tracked && !has_traffic {
        return RuleState::WarmingUp;
    }
    match counts.matched {
        0 if has_traffic => RuleState::NeverMatched,
        _ => RuleState::Active,
    }
}

fn with_counts(rule: RuleShare, measured: &Measured, before: Option<&RuleShare>) -> RuleShare {
    let shown = &measured.shown;
    let of =
        |text: fn(&RuleShare) -> &Option<String>| before.and_then(|rule| text(rule).as_deref());
    if shown.seconds == 0 {
        return RuleShare {
            matched_per_minute: of(|rule| &rule.matched_per_minute).map(str::to_owned),
            decided_per_minute: of(|rule| &rule.decided_per_minute).map(str::to_owned),
            share_percent: of(|rule| &rule.share_percent).map(str::to_owned),
            ..rule
        };
    }
    let RuleCounts { matched, decided, kept } =
        shown.counts.rules.get(&rule.name).copied().unwrap_or_default();
    let per_minute = |count, before| Some(rate(shown.per_second(count) * 60.0, before));
    let matches = rule.name != DEFAULT_RULE;
    let part = share(kept, shown.counts.kept, of(|rule| &rule.share_percent));
    RuleShare {
        matched_per_minute: per_minute(matched, of(|rule| &rule.matched_per_minute))
            .filter(|_| matches),
        decided_per_minute: per_minute(decided, of(|rule| &rule.decided_per_minute)),
        share_percent: Some(part).filter(|part| !part.is_empty()),
        ..rule
    }
}

pub(super) fn set_effective(
    conditions: &mut Conditions<'_>,
    effects: &Effects<'_>,
    told: &[RuleShare],
) {
    let contradictions = effects.contradictions.iter().map(|(cap, floor)| {
        format!("Limit rule \"{cap}\" has the match of keep rule \"{floor}\", which keeps more.")
    });
    let contradictions: Vec<_> = contradictions.collect();
    let is_told = |name| effects.contradictions.iter().any(|(cap, _)| *cap == name);
    let others = effects.rules.iter().filter(|rule| !is_told(rule.name));
    let is_capped = effects.rules.iter().any(|rule| rule.effect == Effect::Unreachable);
    let shadowed: Vec<_> = others.filter_map(|rule| why(rule.name, rule.effect)).collect();
    let is_warming_up = told.iter().any(|rule| rule.state == RuleState::WarmingUp);
    let (status, reason) = match (contradictions.is_empty(), shadowed.is_empty()) {
        (false, _) => (Status::False, Reason::ContradictoryRules),
        (true, false) if is_capped => (Status::False, Reason::HeadCapsFloor),
        (true, false) => (Status::False, Reason::RulesShadowed),
        (true, true) if is_warming_up => (Status::Unknown, Reason::WarmingUp),
        (true, true) => (Status::True, Reason::AllEffective),
    };
    let mut message = [contradictions, shadowed].concat();
    message.push(match message.is_empty() {
        true => sentence(reason),
        false => reason.remedy().to_owned(),
    });
    conditions.set(ConditionType::RulesEffective, status, reason, message.join(" "));
}

/// Why a rule changes nothing.
fn why(name: &str, effect: Effect<'_>) -> Option<String> {
    match effect {
        Effect::Active => None,
        Effect::Shadowed(by) => {
            Some(format!("Rule \"{name}\" changes nothing: \"{by}\" decides all that it matches."))
        }
        Effect::Duplicate(by) => {
            Some(format!("Rule \"{name}\" changes nothing: \"{by}\" has the same match."))
        }
        Effect::Unreachable => {
            Some(format!("Rule \"{name}\" asks for more than spec.head lets pass."))
        }
    }
}
