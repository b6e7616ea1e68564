//! What a resource decides about its spans, once for all of them.

use super::bits;
use super::memo::Memo;
use super::program::{Program, Step};
use super::scalar::Owned;
use super::source::{SERVICE_NAME_NUMBER, Source};
use sluice_wire::spans::{Found, Scalar};

/// Of one sender and resource.
#[derive(Clone, Debug)]
pub struct ResourceMatch {
    service: Box<str>,
    /// Attributes that spans inherit, in the order of their numbers.
    values: Box<[(u16, Owned)]>,
    /// Those of them that win over what a span says.
    proven: Box<[u16]>,
    /// Of those of them that trigger something, the checks that hold.
    pub(super) inherited: Box<[(u16, Box<[u32]>)]>,
    /// By bit: whether its rule may look at these spans.
    pub(super) scope: Box<[u64]>,
    /// Bits that every span sets.
    pub(super) always: Box<[u64]>,
    /// By predicate: whether it can still hold, and is not one that always does.
    pub(super) open: Box<[u64]>,
    pub(super) is_any_open: bool,
}

/// What is known of a resource, by attribute.
struct Known {
    values: Vec<Option<Owned>>,
    proven: Box<[u16]>,
    service: Box<str>,
}

impl ResourceMatch {
    pub(super) fn new(
        program: &Program,
        found: &[Found<'_>],
        proven: &dyn Fn(&str) -> Option<String>,
        in_scope: &dyn Fn(usize) -> bool,
    ) -> Self {
        let known = Known::new(program, found, proven);
        let scope = scope(program, in_scope);
        let mut this = Self {
            service: known.service.clone(),
            values: Box::default(),
            proven: known.proven.clone(),
            inherited: inherited(program, &known),
            always: vec![0; scope.len()].into(),
            scope,
            open: vec![0; program.predicates.len().div_ceil(64)].into(),
            is_any_open: false,
        };
        this.decide(program, &known);
        let attributes = (0..).zip(&program.attributes.all).zip(known.values);
        let values = attributes.filter(|((_, attribute), _)| attribute.of_span);
        this.values = values.filter_map(|((number, _), value)| Some((number, value?))).collect();
        this
    }

    /// `service.name`, or nothing.
    pub fn service(&self) -> &str {
        &self.service
    }

    fn decide(&mut self, program: &Program, known: &Known) {
        // Rules share checks of the resource.
        let mut checked: Vec<Option<bool>> = vec![None; program.checks.len()];
        for (place, predicate) in program.predicates.iter().enumerate() {
            if !bits::any(&self.scope, predicate.bits.clone()) {
                continue;
            }
            let holds = |step: &Step| {
                let check = step.check as usize;
                let holds = *checked[check].get_or_insert_with(|| known.holds(program, check));
                holds != step.negated
            };
            if !predicate.of_resource.iter().all(holds) {
                continue;
            }
            let is_triggered = place < program.triggers.untriggered.start;
            if predicate.of_span.is_empty() && !is_triggered {
                bits::set(&mut self.always, predicate.bits.clone(), &self.scope);
            } else {
                self.open[place / 64] |= 1 << (place % 64);
                self.is_any_open = true;
            }
        }
    }

    pub(super) fn value(&self, attribute: u16) -> Option<Scalar<'_>> {
        let known = self.values.binary_search_by_key(&attribute, |(number, _)| *number).ok();
        known.map(|at| self.values[at].1.scalar())
    }

    pub(super) fn is_proven(&self, attribute: u16) -> bool {
        self.proven.contains(&attribute)
    }
}

impl Known {
    fn new(
        program: &Program,
        found: &[Found<'_>],
        proven: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let attributes = &program.attributes.all;
        let mut values: Vec<Option<(u8, Scalar<'_>)>> = vec![None; attributes.len()];
        for (probe, value) in found {
            for (attribute, place) in program.attributes.of_resource.attributes(*probe) {
                let best = &mut values[usize::from(*attribute)];
                if best.is_none_or(|(known, _)| *place < known) {
                    *best = Some((*place, *value));
                }
            }
        }
        let own = |value: Option<(u8, Scalar<'_>)>| value.map(|(_, value)| Owned::new(value));
        let mut values: Vec<Option<Owned>> = values.into_iter().map(own).collect();
        let mut proven_ones = Vec::new();
        let of_resource = (0..).zip(attributes).filter(|(_, attribute)| attribute.of_resource);
        for (number, attribute) in of_resource {
            if let Some(text) = attribute.names.iter().find_map(|name| proven(name)) {
                values[usize::from(number)] = Some(Owned::Text(text.into_bytes().into()));
                proven_ones.push(number);
            }
        }
        let service = match &values[usize::from(SERVICE_NAME_NUMBER)] {
            Some(Owned::Text(text)) => String::from_utf8_lossy(text).into(),
            _ => "".into(),
        };
        Self { values, proven: proven_ones.into(), service }
    }

    fn holds(&self, program: &Program, check: usize) -> bool {
        let value = match program.sources[check] {
            Source::Attribute(number) => self.values[usize::from(number)].as_ref(),
            Source::Service => {
                return program.checks[check].holds(Scalar::Text(self.service.as_bytes()));
            }
            // Of spans.
            _ => None,
        };
        value.is_some_and(|value| program.checks[check].holds(value.scalar()))
    }
}

fn scope(program: &Program, in_scope: &dyn Fn(usize) -> bool) -> Box<[u64]> {
    let rules: Vec<bool> = (0..program.outcomes.len()).map(in_scope).collect();
    let mut scope = vec![0; program.bit_rules.len().div_ceil(64)];
    for (bit, rule) in program.bit_rules.iter().enumerate() {
        scope[bit / 64] |= u64::from(rules[*rule]) << (bit % 64);
    }
    scope.into()
}

fn inherited(program: &Program, known: &Known) -> Box<[(u16, Box<[u32]>)]> {
    let attributes = (0..).zip(&program.attributes.all).zip(&known.values);
    let indexed = attributes.zip(&program.triggers.of_attributes);
    let inherited = indexed.filter_map(|(((number, attribute), value), index)| {
        let (value, index) = value.as_ref().zip(index.as_ref()).filter(|_| attribute.of_span)?;
        let mut holding = Vec::new();
        index.find(&program.checks, value.scalar(), &mut Memo::forgetful(), &mut holding);
        (!holding.is_empty()).then(|| (number, holding.into()))
    });
    inherited.collect()
}
