//! What should exist: from observed to planned. Pure: the same input gives the same plan.

mod children;
mod compile;
mod effects;
mod gateways;
mod observed;
pub mod offline;
mod planned;
mod problem;
mod rbac;
pub mod report;
mod ring;
mod scale;
mod schema;
mod status;

pub use children::{FLEET_LABEL, GATEWAY};
pub use gateways::GatewayMemory;
pub use observed::{
    DaemonSetState, DeploymentState, Fleet, GatewayPod, GatewayPodState, ObjectName, Observed,
    Refusal, RefusalCause, Settings, UnreadyPod, UnreadyReason,
};
pub use planned::{
    API_VERSION, Child, DeletionCost, Event, FleetConfig, Plan, Status, StatusWrite,
};
pub use problem::{NotAllowed, Problem};
pub use rbac::rbac;
pub use ring::next_ring;
pub use scale::{Leaving, Scale};
pub use sluice_crds::conditions::{EventType as Severity, Kind};
pub use sluice_engine::forward::SERVER_NAME as GATEWAY_SERVER_NAME;

use compile::{Compiled, FleetState};

/// Total, deterministic and independent of order. Planning again after the plan was applied
/// changes nothing.
pub fn plan(observed: &Observed) -> Plan {
    let last = compile::last_good(observed);
    let mut compiled = compile::compile(observed, &last);
    let mut plan = Plan::default();
    plan_children(observed, &mut compiled, &mut plan);
    (plan.statuses, plan.events) = status::statuses(observed, &compiled);
    for (name, fleet) in compiled.fleets {
        plan.fleets.extend(fleet.config.map(|config| (name, config)));
    }
    plan
}

/// A Collector whose children cannot be made is broken: what exists of it stays.
fn plan_children(observed: &Observed, compiled: &mut Compiled, plan: &mut Plan) {
    let nothing = Fleet::default();
    for (name, fleet) in &mut compiled.fleets {
        let Some(collector) = observed.collectors.get(name) else { continue };
        let (FleetState::Managed, Some(config)) = (&fleet.state, &fleet.config) else {
            plan.untouched.push(name.clone());
            continue;
        };
        let source = children::Source {
            settings: &observed.settings,
            name,
            collector,
            config,
            fleet: observed.fleets.get(name).unwrap_or(&nothing),
            now: observed.now,
        };
        match children::children(&source) {
            Ok(children) => {
                plan.children.extend(children);
                plan.deletion_costs.extend(gateways::deletion_costs(&source));
            }
            Err(problem) => {
                fleet.state = FleetState::Broken(problem);
                plan.untouched.push(name.clone());
            }
        }
    }
    let unreadable = observed.unreadable.iter().filter(|(kind, _)| *kind == Kind::Collector);
    plan.untouched.extend(unreadable.map(|(_, name)| name.name.clone()));
}
