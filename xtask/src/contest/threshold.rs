//! Consistent probability sampling (OTEP 235), plainly: which traces a share keeps, by the rounding
//! of the OTel Collector's `probabilistic_sampler`. Written apart from the engine, to be held
//! against it.

use super::trace::{Trace, TraceId};

/// A threshold or a trace's randomness: 56 bits.
const BITS: u32 = 56;
const HEX_DIGITS: i32 = 14;
/// `sampling_precision`, in hex digits behind the leading zeros or fs.
const PRECISION: i32 = 4;

/// In parts per million of all traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share(pub(crate) u32);

impl Share {
    pub(crate) fn percent(self) -> f64 {
        f64::from(self.0) / 1e4
    }

    /// What a trace's randomness must reach. The percentage is a 32-bit float there.
    pub(crate) fn threshold(self) -> u64 {
        let probability = f64::from(self.percent() as f32) / 100.0;
        if 1.0 <= probability {
            return 0;
        }
        let digits = |value: f64| PRECISION + exponent(value) / -4;
        let precision = digits(probability).max(digits(1.0 - probability)).min(HEX_DIGITS);
        let all = 1_u64 << BITS;
        let exact = all - (probability * all as f64).round() as u64;
        match 4 * (HEX_DIGITS - precision) {
            0 => exact,
            cut => ((exact + (1 << (cut - 1))) >> cut) << cut,
        }
    }

    /// Whether an equalizing sampler keeps a trace that was not sampled before.
    pub(crate) fn keeps_id(self, id: &TraceId) -> bool {
        self.threshold() <= randomness_of(id)
    }

    /// Whether an equalizing sampler keeps the trace, and the `th` that its spans then carry.
    pub(crate) fn keeps(self, trace: &Trace) -> Option<String> {
        let field = |name| ot_field(trace.state(), name);
        let randomness = field("rv").and_then(|value| u64::from_str_radix(value, 16).ok());
        let threshold = self.threshold().max(field("th").map_or(0, threshold_of));
        let randomness = randomness.unwrap_or_else(|| randomness_of(&trace.id));
        (threshold <= randomness).then(|| shown(threshold))
    }

    /// Whether the `probabilistic` policy of `tail_sampling` keeps the trace, which hashes its id
    /// (FNV-1a, 64 bits, salted) and knows nothing of OTEP 235.
    pub(crate) fn keeps_by_hash(self, id: &TraceId) -> bool {
        let salted = b"default-hash-seed".iter().chain(id);
        let hash = salted.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        // The peer multiplies exactly; the product's lowest bits decide about no trace of ours.
        (hash as f64) <= self.percent() / 100.0 * u64::MAX as f64
    }
}

/// The last 56 bits of the id.
pub(crate) fn randomness_of(id: &TraceId) -> u64 {
    let low = u128::from_be_bytes(*id) as u64;
    low & ((1 << BITS) - 1)
}

/// A field of `ot=` in a trace state.
pub(crate) fn ot_field<'a>(state: &'a str, name: &str) -> Option<&'a str> {
    let ot = state.split(',').find_map(|member| member.trim().strip_prefix("ot="))?;
    ot.split(';').find_map(|field| field.strip_prefix(name)?.strip_prefix(':'))
}

pub(crate) fn threshold_of(digits: &str) -> u64 {
    u64::from_str_radix(&format!("{digits:0<14}"), 16).unwrap_or_default()
}

/// Without trailing zeros, as `th` is written.
fn shown(threshold: u64) -> String {
    let digits = format!("{threshold:014x}");
    match digits.trim_end_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}

/// As C's `frexp`: of a value in 0.5..1 it is 0.
fn exponent(value: f64) -> i32 {
    let bits = (value.to_bits() >> 52) & 0x7ff;
    i32::try_from(bits).unwrap_or_default() - 1022
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_rounded_as_the_peer_rounds_them() {
        // What a `probabilistic_sampler` in its equalizing mode writes as `th`.
        for (ppm, th) in [
            (1_000_000, "0"),
            (987_000, "0354"),
            (900_000, "199a"),
            (500_000, "8"),
            (333_333, "aaab"),
            (100_000, "e666"),
            (10_000, "fd70a"),
            (1_000, "ffbe77"),
            (1, "ffffef39"),
        ] {
            assert_eq!(shown(Share(ppm).threshold()), th, "{ppm}");
        }
    }

    #[test]
    fn a_trace_state_is_read() {
        let state = "a=b, ot=rv:e6660000000000;th:8,c=d";
        assert_eq!(ot_field(state, "rv"), Some("e6660000000000"));
        assert_eq!(ot_field(state, "th"), Some("8"));
        assert_eq!(ot_field("a=th:8", "th"), None);
        assert_eq!(threshold_of("8"), 1 << 55);
    }

    #[test]
    fn the_hash_keeps_its_share() {
        let mut random = super::super::random::Random(1);
        let kept = (0..100_000).filter(|_| Share(100_000).keeps_by_hash(&random.bytes())).count();
        assert!((9_700..10_300).contains(&kept), "{kept}");
    }
}
