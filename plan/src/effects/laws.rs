//! What the implication claims, the engine's matcher confirms, over rules and spans from a seed.

use super::implication::implies;
use sluice_engine::config::sampling::{AttributeMatch, AttributeOperator, Match, SpanStatus};
use sluice_engine::matching::{Matcher, TraceFacts};
use sluice_wire::spans::{Scalar, SpanView};

/// xorshift64*: enough for choosing.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % bound
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn some<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (self.below(4) == 0).then(|| self.pick(from))
    }

    fn texts(&mut self, from: &[&str]) -> Vec<String> {
        (0..1 + self.below(2)).map(|_| self.pick(from).to_owned()).collect()
    }
}

const TEXTS: [&str; 4] = ["a", "ab", "5", "7"];
const GLOBS: [&str; 6] = ["a", "ab", "a*", "*b", "?b", "*"];
const NANOS: [u64; 3] = [1, 5, 9];

fn rule(dice: &mut Dice) -> Match {
    use AttributeOperator as Operator;
    let operators = [
        Operator::In,
        Operator::NotIn,
        Operator::Exists,
        Operator::DoesNotExist,
        Operator::Regex,
        Operator::Gt,
        Operator::Lt,
    ];
    let attribute = |dice: &mut Dice| {
        let operator = dice.pick(&operators);
        let values = match operator {
            Operator::Exists | Operator::DoesNotExist => Vec::new(),
            Operator::Gt | Operator::Lt => vec![dice.pick(&["5", "6.5", "7"]).to_owned()],
            Operator::In | Operator::NotIn | Operator::Regex => dice.texts(&TEXTS),
        };
        AttributeMatch { key: dice.pick(&["x", "y"]).to_owned(), operator, values }
    };
    let globs = |dice: &mut Dice| match dice.below(3) {
        0 => dice.texts(&GLOBS),
        _ => Vec::new(),
    };
    Match {
        status: dice.some(&[SpanStatus::Error, SpanStatus::Ok]),
        http_status: dice.some(&[(500, 599), (503, 503)]).into_iter().collect(),
        trace_duration_min_ns: dice.some(&NANOS),
        span_duration_min_ns: dice.some(&NANOS),
        span_count_min: dice.some(&[1, 2, 3]),
        attributes: (0..dice.below(3)).map(|_| attribute(dice)).collect(),
        services: globs(dice),
        operations: globs(dice),
        ..Match::default()
    }
}

/// With some fields of another rule.
fn akin(dice: &mut Dice, to: Match) -> Match {
    let other = rule(dice);
    let (times, own_times) = (only_numbers(&other), only_numbers(&to));
    let mut differs = || dice.below(3) == 0;
    Match {
        status: if differs() { other.status } else { to.status },
        http_status: if differs() { other.http_status } else { to.http_status },
        attributes: if differs() { other.attributes } else { to.attributes },
        services: if differs() { other.services } else { to.services },
        operations: if differs() { other.operations } else { to.operations },
        ..if differs() { times } else { own_times }
    }
}

fn only_numbers(of: &Match) -> Match {
    Match {
        trace_duration_min_ns: of.trace_duration_min_ns,
        span_duration_min_ns: of.span_duration_min_ns,
        span_count_min: of.span_count_min,
        ..Match::default()
    }
}

/// Whether a trace of random spans matches each of the rules.
fn matched(dice: &mut Dice, matcher: &Matcher) -> [bool; 2] {
    let mut bits = vec![0; matcher.words()];
    let mut scratch = matcher.scratch();
    let spans = 1 + dice.below(3);
    let mut duration_ns = 0;
    for _ in 0..spans {
        let service = Scalar::Text(dice.pick(&TEXTS).as_bytes());
        let service = matcher.resource_probes().number(b"service.name").map(|key| (key, service));
        let mut found: Vec<_> = service.into_iter().collect();
        let value = |dice: &mut Dice| match dice.below(2) {
            0 => Scalar::Text(dice.pick(&TEXTS).as_bytes()),
            _ => Scalar::Int(dice.pick(&[4, 5, 6, 7, 8])),
        };
        found.extend(attribute(dice, matcher.resource_probes().number(b"x"), value));
        let resource = matcher.resource(&found, &|_| None, &|_| true);
        let mut attributes = Vec::new();
        for key in ["x", "y"] {
            attributes.extend(attribute(dice, matcher.span_probes().number(key.as_bytes()), value));
        }
        let code = matcher.span_probes().number(b"http.response.status_code");
        let status = |dice: &mut Dice| Scalar::Int(dice.pick(&[500, 503, 404]));
        attributes.extend(attribute(dice, code, status));
        let end_ns = dice.pick(&[0, 1, 5, 9]);
        duration_ns = duration_ns.max(end_ns);
        let name = dice.pick(&TEXTS).as_bytes();
        let status = dice.pick(&[0, 1, 2]);
        let span = SpanView { name, status, end_ns, attributes, ..SpanView::default() };
        matcher.span(&resource, &span, &mut scratch, &mut |_| false, &mut bits);
    }
    let facts = TraceFacts { duration_ns, spans: u32::try_from(spans).unwrap() };
    [0, 1].map(|rule| matcher.matched(rule, &bits, &facts))
}

fn attribute(
    dice: &mut Dice,
    key: Option<u16>,
    value: impl Fn(&mut Dice) -> Scalar<'static>,
) -> Option<(u16, Scalar<'static>)> {
    let is_there = dice.below(3) > 0;
    key.filter(|_| is_there).map(|key| (key, value(dice)))
}

#[test]
fn what_matches_the_narrow_rule_matches_the_wide_one() {
    let (mut claims, mut proofs) = (0, 0);
    for seed in 1..3_000u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let narrow = rule(&mut dice);
        let rules = [narrow.clone(), akin(&mut dice, narrow)];
        if rules[1] == Match::default() || !implies(&rules[0], &rules[1]) {
            continue;
        }
        claims += 1;
        let matcher = Matcher::new(&rules).unwrap();
        for _ in 0..20 {
            let [narrow, wide] = matched(&mut dice, &matcher);
            proofs += i32::from(narrow);
            assert!(!narrow || wide, "seed {seed}: {rules:#?}");
        }
    }
    assert!(claims > 500 && proofs > 1000, "{claims} claims and {proofs} proofs are too few");
}
