//! What a trace's bits and facts make of a rule.

use super::check::Check;
use super::clause::Clause;
use super::condition::{Order, Subject, Test};
use super::normal::Literal;
use super::{TraceFacts, scalar};
use std::collections::BTreeSet;

/// Holds for a trace with all of these bits and facts.
#[derive(Debug)]
pub(super) struct Outcome {
    bits: Vec<usize>,
    facts: Vec<Fact>,
}

#[derive(Debug)]
struct Fact {
    is_duration: bool,
    check: Check,
    negated: bool,
    /// Once it holds it holds for good, since facts grow.
    lasts: bool,
}

impl Outcome {
    /// `bit` gives the bit of a predicate.
    ///
    /// # Errors
    /// As of [`Check::new`].
    pub(super) fn new(
        clause: &Clause,
        bit: impl Fn(&BTreeSet<Literal>) -> usize,
    ) -> Result<Self, String> {
        let bits = clause.predicates().map(bit).collect();
        let facts = clause.trace.iter().map(fact).collect::<Result<_, _>>()?;
        Ok(Self { bits, facts })
    }

    pub(super) fn holds(&self, bits: &[u64], facts: &TraceFacts) -> bool {
        self.bits.iter().all(|bit| bits[bit / 64] >> (bit % 64) & 1 == 1)
            && self.facts.iter().all(|fact| fact.holds(facts))
    }

    pub(super) fn lasts(&self) -> bool {
        self.facts.iter().all(|fact| fact.lasts)
    }
}

fn fact(literal: &Literal) -> Result<Fact, String> {
    let test = &literal.condition.test;
    let lasts = match test {
        Test::Ordered(Order::Above | Order::AtLeast, _) => !literal.negated,
        Test::Ordered(Order::Below | Order::AtMost, _) => literal.negated,
        _ => false,
    };
    let is_duration = literal.condition.subject == Subject::TraceDuration;
    Ok(Fact { is_duration, check: Check::new(test)?, negated: literal.negated, lasts })
}

impl Fact {
    fn holds(&self, facts: &TraceFacts) -> bool {
        let count = if self.is_duration { facts.duration_ns } else { facts.spans.into() };
        self.check.holds(scalar::count(count)) != self.negated
    }
}
