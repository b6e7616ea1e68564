//! What a criterion keeps, computed plainly from whole traces: by the Collector's rules, and by ours
//! where they are meant to differ (docs/decisions).

use super::cases::{Criterion, Texts};
use super::kept::Kept;
use crate::contest::trace::{Piece, Trace};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};

/// How spans are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// A span's own attribute hides its resource's; else each counts by itself.
    pub(super) span_first: bool,
    /// A number counts by its worth; else as none unless its type is integer.
    pub(super) any_number: bool,
    /// A span that ends before it starts, or is a day or more off, says nothing about its trace's
    /// duration; else its times count as they are.
    pub(super) sane_times: bool,
}

pub(super) const COLLECTOR: Reading =
    Reading { span_first: false, any_number: false, sane_times: false };
pub(super) const SLUICE: Reading = Reading { span_first: true, any_number: true, sane_times: true };

pub(super) fn kept(criterion: &Criterion, reading: Reading, traces: &[Trace]) -> Kept {
    let mut kept = Kept::default();
    for trace in traces {
        let threshold = match criterion {
            Criterion::Share(share) => share.keeps(trace),
            // All of them, so none that its spans would have to tell.
            criterion => holds(criterion, reading, trace).then(String::new),
        };
        if let Some(threshold) = threshold {
            kept.put(trace, threshold);
        }
    }
    kept
}

/// Why the Collector keeps or drops the trace and Sluice does not; `None`: they do the same.
pub(super) fn reason(criterion: &Criterion, trace: &Trace) -> Option<&'static str> {
    let verdict = |reading| holds(criterion, reading, trace);
    if verdict(COLLECTOR) == verdict(SLUICE) {
        return None;
    }
    let reasons = [
        (Reading { span_first: true, ..COLLECTOR }, "a span's attribute hides its resource's"),
        (Reading { any_number: true, ..COLLECTOR }, "a number need not be of type integer"),
        (Reading { sane_times: true, ..COLLECTOR }, "a span's times cannot be"),
    ];
    let alone = reasons.into_iter().find(|(reading, _)| verdict(*reading) == verdict(SLUICE));
    Some(alone.map_or("several reasons together", |(_, reason)| reason))
}

fn holds(criterion: &Criterion, reading: Reading, trace: &Trace) -> bool {
    match criterion {
        Criterion::Always => true,
        Criterion::Error => trace.has_error(),
        Criterion::DurationMin { ms } => i128::from(*ms) * 1_000_000 <= duration_ns(trace, reading),
        Criterion::SpanCountMin(least) => *least as usize <= trace.spans.len(),
        Criterion::Number { key, min, max } => {
            let max = max.map_or(f64::MAX, f64::from);
            let is_in = |value: &Value| match value {
                Value::IntValue(number) => (f64::from(*min)..=max).contains(&(*number as f64)),
                Value::DoubleValue(number) if reading.any_number => {
                    (f64::from(*min)..=max).contains(number)
                }
                _ => false,
            };
            values(trace, key, reading).any(is_in)
        }
        Criterion::Text { key, texts } => values(trace, key, reading).any(|text| texts.have(text)),
        Criterion::NoText { key, texts } => {
            !values(trace, key, reading).any(|text| texts.have(text))
        }
        Criterion::Any(criteria) => criteria.iter().any(|one| holds(one, reading, trace)),
        Criterion::All(criteria) => criteria.iter().all(|one| holds(one, reading, trace)),
        Criterion::Share(share) => share.keeps(trace).is_some(),
    }
}

/// Spans that are off here are off by decades.
fn duration_ns(trace: &Trace, reading: Reading) -> i128 {
    if !reading.sane_times {
        return trace.duration_ns();
    }
    let mut sane = trace.clone();
    sane.spans.retain(|Piece { span, .. }| {
        span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano != 0
    });
    sane.duration_ns()
}

fn values<'a>(trace: &'a Trace, key: &'a str, reading: Reading) -> impl Iterator<Item = &'a Value> {
    trace.spans.iter().flat_map(move |piece: &Piece| {
        let own = value(&piece.span.attributes, key);
        let hidden = reading.span_first && own.is_some();
        let shared = value(&piece.sender.resource.attributes, key).filter(|_| !hidden);
        own.into_iter().chain(shared)
    })
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    attribute.value.as_ref()?.value.as_ref()
}

impl Texts {
    fn have(&self, value: &Value) -> bool {
        let Value::StringValue(text) = value else { return false };
        match self {
            Self::In(texts) => texts.contains(&text.as_str()),
            Self::StartsWith(start) => text.starts_with(start),
            Self::Contains(part) => text.contains(part),
        }
    }
}
