//! Rules and spans drawn from a seed, out of few names and values, so that they meet.

use super::reference::Filter;
use super::{Span, Value, text};
use sluice_engine::config::sampling::{
    AttributeMatch, AttributeOperator, Match, RareOperation, SlowerThan, SpanStatus,
};

/// xorshift64*: enough for choosing.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

const NAMES: [&str; 4] = ["GET /", "POST /", "a", ""];
const KEYS: [&str; 7] = [
    "a",
    "b",
    "service.name",
    "http.method",
    "http.request.method",
    "http.status_code",
    "http.response.status_code",
];
const TEXTS: [&str; 6] = ["a", "b", "ab", "5", "500", "true"];
const PATTERNS: [&str; 5] = ["a.*", "b", "[ab]+", "5..", ".*"];
const GLOBS: [&str; 5] = ["a*", "*b", "GET ?", "*", "5*"];
const DURATIONS: [u64; 4] = [0, 1_000_000, 5_000_000, 1_000_000_000];

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn some<T>(&mut self, percent: usize, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| draw(self))
    }

    fn texts(&mut self, from: &[&str]) -> Vec<String> {
        (0..1 + self.below(2)).map(|_| self.pick(from).to_owned()).collect()
    }

    fn value(&mut self) -> Value {
        match self.below(9) {
            0..3 => text(self.pick(&TEXTS)),
            3..6 => Value::Int(self.pick(&[4, 5, 6, 200, 404, 500, 503])),
            6 => Value::Double(self.pick(&[4.5, 5.0, 500.0])),
            7 => Value::Bool(self.chance(50)),
            _ => Value::List,
        }
    }

    fn attributes(&mut self) -> Vec<(String, Value)> {
        // Keys may come twice.
        (0..self.below(4)).map(|_| (self.pick(&KEYS).to_owned(), self.value())).collect()
    }

    pub(super) fn span(&mut self) -> Span {
        Span {
            name: self.pick(&NAMES).to_owned(),
            kind: self.below(6) as u64,
            status: self.below(3) as u64,
            duration_ns: self.pick(&DURATIONS),
            is_root: false,
            attributes: self.attributes(),
            resource: self.attributes(),
            proven: self
                .some(20, |dice| ("a".to_owned(), text(dice.pick(&TEXTS))))
                .into_iter()
                .collect(),
            is_tracked: self.chance(50),
        }
    }

    pub(super) fn rule(&mut self) -> (Match, Option<Filter>) {
        let filter = self.some(50, |dice| dice.filter(3));
        (self.fields(filter.as_ref()), filter)
    }

    fn fields(&mut self, filter: Option<&Filter>) -> Match {
        let slower = |dice: &mut Self| SlowerThan {
            percentile_ppm: dice.pick(&[1, 2]),
            window_ms: 1,
            samples_min: 1,
        };
        let rare = |_: &mut Self| RareOperation { below_ppm: 1, window_ms: 1, per_second_max: 1 };
        let statuses = [SpanStatus::Unset, SpanStatus::Ok, SpanStatus::Error];
        Match {
            status: self.some(20, |dice| dice.pick(&statuses)),
            http_status: self
                .some(20, |dice| dice.pick(&[(500, 599), (404, 404), (0, 65535)]))
                .into_iter()
                .collect(),
            trace_duration_min_ns: self.some(10, |dice| dice.pick(&DURATIONS)),
            span_duration_min_ns: self.some(10, |dice| dice.pick(&DURATIONS)),
            span_count_min: self.some(10, |dice| dice.below(4) as u32),
            attributes: (0..self.below(3)).map(|_| self.attribute()).collect(),
            services: self.some(15, |dice| dice.texts(&GLOBS)).unwrap_or_default(),
            operations: self.some(15, |dice| dice.texts(&GLOBS)).unwrap_or_default(),
            slower_than: self.some(10, slower),
            rare_operation: self.some(10, rare),
            trace_ql: filter.map(|filter| format!("{{ {} }}", written(filter))),
        }
    }

    fn attribute(&mut self) -> AttributeMatch {
        use AttributeOperator as Operator;
        let (operator, values) = match self.below(7) {
            0 => (Operator::In, self.texts(&TEXTS)),
            1 => (Operator::NotIn, self.texts(&TEXTS)),
            2 => (Operator::Exists, Vec::new()),
            3 => (Operator::DoesNotExist, Vec::new()),
            4 => (Operator::Regex, self.texts(&PATTERNS)),
            5 => (Operator::Gt, vec![self.pick(&["4.5", "5", "404"]).to_owned()]),
            _ => (Operator::Lt, vec![self.pick(&["4.5", "5", "404"]).to_owned()]),
        };
        AttributeMatch { key: self.pick(&KEYS).to_owned(), operator, values }
    }

    fn filter(&mut self, depth: usize) -> Filter {
        match self.below(if depth == 0 { 2 } else { 6 }) {
            0 | 1 => self.comparison(),
            2 | 3 => Filter::And(self.filter(depth - 1).into(), self.filter(depth - 1).into()),
            4 => Filter::Or(self.filter(depth - 1).into(), self.filter(depth - 1).into()),
            _ => Filter::Not(self.filter(depth - 1).into()),
        }
    }

    fn comparison(&mut self) -> Filter {
        let orders = ["=", "!=", ">", ">=", "<", "<="];
        let (field, comparison, value) = match self.below(9) {
            0 => (
                "status".to_owned(),
                self.pick(&["=", "!="]),
                Some(Value::Int(self.below(3) as i64)),
            ),
            1 => {
                ("kind".to_owned(), self.pick(&["=", "!="]), Some(Value::Int(self.below(6) as i64)))
            }
            2 => {
                let field = self.pick(&["duration", "traceDuration"]);
                let duration = self.pick(&DURATIONS) as i64;
                (field.to_owned(), self.pick(&orders), Some(Value::Int(duration)))
            }
            3 => {
                let field = self.pick(&["name", "rootName", "rootServiceName"]);
                let (comparison, value) = self.comparison_of_text(&NAMES);
                (field.to_owned(), comparison, Some(value))
            }
            other => {
                let scope = self.pick(&["span.", "resource.", "."]);
                let field = format!("{scope}{}", self.pick(&KEYS));
                let (comparison, value) = match other {
                    4 | 5 => self.comparison_of_text(&TEXTS),
                    6 => (self.pick(&orders), Value::Int(self.pick(&[4, 5, 500]))),
                    7 => (self.pick(&orders), Value::Double(self.pick(&[4.5, 5.0]))),
                    _ if self.chance(50) => (self.pick(&["=", "!="]), Value::Bool(self.chance(50))),
                    _ => return Filter::Is(field, self.pick(&["=", "!="]), None),
                };
                (field, comparison, Some(value))
            }
        };
        Filter::Is(field, comparison, value)
    }

    fn comparison_of_text(&mut self, texts: &[&str]) -> (&'static str, Value) {
        if self.chance(20) {
            return (self.pick(&["=~", "!~"]), text(self.pick(&PATTERNS)));
        }
        (self.pick(&["=", "!=", ">", "<="]), text(self.pick(texts)))
    }
}

/// As TraceQL: `&&` and `||` from left to right.
fn written(filter: &Filter) -> String {
    let right = |filter: &Filter| match filter {
        Filter::And(..) | Filter::Or(..) => format!("({})", written(filter)),
        _ => written(filter),
    };
    match filter {
        Filter::And(one, two) => format!("{} && {}", written(one), right(two)),
        Filter::Or(one, two) => format!("{} || {}", written(one), right(two)),
        Filter::Not(inner) => format!("!({})", written(inner)),
        Filter::Is(field, comparison, value) => {
            let value = match (field.as_str(), value) {
                ("status", Some(Value::Int(code))) => {
                    ["unset", "ok", "error"][*code as usize].to_owned()
                }
                ("kind", Some(Value::Int(code))) => {
                    let kinds =
                        ["unspecified", "internal", "server", "client", "producer", "consumer"];
                    kinds[*code as usize].to_owned()
                }
                (_, Some(Value::Int(int))) => int.to_string(),
                (_, Some(Value::Double(double))) => format!("{double:?}"),
                (_, Some(Value::Bool(bit))) => bit.to_string(),
                (_, Some(Value::Text(text))) => format!("{text:?}"),
                (_, Some(Value::List) | None) => "nil".to_owned(),
            };
            format!("{field} {comparison} {value}")
        }
    }
}
