//! The status of a TelemetryPipeline.

use super::Source;
use super::adoption::{Count, FleetAdoption};
use super::conditions::{Conditions, Readiness};
use super::delivery::{Failing, Summary};
use super::flow::{Health, sentence, shown};
use super::programmed::{self, Done, Progress};
use crate::compile::{Verdict, parse_key};
use crate::observed::{Fleet, ObjectName};
use crate::problem::Problem;
use crate::report::{DeliveryKey, FlowKey, Signal};
use sluice_crds::conditions::{ConditionType, Reason, Status};
use sluice_crds::pipeline::{Adoption, DestinationState, SignalFlow};
use sluice_crds::{TelemetryPipeline, TelemetryPipelineSpec, TelemetryPipelineStatus};
use sluice_engine::config::Pipeline;

pub(super) fn status(
    source: &Source<'_>,
    name: &ObjectName,
    object: &TelemetryPipeline,
    verdict: &Verdict,
) -> TelemetryPipelineStatus {
    let before = object.status.as_ref();
    let conditions_before = before.map_or(&[][..], |before| &before.conditions);
    let generation = object.metadata.generation.unwrap_or_default();
    let key = name.to_string();
    let view = View::new(source, object.spec.collector(), &key);
    let mut conditions = Conditions::new(conditions_before, generation, source.observed.now);
    set_accepted(&mut conditions, verdict, view.running.is_some());
    let readiness = match verdict {
        Verdict::Rejected(problem) => {
            Readiness::Failed(problem.reason(), rejected(problem, view.running.is_some()))
        }
        Verdict::Paused => Readiness::Done(Reason::Paused, sentence(Reason::Paused)),
        Verdict::Accepted(compiled) if view.running != Some(compiled) => {
            programmed::set_not_handed_out(&mut conditions, object.spec.collector())
        }
        Verdict::Accepted(_) => {
            programmed::set(&mut conditions, &view.progress(), Done::programmed())
        }
    };
    if view.running.is_some() {
        view.health(&key).set(&mut conditions, view.is_reporting());
        set_affected(&mut conditions, source, &key);
    }
    conditions.set_readiness(readiness, source.observed.settings.progress_deadline);
    TelemetryPipelineStatus {
        observed_generation: Some(generation),
        signals: view.signals(&key, before.map_or(&[], |before| &before.signals)),
        signals_summary: Some(summary(&object.spec)).filter(|summary| !summary.is_empty()),
        destinations: view.destinations(&key),
        adopted: Some(adoption(view.count)),
        conditions: conditions.finish(),
    }
}

/// One pipeline within its fleet.
struct View<'a> {
    fleet: Option<&'a Fleet>,
    adoption: Option<&'a FleetAdoption<'a>>,
    /// The version that agents should run: the newest, or the last good one.
    running: Option<&'a Pipeline>,
    count: Count,
}

impl<'a> View<'a> {
    fn new(source: &'a Source<'_>, collector: &str, key: &str) -> Self {
        let fleet = source.observed.fleets.get(collector);
        let adoption = source.adoptions.fleet(collector);
        let running = adoption.and_then(|a| a.wanted).and_then(|w| w.pipelines.get(key));
        Self {
            fleet,
            adoption,
            running,
            count: adoption.map(|adoption| adoption.pipeline(key)).unwrap_or_default(),
        }
    }

    fn progress(&self) -> Progress<'a> {
        Progress {
            count: self.count,
            has_no_node: programmed::has_no_node(self.fleet),
            rejection: self.adoption.and_then(|adoption| adoption.rejection),
        }
    }

    fn is_reporting(&self) -> bool {
        self.count.of > 0
    }

    /// Each signal that is collected, with its destinations.
    fn queues(&self) -> impl Iterator<Item = (Signal, &'a str)> {
        let running = self.running;
        Signal::ALL.into_iter().flat_map(move |signal| {
            let keys = running.map(|running| match signal {
                Signal::Traces => &running.traces,
                Signal::Metrics => &running.metrics,
                Signal::Logs => &running.logs,
            });
            keys.into_iter().flatten().map(move |key| (signal, key.as_str()))
        })
    }

    fn delivery(&self, pipeline: &str, signal: Signal, destination: &str) -> Summary {
        let key = DeliveryKey {
            destination: destination.to_owned(),
            pipeline: pipeline.to_owned(),
            signal,
        };
        Summary::of(self.fleet.and_then(|fleet| fleet.report.deliveries.get(&key)).into_iter())
    }

    fn health(&self, pipeline: &str) -> Health {
        let mut health = Health::default();
        for signal in Signal::ALL {
            let key = FlowKey { pipeline: pipeline.to_owned(), signal };
            if let Some(flow) = self.fleet.and_then(|fleet| fleet.report.flows.get(&key)) {
                health.accepted += flow.rates.accepted;
                health.refused += flow.rates.refused;
                health.dropped += flow.rates.dropped;
                health.sent += flow.rates.sent;
            }
        }
        for (signal, destination) in self.queues() {
            let delivery = self.delivery(pipeline, signal, destination);
            health.sent += delivery.sent_rate;
            health.dropped += delivery.dropped_rate;
            health.queue_percent = health.queue_percent.max(delivery.queue_percent);
            let list = match delivery.failures.first() {
                Some((Failing::Answer(Reason::AllRejected) | Failing::Credentials(_), _, _)) => {
                    &mut health.rejecting
                }
                Some(_) => &mut health.unreachable,
                None => continue,
            };
            if !list.iter().any(|name| name == destination) {
                list.push(destination.to_owned());
            }
        }
        health
    }

    fn signals(&self, pipeline: &str, before: &[SignalFlow]) -> Vec<SignalFlow> {
        let mut signals: Vec<_> = self.queues().map(|(signal, _)| signal).collect();
        signals.dedup();
        let flow = |signal: Signal| {
            let key = FlowKey { pipeline: pipeline.to_owned(), signal };
            let flow = self.fleet.and_then(|fleet| fleet.report.flows.get(&key)).copied();
            let before = before.iter().find(|before| before.signal == signal.as_str());
            shown(signal, &flow.unwrap_or_default(), before)
        };
        signals.into_iter().map(flow).collect()
    }

    fn destinations(&self, pipeline: &str) -> Vec<DestinationState> {
        let state = |(signal, key): (Signal, &str)| {
            let name = parse_key(key)?;
            let delivery = self.delivery(pipeline, signal, key);
            Some(DestinationState {
                signal: signal.as_str().to_owned(),
                name: name.name,
                namespace: name.namespace,
                state: delivery.delivering().as_str().to_owned(),
            })
        };
        self.queues().filter_map(state).collect()
    }
}

fn set_accepted(conditions: &mut Conditions<'_>, verdict: &Verdict, runs_on: bool) {
    let type_ = ConditionType::Accepted;
    match verdict {
        Verdict::Rejected(problem) => {
            conditions.set(type_, Status::False, problem.reason(), rejected(problem, runs_on));
        }
        Verdict::Accepted(_) | Verdict::Paused => {
            conditions.set(type_, Status::True, Reason::Accepted, sentence(Reason::Accepted));
        }
    }
}

fn rejected(problem: &Problem, runs_on: bool) -> String {
    match runs_on {
        true => format!("{problem}. The last good version runs on."),
        false => format!("{problem}. Nothing runs for this pipeline until then."),
    }
}

/// Present only while a policy decides.
fn set_affected(conditions: &mut Conditions<'_>, source: &Source<'_>, key: &str) {
    let Some(policies) = source.affecting.get(key) else { return };
    let policies: Vec<_> = policies.iter().map(|policy| format!("\"{policy}\"")).collect();
    let (names, reason) = (policies.join(", "), Reason::PolicyAffected);
    let message = format!("SamplingPolicy {names} decides which of its traces are kept.");
    conditions.set(ConditionType::SamplingPolicyAffected, Status::True, reason, message);
}

fn adoption(count: Count) -> Adoption {
    Adoption {
        agents: i32::try_from(count.adopted).unwrap_or(i32::MAX),
        of: i32::try_from(count.of).unwrap_or(i32::MAX),
        summary: format!("{}/{}", count.adopted, count.of),
    }
}

fn summary(spec: &TelemetryPipelineSpec) -> String {
    let signals = [
        (Signal::Traces, spec.traces.is_some()),
        (Signal::Metrics, spec.metrics.is_some()),
        (Signal::Logs, spec.logs.is_some()),
    ];
    let names: Vec<_> = signals.iter().filter(|s| s.1).map(|s| s.0.as_str()).collect();
    names.join(",")
}
