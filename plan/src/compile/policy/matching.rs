//! What a rule is about, as collectors read it. Whether it can be, `Matcher` says.

use sluice_crds::Duration;
use sluice_crds::policy as crd;
use sluice_engine::config::sampling::{
    AttributeMatch, AttributeOperator, Match, RareOperation, SlowerThan, SpanStatus,
};

pub(super) fn compile(matches: &crd::Match) -> Match {
    Match {
        status: matches.status.map(|status| match status {
            crd::SpanStatus::Unset => SpanStatus::Unset,
            crd::SpanStatus::Ok => SpanStatus::Ok,
            crd::SpanStatus::Error => SpanStatus::Error,
        }),
        http_status: matches.http_status.as_ref().map_or(Vec::new(), |own| own.ranges().to_vec()),
        trace_duration_min_ns: matches.min_duration.map(nanos),
        span_duration_min_ns: matches.span_duration.map(nanos),
        span_count_min: matches.span_count.map(count),
        attributes: matches.attributes.iter().map(attribute).collect(),
        services: matches.services.clone(),
        operations: matches.operations.clone(),
        slower_than: matches.slower_than.as_ref().map(|own| SlowerThan {
            percentile_ppm: own.percentile.ppm(),
            window_ms: own.window().millis(),
            samples_min: count(own.min_samples()),
        }),
        rare_operation: matches.rare_operation.as_ref().map(|own| RareOperation {
            below_ppm: own.below_percent.ppm(),
            window_ms: own.window().millis(),
            per_second_max: count(own.max_per_second()),
        }),
        trace_ql: matches.trace_ql.clone(),
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.millis().saturating_mul(1_000_000)
}

/// The API server takes none below 1.
fn count(count: i32) -> u32 {
    u32::try_from(count).unwrap_or(1)
}

fn attribute(attribute: &crd::AttributeMatch) -> AttributeMatch {
    AttributeMatch {
        key: attribute.key.clone(),
        operator: match attribute.operator {
            crd::AttributeOperator::In => AttributeOperator::In,
            crd::AttributeOperator::NotIn => AttributeOperator::NotIn,
            crd::AttributeOperator::Exists => AttributeOperator::Exists,
            crd::AttributeOperator::DoesNotExist => AttributeOperator::DoesNotExist,
            crd::AttributeOperator::Regex => AttributeOperator::Regex,
            crd::AttributeOperator::Gt => AttributeOperator::Gt,
            crd::AttributeOperator::Lt => AttributeOperator::Lt,
        },
        values: attribute.values.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sluice_engine::matching::Matcher;

    #[test]
    fn every_field_comes_through_in_the_units_of_collectors() {
        let written = json!({
            "status": "Error", "httpStatus": "429,5xx", "minDuration": "1s",
            "spanDuration": "5ms", "spanCount": 3,
            "attributes": [{"key": "tier", "operator": "In", "values": ["gold"]}],
            "services": ["shop-*"], "operations": ["GET /"],
            "slowerThan": {"percentile": "99.9"}, "rareOperation": {"belowPercent": "0.5"},
            "traceQL": "{ status = error }",
        });
        let compiled = compile(&serde_json::from_value(written).unwrap());
        let gold = AttributeMatch {
            key: "tier".into(),
            operator: AttributeOperator::In,
            values: vec!["gold".into()],
        };
        let expected = Match {
            status: Some(SpanStatus::Error),
            http_status: vec![(429, 429), (500, 599)],
            trace_duration_min_ns: Some(1_000_000_000),
            span_duration_min_ns: Some(5_000_000),
            span_count_min: Some(3),
            attributes: vec![gold],
            services: vec!["shop-*".into()],
            operations: vec!["GET /".into()],
            slower_than: Some(SlowerThan {
                percentile_ppm: 999_000,
                window_ms: 600_000,
                samples_min: 1000,
            }),
            rare_operation: Some(RareOperation {
                below_ppm: 5000,
                window_ms: 3_600_000,
                per_second_max: 10,
            }),
            trace_ql: Some("{ status = error }".into()),
        };
        assert_eq!(compiled, expected);
        assert!(Matcher::new([&compiled]).is_ok());
    }
}
