//! One span against all predicates that its resource leaves open.

use super::bits;
use super::memo::Memo;
use super::program::{Program, Step};
use super::resource::ResourceMatch;
use super::scalar;
use super::source::Source;
use sluice_wire::spans::{Scalar, SpanView};

/// What a thread keeps from span to span.
#[derive(Debug)]
pub struct Scratch {
    /// By attribute: the best name found in this span, and where.
    slots: Vec<Option<Slot>>,
    /// The attributes that were found.
    filled: Vec<u16>,
    /// By tracker: what it said of this span.
    answers: Vec<Option<bool>>,
    /// Triggering checks that hold for this span.
    holding: Vec<u32>,
    of_attributes: Vec<Memo>,
    of_fields: Vec<Memo>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    place: u8,
    found: u32,
}

/// A span as it is looked at.
struct Looked<'s, 'b> {
    program: &'s Program,
    resource: &'s ResourceMatch,
    span: &'s SpanView<'b>,
    slots: &'s [Option<Slot>],
    answers: &'s mut [Option<bool>],
    is_tracked: &'s mut dyn FnMut(usize) -> bool,
}

impl Scratch {
    pub(super) fn new(program: &Program) -> Self {
        let memos = |count| std::iter::repeat_with(Memo::default).take(count).collect();
        let attributes = program.attributes.all.len();
        Self {
            slots: vec![None; attributes],
            filled: Vec::new(),
            answers: vec![None; program.tracked.len()],
            holding: Vec::new(),
            of_attributes: memos(attributes),
            of_fields: memos(program.triggers.of_fields.len()),
        }
    }
}

pub(super) fn set_bits(
    program: &Program,
    resource: &ResourceMatch,
    span: &SpanView<'_>,
    scratch: &mut Scratch,
    is_tracked: &mut dyn FnMut(usize) -> bool,
    bits: &mut [u64],
) {
    for (word, always) in bits.iter_mut().zip(&resource.always) {
        *word |= always;
    }
    if !resource.is_any_open {
        return;
    }
    scratch.fill(program, resource, span);
    scratch.find_triggers(program, resource, span);
    let Scratch { slots, answers, holding, .. } = scratch;
    let mut looked = Looked { program, resource, span, slots, answers, is_tracked };
    for check in &*holding {
        let triggered = program.triggers.predicates[*check as usize].clone();
        bits::each(&resource.open, triggered, |place| looked.settle(place, bits));
    }
    let untriggered = program.triggers.untriggered.clone();
    bits::each(&resource.open, untriggered, |place| looked.settle(place, bits));
    looked.ask_trackers(bits);
    scratch.clear();
}

impl Scratch {
    /// The best name of each attribute that the span has.
    fn fill(&mut self, program: &Program, resource: &ResourceMatch, span: &SpanView<'_>) {
        for (found, (probe, _)) in (0..).zip(&span.attributes) {
            for (attribute, place) in program.attributes.of_span.attributes(*probe) {
                if !resource.is_proven(*attribute) {
                    self.put(*attribute, Slot { place: *place, found });
                }
            }
        }
    }

    /// The first of what has the same name.
    fn put(&mut self, attribute: u16, slot: Slot) {
        match &mut self.slots[usize::from(attribute)] {
            Some(known) if known.place <= slot.place => {}
            Some(known) => *known = slot,
            free => {
                *free = Some(slot);
                self.filled.push(attribute);
            }
        }
    }

    fn clear(&mut self) {
        self.filled.drain(..).for_each(|attribute| self.slots[usize::from(attribute)] = None);
        self.answers.fill(None);
        self.holding.clear();
    }

    fn find_triggers(&mut self, program: &Program, resource: &ResourceMatch, span: &SpanView<'_>) {
        let checks = &program.checks;
        for attribute in &self.filled {
            let attribute = usize::from(*attribute);
            let index = &program.triggers.of_attributes[attribute];
            if let (Some(index), Some(slot)) = (index, self.slots[attribute]) {
                let (_, value) = span.attributes[slot.found as usize];
                index.find(checks, value, &mut self.of_attributes[attribute], &mut self.holding);
            }
        }
        for (attribute, checks) in &resource.inherited {
            if self.slots[usize::from(*attribute)].is_none() {
                self.holding.extend_from_slice(checks);
            }
        }
        for ((source, index), memo) in program.triggers.of_fields.iter().zip(&mut self.of_fields) {
            if let Some(value) = field(*source, span) {
                index.find(checks, value, memo, &mut self.holding);
            }
        }
    }
}

/// What every span has.
fn field<'b>(source: Source, span: &SpanView<'b>) -> Option<Scalar<'b>> {
    match source {
        Source::Name => Some(Scalar::Text(span.name)),
        Source::Status => Some(scalar::count(span.status)),
        Source::Kind => Some(scalar::count(span.kind)),
        Source::Duration => Some(scalar::count(span.duration_ns())),
        Source::IsRoot => Some(Scalar::Bool(span.is_root())),
        Source::Attribute(_) | Source::Service | Source::Tracked(_) => None,
    }
}

impl Looked<'_, '_> {
    /// Sets the bits of a predicate whose trigger holds, if the rest does.
    fn settle(&mut self, place: usize, bits: &mut [u64]) {
        let predicate = &self.program.predicates[place];
        let own = predicate.bits.clone();
        if bits::all(bits, own.clone(), &self.resource.scope) {
            return;
        }
        if predicate.of_span.iter().all(|step| self.holds(*step)) {
            bits::set(bits, own, &self.resource.scope);
        }
    }

    fn ask_trackers(&mut self, bits: &mut [u64]) {
        for (check, tracker) in &self.program.triggers.of_trackers {
            let triggered = self.program.triggers.predicates[*check as usize].clone();
            bits::each(&self.resource.open, triggered, |place| {
                let own = self.program.predicates[place].bits.clone();
                if !bits::all(bits, own, &self.resource.scope) && self.ask(*tracker) {
                    self.settle(place, bits);
                }
            });
        }
    }

    fn holds(&mut self, step: Step) -> bool {
        let check = step.check as usize;
        let value = match self.program.sources[check] {
            Source::Attribute(attribute) => self.attribute(attribute),
            Source::Tracked(tracker) => Some(Scalar::Bool(self.ask(tracker))),
            source => field(source, self.span),
        };
        value.is_some_and(|value| self.program.checks[check].holds(value)) != step.negated
    }

    fn attribute(&self, attribute: u16) -> Option<Scalar<'_>> {
        match self.slots[usize::from(attribute)] {
            Some(slot) => Some(self.span.attributes[slot.found as usize].1),
            None => self.resource.value(attribute),
        }
    }

    fn ask(&mut self, tracker: u16) -> bool {
        let tracker = usize::from(tracker);
        let is_tracked = &mut self.is_tracked;
        *self.answers[tracker].get_or_insert_with(|| self.span.is_entry() && is_tracked(tracker))
    }
}
