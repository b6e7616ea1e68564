//! What rules of one policy can never do, known without any traffic. It claims nothing of which it
//! is not certain.

mod implication;

use implication::implies;
use sluice_engine::config::sampling::{ALL_PPM, AtMost, Cap, Floor, Match, Policy};

/// Floors, then caps, as the policy holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects<'a> {
    pub(crate) rules: Vec<Rule<'a>>,
    /// Names of caps and floors that are about the same traces, where the floor asks for more than
    /// the cap lets through. The floor wins.
    pub(crate) contradictions: Vec<(&'a str, &'a str)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule<'a> {
    pub(crate) name: &'a str,
    pub(crate) effect: Effect<'a>,
    pub(crate) is_tracked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect<'a> {
    Active,
    /// All traces that it matches, this rule matches too, and decides as much.
    Shadowed(&'a str),
    /// As `Shadowed`, and of the very same traces.
    Duplicate(&'a str),
    /// A floor above what the head lets pass.
    Unreachable,
}

impl Effect<'_> {
    pub(crate) fn is_active(self) -> bool {
        self == Effect::Active
    }
}

pub(crate) fn effects(policy: &Policy) -> Effects<'_> {
    let floors = policy.keep.iter().map(|rule| (&*rule.name, &rule.matches, rule.at_least_ppm));
    let floors: Vec<_> = floors.collect();
    let caps = policy.limit.iter().map(|rule| (&*rule.name, &rule.matches, rule.at_most));
    let caps: Vec<_> = caps.collect();
    let head_ppm = policy.head.as_ref().and_then(|head| head.keep_ppm).unwrap_or(ALL_PPM);
    let of_floors = among(&floors, |a, b| a <= b).into_iter().zip(&floors);
    let of_floors = of_floors.map(|(effect, (_, _, ppm))| match effect {
        Effect::Active if head_ppm < *ppm => Effect::Unreachable,
        effect => effect,
    });
    // A cap under a lower floor still brings the default down to the floor.
    let all = floors.iter().filter(|(_, _, ppm)| *ppm == ALL_PPM);
    let of_caps = among(&caps, |a, b| is_as_low(b, a)).into_iter().zip(&caps);
    let of_caps = of_caps.map(|(effect, (_, matches, _))| {
        let floor = all.clone().find(|(_, floor, _)| implies(matches, floor));
        floor.map_or(effect, |(name, _, _)| Effect::Shadowed(name))
    });
    let named = floors.iter().map(|(name, matches, _)| (*name, *matches));
    let named = named.chain(caps.iter().map(|(name, matches, _)| (*name, *matches)));
    let effects = of_floors.chain(of_caps);
    let rules = named.zip(effects).map(|((name, matches), effect)| Rule {
        name,
        effect,
        is_tracked: matches.slower_than.is_some() || matches.rare_operation.is_some(),
    });
    Effects { rules: rules.collect(), contradictions: contradictions(policy) }
}

/// Rules of one sort against each other. `asks_no_more` says whether what the first one asks for is
/// granted where the second one is.
fn among<'a, T: Copy>(
    rules: &[(&'a str, &'a Match, T)],
    asks_no_more: impl Fn(T, T) -> bool,
) -> Vec<Effect<'a>> {
    let beaten = |at: usize, by: usize| {
        let ((_, narrow, own), (name, wide, other)) = (rules[at], rules[by]);
        if at == by || !asks_no_more(own, other) || !implies(narrow, wide) {
            return None;
        }
        let is_same = implies(wide, narrow);
        // Of two that are equal in all, the first stays.
        let is_equal = is_same && asks_no_more(other, own);
        let effect = if is_same { Effect::Duplicate(name) } else { Effect::Shadowed(name) };
        (!is_equal || by < at).then_some(effect)
    };
    let all = || 0..rules.len();
    let is_beaten = |at: usize| all().any(|by| beaten(at, by).is_some());
    // By the one that stays in the end: others may be beaten themselves.
    let effect = |at: usize| {
        let mut effects = all().filter_map(|by| Some((by, beaten(at, by)?)));
        effects.find(|(by, _)| !is_beaten(*by)).map_or(Effect::Active, |(_, effect)| effect)
    };
    all().map(effect).collect()
}

fn contradictions(policy: &Policy) -> Vec<(&str, &str)> {
    let contradicts = |cap: &Cap, floor: &Floor| {
        let most = match cap.at_most {
            AtMost::Ppm(ppm) => ppm,
            AtMost::PerSecond(_) => ALL_PPM - 1,
        };
        let (cap, wide) = (&cap.matches, &floor.matches);
        most < floor.at_least_ppm && implies(cap, wide) && implies(wide, cap)
    };
    let of_cap = |cap| {
        let floors = policy.keep.iter().filter(move |floor| contradicts(cap, floor));
        floors.map(move |floor: &Floor| (cap.name.as_str(), floor.name.as_str()))
    };
    policy.limit.iter().flat_map(of_cap).collect()
}

/// Whether one cap lets through no more than another of the same traces or some of them.
fn is_as_low(cap: AtMost, than: AtMost) -> bool {
    match (cap, than) {
        (AtMost::Ppm(cap), AtMost::Ppm(than)) => cap <= than,
        (AtMost::PerSecond(cap), AtMost::PerSecond(than)) => cap <= than,
        (AtMost::Ppm(0), AtMost::PerSecond(_)) => true,
        (AtMost::Ppm(_), AtMost::PerSecond(_)) | (AtMost::PerSecond(_), AtMost::Ppm(_)) => false,
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
