//! What flows through a pipeline, in numbers that do not flicker.

use super::conditions::Conditions;
use super::numbers::{has_moved, two_digits};
use crate::report::{Flow, FlowRates, Signal};
use sluice_crds::conditions::{ConditionType, Reason, Status};
use sluice_crds::pipeline::SignalFlow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The rates of one signal: those shown before, unless one moved.
pub(super) fn shown(signal: Signal, flow: &Flow, before: Option<&SignalFlow>) -> SignalFlow {
    let FlowRates { accepted, refused, sampled_out, dropped, sent } = flow.shown;
    let after = [accepted, sent, dropped, refused, sampled_out];
    if let Some(before) = before
        && texts(before).into_iter().zip(after).all(|(text, rate)| !has_moved(text, rate))
    {
        return before.clone();
    }
    SignalFlow {
        signal: signal.as_str().to_owned(),
        accepted_per_second: two_digits(accepted),
        sent_per_second: two_digits(sent),
        dropped_per_second: two_digits(dropped),
        refused_per_second: two_digits(refused),
        sampled_out_per_second: two_digits(sampled_out),
    }
}

fn texts(flow: &SignalFlow) -> [&str; 5] {
    [
        &flow.accepted_per_second,
        &flow.sent_per_second,
        &flow.dropped_per_second,
        &flow.refused_per_second,
        &flow.sampled_out_per_second,
    ]
}

/// What one pipeline's books say, over its signals and destinations.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    pub(super) accepted: f64,
    pub(super) refused: f64,
    pub(super) sent: f64,
    pub(super) dropped: f64,
    pub(super) queue_percent: u32,
    /// Destinations that fail, by name, and whether they answer at all.
    pub(super) unreachable: Vec<String>,
    pub(super) rejecting: Vec<String>,
}

/// Queues are filling up from here on.
const FULL_PERCENT: u32 = 80;

impl Health {
    pub(super) fn set(&self, conditions: &mut Conditions<'_>, reporting: bool) {
        let (status, reason, message) = self.verdict(reporting);
        conditions.set(ConditionType::FlowHealthy, status, reason, message);
    }

    fn verdict(&self, reporting: bool) -> (Status, Reason, String) {
        let failing = [self.unreachable.as_slice(), self.rejecting.as_slice()].concat();
        let to = |names: &[String]| match names {
            [] => String::new(),
            names => format!(" to {}", names.join(", ")),
        };
        let say = |reason: Reason, what: String| {
            (Status::False, reason, format!("{what}. {}", reason.remedy()))
        };
        if !reporting {
            let reason = Reason::StaleReports;
            return (Status::Unknown, reason, sentence(reason));
        }
        if self.dropped > 0.0 && self.sent <= 0.0 {
            return say(
                Reason::AllDataDropped,
                format!("All that is sent{} is lost", to(&failing)),
            );
        }
        if self.dropped > 0.0 {
            let what = format!("A part of what is sent{} is lost", to(&failing));
            return say(Reason::SomeDataDropped, what);
        }
        if !self.unreachable.is_empty() {
            let what = format!("Data{} waits in the queue", to(&self.unreachable));
            return say(Reason::DestinationUnreachable, what);
        }
        if !self.rejecting.is_empty() {
            let what = format!("Data{} is refused there", to(&self.rejecting));
            return say(Reason::DestinationRejects, what);
        }
        if self.queue_percent >= FULL_PERCENT {
            return say(Reason::BufferFillingUp, "A queue is filling up".to_owned());
        }
        if self.refused > 0.0 {
            return say(Reason::Throttled, "Senders are told to slow down".to_owned());
        }
        let idle = self.accepted <= 0.0 && self.sent <= 0.0;
        let reason = if idle { Reason::NoTraffic } else { Reason::FlowHealthy };
        (Status::True, reason, sentence(reason))
    }
}

/// What a reason means and what to do about it.
pub(super) fn sentence(reason: Reason) -> String {
    static SENTENCES: OnceLock<BTreeMap<Reason, String>> = OnceLock::new();
    let sentences = SENTENCES.get_or_init(|| {
        let sentence = |reason: &Reason| {
            let text = format!("{} {}", reason.doc().trim(), reason.remedy());
            (*reason, text.trim().to_owned())
        };
        Reason::ALL.iter().map(sentence).collect()
    });
    sentences.get(&reason).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_rewritten_only_when_it_moved_by_a_tenth() {
        let flow = |accepted| Flow {
            shown: FlowRates { accepted, ..FlowRates::default() },
            ..Flow::default()
        };
        let first = shown(Signal::Traces, &flow(100.0), None);
        assert_eq!(first.accepted_per_second, "100");
        assert_eq!(shown(Signal::Traces, &flow(109.0), Some(&first)), first);
        let moved = shown(Signal::Traces, &flow(111.0), Some(&first));
        assert_eq!(moved.accepted_per_second, "110");
        assert_eq!(shown(Signal::Traces, &flow(0.0), Some(&first)).accepted_per_second, "0");
    }
}
