//! What a status says is what the reference says it may: `sluice_crds::conditions::CATALOGUE`.

use sluice_crds::conditions::CATALOGUE;
use sluice_plan::Status;

pub(crate) fn assert_catalogued(status: &Status) {
    for condition in status.conditions() {
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
