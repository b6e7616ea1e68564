//! What users write reads into the types, and what they leave out has its default.

use serde_json::json;
use sluice_crds::collector::{GatewayMode, ManagementState, Protected, StorageType};
use sluice_crds::destination::{AuthType, Compression, Member, Protocol, TlsMode, Verbosity};
use sluice_crds::pipeline::{EnrichKubernetes, OnFull, StartAt};
use sluice_crds::policy::{AtMost, HeadRateLimit, OnBufferFull, PolicyMode, SpanStatus};
use sluice_crds::{Collector, CollectorSpec, Destination, DestinationSpec, Duration, Size};
use sluice_crds::{Percent, SamplingPolicy, SamplingPolicySpec};
use sluice_crds::{TelemetryPipeline, TelemetryPipelineSpec};

#[expect(clippy::unwrap_used, reason = "a test of what can be read")]
fn collector(spec: serde_json::Value) -> CollectorSpec {
    serde_json::from_value(spec).unwrap()
}

#[test]
fn an_empty_collector_has_all_defaults() {
    let spec = collector(json!({}));
    assert_eq!(spec.management_state, ManagementState::Managed);
    assert_eq!((spec.grpc().port, spec.http().port, spec.metrics().port), (4317, 4318, 8888));
    assert_eq!(spec.batch().timeout, Duration::from_secs(5));
    assert_eq!(spec.batch().max_batch_bytes, Size::from_mebibytes(4));
    assert_eq!(spec.agent_rollout().max_surge, 1);
    let agent = spec.agent();
    assert_eq!(agent.resources.memory_limit(), Some(Size::from_mebibytes(640)));
    assert_eq!(agent.soft_limit(), Some(Size::from_mebibytes(409)));
    assert_eq!(agent.hard_limit(), Some(Size::from_mebibytes(512)));
    assert_eq!(agent.tolerations[0].operator.as_deref(), Some("Exists"));
    assert_eq!(agent.storage().type_, StorageType::HostPath);
    assert_eq!(agent.storage().path(), "/var/lib/sluice");
}

#[test]
fn gateways_come_when_needed_unless_told_otherwise() {
    let gateway = collector(json!({"gateway": {"autoscaling": {"maxReplicas": 5}}})).gateway();
    assert_eq!(gateway.mode, GatewayMode::Auto);
    assert_eq!(gateway.resources.cpu_millis(), Some(500));
    assert_eq!(gateway.soft_limit(), Some(Size::from_mebibytes(1310)));
    assert_eq!(gateway.hard_limit(), Some(Size::from_mebibytes(1638)));
    assert_eq!(gateway.memory_limiter().protect, [Protected::ErrorSpans]);
    let scaling = gateway.autoscaling();
    assert_eq!((scaling.min_replicas, scaling.max_replicas), (2, 5));
    assert_eq!(scaling.scale_down_stabilization, Duration::from_secs(900));
    let target = scaling.target();
    assert_eq!((target.memory_percent, target.cpu_percent, target.queue_percent), (70, 75, 50));
    assert_eq!(gateway.handoff().timeout, Duration::from_secs(30));
    assert!(gateway.topology_spread);
    assert_eq!(gateway.disruption_budget().max_unavailable, 1);
}

#[test]
fn a_part_that_is_written_keeps_the_defaults_of_the_rest() {
    let spec = collector(json!({
        "receivers": {"otlp": {"grpc": {"port": 14317}}},
        "agent": {"memoryLimiter": {"softLimit": "300Mi"}, "podTemplatePatch": {"spec": {"x": 1}}},
    }));
    assert_eq!(spec.grpc().port, 14317);
    assert_eq!(spec.grpc().max_message_size, Size::from_mebibytes(16));
    assert_eq!(spec.agent().soft_limit(), Some(Size::from_mebibytes(300)));
    assert_eq!(spec.agent().hard_limit(), Some(Size::from_mebibytes(512)));
    assert_eq!(spec.agent().pod_template_patch.unwrap()["spec"]["x"], 1);
}

#[test]
fn a_low_hard_limit_takes_the_default_soft_limit_with_it() {
    let spec = collector(json!({"agent": {"memoryLimiter": {"hardLimit": "100Mi"}}}));
    assert_eq!(spec.agent().soft_limit(), Some(Size::from_mebibytes(80)));
}

#[test]
fn resources_are_replaced_as_a_whole() {
    let spec = collector(json!({"agent": {"resources": {"limits": {"memory": 134_217_728}}}}));
    assert_eq!(spec.agent().resources.memory_limit(), Some(Size::from_mebibytes(128)));
    assert!(spec.agent().resources.requests.is_empty());
}

#[test]
fn a_pipeline_takes_otlp_unless_told_otherwise() {
    let spec: TelemetryPipelineSpec = serde_json::from_value(json!({
        "traces": {"destinationRefs": [{"name": "tempo", "namespace": "sluice-system"}]},
        "sources": {"podLogs": {}},
    }))
    .unwrap();
    assert_eq!(spec.collector(), "default");
    assert!(spec.sources().otlp_enabled());
    assert_eq!(spec.sources().pod_logs().unwrap().start_at, StartAt::End);
    assert_eq!(spec.enrich().kubernetes, EnrichKubernetes::Standard);
    assert_eq!(spec.traces()[0].namespace_or("shop"), "sluice-system");
    assert!(spec.metrics().is_empty() && spec.logs().is_empty());
    assert_eq!(spec.delivery().on_full, OnFull::DropOldest);
    assert_eq!(spec.delivery().queue().max_size, Size::from_mebibytes(64));
    assert_eq!(spec.delivery().retry().max_elapsed, Duration::from_secs(300));
}

#[test]
fn spans_count_as_unsampled_unless_the_pipeline_says_otherwise() {
    let assumes = |traces: serde_json::Value| {
        let spec: TelemetryPipelineSpec =
            serde_json::from_value(json!({"traces": traces})).unwrap();
        (spec.traces().len(), spec.trace_context().assume_unsampled)
    };
    let refs = json!([{"name": "tempo"}]);
    assert_eq!(assumes(json!({"destinationRefs": refs})), (1, true));
    assert_eq!(assumes(json!({"destinationRefs": refs, "context": {}})), (1, true));
    let context = json!({"assumeUnsampled": false});
    assert_eq!(assumes(json!({"destinationRefs": refs, "context": context})), (1, false));
}

#[test]
fn a_policy_is_enforced_and_tags_unless_told_otherwise() {
    let spec: SamplingPolicySpec = serde_json::from_value(json!({
        "keep": [{
            "name": "slow",
            "match": {"status": "Error", "slowerThan": {"percentile": 99}, "rareOperation": {"belowPercent": "0.5"}},
            "atLeastPercent": 100,
        }],
        "limit": [{"name": "health", "match": {"httpStatus": "2xx"}, "atMostPerSecond": 5}],
        "adaptive": {"errorSpike": {"factor": 5}, "bounds": {"maxPercent": 50}},
        "head": {"probabilistic": {"keepPercent": 10}, "rateLimit": {"tracesPerSecond": 100}},
    }))
    .unwrap();
    assert_eq!((spec.mode, spec.tag_decision), (PolicyMode::Enforce, true));
    assert_eq!(spec.tail().decision_wait, Duration::from_secs(10));
    assert_eq!(spec.tail().decision_wait_after_root, Duration::from_secs(0));
    assert_eq!(spec.tail().max_trace_size, Size::from_mebibytes(5));
    assert_eq!(spec.tail().on_buffer_full, OnBufferFull::DecideOldest);
    assert_eq!(spec.keep_percent(), None);
    assert_eq!(spec.keep[0].at_least_percent, Percent::ALL);
    let matched = &spec.keep[0].match_;
    assert_eq!(matched.status, Some(SpanStatus::Error));
    let slower = matched.slower_than.as_ref().unwrap();
    assert_eq!((slower.percentile.ppm(), slower.min_samples()), (990_000, 1000));
    assert_eq!(slower.window(), Duration::from_secs(600));
    let rare = matched.rare_operation.as_ref().unwrap();
    assert_eq!((rare.below_percent.ppm(), rare.max_per_second()), (5000, 10));
    assert_eq!(rare.window(), Duration::from_secs(3600));
    assert_eq!(spec.limit[0].at_most(), Some(AtMost::PerSecond(5)));
    assert_eq!(spec.limit[0].match_.http_status.as_ref().unwrap().ranges(), [(200, 299)]);
    let adaptive = spec.adaptive.unwrap();
    assert_eq!(adaptive.error_spike(), None);
    assert_eq!(adaptive.bounds().min_percent, Percent::from_ppm(1000));
    assert_eq!(adaptive.bounds().max_percent, Percent::from_ppm(500_000));
    let head = spec.head.unwrap();
    assert_eq!(head.probabilistic.unwrap().keep_percent.ppm(), 100_000);
    let rate = HeadRateLimit { traces_per_second: 100, burst: None };
    assert_eq!(head.rate_limit, Some(rate));
}

#[test]
fn a_cap_of_two_kinds_or_of_none_is_none() {
    let at_most = |mut rule: serde_json::Value| {
        rule["name"] = "a".into();
        rule["match"] = json!({"spanCount": 100});
        serde_json::from_value::<sluice_crds::policy::LimitRule>(rule).unwrap().at_most()
    };
    assert_eq!(at_most(json!({"atMostPercent": 100})), Some(AtMost::Percent(Percent::ALL)));
    assert_eq!(at_most(json!({"atMostPercent": 0, "atMostPerSecond": 1})), None);
    assert_eq!(at_most(json!({})), None);
}

#[test]
fn a_destination_speaks_verified_grpc_unless_told_otherwise() {
    let spec: DestinationSpec =
        serde_json::from_value(json!({"type": "Tempo", "tempo": {"endpoint": "tempo:4317"}}))
            .unwrap();
    let Some(Member::Tempo(tempo)) = spec.member() else { panic!("no member") };
    assert_eq!((tempo.protocol, tempo.tenant.as_str()), (Protocol::Grpc, ""));
    assert_eq!(spec.tls().mode, TlsMode::Verify);
    assert_eq!(spec.auth().type_, AuthType::None);
    assert_eq!(spec.compression(), Compression::Gzip);
    assert_eq!(spec.timeout(), Duration::from_secs(10));
}

#[test]
fn a_member_that_type_does_not_name_is_not_taken() {
    let spec = |spec| serde_json::from_value::<DestinationSpec>(spec).unwrap();
    assert_eq!(spec(json!({"type": "File", "debug": {}})).member(), None);
    let debug = spec(json!({"type": "Debug", "debug": {}}));
    let Some(Member::Debug(debug)) = debug.member() else { panic!("no member") };
    assert_eq!(debug.verbosity, Verbosity::Summary);
}

#[test]
fn a_status_of_another_version_is_still_read() {
    let status = json!({"observedGeneration": -1, "agents": {"ready": 3}, "tomorrow": {}});
    let object = json!({"metadata": {"name": "default"}, "spec": {}, "status": status});
    let collector: Collector = serde_json::from_value(object).unwrap();
    assert_eq!(collector.status.unwrap().agents.unwrap().ready, 3);
}

#[test]
fn an_object_is_written_as_it_was_read() {
    let spec = json!({"type": "File", "file": {"path": "a", "maxSize": "1Gi", "maxFiles": 2}});
    let read: DestinationSpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), spec);
    let spec = json!({
        "mode": "DryRun",
        "keep": [{"name": "a", "match": {"httpStatus": "429,5xx", "traceQL": "{}"}, "atLeastPercent": "0.5"}],
        "default": {"keepPercent": 1},
        "tagDecision": false,
    });
    let read: SamplingPolicySpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), spec);
}

#[test]
fn kinds_have_the_names_that_users_type() {
    use kube::Resource;
    assert_eq!(Collector::plural(&()), "collectors");
    assert_eq!(TelemetryPipeline::plural(&()), "telemetrypipelines");
    assert_eq!(SamplingPolicy::plural(&()), "samplingpolicies");
    assert_eq!(Destination::api_version(&()), "sluice.dev/v1alpha1");
}
