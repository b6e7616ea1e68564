//! The `ot` member of a W3C `tracestate`: `ot=th:c;rv:d29d6a7215ced0;other:x,vendor=y`.
//!
//! `th` is a threshold and `rv` an explicit randomness, both of 56 bits in hexadecimal.
//! <https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/>,
//! <https://www.w3.org/TR/trace-context-2/>

use std::fmt::Write;

const HEX_DIGITS: usize = 14;
const MEMBERS_MAX: usize = 32;
/// Of the value of `ot`.
const VALUE_BYTES_MAX: usize = 256;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sampling {
    pub(crate) threshold: Option<u64>,
    pub(crate) randomness: Option<u64>,
}

/// What `ot` says of sampling; what is not well formed counts as absent.
pub(crate) fn sampling(trace_state: &str) -> Sampling {
    let mut sampling = Sampling::default();
    let value = members(trace_state).find_map(|member| member.strip_prefix("ot="));
    for pair in value.unwrap_or_default().split(';') {
        match pair.split_once(':') {
            Some(("th", digits)) => sampling.threshold = parse_threshold(digits),
            Some(("rv", digits)) => sampling.randomness = parse_randomness(digits),
            _ => {}
        }
    }
    sampling
}

/// The randomness of a trace id, where nothing says otherwise: its last 56 bits.
pub(crate) fn randomness(trace_id: &[u8]) -> Option<u64> {
    let (_, tail) = trace_id.split_last_chunk::<7>()?;
    Some(tail.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// `trace_state` with what is given of `ot=th` and `ot=rv`, in front as W3C asks of who changes a
/// member. Other members and other keys of `ot` stay, up to the limits: 32 members, 256 bytes of
/// `ot`.
pub(crate) fn with(trace_state: &str, sampling: Sampling) -> String {
    let Sampling { threshold, randomness } = sampling;
    let mut out = String::with_capacity(trace_state.len() + 48);
    out.push_str("ot=");
    if let Some(threshold) = threshold {
        let digits = format!("{threshold:0HEX_DIGITS$x}");
        let digits = digits.trim_end_matches('0');
        let _ = write!(out, "th:{}", if digits.is_empty() { "0" } else { digits });
    }
    if let Some(randomness) = randomness {
        let separator = if threshold.is_some() { ";" } else { "" };
        let _ = write!(out, "{separator}rv:{randomness:0HEX_DIGITS$x}");
    }
    let value = members(trace_state).find_map(|member| member.strip_prefix("ot="));
    for pair in value.unwrap_or_default().split(';') {
        let is_replaced = threshold.is_some() && pair.starts_with("th:")
            || randomness.is_some() && pair.starts_with("rv:");
        let is_kept = !pair.is_empty() && !is_replaced;
        if is_kept && out.len() - "ot=".len() + 1 + pair.len() <= VALUE_BYTES_MAX {
            out.push(';');
            out.push_str(pair);
        }
    }
    let others = members(trace_state).filter(|member| !member.starts_with("ot="));
    for member in others.take(MEMBERS_MAX - 1) {
        out.push(',');
        out.push_str(member);
    }
    out
}

fn members(trace_state: &str) -> impl Iterator<Item = &str> {
    trace_state.split(',').map(str::trim).filter(|member| !member.is_empty())
}

/// 1 to 14 digits, the trailing zeros left out.
fn parse_threshold(digits: &str) -> Option<u64> {
    let value = parse_hex(digits)?;
    let missing = HEX_DIGITS.checked_sub(digits.len())?;
    Some(value << (4 * missing))
}

fn parse_randomness(digits: &str) -> Option<u64> {
    (digits.len() == HEX_DIGITS).then(|| parse_hex(digits))?
}

/// Lower-case digits only, as specified.
fn parse_hex(digits: &str) -> Option<u64> {
    let is_hex = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && !digits.is_empty()).then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(trace_state: &str, threshold: u64, expected: &str) {
        let sampling = Sampling { threshold: Some(threshold), randomness: None };
        assert_eq!(with(trace_state, sampling), expected);
    }

    #[test]
    fn a_threshold_is_written_without_trailing_zeros() {
        check("", 0xc0_0000_0000_0000, "ot=th:c");
        check("", 0x00_1000_0000_0000, "ot=th:001");
        check("", 1, "ot=th:00000000000001");
        check("", 0, "ot=th:0");
    }

    #[test]
    fn other_vendors_and_other_keys_stay() {
        let before = "a=1, ot=rv:d29d6a7215ced0;th:8;p:x ,b=2";
        check(before, 0xc0_0000_0000_0000, "ot=th:c;rv:d29d6a7215ced0;p:x,a=1,b=2");
    }

    #[test]
    fn a_randomness_is_written_with_all_its_digits() {
        let randomness = Some(0x1d_29d6_a721);
        let check = |before, threshold, expected| {
            assert_eq!(with(before, Sampling { threshold, randomness }), expected);
        };
        check("", None, "ot=rv:00001d29d6a721");
        check("a=1", Some(1 << 55), "ot=th:8;rv:00001d29d6a721,a=1");
        check("ot=p:x;rv:d29d6a7215ced0", None, "ot=rv:00001d29d6a721;p:x");
    }

    #[test]
    fn the_limits_of_w3c_hold() {
        let members: Vec<String> = (0..32).map(|n| format!("v{n}=x")).collect();
        check(&members.join(","), 1 << 55, &format!("ot=th:8,{}", members[..31].join(",")));
        let long = format!("ot=rv:d29d6a7215ced0;long:{};z:1", "x".repeat(250));
        check(&long, 1 << 55, "ot=th:8;rv:d29d6a7215ced0;z:1");
    }

    #[test]
    fn what_is_not_well_formed_counts_as_absent() {
        for trace_state in ["ot=th:", "ot=th:G", "ot=th:C", "ot=th:0123456789abcde", "xot=th:8"] {
            assert_eq!(sampling(trace_state), Sampling::default(), "{trace_state}");
        }
        let found = sampling("x=1,ot=rv:00000000000001;th:08");
        assert_eq!(found.threshold, Some(0x08_0000_0000_0000));
        assert_eq!(found.randomness, Some(1));
    }
}
