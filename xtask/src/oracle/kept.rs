//! Which traces were kept, and how two such sets differ.

use crate::contest::corpus::Id;
use crate::contest::destination::Arrival;
use crate::contest::threshold::{ot_field, randomness_of};
use crate::contest::trace::{Trace, TraceId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// By trace id.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<TraceId, Whole>);

/// What there is of a kept trace.
#[derive(Default, PartialEq, Eq)]
struct Whole {
    spans: BTreeSet<Id>,
    /// The values of `th` on its spans; the empty one stands for none.
    thresholds: BTreeSet<String>,
}

impl Kept {
    /// A span that comes a second time counts once: a request may have to be sent again.
    pub(super) fn arrived(spans: Vec<Arrival>) -> Self {
        let mut kept = Self::default();
        for Arrival { id, trace_state } in spans {
            let trace = id.first_chunk().copied().unwrap_or_default();
            let whole = kept.0.entry(trace).or_default();
            whole.spans.insert(id);
            whole.thresholds.insert(ot_field(&trace_state, "th").unwrap_or_default().to_owned());
        }
        kept
    }

    pub(super) fn put(&mut self, trace: &Trace, threshold: String) {
        let ids = trace.spans.iter().map(|piece| crate::contest::corpus::id(&piece.span));
        let whole = Whole { spans: ids.collect(), thresholds: BTreeSet::from([threshold]) };
        self.0.insert(trace.id, whole);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Each trace that only one of the two has, or that they have differently, and how.
pub(super) fn compare(
    (name, reference): (&str, &Kept),
    (other_name, other): (&str, &Kept),
) -> Vec<(TraceId, String)> {
    let mut differences = Vec::new();
    for (trace, whole) in &reference.0 {
        match other.0.get(trace) {
            None => differences.push((*trace, format!("{name} keeps, {other_name} drops"))),
            Some(same) if same == whole => {}
            Some(otherwise) => differences.push((
                *trace,
                format!("{name} has {}, {other_name} {}", whole.shown(), otherwise.shown()),
            )),
        }
    }
    let more = other.0.keys().filter(|trace| !reference.0.contains_key(*trace));
    differences.extend(more.map(|trace| (*trace, format!("{name} drops, {other_name} keeps"))));
    differences
}

impl Whole {
    fn shown(&self) -> String {
        format!("{} spans with th {:?}", self.spans.len(), self.thresholds)
    }
}

/// What policies look at, in a line.
pub(super) fn facts(trace: &Trace) -> String {
    let id: String = trace.id.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut facts = format!(
        "{id} ({:014x}) {} spans, {} ns, error {}",
        randomness_of(&trace.id),
        trace.spans.len(),
        trace.duration_ns(),
        trace.has_error()
    );
    for key in ["customer.tier", "http.response.status_code"] {
        let values: Vec<_> = trace.values(key).collect();
        // Writing to a string does not fail.
        let _ = write!(facts, ", {key} {values:?}");
    }
    let _ = write!(facts, ", state {:?}", trace.state());
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_a_partial_and_a_foreign_trace_are_differences() {
        let span = |trace: u8, span: u8, state: &str| {
            let mut id = [0; 24];
            (id[0], id[16]) = (trace, span);
            Arrival { id, trace_state: state.to_owned() }
        };
        let reference = Kept::arrived(vec![span(1, 1, ""), span(1, 2, ""), span(2, 1, "ot=th:8")]);
        let other = Kept::arrived(vec![span(1, 1, ""), span(1, 1, ""), span(3, 1, "")]);
        let said: Vec<_> = compare(("a", &reference), ("b", &other))
            .into_iter()
            .map(|(_, difference)| difference)
            .collect();
        let partial = "a has 2 spans with th {\"\"}, b 1 spans with th {\"\"}";
        assert_eq!(said, [partial, "a keeps, b drops", "a drops, b keeps"]);
    }
}
