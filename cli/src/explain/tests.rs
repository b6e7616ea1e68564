use super::*;

const TENTH: u64 = 0xe6_6600_0000_0000;

fn decision(is_kept: bool, rule: &str, threshold: u64) -> Decision {
    Decision {
        is_kept,
        is_early: false,
        rule: Some(rule.to_owned()),
        probability: 1.0 - threshold as f64 / (1_u64 << 56) as f64,
        threshold,
        spans: 13,
        late_spans: 0,
        age_ms: 12_340,
        gateway: None,
    }
}

#[track_caller]
fn check(trace: u128, answer: &Answer, expected: &str) {
    assert_eq!(as_text(trace, answer), expected);
}

#[test]
fn a_kept_trace_names_its_rule() {
    check(
        0x5b8e_fff7,
        &Answer::Decided(decision(true, "shop/shop/errors", 0)),
        "Trace 0000000000000000000000005b8efff7: kept, by rule errors of SamplingPolicy shop/shop
  probability  100 %: such traces are all kept
  decided      12.3 s ago, with 13 spans",
    );
}

#[test]
fn a_trace_below_the_threshold_shows_both() {
    let mut decision = decision(false, "shop/shop/default", TENTH);
    decision.late_spans = 1;
    check(
        0x1234_5678_90ab_cdef,
        &Answer::Decided(decision),
        "Trace 00000000000000001234567890abcdef: sampled out, by the default of SamplingPolicy shop/shop
  probability  10 %: the end of the id, 34567890abcdef, is below e6660000000000
  decided      12.3 s ago, with 13 spans
  late         1 span came after the decision and followed it",
    );
}

#[test]
fn a_randomness_of_its_own_is_not_read_off_the_id() {
    let mut decision = decision(true, "shop/shop/default", TENTH);
    decision.is_early = true;
    check(
        7,
        &Answer::Decided(decision),
        "Trace 00000000000000000000000000000007: kept, by the default of SamplingPolicy shop/shop
  probability  10 %: decided by the randomness that its spans brought along
  decided      12.3 s ago, with 13 spans
  early        before its wait was over: no room, a trace too large, or a shutdown",
    );
}

#[test]
fn a_cap_of_nothing_keeps_nothing() {
    check(
        7,
        &Answer::Decided(decision(false, "shop/shop/health", 1 << 56)),
        "Trace 00000000000000000000000000000007: sampled out, by rule health of SamplingPolicy shop/shop
  probability  0 %: such traces are never kept
  decided      12.3 s ago, with 13 spans",
    );
}

#[test]
fn small_and_large_shares_keep_their_digits() {
    for (probability, expected) in
        [(1.0, "100"), (0.1, "10"), (0.333_333, "33.33"), (0.01, "1"), (0.000_123, "0.0123")]
    {
        assert_eq!(percent(probability), expected);
    }
}
