//! What is told once: the transitions between two statuses of one object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sluice_crds::collector::GatewayCounts;
use sluice_crds::conditions::{ConditionType, EventReason, Reason};
use sluice_crds::{
    CollectorStatus, DestinationStatus, SamplingPolicyStatus, TelemetryPipelineStatus,
};

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
    told.extend(gateways(before.gateways.as_ref(), after.gateways.as_ref()));
    told
}

fn gateways(before: Option<&GatewayCounts>, after: Option<&GatewayCounts>) -> Vec<Told> {
    let nothing = GatewayCounts::default();
    let (was, is) = (before.unwrap_or(&nothing), after.unwrap_or(&nothing));
    let mut told = Vec::new();
    match (was.desired, is.desired) {
        (was, is) if was == is => {}
        (0, is) => told.push((EventReason::GatewayStarted, format!("{is} gateways are started."))),
        (_, 0) => {
            let note = "Gateways are stopped: no policy needs whole traces, or `spec.gateway.mode` \
                        is Never.";
            told.push((EventReason::GatewayStopped, note.to_owned()));
        }
        (was, is) => {
            let note = format!("There are to be {is} gateways in place of {was}.");
            told.push((EventReason::GatewayScaled, note));
        }
    }
    if was.ring_epoch != 0 && was.ring_epoch != is.ring_epoch {
        let (was, is) = (was.ring_epoch, is.ring_epoch);
        let note = format!("Ring {is} of gateways takes the place of ring {was}.");
        told.push((EventReason::RingChanged, note));
    }
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

pub(super) fn of_policy(before: &SamplingPolicyStatus, after: &SamplingPolicyStatus) -> Vec<Told> {
    let mut told = Vec::new();
    let turned = |type_| turned(&before.conditions, &after.conditions, type_);
    let is_mistake = |c: &&Condition| c.status == "False" && !has_reason(c, &[Reason::Disabled]);
    if let Some(accepted) = turned(ConditionType::Accepted).filter(is_mistake) {
        told.push((EventReason::PolicyRejected, accepted.message.clone()));
    }
    if let Some(programmed) = turned(ConditionType::Programmed).filter(|c| c.status == "True") {
        told.push((EventReason::PolicyProgrammed, programmed.message.clone()));
    }
    let shadowed = [Reason::RulesShadowed];
    if let Some(rules) = turned(ConditionType::RulesEffective).filter(|c| has_reason(c, &shadowed))
    {
        told.push((EventReason::RulesShadowed, rules.message.clone()));
    }
    let early = [Reason::DecidedEarly];
    if let Some(buffer) = turned(ConditionType::BufferSufficient).filter(|c| has_reason(c, &early))
    {
        told.push((EventReason::TracesDecidedEarly, buffer.message.clone()));
    }
    told.extend(dry_run_report(before, after));
    told
}

/// Once the first numbers are there.
fn dry_run_report(before: &SamplingPolicyStatus, after: &SamplingPolicyStatus) -> Option<Told> {
    let report = after.dry_run.as_ref().filter(|_| before.dry_run.is_none())?;
    let reason = EventReason::DryRunReport;
    let note = format!(
        "It would keep {} % of the traces, and lose {} traces with an error a minute. {}",
        report.would_keep_percent,
        report.errors_lost,
        reason.remedy()
    );
    Some((reason, note))
}
