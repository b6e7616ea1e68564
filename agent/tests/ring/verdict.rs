//! What arrived, held against what was sent: trace by trace, span by span.

use crate::load::{SPANS, Sent, is_error, span_of};
use crate::support::sampling::*;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;
use std::fmt;

const EXAMPLES_MAX: usize = 20;

/// What is wrong with a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// Some of its spans arrived, others did not.
    Torn,
    /// It should have been kept.
    Lost,
    /// It should not have been kept.
    Surplus,
    /// A span of it arrived more than once.
    Twice,
}

#[derive(Default)]
pub(crate) struct Verdict {
    traces: u64,
    errors: u64,
    whole: u64,
    errors_whole: u64,
    /// Open on the gateway that was killed, or perhaps so.
    touchable: u64,
    planned: BTreeMap<Fate, u64>,
    by_crash: BTreeMap<Fate, u64>,
    /// The first that are wrong but for the crash: when they were sent, and how many spans arrived.
    examples: Vec<String>,
}

impl Verdict {
    pub(crate) fn new(
        sent: &[Sent],
        arrived: Vec<Span>,
        touchable: impl Fn(u128, u64) -> bool,
    ) -> Self {
        let mut copies: BTreeMap<u128, BTreeMap<Vec<u8>, u64>> = BTreeMap::new();
        for span in arrived {
            let (trace, id) = key(&span);
            *copies.entry(trace).or_default().entry(id).or_default() += 1;
        }
        let mut verdict = Self::default();
        let nothing = BTreeMap::new();
        for Sent { number, last_ms } in sent {
            let id = trace_id(*number);
            let found = copies.get(&id).unwrap_or(&nothing);
            let wrong = verdict.planned.clone();
            verdict.judge(*number, found, touchable(id, *last_ms));
            if wrong != verdict.planned && verdict.examples.len() < EXAMPLES_MAX {
                let arrived = found.len();
                let example = format!("{number} (whole at {last_ms} ms): {arrived} spans arrived");
                verdict.examples.push(example);
            }
        }
        verdict
    }

    fn judge(&mut self, number: u64, found: &BTreeMap<Vec<u8>, u64>, is_touchable: bool) {
        let is_kept = is_error(number) || is_of_the_tenth(trace_id(number));
        let whole = (0..SPANS).all(|span| found.contains_key(&key(&span_of(number, span)).1));
        self.traces += 1;
        self.errors += u64::from(is_error(number));
        self.whole += u64::from(whole);
        self.errors_whole += u64::from(whole && is_error(number));
        self.touchable += u64::from(is_touchable);
        let fates = if is_touchable { &mut self.by_crash } else { &mut self.planned };
        let mut count = |fate, is: bool| {
            if is {
                *fates.entry(fate).or_default() += 1;
            }
        };
        count(Fate::Torn, !found.is_empty() && !whole);
        count(Fate::Lost, is_kept && found.is_empty());
        count(Fate::Surplus, !is_kept && !found.is_empty());
        count(Fate::Twice, found.values().any(|copies| 1 < *copies));
    }

    /// Traces that no crash can have touched, and that are wrong all the same.
    pub(crate) fn planned(&self, fate: Fate) -> u64 {
        self.planned.get(&fate).copied().unwrap_or_default()
    }

    /// Traces that the crash did touch.
    pub(crate) fn touched(&self) -> u64 {
        self.by_crash.values().sum()
    }

    pub(crate) fn torn_by_crash(&self) -> u64 {
        self.by_crash.get(&Fate::Torn).copied().unwrap_or_default()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traces, errors, whole, errors_whole, touchable, planned, by_crash, examples } =
            self;
        writeln!(out, "{traces} traces of {SPANS} spans sent, {whole} arrived whole")?;
        writeln!(out, "{errors_whole} of {errors} traces with an error arrived whole")?;
        writeln!(out, "wrong but for the crash: {planned:?} {examples:?}")?;
        write!(out, "{touchable} traces may have been open where it was, of them {by_crash:?}")
    }
}
