//! Consistent probability sampling, as OpenTelemetry specifies it: 56 bits of randomness against a
//! threshold, so that all collectors keep the same traces and counts can be recovered.
//!
//! <https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>

use crate::tracestate;

/// What SDKs decide by that keep a trace if the last 8 bytes of its id, as a number, are below their
/// rate: 56 bits that reach the threshold of that rate exactly if the SDK kept the trace.
pub fn sdk_randomness(trace_id: &[u8]) -> Option<u64> {
    let (_, tail) = trace_id.split_last_chunk::<8>()?;
    Some(!u64::from_be_bytes(*tail) >> 8)
}

/// One past the largest randomness and threshold.
const END: u64 = 1 << 56;
const HEX_DIGITS: u32 = 14;
/// Of a threshold made from a probability, besides leading zeros or `f`s.
const PRECISION_DIGITS: u32 = 4;

/// What the randomness of a trace must reach to be kept: 0 keeps all, [`Threshold::NOTHING`] none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold(u64);

/// What a span says about how it was and is to be sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// `ot=th`: it was sampled before.
    pub threshold: Option<Threshold>,
    /// `ot=rv`, else the last 7 bytes of the trace id; `None` without either.
    pub randomness: Option<u64>,
    /// It is `ot=rv`.
    pub is_explicit: bool,
}

impl Threshold {
    pub const EVERYTHING: Self = Self(0);
    pub const NOTHING: Self = Self(END);

    /// At most [`Threshold::NOTHING`].
    pub fn new(bits: u64) -> Self {
        Self(bits.min(END))
    }

    /// Rounded to four hexadecimal digits, more for probabilities near 0 and 1, as the
    /// specification recommends so that thresholds are short and equal everywhere.
    pub fn from_ppm(ppm: u32) -> Self {
        let ppm = u64::from(ppm.min(1_000_000));
        if ppm == 0 || ppm == 1_000_000 {
            return if ppm == 0 { Self::NOTHING } else { Self::EVERYTHING };
        }
        Self::from_rejected(u128::from(1_000_000 - ppm), 1_000_000)
    }

    /// Keeps `kept` of `all`; everything where `all` is not more.
    pub fn from_ratio(kept: u64, all: u64) -> Self {
        match kept {
            _ if all <= kept => Self::EVERYTHING,
            0 => Self::NOTHING,
            _ => Self::from_rejected(u128::from(all - kept), u128::from(all)),
        }
    }

    fn from_rejected(rejected: u128, all: u128) -> Self {
        let exact = ((rejected << 56) + all / 2) / all;
        let exact = u64::try_from(exact).unwrap_or(END);
        // Leading zeros (nearly all kept) and leading `f`s (nearly none) do not count as digits.
        let near = exact.min(END - exact).max(1);
        let extra = (near.leading_zeros() - 8) / 4;
        let digits = HEX_DIGITS.min(PRECISION_DIGITS + extra);
        let shift = 4 * (HEX_DIGITS - digits);
        if shift == 0 {
            return Self(exact);
        }
        Self((exact + (1 << (shift - 1))) >> shift << shift)
    }

    /// Of 2^56.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Of what reaches it: the probability with which it keeps, exactly.
    #[expect(clippy::cast_precision_loss, reason = "2^56 needs three bits more than f64 has")]
    pub fn probability(self) -> f64 {
        (END - self.0) as f64 / END as f64
    }

    pub fn keeps(self, randomness: u64) -> bool {
        self.0 <= randomness
    }
}

impl Sampling {
    pub fn of(trace_id: &[u8], trace_state: &[u8]) -> Self {
        if trace_state.is_empty() {
            let randomness = tracestate::randomness(trace_id);
            return Self { threshold: None, randomness, is_explicit: false };
        }
        let found = tracestate::sampling(std::str::from_utf8(trace_state).unwrap_or_default());
        Self {
            threshold: found.threshold.map(Threshold),
            randomness: found.randomness.or_else(|| tracestate::randomness(trace_id)),
            is_explicit: found.randomness.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ppm: u32, expected: u64) {
        assert_eq!(Threshold::from_ppm(ppm).bits(), expected, "{ppm} ppm");
    }

    #[test]
    fn a_probability_becomes_a_short_threshold() {
        check(1_000_000, 0);
        check(500_000, 0x80_0000_0000_0000);
        check(100_000, 0xe6_6600_0000_0000);
        check(10_000, 0xfd_70a0_0000_0000);
        check(999_900, 0x00_068d_c000_0000);
        check(0, 1 << 56);
    }

    #[test]
    fn a_threshold_tells_the_probability_that_it_keeps() {
        for ppm in [1, 50, 1000, 10_000, 333_333, 999_999] {
            let wanted = f64::from(ppm) / 1e6;
            let error = (Threshold::from_ppm(ppm).probability() - wanted).abs() / wanted;
            assert!(error < 2e-4, "{ppm} ppm is kept with an error of {error}");
        }
    }

    #[test]
    fn a_ratio_above_one_keeps_all() {
        assert_eq!(Threshold::from_ratio(7, 7), Threshold::EVERYTHING);
        assert_eq!(Threshold::from_ratio(0, 7), Threshold::NOTHING);
        assert_eq!(Threshold::from_ratio(1, 4).bits(), 0xc0_0000_0000_0000);
    }
}
