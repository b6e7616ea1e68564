//! What is told once: the transitions between two statuses of one object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sluice_crds::conditions::{ConditionType, EventReason, Reason};
use sluice_crds::{CollectorStatus, DestinationStatus, TelemetryPipelineStatus};

/// A reason, and a note that ends with what to do.
pub(super) type Told = (EventReason, String);

/// A condition that became what it was not: other status, or other reason.
fn turned<'a>(
    before: &[Condition],
    after: &'a [Condition],
    type_: ConditionType,
) -> Option<&'a Condition> {
    let find = |list: &'a [Condition]| list.iter().find(|c| c.type_ == type_.as_str());
    let now = find(after)?;
    let then = before.iter().find(|condition| condition.type_ == type_.as_str());
    let same = then.is_some_and(|then| then.status == now.status && then.reason == now.reason);
    (!same).then_some(now)
}

fn has_reason(condition: &Condition, reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| reason.as_str() == condition.reason)
}

fn was(list: &[Condition], type_: ConditionType, status: &str) -> bool {
    list.iter().any(|condition| condition.type_ == type_.as_str() && condition.status == status)
}

pub(super) fn of_collector(before: &CollectorStatus, after: &CollectorStatus) -> Vec<Told> {
    let mut told = Vec::new();
    let turned = |type_| turned(&before.conditions, &after.conditions, type_);
    let mistakes = [Reason::InvalidSpec, Reason::RefNotPermitted];
    if let Some(stalled) = turned(ConditionType::Stalled).filter(|c| has_reason(c, &mistakes)) {
        told.push((EventReason::CollectorRejected, stalled.message.clone()));
    }
    let wanted = |status: &CollectorStatus| status.config.as_ref().map(|c| c.wanted.clone());
    if let Some(hash) = wanted(after).filter(|hash| wanted(before).as_ref() != Some(hash)) {
        told.push((EventReason::ConfigPublished, format!("Configuration {hash} is wanted.")));
    }
    match turned(ConditionType::ConfigAdopted) {
        Some(adopted) if adopted.status == "True" => {
            told.push((EventReason::ConfigAdopted, adopted.message.clone()));
        }
        Some(adopted) if has_reason(adopted, &[Reason::RejectedByAgent]) => {
            told.push((EventReason::ConfigRejected, adopted.message.clone()));
        }
        _ => {}
    }
    let unavailable = [Reason::PodsCrashLooping, Reason::ImagePullFailed, Reason::Unschedulable];
    match turned(ConditionType::AgentsAvailable) {
        Some(available) if has_reason(available, &[Reason::OOMKilled]) => {
            told.push((EventReason::AgentOOMKilled, available.message.clone()));
        }
        Some(available) if has_reason(available, &unavailable) => {
            told.push((EventReason::AgentsUnavailable, available.message.clone()));
        }
        _ => {}
    }
    if let Some(memory) = turned(ConditionType::MemoryPressure).filter(|c| c.status == "True") {
        told.push((EventReason::MemoryPressure, memory.message.clone()));
    }
    told.extend(upgraded(before, after));
    told
}

fn upgraded(before: &CollectorStatus, after: &CollectorStatus) -> Option<Told> {
    let (was, is) = (before.version.as_ref()?, after.version.as_ref()?);
    let current = |oldest: &Option<String>| oldest.as_ref() == Some(&is.wanted);
    let upgraded = was.oldest.is_some() && !current(&was.oldest) && current(&is.oldest);
    let note = || format!("All agents run version {}.", is.wanted);
    upgraded.then(|| (EventReason::UpgradeCompleted, note()))
}

pub(super) fn of_pipeline(
    before: &TelemetryPipelineStatus,
    after: &TelemetryPipelineStatus,
) -> Vec<Told> {
    let mut told = Vec::new();
    let turned = |type_| turned(&before.conditions, &after.conditions, type_);
    if let Some(accepted) = turned(ConditionType::Accepted).filter(|c| c.status == "False") {
        told.push((EventReason::PipelineRejected, accepted.message.clone()));
    }
    let lost = [Reason::AllDataDropped, Reason::SomeDataDropped];
    match turned(ConditionType::FlowHealthy) {
        Some(flow) if has_reason(flow, &lost) => {
            told.push((EventReason::DataDropped, flow.message.clone()));
        }
        Some(flow) if has_reason(flow, &[Reason::BufferFillingUp]) => {
            told.push((EventReason::BufferFillingUp, flow.message.clone()));
        }
        _ => {}
    }
    told
}

pub(super) fn of_destination(before: &DestinationStatus, after: &DestinationStatus) -> Vec<Told> {
    let mut told = Vec::new();
    let turned = |type_| turned(&before.conditions, &after.conditions, type_);
    let mistakes = [Reason::InvalidSpec, Reason::RefNotPermitted];
    if let Some(stalled) = turned(ConditionType::Stalled).filter(|c| has_reason(c, &mistakes)) {
        told.push((EventReason::DestinationRejected, stalled.message.clone()));
    }
    let missing = [Reason::SecretMissing, Reason::SecretKeyMissing];
    if let Some(credentials) = turned(ConditionType::CredentialsValid) {
        let reason = match credentials {
            c if has_reason(c, &missing) => Some(EventReason::SecretMissing),
            c if has_reason(c, &[Reason::SecretAccessDenied]) => {
                Some(EventReason::SecretAccessDenied)
            }
            c if has_reason(c, &[Reason::Unauthorized]) => Some(EventReason::CredentialsRejected),
            _ => None,
        };
        told.extend(reason.map(|reason| (reason, credentials.message.clone())));
    }
    let partial = [Reason::SomeNodesCannotReach];
    match turned(ConditionType::Reachable) {
        Some(reachable) if reachable.status == "False" && !has_reason(reachable, &partial) => {
            told.push((EventReason::DestinationUnreachable, reachable.message.clone()));
        }
        Some(reachable)
            if reachable.status == "True"
                && was(&before.conditions, ConditionType::Reachable, "False") =>
        {
            told.push((EventReason::DestinationRecovered, reachable.message.clone()));
        }
        _ => {}
    }
    told
}
