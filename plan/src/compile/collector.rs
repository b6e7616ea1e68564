//! The part of a config that its Collector decides.

use super::gateway::{self, Gateways};
use crate::observed::Settings;
use crate::problem::Problem;
use sluice_crds::CollectorSpec;
use sluice_engine::config::{Batch, Cluster, Config, JaegerRemoteSampling, Limiter, Receivers};

/// Longest name of a Collector: with `sluice-agent-` before and a suffix after it, it is the name
/// of its children.
const NAME_LENGTH_MAX: usize = 40;

/// A config without pipelines and destinations.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) cluster: Cluster,
    pub(crate) receivers: Receivers,
    pub(crate) batch: Batch,
    pub(crate) limiter: Limiter,
    pub(crate) metrics_port: u16,
    pub(crate) gateways: Gateways,
}

impl Base {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            cluster: config.cluster.clone(),
            receivers: config.receivers.clone(),
            batch: config.batch.clone(),
            limiter: config.limiter.clone(),
            metrics_port: config.metrics_port,
            gateways: Gateways::of(config),
        }
    }
}

pub(super) fn compile(
    name: &str,
    spec: &CollectorSpec,
    settings: &Settings,
) -> Result<Base, Problem> {
    check_name(name)?;
    let (grpc, http, batch) = (spec.grpc(), spec.http(), spec.batch());
    Ok(Base {
        cluster: Cluster {
            name: spec.cluster_name.clone(),
            uid: settings.cluster_uid.clone(),
            environment: spec.environment.clone(),
        },
        receivers: Receivers {
            grpc_port: port("spec.receivers.otlp.grpc.port", grpc.port)?,
            grpc_message_bytes_max: grpc.max_message_size.bytes(),
            grpc_connection_age_max_ms: grpc.max_connection_age.millis(),
            http_port: port("spec.receivers.otlp.http.port", http.port)?,
            http_body_bytes_max: http.max_body_size.bytes(),
            jaeger_remote_sampling: remote_sampling(spec)?,
        },
        batch: Batch {
            timeout_ms: batch.timeout.millis(),
            items: u32::try_from(batch.send_batch_size).unwrap_or(1),
            bytes_max: batch.max_batch_bytes.bytes(),
        },
        limiter: limiter(spec)?,
        metrics_port: port("spec.selfMonitoring.metrics.port", spec.metrics().port)?,
        gateways: gateway::compile(spec)?,
    })
}

fn check_name(name: &str) -> Result<(), Problem> {
    if name.len() <= NAME_LENGTH_MAX && !name.contains('.') {
        return Ok(());
    }
    Err(Problem::invalid(
        "metadata.name",
        "cannot be part of the names of a DaemonSet and a Service",
        &format!("use a name without dots of at most {NAME_LENGTH_MAX} characters"),
    ))
}

fn port(path: &str, port: i32) -> Result<u16, Problem> {
    u16::try_from(port).map_err(|_| Problem::invalid(path, "is no port", "use 1024 to 65535"))
}

fn remote_sampling(spec: &CollectorSpec) -> Result<Option<JaegerRemoteSampling>, Problem> {
    let Some(asked) = spec.jaeger_remote_sampling() else { return Ok(None) };
    Ok(Some(JaegerRemoteSampling {
        grpc_port: port("spec.receivers.jaegerRemoteSampling.grpcPort", asked.grpc_port)?,
        http_port: port("spec.receivers.jaegerRemoteSampling.httpPort", asked.http_port)?,
    }))
}

fn limiter(spec: &CollectorSpec) -> Result<Limiter, Problem> {
    let agent = spec.agent();
    let (Some(soft), Some(hard)) = (agent.soft_limit(), agent.hard_limit()) else {
        return Err(Problem::invalid(
            "spec.agent.resources.limits.memory",
            "is missing, so that an agent cannot know when to shed",
            "set it, or both softLimit and hardLimit of spec.agent.memoryLimiter",
        ));
    };
    if soft >= hard {
        return Err(Problem::invalid(
            "spec.agent.memoryLimiter",
            format!("softLimit ({soft}) is not below hardLimit ({hard})"),
            "lower softLimit, or raise hardLimit",
        ));
    }
    Ok(Limiter {
        soft_bytes: soft.bytes(),
        hard_bytes: hard.bytes(),
        check_interval_ms: agent.memory_limiter().check_interval.millis(),
    })
}
