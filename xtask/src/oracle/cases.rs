//! What is compared: a criterion by which traces are kept, said once, and translated for each side.

use crate::contest::threshold::Share;

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) criterion: Criterion,
    /// Whether spans come with a trace state, as sampled before.
    pub(super) states: bool,
}

pub(super) enum Criterion {
    Always,
    /// Some span has the status Error.
    Error,
    /// From the first start to the last end.
    DurationMin {
        ms: u32,
    },
    SpanCountMin(u32),
    /// Some span or its resource has a whole number in these bounds.
    Number {
        key: &'static str,
        min: u32,
        max: Option<u32>,
    },
    /// Some span or its resource has such a text.
    Text {
        key: &'static str,
        texts: Texts,
    },
    /// No span and no resource has such a text.
    NoText {
        key: &'static str,
        texts: Texts,
    },
    /// By one policy each.
    Any(&'static [Criterion]),
    /// In one policy.
    All(&'static [Criterion]),
    /// Of all traces, by consistent probability, whatever is in them.
    Share(Share),
}

pub(super) enum Texts {
    In(&'static [&'static str]),
    /// By a regular expression.
    StartsWith(&'static str),
    /// By a regular expression.
    Contains(&'static str),
}

const TIER: &str = "customer.tier";
const STATUS_CODE: &str = "http.response.status_code";

pub(super) const CASES: &[Case] = &[
    plain("always_sample", Criterion::Always),
    plain("status_code", Criterion::Error),
    plain("latency", Criterion::DurationMin { ms: 1000 }),
    plain("span_count", Criterion::SpanCountMin(5)),
    plain(
        "numeric_attribute, a range",
        Criterion::Number { key: STATUS_CODE, min: 500, max: Some(599) },
    ),
    plain("numeric_attribute", Criterion::Number { key: STATUS_CODE, min: 404, max: None }),
    plain(
        "string_attribute",
        Criterion::Text { key: TIER, texts: Texts::In(&["gold", "platinum"]) },
    ),
    plain(
        "string_attribute, a pattern at the start",
        Criterion::Text { key: TIER, texts: Texts::StartsWith("gold") },
    ),
    plain(
        "string_attribute, a pattern anywhere",
        Criterion::Text { key: TIER, texts: Texts::Contains("old") },
    ),
    plain(
        "string_attribute, inverted",
        Criterion::NoText { key: TIER, texts: Texts::In(&["gold", "platinum"]) },
    ),
    plain(
        "string_attribute, a pattern inverted",
        Criterion::NoText { key: TIER, texts: Texts::Contains("old") },
    ),
    plain("and", Criterion::All(&[Criterion::DurationMin { ms: 1000 }, Criterion::Error])),
    plain(
        "several policies",
        Criterion::Any(&[
            Criterion::Error,
            Criterion::DurationMin { ms: 1000 },
            Criterion::Text { key: TIER, texts: Texts::In(&["gold"]) },
        ]),
    ),
    plain("equalizing, 10 %", Criterion::Share(TENTH)),
    sampled("equalizing, 10 %, sampled before", TENTH),
    sampled("equalizing, 0.1 %, sampled before", THOUSANDTH),
    sampled("equalizing, 33.3333 %, sampled before", THIRD),
];

const TENTH: Share = Share(100_000);
const THOUSANDTH: Share = Share(1_000);
const THIRD: Share = Share(333_333);

/// All that occur: some traces' ids lie about their thresholds.
pub(super) const SHARES: [Share; 3] = [TENTH, THOUSANDTH, THIRD];

const fn plain(name: &'static str, criterion: Criterion) -> Case {
    Case { name, criterion, states: false }
}

const fn sampled(name: &'static str, share: Share) -> Case {
    Case { name, criterion: Criterion::Share(share), states: true }
}
