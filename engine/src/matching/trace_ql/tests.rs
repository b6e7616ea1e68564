//! Nothing that somebody types makes the parser panic, and what it refuses it places in the text.

use super::super::condition::{Expression, Order, Subject, Test, Value};
use super::parse;

const CASES: u64 = 120_000;

const VALID: [&str; 8] = [
    "{ duration > 1s }",
    "{ status = error && span.http.response.status_code >= 500 }",
    "{ !(.a = \"x\\n\" || resource.b != `y`) && name =~ \"a.*\" }",
    "{\n  service.name = \"order-service\" && // slow\n  duration > 500ms\n}",
    "{ span.\"a b\".c != nil || -1.5 <= .d }",
    "{ trace:duration >= 1h30m && kind = server && rootName !~ \"GET .+\" }",
    "{ .flag && !.other /* both */ || true }",
    "{}",
];

const WORDS: [&str; 44] = [
    "{",
    "}",
    "(",
    ")",
    "&&",
    "||",
    "!",
    "=",
    "!=",
    ">",
    ">=",
    "<",
    "<=",
    "=~",
    "!~",
    "-",
    ".a",
    "span.b",
    "resource.c",
    "span.",
    ".\"q r\"",
    "duration",
    "status",
    "kind",
    "name",
    "rootName",
    "traceDuration",
    "service.name",
    "event.x",
    "error",
    "server",
    "nil",
    "true",
    "\"text\"",
    "`raw`",
    "\"open",
    "5",
    "0.5",
    "1h30m",
    "9x",
    "|",
    ">>",
    "~",
    "µ",
];

/// xorshift64*: enough for choosing.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    fn soup(&mut self) -> String {
        let words = (0..self.below(12)).map(|_| WORDS[self.below(WORDS.len())]);
        let words: Vec<&str> = words.collect();
        let soup = words.join([" ", "", "\n"][self.below(3)]);
        if self.below(2) == 0 { format!("{{ {soup} }}") } else { soup }
    }

    /// A valid filter with some of its characters gone, doubled or replaced.
    fn mutation(&mut self) -> String {
        let mut chars: Vec<char> = VALID[self.below(VALID.len())].chars().collect();
        for _ in 0..1 + self.below(3) {
            let at = self.below(chars.len());
            match self.below(3) {
                0 => {
                    chars.remove(at);
                }
                1 => chars.insert(at, chars[self.below(chars.len())]),
                _ => chars[at] = ['"', '\\', '{', '(', '!', '.', 'é', '\0', '9'][self.below(9)],
            }
            if chars.is_empty() {
                break;
            }
        }
        chars.into_iter().collect()
    }
}

/// The line and column that a problem begins with.
fn position(problem: &str) -> Option<(usize, usize)> {
    let (place, _) = problem.split_once(": ")?;
    match place.split_once(", ") {
        Some((line, column)) => Some((
            line.strip_prefix("line ")?.parse().ok()?,
            column.strip_prefix("column ")?.parse().ok()?,
        )),
        None => Some((1, place.strip_prefix("column ")?.parse().ok()?)),
    }
}

#[test]
fn whatever_is_typed_is_read_or_refused_at_a_place_of_it() {
    let (mut read, mut refused) = (0, 0);
    for seed in 1..=CASES {
        let mut dice = Dice(seed);
        dice.below(1);
        let text = if seed.is_multiple_of(2) { dice.soup() } else { dice.mutation() };
        match parse(&text) {
            Ok(_) => read += 1,
            Err(problem) => {
                refused += 1;
                let position = position(&problem);
                let (line, column) = position.unwrap_or_else(|| panic!("seed {seed}: {problem}"));
                let length = text.split('\n').nth(line - 1).map(|line| line.chars().count());
                let within = length.is_some_and(|length| (1..=length + 1).contains(&column));
                assert!(within, "seed {seed}: {problem} of {text:?}");
            }
        }
    }
    assert!(read > CASES / 20 && refused > CASES / 20, "{read} read, {refused} refused");
}

#[test]
fn every_valid_filter_is_read() {
    for text in VALID {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[track_caller]
fn check_duration(text: &str, expected: i64) {
    let test = Test::Ordered(Order::Above, Value::Int(expected));
    let expected = Expression::holds(Subject::Duration, test);
    assert_eq!(parse(&format!("{{ duration > {text} }}")), Ok(expected));
}

#[test]
fn durations() {
    check_duration("1ns", 1);
    check_duration("2us", 2_000);
    check_duration("2µs", 2_000);
    check_duration("1h30m", 5_400_000_000_000);
    check_duration("1.5s", 1_500_000_000);
    check_duration("1d", 86_400_000_000_000);
    check_duration("-1ms", -1_000_000);
}
