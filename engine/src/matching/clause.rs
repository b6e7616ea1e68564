//! A rule as clauses: what one span must satisfy, what the root span must, what the whole trace must.

use super::condition::{Condition, Expression, Stage, Subject, Test, Value};
use super::normal::{self, ALTERNATIVES_MAX, Literal};
use super::source::SERVICE_NAME;
use std::collections::BTreeSet;

/// Holds for a trace when each of its parts does.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Clause {
    /// Of one span, all of them.
    pub(super) span: BTreeSet<Literal>,
    /// Of the root span; nothing is known of a root that never came.
    pub(super) root: BTreeSet<Literal>,
    pub(super) trace: BTreeSet<Literal>,
}

impl Clause {
    /// What a span must satisfy, and what the root must, if anything.
    pub(super) fn predicates(&self) -> impl Iterator<Item = &BTreeSet<Literal>> {
        let root = (!self.root.is_empty()).then_some(&self.root);
        std::iter::once(&self.span).chain(root)
    }
}

/// The clauses of which a trace must satisfy one.
///
/// # Errors
/// With more than can be looked at for each span.
pub(super) fn clauses(rule: &Expression) -> Result<BTreeSet<Clause>, String> {
    match normal::alternatives(rule) {
        Ok(alternatives) => Ok(alternatives.into_iter().map(clause).collect()),
        Err(normal::TooManyAlternatives) => Err(format!(
            "traceQL: multiplied out, its && and || make more than {ALTERNATIVES_MAX} alternatives"
        )),
    }
}

fn clause(alternative: BTreeSet<Literal>) -> Clause {
    let mut clause = Clause::default();
    for literal in alternative {
        let Literal { condition: Condition { subject, test }, negated } = literal;
        let (part, subject) = match subject {
            Subject::RootName => (&mut clause.root, Subject::Name),
            Subject::RootService => {
                (&mut clause.root, Subject::ResourceAttribute(vec![SERVICE_NAME.to_owned()]))
            }
            subject if subject.stage() == Stage::Trace => (&mut clause.trace, subject),
            subject => (&mut clause.span, subject),
        };
        part.insert(Literal { condition: Condition { subject, test }, negated });
    }
    if !clause.root.is_empty() {
        let is_root = Condition { subject: Subject::IsRoot, test: Test::is(Value::Bool(true)) };
        clause.root.insert(Literal { condition: is_root, negated: false });
    }
    clause
}
