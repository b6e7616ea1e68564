//! A lap as text, for people and golden files.

use super::{Condition, World};
use sluice_crds::conditions::Reason;
use sluice_engine::config::sampling::Sampling;
use sluice_plan::{GatewayMemory, Plan};

/// What a person would want to know of a lap, one line each.
pub(crate) fn describe(world: &World, plan: &Plan) -> String {
    let mut lines = planned(plan);
    lines.extend(statuses(world));
    lines.extend(events(plan));
    lines.join("\n") + "\n"
}

fn planned(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, fleet) in &plan.fleets {
        lines.push(format!("config {name}"));
        for (key, pipeline) in &fleet.config.pipelines {
            let to: Vec<_> = [
                ("traces", &pipeline.traces),
                ("metrics", &pipeline.metrics),
                ("logs", &pipeline.logs),
            ]
            .iter()
            .filter(|(_, keys)| !keys.is_empty())
            .map(|(signal, keys)| format!("{signal} to {}", keys.join(", ")))
            .collect();
            let generation = pipeline.generation;
            lines.push(format!(
                "  {key} generation {generation} from {:?}: {}",
                pipeline.namespaces,
                to.join("; ")
            ));
        }
        for (key, destination) in &fleet.config.destinations {
            lines.push(format!("  {key} is {:?}", destination.kind));
        }
        lines.extend(fleet.gateways.as_deref().map(gateways));
        lines.extend(sampling(&fleet.config.sampling));
    }
    for child in &plan.children {
        let types = child.object.types.as_ref().unwrap();
        let name = child.object.metadata.name.as_ref().unwrap();
        lines.push(format!("child {} {name}", types.kind));
    }
    lines.extend(plan.untouched.iter().map(|name| format!("untouched {name}")));
    lines
}

fn sampling(sampling: &Sampling) -> Vec<String> {
    if sampling.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("  {:?}", sampling.tail)];
    for (key, policy) in &sampling.policies {
        let names = policy.keep.iter().map(|rule| &rule.name);
        let names: Vec<_> = names.chain(policy.limit.iter().map(|rule| &rule.name)).collect();
        lines.push(format!(
            "  {key} generation {} {:?} of {:?} in {:?}: rules {names:?}, default {:?}",
            policy.generation,
            policy.mode,
            policy.scope.pipelines,
            policy.scope.namespace,
            policy.default_ppm
        ));
    }
    lines
}

fn policies(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, object) in &world.observed.policies {
        let status = object.status.clone().unwrap_or_default();
        lines.push(format!("SamplingPolicy {name}:"));
        if let Some(seen) = &status.observed {
            lines.push(format!(
                "  keeps {} of {}/s, {} %, of errors {} %, early {}/min, late {}/min",
                seen.kept_per_second,
                seen.traces_per_second,
                seen.keep_percent,
                seen.errors_kept_percent,
                seen.decided_early_per_minute,
                seen.late_spans_per_minute
            ));
        }
        if let Some(tried) = &status.dry_run {
            let (keep, lost) = (&tried.would_keep_percent, &tried.errors_lost);
            lines.push(format!("  would keep {keep} %, lose {lost} errors/min"));
        }
        if let Some(own) = &status.effective {
            let text = |text: &Option<String>| text.clone().unwrap_or("-".into());
            lines.push(format!(
                "  effective {}, waits {}, {:?} traces, {} of {}",
                own.summary,
                text(&own.decision_wait),
                own.max_traces,
                text(&own.buffer_memory),
                text(&own.buffer_memory_available)
            ));
        }
        lines.extend(status.rules.iter().map(|rule| {
            let text = |text: &Option<String>| text.clone().unwrap_or("-".into());
            format!(
                "  {} {:?} by {}: matched {}/min, decided {}/min, {} %",
                rule.name,
                rule.state,
                text(&rule.by),
                text(&rule.matched_per_minute),
                text(&rule.decided_per_minute),
                text(&rule.share_percent)
            )
        }));
        for ancestor in &status.ancestors {
            let of = &ancestor.ancestor_ref;
            let said = ancestor.conditions.iter();
            let said = said.map(|c| format!("{} {} ({})", c.type_, c.status, c.reason));
            let said = said.collect::<Vec<_>>().join(", ");
            lines.push(format!("  on {} {}: {said}", of.kind, of.name));
        }
        lines.extend(conditions(&status.conditions));
    }
    lines
}

fn gateways(memory: &GatewayMemory) -> String {
    let mut line = format!("  gateways {}", memory.scale.replicas);
    if let Some(leaving) = &memory.scale.leaving {
        line += &format!(", {} leaves", leaving.pod);
    }
    if let Some(ring) = &memory.ring {
        let members: Vec<_> = ring.members().iter().map(|member| member.name.as_str()).collect();
        line += &format!(", ring {} of {}", ring.epoch(), members.join(", "));
    }
    line
}

fn statuses(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, object) in &world.observed.collectors {
        let status = object.status.clone().unwrap_or_default();
        let (agents, pipelines) = (status.agents.unwrap(), status.pipelines.unwrap());
        lines.push(format!(
            "Collector {name}: agents {} adopted {} of {}, pipelines {} accepted {} rejected",
            agents.summary,
            agents.adopted,
            agents.reporting,
            pipelines.accepted,
            pipelines.rejected
        ));
        lines.extend(conditions(&status.conditions));
    }
    for (name, object) in &world.observed.destinations {
        let status = object.status.clone().unwrap_or_default();
        lines.push(format!("Destination {name}: users {}", status.users.unwrap()));
        lines.extend(conditions(&status.conditions));
    }
    for (name, object) in &world.observed.pipelines {
        let status = object.status.clone().unwrap_or_default();
        lines
            .push(format!("TelemetryPipeline {name}: adopted {}", status.adopted.unwrap().summary));
        lines.extend(status.signals.iter().map(|s| {
            format!(
                "  {} accepted {}/s sent {}/s dropped {}/s",
                s.signal, s.accepted_per_second, s.sent_per_second, s.dropped_per_second
            )
        }));
        lines.extend(
            status
                .destinations
                .iter()
                .map(|d| format!("  {} to {}/{}: {}", d.signal, d.namespace, d.name, d.state)),
        );
        lines.extend(conditions(&status.conditions));
    }
    lines.extend(policies(world));
    lines
}

fn events(plan: &Plan) -> impl Iterator<Item = String> {
    plan.events.iter().map(|event| {
        let (kind, name, reason) = (event.kind.as_str(), &event.name, event.reason.as_str());
        let note = match reason {
            "ConfigPublished" => "…".to_owned(),
            _ => without_catalogue(&event.note),
        };
        format!("event {} {reason} of {kind} {name}: {note}", event.severity.as_str())
    })
}

/// The conditions in which all is well on one line, then the others.
fn conditions(conditions: &[Condition]) -> Vec<String> {
    let normal = |c: &&Condition| match c.type_.as_str() {
        "Reconciling" | "Stalled" => false,
        "MemoryPressure" | "SenderIdentityDegraded" => c.status == "False",
        _ => c.status == "True",
    };
    let well = conditions.iter().filter(normal).map(|c| format!("{} ({})", c.type_, c.reason));
    let mut lines = vec![format!("  well: {}", well.collect::<Vec<_>>().join(", "))];
    lines.extend(conditions.iter().filter(|c| !normal(c)).map(|c| {
        format!("  {} {} ({}): {}", c.type_, c.status, c.reason, without_catalogue(&c.message))
    }));
    lines
}

/// The catalogue's own sentences are tested where they are written.
fn without_catalogue(message: &str) -> String {
    let mut message = message.to_owned();
    for reason in Reason::ALL {
        message = message.replace(reason.doc().trim(), &format!("<{}>", reason.as_str()));
        if !reason.remedy().is_empty() {
            message = message.replace(reason.remedy(), "<remedy>");
        }
    }
    message
}
