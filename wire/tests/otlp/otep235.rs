//! The examples of OTEP 235 and of the specification that came of it:
//! <https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>.

use sluice_wire::sampling::{Sampling, Threshold};
use sluice_wire::spans::{SpanEdit, write_span};

fn of(trace_state: &str) -> Sampling {
    Sampling::of(&[0; 16], trace_state.as_bytes())
}

fn digits(threshold: Threshold) -> String {
    let digits = format!("{:014x}", threshold.bits());
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
}

/// The `tracestate` of a span that had one, and passes a sampler with this threshold.
fn passed(trace_state: &str, threshold: Threshold) -> String {
    let state = trace_state.as_bytes();
    let mut message = vec![0x1a, u8::try_from(state.len()).unwrap()];
    message.extend_from_slice(state);
    let mut out = Vec::new();
    write_span(&message, SpanEdit { threshold, head: &[], attributes: &[] }, &mut out);
    // Two bytes say that a span follows, two that it is all state.
    String::from_utf8(out[4..].to_vec()).unwrap()
}

#[test]
fn a_threshold_stands_for_a_probability() {
    for (digits, bits, probability) in [
        ("4", 0x40_0000_0000_0000, 0.75),
        ("c", 0xc0_0000_0000_0000, 0.25),
        ("08", 0x08_0000_0000_0000, 0.96875),
        ("0", 0, 1.0),
    ] {
        let found = of(&format!("ot=th:{digits}")).threshold.unwrap();
        assert_eq!((found.bits(), found.probability()), (bits, probability), "{digits}");
    }
    assert_eq!(of("ot=rv:0123456789abcd").threshold, None);
}

#[test]
fn one_in_n_has_the_threshold_of_the_table() {
    for (all, wanted, probability) in [
        (1, "0", 1.0),
        (2, "8", 0.5),
        (3, "aaab", 0.333_328_247_070_312_5),
        (4, "c", 0.25),
        (5, "cccd", 0.199_996_948_242_187_5),
        (8, "e", 0.125),
        (10, "e666", 0.100_006_103_515_625),
        (16, "f", 0.0625),
        (100, "fd70a", 0.010_000_228_881_835_938),
        (1000, "ffbe77", 0.000_999_987_125_396_728_5),
        (10_000, "fff9724", 0.000_100_001_692_771_911_62),
        (100_000, "ffff583a", 1.000_007_614_493_37e-5),
        (1_000_000, "ffffef39", 1.000_007_614_493_37e-6),
    ] {
        let threshold = Threshold::from_ratio(1, all);
        assert_eq!(digits(threshold), wanted, "1 in {all}");
        let error = (threshold.probability() / probability - 1.0).abs();
        assert!(error < 1e-12, "1 in {all}: {}", threshold.probability());
    }
}

#[test]
fn randomness_is_explicit_or_of_the_trace_id() {
    let id = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10_u128.to_be_bytes();
    let of_id = Sampling::of(&id, b"ot=th:c");
    assert_eq!((of_id.randomness, of_id.is_explicit), (Some(0x0a_0b0c_0d0e_0f10), false));
    let explicit = Sampling::of(&id, b"ot=th:c;rv:d29d6a7215ced0");
    assert_eq!((explicit.randomness, explicit.is_explicit), (Some(0xd2_9d6a_7215_ced0), true));
    // Exactly 14 digits.
    assert!(!Sampling::of(&id, b"ot=rv:d29d6a7215ced").is_explicit);
}

#[test]
fn a_span_is_sampled_where_its_randomness_reaches_the_threshold() {
    let quarter = Threshold::from_ratio(1, 4);
    assert!(quarter.keeps(0xc0_0000_0000_0000) && !quarter.keeps(0xbf_ffff_ffff_ffff));
}

#[test]
fn downstream_a_threshold_is_raised_and_never_lowered() {
    let (half, quarter) = (Threshold::from_ratio(1, 2), Threshold::from_ratio(1, 4));
    assert_eq!(passed("ot=th:8", quarter), "ot=th:c");
    assert_eq!(passed("ot=th:c", half), "ot=th:c");
    assert_eq!(passed("ot=th:8;rv:d29d6a7215ced0,a=b", quarter), "ot=th:c;rv:d29d6a7215ced0,a=b");
    // With probability 1 a sampler sets none, and changes none.
    assert_eq!(passed("ot=th:8", Threshold::EVERYTHING), "ot=th:8");
    assert_eq!(passed("a=b", Threshold::EVERYTHING), "a=b");
}
