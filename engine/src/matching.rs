//! Rules of sampling policies, compiled into one predicate over spans: each span is looked at once,
//! however many rules there are, and leaves bits; a trace's bits say which rules it matched.
//!
//! What a tracker has seen, scopes and probabilities are of others.

mod aliases;
mod bits;
mod check;
mod clause;
mod condition;
mod index;
mod memo;
mod normal;
mod outcome;
mod pattern;
mod prefix;
mod program;
mod resource;
mod scalar;
mod source;
mod span;
mod structured;
mod table;
mod trace_ql;

pub use resource::ResourceMatch;
pub use span::Scratch;

use crate::config::sampling::{Match, RareOperation, SlowerThan};
use program::Program;
use sluice_wire::spans::{Found, Probes, SpanView};
use std::fmt;

/// All rules of all policies, compiled together. Rule numbers are places in the input.
#[derive(Debug)]
pub struct Matcher {
    program: Program,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub rule: usize,
    /// Says where in the rule, and what was expected there.
    pub problem: String,
}

/// Facts of a whole trace, known at the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceFacts {
    pub duration_ns: u64,
    pub spans: u32,
}

/// What entry spans of a service's operation went through: asked by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tracked {
    SlowerThan(SlowerThan),
    Rare(RareOperation),
}

impl Matcher {
    /// # Errors
    /// Names the first rule that says something that cannot be.
    pub fn new<'m>(rules: impl IntoIterator<Item = &'m Match>) -> Result<Self, RuleError> {
        let mut clauses = Vec::new();
        for (rule, matches) in rules.into_iter().enumerate() {
            let read = structured::read(matches).and_then(|all| clause::clauses(&all));
            clauses.push(read.map_err(|problem| RuleError { rule, problem })?);
        }
        let program = Program::new(&clauses).map_err(|(rule, problem)| RuleError { rule, problem });
        Ok(Self { program: program? })
    }

    /// Attributes to look for in resources; `service.name` is one of them.
    pub fn resource_probes(&self) -> &Probes {
        &self.program.attributes.of_resource.probes
    }

    /// Attributes to look for in spans.
    pub fn span_probes(&self) -> &Probes {
        &self.program.attributes.of_span.probes
    }

    /// Distinct trackers that rules ask; their numbers are places here.
    pub fn tracked(&self) -> &[Tracked] {
        &self.program.tracked
    }

    /// u64 words that the bit set of one trace takes.
    pub fn words(&self) -> usize {
        self.program.bit_rules.len().div_ceil(64)
    }

    /// What a thread keeps between spans; of this matcher and no other.
    pub fn scratch(&self) -> Scratch {
        Scratch::new(&self.program)
    }

    /// What the resource decides: once per sender and resource. `proven` gives attributes that the
    /// collector itself stamps and that win over what the sender wrote; `in_scope` says which rules
    /// may look at these spans at all.
    pub fn resource(
        &self,
        found: &[Found<'_>],
        proven: &dyn Fn(&str) -> Option<String>,
        in_scope: &dyn Fn(usize) -> bool,
    ) -> ResourceMatch {
        ResourceMatch::new(&self.program, found, proven, in_scope)
    }

    /// Sets the bits of all that this span satisfies: once per span. `is_tracked(n)`: whether
    /// tracker n says yes of this span; asked only of entry spans, at most once per tracker and span,
    /// and not where the answer changes nothing.
    pub fn span(
        &self,
        resource: &ResourceMatch,
        span: &SpanView<'_>,
        scratch: &mut Scratch,
        is_tracked: &mut dyn FnMut(usize) -> bool,
        bits: &mut [u64],
    ) {
        span::set_bits(&self.program, resource, span, scratch, is_tracked, bits);
    }

    /// Whether a rule matched a trace with these bits.
    pub fn matched(&self, rule: usize, bits: &[u64], facts: &TraceFacts) -> bool {
        self.program.outcomes[rule].iter().any(|outcome| outcome.holds(bits, facts))
    }

    /// Whether `matched` holds, and will whatever spans follow: facts only grow.
    pub fn matched_for_good(&self, rule: usize, bits: &[u64], facts: &TraceFacts) -> bool {
        let mut outcomes = self.program.outcomes[rule].iter();
        outcomes.any(|outcome| outcome.lasts() && outcome.holds(bits, facts))
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rule {}: {}", self.rule, self.problem)
    }
}

impl std::error::Error for RuleError {}
