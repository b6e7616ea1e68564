//! An expression as alternatives, each of which is a list of conditions that hold together.

use super::condition::{Condition, Expression};
use std::collections::BTreeSet;

/// Of one rule. More is a filter that nobody can read any more.
pub(super) const ALTERNATIVES_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Literal {
    pub(super) condition: Condition,
    pub(super) negated: bool,
}

pub(super) type Alternative = BTreeSet<Literal>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyAlternatives;

pub(super) fn alternatives(
    expression: &Expression,
) -> Result<BTreeSet<Alternative>, TooManyAlternatives> {
    expand(expression, false)
}

fn expand(
    expression: &Expression,
    negated: bool,
) -> Result<BTreeSet<Alternative>, TooManyAlternatives> {
    let parts = match expression {
        Expression::Not(inner) => return expand(inner, !negated),
        Expression::Holds(condition) => {
            let literal = Literal { condition: condition.clone(), negated };
            return Ok(BTreeSet::from([BTreeSet::from([literal])]));
        }
        Expression::All(parts) | Expression::Any(parts) => parts,
    };
    let joins = matches!(expression, Expression::All(_)) != negated;
    let mut result = if joins { BTreeSet::from([BTreeSet::new()]) } else { BTreeSet::new() };
    for part in parts {
        let part = expand(part, negated)?;
        if joins {
            let products =
                result.iter().flat_map(|left| part.iter().filter_map(|right| joined(left, right)));
            result = products.collect();
        } else {
            result.extend(part);
        }
        if result.len() > ALTERNATIVES_MAX {
            return Err(TooManyAlternatives);
        }
    }
    Ok(result)
}

/// `None`: they contradict each other.
fn joined(left: &Alternative, right: &Alternative) -> Option<Alternative> {
    let refuted = |literal: &Literal| {
        let opposite = Literal { condition: literal.condition.clone(), negated: !literal.negated };
        left.contains(&opposite)
    };
    let contradict = right.iter().any(refuted);
    (!contradict).then(|| left.union(right).cloned().collect())
}
