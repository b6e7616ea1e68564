//! Rules compiled together: what they share is looked at once. A predicate is what one span must
//! satisfy; it is looked at only where the most telling of its checks, its trigger, holds.

use super::Tracked;
use super::check::Check;
use super::clause::Clause;
use super::index::Index;
use super::normal::Literal;
use super::outcome::Outcome;
use super::source::{Attributes, Source};
use super::table::{Draft, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Program {
    pub(super) attributes: Attributes,
    pub(super) tracked: Vec<Tracked>,
    /// By number, each of one source's value.
    pub(super) checks: Vec<Check>,
    /// By check.
    pub(super) sources: Vec<Source>,
    pub(super) triggers: Triggers,
    /// Sorted by trigger; those without one come last.
    pub(super) predicates: Vec<Predicate>,
    /// By bit: the rule that it is of.
    pub(super) bit_rules: Vec<usize>,
    /// By rule: a trace that one of them holds for matches.
    pub(super) outcomes: Vec<Vec<Outcome>>,
}

/// From a span's values to predicates that may hold.
#[derive(Debug)]
pub(super) struct Triggers {
    /// By attribute, if any.
    pub(super) of_attributes: Vec<Option<Index>>,
    /// Of what every span has.
    pub(super) of_fields: Vec<(Source, Index)>,
    /// Checks of trackers, with the trackers' numbers.
    pub(super) of_trackers: Vec<(u32, u16)>,
    /// By check: the predicates that it triggers.
    pub(super) predicates: Vec<Range<usize>>,
    /// Predicates of which all checks are of the resource, or negated.
    pub(super) untriggered: Range<usize>,
}

#[derive(Debug)]
pub(super) struct Predicate {
    pub(super) of_resource: Vec<Step>,
    /// But the trigger, if that holds where it is found.
    pub(super) of_span: Vec<Step>,
    /// One for each rule that has it.
    pub(super) bits: Range<usize>,
}

/// This check holds, or it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) check: u32,
    pub(super) negated: bool,
}

impl Program {
    /// # Errors
    /// Names the rule with a pattern that does not compile.
    pub(super) fn new(rules: &[BTreeSet<Clause>]) -> Result<Self, (usize, String)> {
        let mut table = Table::new();
        let mut users: BTreeMap<&BTreeSet<Literal>, BTreeSet<usize>> = BTreeMap::new();
        for (rule, clauses) in rules.iter().enumerate() {
            for literals in clauses.iter().flat_map(Clause::predicates) {
                for literal in literals {
                    table.add(&literal.condition).map_err(|problem| (rule, problem))?;
                }
                users.entry(literals).or_default().insert(rule);
            }
        }
        let mut drafts: Vec<Draft<'_>> = users
            .iter()
            .map(|(literals, rules)| Draft { trigger: table.trigger(literals), literals, rules })
            .collect();
        drafts.sort_by_key(|draft| draft.trigger.unwrap_or(u32::MAX));

        let mut bit_rules = Vec::new();
        let mut firsts = BTreeMap::new();
        let mut predicates = Vec::new();
        for draft in &drafts {
            firsts.insert(draft.literals, (bit_rules.len(), draft.rules));
            bit_rules.extend(draft.rules);
            predicates.push(table.predicate(draft, bit_rules.len()));
        }
        let bit = |literals: &BTreeSet<Literal>, rule: usize| {
            let (first, rules) = firsts[literals];
            first + rules.range(..rule).count()
        };
        let outcomes = rules.iter().enumerate().map(|(rule, clauses)| {
            let outcome = |clause| Outcome::new(clause, |literals| bit(literals, rule));
            let outcomes: Result<_, String> = clauses.iter().map(outcome).collect();
            outcomes.map_err(|problem| (rule, problem))
        });
        let outcomes = outcomes.collect::<Result<_, _>>()?;
        let triggers = table.triggers(&drafts);
        let Table { checks, sources, attributes, tracked, .. } = table;
        let attributes = Attributes::new(attributes);
        Ok(Self { attributes, tracked, checks, sources, triggers, predicates, bit_rules, outcomes })
    }
}
