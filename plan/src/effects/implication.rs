//! Whether one match is a special case of another. What it cannot compare it takes as different:
//! a yes is certain, a no is not.

use sluice_engine::config::sampling::{AttributeMatch, AttributeOperator, Match};
use sluice_engine::selector::glob;

/// Whether every trace that matches `narrow` matches `wide` too. What is about a span holds in both
/// for one and the same span, so each field of `wide` may be compared alone.
pub(super) fn implies(narrow: &Match, wide: &Match) -> bool {
    // Taken apart, so that a new field is not forgotten.
    let Match {
        status,
        http_status,
        trace_duration_min_ns,
        span_duration_min_ns,
        span_count_min,
        attributes,
        services,
        operations,
        slower_than,
        rare_operation,
        trace_ql,
    } = wide;
    same_or_absent(&narrow.status, status)
        && are_within(&narrow.http_status, http_status)
        && at_least(narrow.trace_duration_min_ns, *trace_duration_min_ns)
        && at_least(narrow.span_duration_min_ns, *span_duration_min_ns)
        // Every trace has a span.
        && at_least(narrow.span_count_min.or(Some(1)), *span_count_min)
        && attributes.iter().all(|wide| narrow.attributes.iter().any(|own| is_stricter(own, wide)))
        && are_special(&narrow.services, services)
        && are_special(&narrow.operations, operations)
        && same_or_absent(&narrow.slower_than, slower_than)
        && same_or_absent(&narrow.rare_operation, rare_operation)
        && same_or_absent(&narrow.trace_ql, trace_ql)
}

fn same_or_absent<T: PartialEq>(narrow: &Option<T>, wide: &Option<T>) -> bool {
    wide.is_none() || narrow == wide
}

fn at_least<T: Ord>(narrow: Option<T>, wide: Option<T>) -> bool {
    wide.is_none_or(|wide| narrow.is_some_and(|narrow| wide <= narrow))
}

/// Whether each range lies in what the others cover together.
fn are_within(narrow: &[(u16, u16)], wide: &[(u16, u16)]) -> bool {
    let is_within = |(low, high): &(u16, u16)| {
        (*low..=*high).all(|code| wide.iter().any(|(from, to)| (*from..=*to).contains(&code)))
    };
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(is_within))
}

/// Whether each text that one of the first globs matches, one of the others matches.
fn are_special(narrow: &[String], wide: &[String]) -> bool {
    let is_special = |own: &String| wide.iter().any(|wide| is_special(own, wide));
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(is_special))
}

fn is_special(narrow: &str, wide: &str) -> bool {
    let is_wild = |char: char| char == '*' || char == '?';
    if narrow == wide {
        return true;
    }
    if !narrow.contains(is_wild) {
        return glob(wide, narrow);
    }
    // `report-eu-*` under `report-*`: what stands before the first wildcard decides.
    let start = narrow.split(is_wild).next().unwrap_or_default();
    wide.strip_suffix('*').is_some_and(|wide| !wide.contains(is_wild) && start.starts_with(wide))
}

/// Of one attribute, whether what satisfies the first satisfies the second.
fn is_stricter(narrow: &AttributeMatch, wide: &AttributeMatch) -> bool {
    use AttributeOperator::{DoesNotExist, Exists, Gt, In, Lt, NotIn, Regex};
    let is_subset = |of: &[String], all: &[String]| of.iter().all(|value| all.contains(value));
    let (own, other) = (&narrow.values, &wide.values);
    narrow.key == wide.key
        && match (narrow.operator, wide.operator) {
            (In, In) | (Regex, Regex) => is_subset(own, other),
            (NotIn, NotIn) => is_subset(other, own),
            (In | Regex | Gt | Lt | Exists, Exists) => true,
            (DoesNotExist, DoesNotExist | NotIn) => true,
            (Gt, Gt) => compare(other, own),
            (Lt, Lt) => compare(own, other),
            _ => false,
        }
}

/// Whether the only number of the one is at most that of the other.
fn compare(low: &[String], high: &[String]) -> bool {
    let ([low], [high]) = (low, high) else { return false };
    match (low.parse::<i64>(), high.parse::<i64>(), low.parse::<f64>(), high.parse::<f64>()) {
        (Ok(low), Ok(high), _, _) => low <= high,
        (_, _, Ok(low), Ok(high)) => low <= high,
        _ => false,
    }
}
