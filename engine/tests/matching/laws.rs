//! Laws of all rules together, over rules and traces drawn from a seed.

use super::random::Dice;
use super::reference::{self, Filter};
use super::{Span, bits, facts};
use sluice_engine::config::sampling::Match;
use sluice_engine::matching::{Matcher, TraceFacts};

const SEEDS: u64 = 40;
const TRACES: usize = 50;

struct Case {
    rules: Vec<(Match, Option<Filter>)>,
    matcher: Matcher,
}

/// Filters that multiply out to too much are left out.
fn case(dice: &mut Dice) -> Case {
    let rules = (0..1 + dice.below(40)).map(|_| dice.rule());
    let rules: Vec<_> = rules.filter(|(rule, _)| Matcher::new([rule]).is_ok()).collect();
    let matcher = Matcher::new(rules.iter().map(|(rule, _)| rule)).unwrap();
    Case { rules, matcher }
}

fn trace(dice: &mut Dice) -> Vec<Span> {
    let mut spans: Vec<Span> = (0..1 + dice.below(4)).map(|_| dice.span()).collect();
    spans[0].is_root = dice.chance(70);
    spans
}

/// A rule may look at spans of as many kinds as its number has divisors.
fn in_scope(rule: usize, span: &Span) -> bool {
    rule.is_multiple_of(1 + span.kind as usize)
}

fn matched(matcher: &Matcher, spans: &[Span], facts: &TraceFacts, rules: usize) -> Vec<bool> {
    let bits = bits(matcher, spans, &in_scope);
    (0..rules).map(|rule| matcher.matched(rule, &bits, facts)).collect()
}

#[test]
fn all_rules_together_match_as_each_does_alone() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let Case { rules, matcher } = case(&mut dice);
        for _ in 0..TRACES {
            let spans = trace(&mut dice);
            let facts = facts(&spans);
            let matched = matched(&matcher, &spans, &facts, rules.len());
            for (number, (rule, matched)) in rules.iter().zip(matched).enumerate() {
                let seen: Vec<&Span> = spans.iter().filter(|span| in_scope(number, span)).collect();
                let expected = reference::matched(rule, &seen, facts);
                assert_eq!(matched, expected, "seed {seed}: {:#?} of {seen:#?}", rule.0);
            }
        }
    }
}

#[test]
fn the_order_of_rules_and_spans_changes_nothing() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let Case { rules, matcher } = case(&mut dice);
        let everywhere = |_: usize, _: &Span| true;
        let backwards = Matcher::new(rules.iter().rev().map(|(rule, _)| rule)).unwrap();
        for _ in 0..TRACES {
            let mut spans = trace(&mut dice);
            let facts = facts(&spans);
            let before = bits(&matcher, &spans, &everywhere);
            spans.reverse();
            assert_eq!(before, bits(&matcher, &spans, &everywhere), "seed {seed}");
            let after = bits(&backwards, &spans, &everywhere);
            for rule in 0..rules.len() {
                let matched = backwards.matched(rules.len() - 1 - rule, &after, &facts);
                assert_eq!(matcher.matched(rule, &before, &facts), matched, "seed {seed}");
            }
        }
    }
}

#[test]
fn what_matched_for_good_matches_whatever_follows() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let Case { rules, matcher } = case(&mut dice);
        for _ in 0..TRACES {
            let spans = trace(&mut dice);
            let so_far = dice.below(spans.len()) + 1;
            let early = bits(&matcher, &spans[..so_far], &in_scope);
            let early_facts = facts(&spans[..so_far]);
            let late = matched(&matcher, &spans, &facts(&spans), rules.len());
            for (rule, matched) in late.into_iter().enumerate() {
                let for_good = matcher.matched_for_good(rule, &early, &early_facts);
                assert!(matched || !for_good, "seed {seed}, rule {rule}");
            }
        }
    }
}
