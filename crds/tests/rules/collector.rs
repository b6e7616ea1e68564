//! Examples for the rules of Collector.

use crate::{Case, object};
use serde_json::{Value, json};

fn case(at: &'static str, message: &'static str, right: &Value, wrong: &Value) -> Case {
    let object = |spec| object("Collector", spec);
    Case { kind: "Collector", at, message, old: None, right: object(right), wrong: object(wrong) }
}

fn agent(at: &'static str, message: &'static str, right: &Value, wrong: &Value) -> Case {
    case(at, message, &json!({"agent": right}), &json!({"agent": wrong}))
}

fn gateway(at: &'static str, message: &'static str, right: &Value, wrong: &Value) -> Case {
    case(at, message, &json!({"gateway": right}), &json!({"gateway": wrong}))
}

pub(super) fn cases() -> Vec<Case> {
    [own(), memory(), placement(), gateways()].into_iter().flatten().collect()
}

fn own() -> Vec<Case> {
    let mut long_name = object("Collector", &json!({}));
    long_name["metadata"]["name"] = "a-name-of-more-than-forty-characters-is-too-long".into();
    let digest = format!("sha256:{}", "0".repeat(64));
    let asked = |enabled, grpc: u16, http: u16| json!({"receivers": {"jaegerRemoteSampling": {"enabled": enabled, "grpcPort": grpc, "httpPort": http}}});
    let tolerated = |surge, unavailable| json!({"rollout": {"agent": {"maxSurge": surge, "maxUnavailable": unavailable}}});
    vec![
        Case {
            kind: "Collector",
            at: "",
            message: "metadata.name must have at most 40 lower-case letters, digits and -: the \
                      names of agents are made from it",
            old: None,
            right: object("Collector", &json!({})),
            wrong: long_name,
        },
        case(
            "spec",
            "receivers.otlp.grpc.port and receivers.otlp.http.port must differ",
            &json!({"receivers": {"otlp": {"grpc": {"port": 4318}, "http": {"port": 4317}}}}),
            &json!({"receivers": {"otlp": {"grpc": {"port": 4318}}}}),
        ),
        case(
            "spec",
            "selfMonitoring.metrics.port must differ from the ports of receivers.otlp",
            &json!({"selfMonitoring": {"metrics": {"port": 9090}}}),
            &json!({"selfMonitoring": {"metrics": {"port": 4317}}}),
        ),
        case(
            "spec",
            "selfMonitoring.metrics.port must differ from 4319, the gateways'",
            &json!({"selfMonitoring": {"metrics": {"port": 4320}}}),
            &json!({"selfMonitoring": {"metrics": {"port": 4319}}}),
        ),
        case(
            "spec",
            "receivers.jaegerRemoteSampling.grpcPort and httpPort must differ",
            &asked(true, 5778, 14250),
            &asked(true, 5778, 5778),
        ),
        case(
            "spec",
            "the ports of receivers.jaegerRemoteSampling must differ from those of receivers.otlp \
             and from selfMonitoring.metrics.port",
            &asked(false, 4317, 8888),
            &asked(true, 14250, 8888),
        ),
        case(
            "spec.image",
            "set tag or digest, not both: the digest alone says which image runs",
            &json!({"image": {"digest": digest}}),
            &json!({"image": {"digest": digest, "tag": "1"}}),
        ),
        case(
            "spec.rollout.agent",
            "maxSurge and maxUnavailable cannot both be 0",
            &tolerated(1, 0),
            &tolerated(0, 0),
        ),
        case(
            "spec.rollout.agent",
            "a DaemonSet takes one of maxSurge and maxUnavailable: set the other to 0",
            &tolerated(0, 3),
            &tolerated(1, 1),
        ),
    ]
}

fn memory() -> Vec<Case> {
    let limiter = |soft, hard| json!({"softLimit": soft, "hardLimit": hard});
    let limited = |memory, limiter| json!({"resources": {"limits": {"memory": memory}}, "memoryLimiter": limiter});
    vec![
        agent(
            "spec.agent.memoryLimiter",
            "softLimit must be below hardLimit",
            &json!({"memoryLimiter": limiter("400Mi", "500Mi")}),
            &json!({"memoryLimiter": limiter("500Mi", "500Mi")}),
        ),
        agent(
            "spec.agent",
            "set resources.limits.memory, or both memoryLimiter.softLimit and hardLimit: without a \
             limit an agent cannot know when to shed",
            &json!({"resources": {}, "memoryLimiter": limiter("400Mi", "500Mi")}),
            &json!({"resources": {"limits": {"cpu": 1}}, "memoryLimiter": {"softLimit": "400Mi"}}),
        ),
        agent(
            "spec.agent",
            "memoryLimiter.hardLimit must be below resources.limits.memory, else the kernel kills \
             the agent first",
            &limited(json!("1Gi"), json!({"hardLimit": "900Mi"})),
            &limited(json!(536_870_912), json!({"hardLimit": "512Mi"})),
        ),
        agent(
            "spec.agent",
            "memoryLimiter.softLimit must be below resources.limits.memory, else the kernel kills \
             the agent first",
            &limited(json!("1Gi"), json!({"softLimit": "900Mi"})),
            &limited(json!("0.5Gi"), json!({"softLimit": "600Mi"})),
        ),
        agent(
            "spec.agent",
            "resources.requests.memory must not exceed resources.limits.memory",
            &json!({"resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}}),
            &json!({"resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1025Mi"}}}),
        ),
    ]
}

fn placement() -> Vec<Case> {
    let toleration = |toleration| json!({"tolerations": [toleration]});
    let storage = |storage| json!({"storage": storage});
    vec![
        agent(
            "spec.agent.tolerations[]",
            "a toleration without key needs operator Exists",
            &toleration(json!({"operator": "Exists"})),
            &toleration(json!({"effect": "NoSchedule"})),
        ),
        agent(
            "spec.agent.tolerations[]",
            "operator Exists takes no value",
            &toleration(json!({"key": "a", "value": "b"})),
            &toleration(json!({"key": "a", "operator": "Exists", "value": "b"})),
        ),
        agent(
            "spec.agent.tolerations[]",
            "tolerationSeconds goes with effect NoExecute",
            &toleration(json!({"key": "a", "effect": "NoExecute", "tolerationSeconds": 3})),
            &toleration(json!({"key": "a", "effect": "NoSchedule", "tolerationSeconds": 3})),
        ),
        agent(
            "spec.agent.storage",
            "path goes with type HostPath",
            &storage(json!({"path": "/mnt/sluice"})),
            &storage(json!({"type": "EmptyDir", "path": "/mnt/sluice"})),
        ),
        agent(
            "spec.agent.storage",
            "maxSize goes with type EmptyDir",
            &storage(json!({"type": "EmptyDir", "maxSize": "2Gi"})),
            &storage(json!({"maxSize": "2Gi"})),
        ),
        agent(
            "spec.agent.storage.path",
            "must be a folder of its own, outside the system's (for example /var/lib/sluice)",
            &storage(json!({"path": "/var/lib/sluice"})),
            &storage(json!({"path": "/var/log/pods"})),
        ),
    ]
}

fn gateways() -> Vec<Case> {
    let limiter = |soft, hard| json!({"softLimit": soft, "hardLimit": hard});
    let scaled = |min, max| json!({"autoscaling": {"minReplicas": min, "maxReplicas": max}});
    vec![
        gateway(
            "spec.gateway.autoscaling",
            "minReplicas must not exceed maxReplicas",
            &scaled(3, 3),
            &scaled(4, 3),
        ),
        gateway(
            "spec.gateway.memoryLimiter",
            "softLimit must be below hardLimit",
            &json!({"memoryLimiter": limiter("400Mi", "500Mi")}),
            &json!({"memoryLimiter": limiter("500Mi", "500Mi")}),
        ),
        gateway(
            "spec.gateway",
            "set resources.limits.memory, or both memoryLimiter.softLimit and hardLimit: without a \
             limit a gateway cannot know when to shed",
            &json!({"resources": {}, "memoryLimiter": limiter("400Mi", "500Mi")}),
            &json!({"resources": {"limits": {"cpu": 1}}, "memoryLimiter": {"softLimit": "400Mi"}}),
        ),
        gateway(
            "spec.gateway",
            "memoryLimiter.hardLimit must be below resources.limits.memory, else the kernel kills \
             the gateway first",
            &json!({"memoryLimiter": {"hardLimit": "1900Mi"}}),
            &json!({"memoryLimiter": {"hardLimit": "2Gi"}}),
        ),
        gateway(
            "spec.gateway",
            "memoryLimiter.softLimit must be below resources.limits.memory, else the kernel kills \
             the gateway first",
            &json!({"memoryLimiter": {"softLimit": "1900Mi"}}),
            &json!({"memoryLimiter": {"softLimit": "2Gi"}}),
        ),
        gateway(
            "spec.gateway",
            "resources.requests.memory must not exceed resources.limits.memory",
            &json!({"resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}}),
            &json!({"resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1025Mi"}}}),
        ),
    ]
}
