//! The distinct checks of all rules, and which of them tells most of a predicate.

use super::Tracked;
use super::check::Check;
use super::condition::{Condition, Stage, Subject, Test, Value};
use super::index::{self, Index};
use super::normal::Literal;
use super::program::{Predicate, Step, Triggers};
use super::source::{Attribute, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Attributes, or trackers; an attribute has up to five names, of which 65535 can be looked for.
const DISTINCT_MAX: u16 = 8192;

/// Distinct checks as they are met.
pub(super) struct Table {
    numbers: BTreeMap<Condition, u32>,
    conditions: Vec<Condition>,
    pub(super) checks: Vec<Check>,
    pub(super) sources: Vec<Source>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) tracked: Vec<Tracked>,
}

/// A predicate before it has its place: its trigger, its literals, the rules that have it.
pub(super) struct Draft<'c> {
    pub(super) trigger: Option<u32>,
    pub(super) literals: &'c BTreeSet<Literal>,
    pub(super) rules: &'c BTreeSet<usize>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            numbers: BTreeMap::new(),
            conditions: Vec::new(),
            checks: Vec::new(),
            sources: Vec::new(),
            attributes: vec![Attribute::service_name()],
            tracked: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, condition: &Condition) -> Result<(), String> {
        if self.numbers.contains_key(condition) {
            return Ok(());
        }
        self.checks.push(Check::new(&condition.test)?);
        let source = self.source(&condition.subject);
        self.sources.push(source?);
        self.numbers.insert(condition.clone(), self.conditions.len() as u32);
        self.conditions.push(condition.clone());
        Ok(())
    }

    fn source(&mut self, subject: &Subject) -> Result<Source, String> {
        let attribute = |names: &Vec<String>, of_span, of_resource| Attribute {
            names: names.clone(),
            of_span,
            of_resource,
        };
        let number = match subject {
            Subject::ResourceAttribute(names) => {
                intern(&mut self.attributes, attribute(names, false, true))
            }
            Subject::SpanAttribute(names) => {
                intern(&mut self.attributes, attribute(names, true, false))
            }
            Subject::Attribute(names) => intern(&mut self.attributes, attribute(names, true, true)),
            Subject::Tracked(tracked) => {
                return intern(&mut self.tracked, tracked.clone()).map(Source::Tracked);
            }
            Subject::Service => return Ok(Source::Service),
            Subject::Status => return Ok(Source::Status),
            Subject::Kind => return Ok(Source::Kind),
            Subject::Duration => return Ok(Source::Duration),
            Subject::IsRoot => return Ok(Source::IsRoot),
            Subject::Name
            | Subject::RootName
            | Subject::RootService
            | Subject::TraceDuration
            | Subject::TraceSpans => return Ok(Source::Name),
        };
        number.map(Source::Attribute)
    }

    pub(super) fn trigger(&self, literals: &BTreeSet<Literal>) -> Option<u32> {
        let telling = literals
            .iter()
            .filter(|literal| !literal.negated && is_of_span(literal))
            .min_by_key(|literal| commonness(&literal.condition))?;
        self.numbers.get(&telling.condition).copied()
    }

    pub(super) fn predicate(&self, draft: &Draft<'_>, bits_end: usize) -> Predicate {
        let (mut of_resource, mut of_span) = (Vec::new(), Vec::new());
        let mut literals: Vec<&Literal> = draft.literals.iter().collect();
        literals.sort_by_key(|literal| cost(&literal.condition));
        for literal in literals {
            let step = Step { check: self.numbers[&literal.condition], negated: literal.negated };
            if !is_of_span(literal) {
                of_resource.push(step);
            } else if draft.trigger != Some(step.check) || index::may_fail(&literal.condition.test)
            {
                of_span.push(step);
            }
        }
        let bits = bits_end - draft.rules.len()..bits_end;
        Predicate { of_resource, of_span, bits }
    }

    pub(super) fn triggers(&self, drafts: &[Draft<'_>]) -> Triggers {
        let mut predicates = vec![0..0; self.checks.len()];
        let mut used = BTreeSet::new();
        for (place, draft) in drafts.iter().enumerate() {
            let Some(check) = draft.trigger else { continue };
            let triggered: &mut Range<usize> = &mut predicates[check as usize];
            if used.insert(check) {
                triggered.start = place;
            }
            triggered.end = place + 1;
        }
        let index = |source: Source| {
            let of_source =
                used.iter().filter(move |check| self.sources[**check as usize] == source);
            let tests = of_source.map(|check| (*check, &self.conditions[*check as usize].test));
            Some(Index::new(tests)).filter(|index| !index.is_empty())
        };
        let of_attributes = (0..)
            .take(self.attributes.len())
            .map(|number| index(Source::Attribute(number)))
            .collect();
        let field = |source| index(source).map(|index| (source, index));
        let of_fields = Source::FIELDS.into_iter().filter_map(field).collect();
        let tracker = |check: &u32| match self.sources[*check as usize] {
            Source::Tracked(number) => Some((*check, number)),
            _ => None,
        };
        let of_trackers = used.iter().filter_map(tracker).collect();
        let triggering = drafts.iter().filter(|draft| draft.trigger.is_some()).count();
        let untriggered = triggering..drafts.len();
        Triggers { of_attributes, of_fields, of_trackers, predicates, untriggered }
    }
}

/// The number of `item` among `known`.
fn intern<T: PartialEq>(known: &mut Vec<T>, item: T) -> Result<u16, String> {
    let number = known.iter().position(|one| *one == item).unwrap_or_else(|| {
        known.push(item);
        known.len() - 1
    });
    u16::try_from(number).ok().filter(|number| *number < DISTINCT_MAX).ok_or_else(|| {
        format!("all rules together ask for more than {DISTINCT_MAX} attributes or trackers")
    })
}

fn is_of_span(literal: &Literal) -> bool {
    literal.condition.subject.stage() == Stage::Span
}

/// How many spans satisfy a condition, as far as one can tell without seeing any.
fn commonness(condition: &Condition) -> u8 {
    match (&condition.subject, &condition.test) {
        (Subject::Tracked(_), _) => 9,
        (Subject::Status, test) if *test == Test::is(Value::Int(0)) => 8,
        (_, Test::IsPresent | Test::IsText | Test::IsNumber | Test::IsBool) => 7,
        (Subject::Kind, _) => 6,
        (Subject::IsRoot, _) => 5,
        (_, Test::Ordered(..)) => 4,
        (_, Test::Glob(_) | Test::Regex(_) | Test::RegexOfAny(_)) => 3,
        (Subject::Status, _) => 2,
        (_, Test::Code(_)) => 1,
        (_, Test::OneOf(_)) => 0,
    }
}

/// What a check costs: the dear ones come last.
fn cost(condition: &Condition) -> u8 {
    match (&condition.subject, &condition.test) {
        (Subject::Tracked(_), _) => 3,
        (_, Test::Regex(_) | Test::RegexOfAny(_)) => 2,
        (_, Test::Glob(_)) => 1,
        _ => 0,
    }
}
