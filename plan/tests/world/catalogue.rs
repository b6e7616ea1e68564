//! What a status says is what the reference says it may: `sluice_crds::conditions::CATALOGUE`.

use super::Condition;
use sluice_crds::conditions::CATALOGUE;
use sluice_plan::Status;

pub(crate) fn assert_catalogued(status: &Status) {
    let ancestors = match status {
        Status::SamplingPolicy(policy) => policy.ancestors.as_slice(),
        _ => &[],
    };
    let of_ancestors = ancestors.iter().flat_map(|ancestor| &ancestor.conditions);
    let conditions: Vec<&Condition> = status.conditions().iter().chain(of_ancestors).collect();
    for condition in conditions {
        let (type_, reason) = (condition.type_.as_str(), condition.reason.as_str());
        let known = CATALOGUE.iter().any(|entry| {
            entry.condition.as_str() == type_
                && entry.kinds.contains(&status.kind())
                && entry.reasons.iter().any(|(status, reasons)| {
                    status.as_str() == condition.status
                        && reasons.iter().any(|known| known.as_str() == reason)
                })
        });
        let kind = status.kind().as_str();
        assert!(known, "{kind} {type_}={} {reason} is in no entry", condition.status);
    }
}
