//! Small traces that lie about every edge of the cases: durations of just a second, ids just at a
//! threshold, attributes of another type or on the resource, clocks that disagree.

use super::cases::SHARES;
use crate::contest::random::Random;
use crate::contest::threshold::randomness_of;
use crate::contest::trace::{Piece, Sender, Trace, attribute, number, text};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use std::sync::Arc;

const SPANS_MAX: u64 = 8;
/// In nanoseconds.
const EDGES: [u64; 6] =
    [999_000_000, 999_999_999, 1_000_000_000, 1_000_000_001, 1_000_999_999, 1_001_000_000];
const TIERS: [&str; 7] = ["gold", "Gold", "golden", "old gold", "platinum", "silver", ""];
const STATUS_CODES: [u64; 8] = [200, 201, 404, 403, 499, 500, 599, 600];
/// As `th`; each is what some sampler before may have written.
const THRESHOLDS: [(&str, u64); 6] = [
    ("0", 0),
    ("8", 0x80 << 48),
    ("c", 0xc0 << 48),
    ("e666", 0xe666 << 40),
    ("f", 0xf0 << 48),
    ("ffbe77", 0xff_be77 << 32),
];

/// All begin at `start`, in nanoseconds since the epoch.
pub(super) fn make(seed: u64, count: usize, start: u64) -> Vec<Trace> {
    let mut random = Random(seed);
    let senders: Vec<_> = (0..6).map(|number| Arc::new(sender(number))).collect();
    (0..count).map(|_| trace(&mut random, &senders, start)).collect()
}

/// As if nobody had sampled before.
pub(super) fn without_state(trace: &Trace) -> Trace {
    let mut trace = trace.clone();
    trace.spans.iter_mut().for_each(|piece| piece.span.trace_state.clear());
    trace
}

/// The last one's attributes are on its resource.
fn sender(index: usize) -> Sender {
    let mut attributes = vec![text("service.name", &format!("service-{index}"))];
    if index == 5 {
        attributes.push(text("customer.tier", "gold"));
        attributes.push(number("http.response.status_code", 503));
    }
    Sender { resource: Resource { attributes, ..Resource::default() }, node: index % 3 }
}

fn trace(random: &mut Random, senders: &[Arc<Sender>], start: u64) -> Trace {
    let id = id(random);
    let state = state(random, randomness_of(&id));
    let mut spans = Vec::new();
    for _ in 0..=random.below(SPANS_MAX) {
        // One in 200 spans is of the last sender.
        let sender = if random.below(200) == 0 { 5 } else { random.below(5) as usize };
        let parent = spans.last().map_or_else(Vec::new, |piece: &Piece| piece.span.span_id.clone());
        let span = Span {
            trace_id: id.to_vec(),
            span_id: random.bytes::<8>().to_vec(),
            parent_span_id: parent,
            trace_state: state.clone(),
            name: "work".to_owned(),
            attributes: attributes(random),
            status: status(random),
            ..Span::default()
        };
        spans.push(Piece { sender: Arc::clone(&senders[sender]), span });
    }
    put_times(random, &mut spans, start);
    if random.below(2) == 0 {
        spans.reverse();
    }
    Trace { id, spans }
}

/// One in 20 is at the threshold of a share, or where it would be if it were rounded otherwise.
fn id(random: &mut Random) -> [u8; 16] {
    let id: [u8; 16] = random.bytes();
    if 0 < random.below(20) {
        return id;
    }
    let share = SHARES[random.below(SHARES.len() as u64) as usize];
    let exact = (1_u64 << 56) - (share.percent() / 100.0 * 2_f64.powi(56)).round() as u64;
    let edges = [share.threshold(), exact, 0, 1 << 55, (1 << 56) - 1];
    let edge = edges[random.below(edges.len() as u64) as usize];
    let randomness = (edge + random.below(3)).saturating_sub(1).min((1 << 56) - 1);
    let above = u128::from_be_bytes(id) >> 56 << 56;
    (above | u128::from(randomness)).to_be_bytes()
}

/// Within the trace's time; the first starts and one other ends with it.
fn put_times(random: &mut Random, spans: &mut [Piece], start: u64) {
    let total = match random.below(10) {
        0..2 => EDGES[random.below(EDGES.len() as u64) as usize],
        2..4 => random.below(3_000_000_000),
        _ => random.below(500_000_000),
    };
    let last = random.below(spans.len() as u64) as usize;
    for (index, piece) in spans.iter_mut().enumerate() {
        let span = &mut piece.span;
        let offset = if index == 0 { 0 } else { random.below(total + 1) };
        let length = random.below(total - offset + 1);
        span.start_time_unix_nano = start + offset;
        span.end_time_unix_nano = start + if index == last { total } else { offset + length };
        match random.below(400) {
            0 => std::mem::swap(&mut span.start_time_unix_nano, &mut span.end_time_unix_nano),
            1 => span.start_time_unix_nano = 0,
            _ => {}
        }
    }
}

fn status(random: &mut Random) -> Option<Status> {
    let code = match random.below(250) {
        0 => 2,
        1..50 => 1,
        50..75 => return None,
        _ => 0,
    };
    Some(Status { code, message: String::new() })
}

fn attributes(random: &mut Random) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    let (tier, code) = ("customer.tier", "http.response.status_code");
    match random.below(100) {
        0 => attributes.push(number(tier, random.below(10))),
        1..5 => attributes.push(text(tier, random.pick(&TIERS))),
        _ => {}
    }
    match random.below(400) {
        0..20 => {
            let at = random.below(STATUS_CODES.len() as u64) as usize;
            attributes.push(number(code, STATUS_CODES[at]));
        }
        20 => attributes.push(attribute(code, Value::DoubleValue(503.0))),
        21 => attributes.push(text(code, "503")),
        22..300 => attributes.push(number(code, 200)),
        _ => {}
    }
    attributes
}

/// As a sampler before has left it; one in 100 has a threshold that its randomness does not reach.
fn state(random: &mut Random, of_id: u64) -> String {
    let explicit = (random.below(3) == 0).then(|| randomness_of(&id(random)));
    let randomness = explicit.unwrap_or(of_id);
    let reached = THRESHOLDS.iter().filter(|(_, least)| *least <= randomness).count() as u64;
    let threshold = match random.below(100) {
        0 => Some("fff"),
        1..60 => Some(THRESHOLDS[random.below(reached) as usize].0),
        _ => None,
    };
    let mut fields = Vec::new();
    fields.extend(explicit.map(|value| format!("rv:{value:014x}")));
    fields.extend(threshold.map(|digits| format!("th:{digits}")));
    if fields.is_empty() {
        return String::new();
    }
    if random.below(4) == 0 {
        fields.push("x:1".to_owned());
        return format!("vendor=a,ot={},other=b", fields.join(";"));
    }
    format!("ot={}", fields.join(";"))
}

#[cfg(test)]
mod tests {
    use super::super::cases::CASES;
    use super::super::expected::{self, COLLECTOR, reason};
    use super::*;
    use std::collections::BTreeSet;

    /// Of this day.
    const START: u64 = 1_760_000_000_000_000_000;

    #[test]
    fn every_case_keeps_some_traces_and_but_one_drops_some() {
        let traces = make(7, 20_000, START);
        for case in CASES {
            let kept = expected::kept(&case.criterion, COLLECTOR, &traces).len();
            let drops = kept < traces.len() || case.name == "always_sample";
            assert!(0 < kept && drops, "{}: {kept}", case.name);
        }
    }

    #[test]
    fn all_meant_differences_occur() {
        let traces = make(7, 20_000, START);
        let mut reasons = BTreeSet::new();
        for case in CASES {
            reasons.extend(traces.iter().filter_map(|trace| reason(&case.criterion, trace)));
        }
        assert_eq!(reasons.len(), 3, "{reasons:?}");
    }

    #[test]
    fn the_same_seed_makes_the_same_traces() {
        let spans = |seed| make(seed, 10, START).into_iter().flat_map(|trace| trace.spans);
        assert!(spans(7).map(|piece| piece.span).eq(spans(7).map(|piece| piece.span)));
    }
}
