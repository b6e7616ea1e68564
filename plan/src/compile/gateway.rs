//! Whether a fleet has gateways, and how these are set up.

use crate::problem::Problem;
use sluice_crds::CollectorSpec;
use sluice_crds::collector::{self as crd, GATEWAY_PORT, GatewayMode, Protected};
use sluice_engine::config::gateway::{Gateway, Handoff, HandoffMode};
use sluice_engine::config::sampling::Sampling;
use sluice_engine::config::{Config, Limiter};

/// A core, where the Collector names no share of one.
const CPU_MILLIS_DEFAULT: u64 = 1000;

/// When a fleet has gateways.
#[derive(Clone, Debug)]
pub(crate) enum Gateways {
    Never,
    WhenNeeded(Gateway),
    Always(Gateway),
}

impl Gateways {
    /// Of a Collector that has a mistake now: whatever runs stays, and nothing is started.
    pub(super) fn of(last: &Config) -> Self {
        match last.gateway.is_absent() {
            true => Self::Never,
            false => Self::Always(last.gateway.clone()),
        }
    }

    /// What a fleet runs of the policies that are placed in it, and with which gateways. Without
    /// gateways no trace is ever whole, so that no policy may decide about one.
    pub(super) fn settle(self, sampling: &Sampling) -> (Sampling, Gateway) {
        let needed = !sampling.is_empty();
        match self {
            Self::Never => (Sampling::default(), Gateway::default()),
            Self::WhenNeeded(_) if !needed => (Sampling::default(), Gateway::default()),
            Self::WhenNeeded(gateway) | Self::Always(gateway) => {
                (sampling.clone(), Gateway { needed, ..gateway })
            }
        }
    }
}

pub(super) fn compile(spec: &CollectorSpec) -> Result<Gateways, Problem> {
    let own = spec.gateway();
    let gateway = Gateway {
        needed: false,
        port: GATEWAY_PORT,
        limiter: limiter(&own)?,
        protect_errors: own.memory_limiter().protect.contains(&Protected::ErrorSpans),
        handoff: handoff(&own),
        cpu_millis: own.resources.cpu_millis().unwrap_or(CPU_MILLIS_DEFAULT).max(1),
        ..Gateway::default()
    };
    Ok(match own.mode {
        GatewayMode::Auto => Gateways::WhenNeeded(gateway),
        GatewayMode::Always => Gateways::Always(gateway),
        GatewayMode::Never => Gateways::Never,
    })
}

fn handoff(gateway: &crd::Gateway) -> Handoff {
    let crd::Handoff { mode, timeout } = gateway.handoff();
    let mode = match mode {
        crd::HandoffMode::Transfer => HandoffMode::Transfer,
        crd::HandoffMode::DecideNow => HandoffMode::DecideNow,
    };
    Handoff { mode, timeout_ms: timeout.millis() }
}

fn limiter(gateway: &crd::Gateway) -> Result<Limiter, Problem> {
    let (Some(soft), Some(hard)) = (gateway.soft_limit(), gateway.hard_limit()) else {
        return Err(Problem::invalid(
            "spec.gateway.resources.limits.memory",
            "is missing, so that a gateway cannot know when to shed",
            "set it, or both softLimit and hardLimit of spec.gateway.memoryLimiter",
        ));
    };
    if soft >= hard {
        return Err(Problem::invalid(
            "spec.gateway.memoryLimiter",
            format!("softLimit ({soft}) is not below hardLimit ({hard})"),
            "lower softLimit, or raise hardLimit",
        ));
    }
    Ok(Limiter {
        soft_bytes: soft.bytes(),
        hard_bytes: hard.bytes(),
        check_interval_ms: gateway.memory_limiter().check_interval.millis(),
    })
}
