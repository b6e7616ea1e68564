//! How far one version of an object has come in the agents that should run it.

use super::adoption::Count;
use super::collector::rejection;
use super::conditions::{Conditions, Readiness};
use super::flow::sentence;
use crate::observed::Fleet;
use crate::report::AgentState;
use sluice_crds::conditions::{ConditionType, Reason, Status};

pub(super) struct Progress<'a> {
    pub(super) count: Count,
    /// Nobody will ever report.
    pub(super) has_no_node: bool,
    /// The first agent that refused what is wanted.
    pub(super) rejection: Option<&'a AgentState>,
}

/// What `Programmed` says once enough agents run the version.
pub(super) struct Done {
    pub(super) status: Status,
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// The reasons of [`Done`].
const DONE: [Reason; 3] = [Reason::Programmed, Reason::Overridden, Reason::DryRun];

impl Done {
    pub(super) fn programmed() -> Self {
        let reason = Reason::Programmed;
        Self { status: Status::True, reason, message: sentence(reason) }
    }
}

pub(super) fn has_no_node(fleet: Option<&Fleet>) -> bool {
    let set = fleet.and_then(|fleet| fleet.daemon_set);
    set.is_some_and(|set| set.observed_generation >= set.generation && set.desired == 0)
}

/// Sets `Programmed`, and says how far the generation has come.
pub(super) fn set(
    conditions: &mut Conditions<'_>,
    progress: &Progress<'_>,
    done: Done,
) -> Readiness {
    let type_ = ConditionType::Programmed;
    let is_reporting = progress.count.of > 0;
    if progress.has_no_node {
        not_yet(conditions, Reason::NoCollectors, Reason::WaitingForAgents);
        return Readiness::Done(Reason::NoEligibleNodes, sentence(Reason::NoEligibleNodes));
    }
    if !is_reporting && !conditions.had_reason(type_, &DONE) {
        return not_yet(conditions, Reason::NoCollectors, Reason::WaitingForAgents);
    }
    if progress.count.is_enough() || !is_reporting {
        conditions.set(type_, done.status, done.reason, done.message);
        return Readiness::Done(Reason::Reconciled, sentence(Reason::Reconciled));
    }
    if let Some(agent) = progress.rejection {
        let message = rejection(agent);
        conditions.set(type_, Status::False, Reason::RejectedByAgent, message.clone());
        return Readiness::Failed(Reason::RejectedByAgent, message);
    }
    let reason =
        if progress.count.adopted == 0 { Reason::RollingOut } else { Reason::PartiallyProgrammed };
    not_yet(conditions, reason, Reason::RollingOut)
}

/// The Collector is paused, or was never good enough to run: no agent is given this version.
pub(super) fn set_not_handed_out(conditions: &mut Conditions<'_>, collector: &str) -> Readiness {
    let message = format!(
        "Collector \"{collector}\" does not take it now: it is paused, has a mistake, or its \
         `spec.gateway.mode` is Never. See its conditions."
    );
    let (type_, reason) = (ConditionType::Programmed, Reason::NoCollectors);
    conditions.set(type_, Status::False, reason, message.clone());
    Readiness::Waiting { reconciling: Reason::WaitingForAgents, message }
}

fn not_yet(conditions: &mut Conditions<'_>, reason: Reason, reconciling: Reason) -> Readiness {
    conditions.set(ConditionType::Programmed, Status::False, reason, sentence(reason));
    Readiness::UnderWay {
        ready: Reason::Progressing,
        reconciling,
        stuck: Reason::ProgressDeadlineExceeded,
        message: sentence(reason),
    }
}
