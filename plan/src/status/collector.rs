//! The status of a Collector.

use super::Source;
use super::adoption::{FleetAdoption, is_enough};
use super::conditions::{Conditions, Readiness};
use super::flow::sentence;
use super::gateways::Gateways;
use crate::children::{agent_name, version};
use crate::compile::{CompiledFleet, FleetState, Verdict};
use crate::observed::{
    DaemonSetState, Fleet, Refusal, RefusalCause, Settings, UnreadyPod, UnreadyReason,
};
use crate::report::{AgentState, MemoryPressure, Role};
use jiff::Timestamp;
use sluice_crds::collector::{
    AgentCounts, ConfigVersions, Effective, Endpoints, GatewayMode, PipelineCounts, Stage, Versions,
};
use sluice_crds::conditions::{ConditionType, Reason, Status};
use sluice_crds::{Collector, CollectorSpec, CollectorStatus, Size};

/// An agent that saw fewer unknown peers may have been unlucky with new pods.
const UNKNOWN_PEERS_MIN: u64 = 10;

pub(super) fn status(
    source: &Source<'_>,
    name: &str,
    object: &Collector,
    compiled: &CompiledFleet,
) -> CollectorStatus {
    let settings = &source.observed.settings;
    let before = object.status.as_ref();
    let conditions_before = before.map_or(&[][..], |before| &before.conditions);
    let generation = object.metadata.generation.unwrap_or_default();
    let none = Fleet::default();
    let fleet = source.observed.fleets.get(name).unwrap_or(&none);
    let no_agents = FleetAdoption::default();
    let adoption = source.adoptions.fleet(name).unwrap_or(&no_agents);
    let mut conditions = Conditions::new(conditions_before, generation, source.observed.now);
    let now = source.observed.now;
    let rollout = Rollout::of(fleet, settings, now);
    let wanted = compiled.config.as_ref().and_then(|config| config.gateways.as_deref());
    let gateways = Gateways::of(wanted, &object.spec, fleet, settings, now);
    set_agents_available(&mut conditions, &rollout);
    gateways.set_available(&mut conditions);
    set_config_adopted(&mut conditions, adoption, &rollout, settings);
    set_memory_pressure(&mut conditions, fleet);
    set_sender_identity(&mut conditions, fleet);
    let works = Works { fleet, rollout: &rollout, gateways: &gateways, adoption };
    let readiness = readiness(&conditions, compiled, &works, settings);
    conditions.set_readiness(readiness, settings.progress_deadline);
    CollectorStatus {
        observed_generation: Some(generation),
        cluster_id: Some(settings.cluster_uid.clone()).filter(|uid| !uid.is_empty()),
        version: Some(Versions {
            wanted: version(&object.spec.image(), settings),
            oldest: oldest_version(fleet),
        }),
        agents: Some(counts(&rollout, adoption)),
        gateways: Some(
            gateways.counts(adoption.gateways, before.and_then(|b| b.gateways.as_ref())),
        ),
        config: config_versions(compiled, adoption, before.and_then(|b| b.config.clone())),
        endpoints: Some(endpoints(name, &object.spec, settings)),
        effective: effective(&object.spec, compiled),
        pipelines: Some(pipelines(source, name)),
        conditions: conditions.finish(),
    }
}

/// How far the DaemonSet has come.
struct Rollout {
    set: Option<DaemonSetState>,
    worst: Option<UnreadyReason>,
    /// Some pod is not ready for longer than the deadline, or was never made.
    hangs: bool,
}

impl Rollout {
    fn of(fleet: &Fleet, settings: &Settings, now: Timestamp) -> Self {
        let late = |pod: &UnreadyPod| now.duration_since(pod.since) >= settings.progress_deadline;
        let missing = fleet.daemon_set.is_none_or(|set| {
            set.observed_generation < set.generation || set.current < set.desired
        });
        let pods = &fleet.unready_pods;
        Self {
            set: fleet.daemon_set,
            worst: pods.values().map(|pod| pod.reason).min(),
            hangs: pods.values().any(late) || (pods.is_empty() && missing),
        }
    }

    fn is_observed(&self) -> bool {
        self.set.is_some_and(|set| set.observed_generation >= set.generation)
    }

    fn has_no_node(&self) -> bool {
        self.is_observed() && self.set.is_some_and(|set| set.desired == 0)
    }

    fn is_done(&self) -> bool {
        self.is_observed()
            && self.set.is_some_and(|set| {
                is_enough(set.ready.into(), set.desired.into())
                    && is_enough(set.updated.into(), set.desired.into())
            })
    }

    /// Why agents are not there.
    fn reason(&self) -> Reason {
        unready_reason(self.worst)
    }
}

/// Why pods are not there, of which the worst is so.
pub(super) fn unready_reason(worst: Option<UnreadyReason>) -> Reason {
    match worst {
        Some(UnreadyReason::ImagePullFailed) => Reason::ImagePullFailed,
        Some(UnreadyReason::OutOfMemory) => Reason::OOMKilled,
        Some(UnreadyReason::CrashLooping) => Reason::PodsCrashLooping,
        Some(UnreadyReason::Unschedulable) => Reason::Unschedulable,
        Some(UnreadyReason::Evicted | UnreadyReason::Starting) | None => Reason::RolloutInProgress,
    }
}

fn set_agents_available(conditions: &mut Conditions<'_>, rollout: &Rollout) {
    let all = rollout.is_observed() && rollout.set.is_some_and(|set| set.ready >= set.desired);
    let (status, reason) = match (rollout.has_no_node(), all) {
        (true, _) => (Status::True, Reason::NoEligibleNodes),
        (false, true) => (Status::True, Reason::AllAvailable),
        (false, false) => (Status::False, rollout.reason()),
    };
    conditions.set(ConditionType::AgentsAvailable, status, reason, sentence(reason));
}

fn set_config_adopted(
    conditions: &mut Conditions<'_>,
    adoption: &FleetAdoption<'_>,
    rollout: &Rollout,
    settings: &Settings,
) {
    let type_ = ConditionType::ConfigAdopted;
    let late = conditions.is_overdue(type_, settings.progress_deadline);
    let (status, reason) = match adoption.rejection {
        _ if rollout.has_no_node() => (Status::True, Reason::Adopted),
        _ if adoption.agents.of == 0 => (Status::Unknown, Reason::StaleReports),
        _ if adoption.whole().is_enough() => (Status::True, Reason::Adopted),
        Some(_) => (Status::False, Reason::RejectedByAgent),
        None if late => (Status::False, Reason::SomeAgentsStale),
        None => (Status::False, Reason::AdoptionInProgress),
    };
    let message = match (reason, adoption.rejection) {
        (Reason::RejectedByAgent, Some(collector)) => rejection(collector),
        _ => sentence(reason),
    };
    conditions.set(type_, status, reason, message);
}

/// What a collector says that refused a configuration.
pub(super) fn rejection(collector: &AgentState) -> String {
    let AgentState { node, adoption_error: error, .. } = collector;
    let who = match collector.role {
        Role::Agent => "The agent of",
        Role::Gateway => "A gateway on",
    };
    format!("{who} node {node} says: {error}. {}", Reason::RejectedByAgent.remedy())
}

fn set_memory_pressure(conditions: &mut Conditions<'_>, fleet: &Fleet) {
    let worst = fleet.report.agents.values().map(|agent| agent.memory).max();
    let (status, reason) = match worst.unwrap_or_default() {
        MemoryPressure::Normal => (Status::False, Reason::Normal),
        MemoryPressure::Soft => (Status::True, Reason::SoftLimitReached),
        MemoryPressure::Hard => (Status::True, Reason::HardLimitReached),
    };
    conditions.set(ConditionType::MemoryPressure, status, reason, sentence(reason));
}

/// Degraded where half of the agents see more than a few senders that they cannot tell apart.
fn set_sender_identity(conditions: &mut Conditions<'_>, fleet: &Fleet) {
    let agents: Vec<_> =
        fleet.report.agents.values().filter(|agent| agent.role == Role::Agent).collect();
    let blind = agents.iter().filter(|agent| agent.unknown_peers >= UNKNOWN_PEERS_MIN).count();
    let (status, reason) = match blind > 0 && blind * 2 >= agents.len() {
        true => (Status::True, Reason::UnknownPeers),
        false => (Status::False, Reason::Normal),
    };
    conditions.set(ConditionType::SenderIdentityDegraded, status, reason, sentence(reason));
}

/// What has become of what was asked for.
struct Works<'a> {
    fleet: &'a Fleet,
    rollout: &'a Rollout,
    gateways: &'a Gateways<'a>,
    adoption: &'a FleetAdoption<'a>,
}

fn readiness(
    conditions: &Conditions<'_>,
    compiled: &CompiledFleet,
    works: &Works<'_>,
    settings: &Settings,
) -> Readiness {
    let Works { fleet, rollout, gateways, adoption } = works;
    let done = |reason: Reason| Readiness::Done(reason, sentence(reason));
    match &compiled.state {
        FleetState::Broken(problem) => {
            let message = format!("{problem}. Agents run on as before.");
            return Readiness::Failed(problem.reason(), message);
        }
        FleetState::Paused => return done(Reason::Paused),
        FleetState::Managed => {}
    }
    if let Some(refusal) = &fleet.refusal {
        return refused(refusal);
    }
    if rollout.has_no_node() {
        return done(Reason::NoEligibleNodes);
    }
    if !rollout.is_done() {
        return rolling_out(rollout.hangs, sentence(rollout.reason()));
    }
    if !gateways.is_done() {
        return rolling_out(gateways.hangs, format!("Gateways: {}", sentence(gateways.reason)));
    }
    if adoption.base().is_enough() {
        return done(Reason::Reconciled);
    }
    if let Some(agent) = adoption.rejection {
        return Readiness::Failed(Reason::RejectedByAgent, rejection(agent));
    }
    if adoption.agents.of == 0 && conditions.was_true(ConditionType::Ready) {
        return done(Reason::Reconciled);
    }
    let overdue = conditions.is_overdue(ConditionType::ConfigAdopted, settings.progress_deadline);
    let message = sentence(Reason::WaitingForAgents);
    match overdue {
        true => under_way(Reason::WaitingForAgents, message),
        false => Readiness::Waiting { reconciling: Reason::WaitingForAgents, message },
    }
}

/// A large fleet may take longer than the deadline, as long as each pod does not.
fn rolling_out(hangs: bool, message: String) -> Readiness {
    match hangs {
        true => under_way(Reason::RollingOut, message),
        false => Readiness::Waiting { reconciling: Reason::RollingOut, message },
    }
}

fn refused(refusal: &Refusal) -> Readiness {
    let reason = match refusal.cause {
        RefusalCause::Permission => Reason::PermissionDenied,
        RefusalCause::Quota => Reason::QuotaDenied,
    };
    Readiness::Failed(reason, format!("{}. {}", refusal.message, reason.remedy()))
}

fn under_way(reconciling: Reason, message: String) -> Readiness {
    let (ready, stuck) = (Reason::Progressing, Reason::ProgressDeadlineExceeded);
    Readiness::UnderWay { ready, reconciling, stuck, message }
}

fn counts(rollout: &Rollout, adoption: &FleetAdoption<'_>) -> AgentCounts {
    let set = rollout.set.unwrap_or_default();
    AgentCounts {
        desired: set.desired,
        ready: set.ready,
        adopted: i32::try_from(adoption.agents.adopted).unwrap_or(i32::MAX),
        reporting: i32::try_from(adoption.agents.of).unwrap_or(i32::MAX),
        summary: format!("{}/{}", set.ready, set.desired),
    }
}

fn config_versions(
    compiled: &CompiledFleet,
    adoption: &FleetAdoption<'_>,
    before: Option<ConfigVersions>,
) -> Option<ConfigVersions> {
    let wanted = compiled.config.as_ref()?.hash.clone();
    let last_good = match adoption.whole().is_enough() {
        true => Some(wanted.clone()),
        false => before.and_then(|before| before.last_good),
    };
    Some(ConfigVersions { wanted, last_good })
}

fn endpoints(name: &str, spec: &CollectorSpec, settings: &Settings) -> Endpoints {
    let host = format!("{}.{}", agent_name(name), settings.system_namespace);
    Endpoints {
        otlp_grpc: format!("{host}:{}", spec.grpc().port),
        otlp_http: format!("http://{host}:{}", spec.http().port),
        jaeger_remote_sampling: spec
            .jaeger_remote_sampling()
            .map(|asked| format!("http://{host}:{}/sampling", asked.http_port)),
    }
}

fn effective(spec: &CollectorSpec, compiled: &CompiledFleet) -> Option<Effective> {
    let (agent, gateway) = (spec.agent(), spec.gateway());
    let may_run = gateway.mode != GatewayMode::Never;
    let limit = |limit: Option<Size>| Some(limit.filter(|_| may_run)?.to_string());
    let is_needed = compiled.config.as_ref().is_some_and(|config| config.config.gateway.needed);
    Some(Effective {
        agent_soft_limit: agent.soft_limit()?.to_string(),
        agent_hard_limit: agent.hard_limit()?.to_string(),
        gateway_soft_limit: limit(gateway.soft_limit()),
        gateway_hard_limit: limit(gateway.hard_limit()),
        gateway_needed_for: is_needed.then_some(Stage::TailSampling).into_iter().collect(),
    })
}

fn pipelines(source: &Source<'_>, fleet: &str) -> PipelineCounts {
    let mut counts = PipelineCounts::default();
    for (name, verdict) in &source.compiled.pipelines {
        let object = source.observed.pipelines.get(name);
        if object.is_none_or(|object| object.spec.collector() != fleet) {
            continue;
        }
        match verdict {
            Verdict::Accepted(_) | Verdict::Paused => counts.accepted += 1,
            Verdict::Rejected(_) => counts.rejected += 1,
        }
    }
    counts
}

fn oldest_version(fleet: &Fleet) -> Option<String> {
    let versions = fleet.report.agents.values().map(|agent| &agent.version);
    versions.min_by_key(|version| (numbers(version), *version)).cloned()
}

/// `0.10.1-rc.2` as 0, 10, 1, …
fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).filter_map(|part| part.parse().ok()).collect()
}
