//! From a value to the checks of it that hold, without trying each.

use super::check::Check;
use super::condition::{Order, Test, Value};
use super::memo::{Memo, QuickHash};
use super::pattern;
use super::prefix::Prefixes;
use regex::bytes::RegexSet;
use sluice_wire::spans::Scalar;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// The checks of one source's value that trigger predicates, by how they are found.
#[derive(Debug, Default)]
pub(super) struct Index {
    texts: HashMap<Box<[u8]>, Vec<u32>, BuildHasherDefault<QuickHash>>,
    bools: [Vec<u32>; 2],
    /// Equal to a number; sorted by it.
    equal: Vec<(f64, u32)>,
    /// From a number on; sorted by it, upwards.
    lows: Vec<(f64, u32)>,
    /// Up to a number; sorted by it, downwards.
    highs: Vec<(f64, u32)>,
    /// Patterns over texts with a known beginning: found by that alone.
    begun: Prefixes,
    /// Other globs over texts.
    globs: Vec<u32>,
    /// Other regular expressions over texts.
    regexes: Vec<u32>,
    /// All of those in one, if that can be.
    regex_set: Option<RegexSet>,
    /// Patterns over what is no text.
    of_any: Vec<u32>,
    /// The rest: tried one by one.
    others: Vec<u32>,
}

impl Index {
    /// `atoms`: numbers of checks, with the test that each was made from.
    pub(super) fn new<'t>(atoms: impl Iterator<Item = (u32, &'t Test)>) -> Self {
        let mut index = Self::default();
        let (mut begun, mut regexes) = (Vec::new(), Vec::new());
        for (atom, test) in atoms {
            if let Test::RegexOfAny(_) = test {
                index.of_any.push(atom);
            }
            match (test, beginnings(test)) {
                (_, Some(texts)) => begun.extend(texts.into_iter().map(|text| (text, atom))),
                (Test::OneOf(values), None) => {
                    values.iter().for_each(|value| index.add_equal(value, atom));
                }
                (Test::Ordered(order, value), None) => index.add_ordered(*order, value, atom),
                (Test::Glob(_), None) => index.globs.push(atom),
                (Test::Regex(text) | Test::RegexOfAny(text), None) => {
                    index.regexes.push(atom);
                    regexes.push(text.clone());
                }
                _ => index.others.push(atom),
            }
        }
        index.begun = Prefixes::new(begun);
        index.regex_set = pattern::set(&regexes).filter(|_| regexes.len() > 1);
        index.equal.sort_by(|(left, _), (right, _)| left.total_cmp(right));
        index.lows.sort_by(|(left, _), (right, _)| left.total_cmp(right));
        index.highs.sort_by(|(left, _), (right, _)| right.total_cmp(left));
        index
    }

    fn add_equal(&mut self, value: &Value, atom: u32) {
        match value {
            Value::Text(text) => self.texts.entry(text.as_bytes().into()).or_default().push(atom),
            Value::Bool(bit) => self.bools[usize::from(*bit)].push(atom),
            Value::Int(int) => self.equal.push((*int as f64, atom)),
            Value::Double(bits) => self.equal.push((bits.number(), atom)),
        }
    }

    fn add_ordered(&mut self, order: Order, value: &Value, atom: u32) {
        let number = match value {
            Value::Int(int) => *int as f64,
            Value::Double(bits) => bits.number(),
            Value::Text(_) | Value::Bool(_) => return self.others.push(atom),
        };
        match order {
            Order::Above | Order::AtLeast => self.lows.push((number, atom)),
            Order::Below | Order::AtMost => self.highs.push((number, atom)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
            && self.bools.iter().all(Vec::is_empty)
            && self.equal.is_empty()
            && self.lows.is_empty()
            && self.highs.is_empty()
            && self.begun.is_empty()
            && self.globs.is_empty()
            && self.regexes.is_empty()
            && self.of_any.is_empty()
            && self.others.is_empty()
    }

    /// Appends the checks that hold for this value to `holding`; those that [`may_fail`] too if
    /// the value only begins right.
    pub(super) fn find(
        &self,
        checks: &[Check],
        found: Scalar<'_>,
        memo: &mut Memo,
        holding: &mut Vec<u32>,
    ) {
        match found {
            Scalar::Text(text) => self.find_text(checks, text, memo, holding),
            Scalar::Bool(bit) => holding.extend_from_slice(&self.bools[usize::from(bit)]),
            Scalar::Int(int) => self.find_number(checks, found, int as f64, holding),
            Scalar::Double(double) => self.find_number(checks, found, double, holding),
            Scalar::Other => {}
        }
        if !matches!(found, Scalar::Text(_)) {
            self.of_any.iter().for_each(|atom| try_one(checks, *atom, found, holding));
        }
        self.others.iter().for_each(|atom| try_one(checks, *atom, found, holding));
    }

    fn find_text(&self, checks: &[Check], text: &[u8], memo: &mut Memo, holding: &mut Vec<u32>) {
        if let Some(atoms) = self.texts.get(text) {
            holding.extend_from_slice(atoms);
        }
        self.begun.find(text, |atom| holding.push(atom));
        if !self.globs.is_empty() || !self.regexes.is_empty() {
            memo.recall(text, holding, |holding| self.try_patterns(checks, text, holding));
        }
    }

    fn try_patterns(&self, checks: &[Check], text: &[u8], holding: &mut Vec<u32>) {
        self.globs.iter().for_each(|atom| try_one(checks, *atom, Scalar::Text(text), holding));
        match &self.regex_set {
            Some(set) => holding.extend(set.matches(text).iter().map(|at| self.regexes[at])),
            None => {
                let regexes = self.regexes.iter();
                regexes.for_each(|atom| try_one(checks, *atom, Scalar::Text(text), holding));
            }
        }
    }

    /// By rounded numbers first.
    fn find_number(
        &self,
        checks: &[Check],
        found: Scalar<'_>,
        number: f64,
        holding: &mut Vec<u32>,
    ) {
        let from = self.equal.partition_point(|(value, _)| *value < number);
        for (_, atom) in self.equal[from..].iter().take_while(|(value, _)| *value <= number) {
            try_one(checks, *atom, found, holding);
        }
        for (_, atom) in self.lows.iter().take_while(|(value, _)| *value <= number) {
            try_one(checks, *atom, found, holding);
        }
        for (_, atom) in self.highs.iter().take_while(|(value, _)| *value >= number) {
            try_one(checks, *atom, found, holding);
        }
    }
}

fn try_one(checks: &[Check], atom: u32, found: Scalar<'_>, holding: &mut Vec<u32>) {
    if checks[atom as usize].holds(found) {
        holding.push(atom);
    }
}

/// Whether a found check is still to be looked at.
pub(super) fn may_fail(test: &Test) -> bool {
    beginnings(test).is_some()
}

fn beginnings(pattern: &Test) -> Option<Vec<Vec<u8>>> {
    match pattern {
        Test::Glob(globs) => pattern::beginnings_of_globs(globs),
        Test::Regex(text) | Test::RegexOfAny(text) => pattern::beginnings_of_regex(text),
        _ => None,
    }
}
