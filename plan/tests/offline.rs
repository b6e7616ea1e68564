//! Objects as people write them, and what `sluice check` says to the wrong ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails loudly")]

use serde_json::Value;
use sluice_plan::offline;

fn problems(yaml: &str) -> Vec<String> {
    let object: Value = serde_yaml::from_str(yaml).unwrap();
    offline::validate(&object).iter().map(ToString::to_string).collect()
}

/// `spec` in one line of YAML, for a kind; each expected text is part of one problem, in order.
fn check(kind: &str, spec: &str, expected: &[&str]) {
    let metadata = match kind {
        "Collector" => "{name: x}",
        _ => "{name: x, namespace: shop}",
    };
    let found = problems(&format!(
        "{{apiVersion: sluice.dev/v1alpha1, kind: {kind}, metadata: {metadata}, spec: {spec}}}"
    ));
    let fits = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| found.contains(expected));
    assert!(fits, "{kind} {spec}\nexpected {expected:#?}\nfound {found:#?}");
}

#[test]
fn sound_objects_have_no_problem() {
    check("Collector", "{}", &[]);
    check("Collector", "{agent: {memoryLimiter: {softLimit: 400Mi, hardLimit: 500Mi}}}", &[]);
    check("Destination", "{type: Tempo, tempo: {endpoint: 'tempo.obs:4317'}}", &[]);
    check("Destination", "{type: Debug, debug: {}}", &[]);
    check("TelemetryPipeline", "{logs: {destinationRefs: [{name: a}]}}", &[]);
    check(
        "TelemetryPipeline",
        "{traces: {destinationRefs: [{name: a}, {name: a, namespace: b}]}}",
        &[],
    );
}

#[test]
fn a_policy_with_every_field_has_no_problem() {
    check(
        "SamplingPolicy",
        "{targetRefs: [{group: sluice.dev, kind: TelemetryPipeline, name: shop}], mode: Enforce, \
         head: {probabilistic: {keepPercent: 10}, rateLimit: {tracesPerSecond: 100, burst: 200}}, \
         tail: {decisionWait: 10s, decisionWaitAfterRoot: 2s, maxTraces: 0, maxTraceSize: 5Mi, \
         onBufferFull: DecideOldest, decisionCacheSize: 500000}, \
         keep: [{name: errors, match: {status: Error}, atLeastPercent: 100}, \
         {name: failed, match: {httpStatus: '429,5xx', minDuration: 1s, spanDuration: 10ms, \
         spanCount: 3}, atLeastPercent: '99.5'}, \
         {name: above-p99, match: {slowerThan: {percentile: 99, window: 10m, minSamples: 1000}}, \
         atLeastPercent: 100}, {name: rare, match: {rareOperation: {belowPercent: 1, window: 1h, \
         maxPerSecond: 10}}, atLeastPercent: 100}, {name: vip, match: {attributes: [\
         {key: customer.tier, operator: In, values: [gold]}, {key: size, operator: Gt, \
         values: ['500']}]}, atLeastPercent: 50}, \
         {name: paid, match: {traceQL: '{ span.http.route = \"/pay\" }'}, atLeastPercent: 50}], \
         limit: [{name: health, match: {operations: [GET /healthz]}, atMostPercent: 0}, \
         {name: batch, match: {services: ['report-*']}, atMostPerSecond: 5}], \
         default: {keepPercent: '0.25'}, \
         adaptive: {targetTracesPerSecond: 5, bounds: {minPercent: '0.1', maxPercent: 20}, \
         errorSpike: {enabled: true, factor: 3, minErrorsPerSecond: 1, raiseTo: 100, \
         holdFor: 10m}}, tagDecision: true}",
        &[],
    );
}

#[test]
fn an_unknown_field_is_named_with_the_nearest_one() {
    check(
        "Collector",
        "{clustername: a}",
        &["spec.clustername: is no field that exists here; did you mean clusterName?"],
    );
    check("Collector", "{agent: {resource: {}}}", &["did you mean resources?"]);
    check("Collector", "{zzz: 1}", &["spec.zzz: is no field that exists here; remove it"]);
    check(
        "TelemetryPipeline",
        "{logs: {destinationRefs: [{nam: a, name: b}]}}",
        &["spec.logs.destinationRefs[0].nam: is no field that exists here; did you mean name?"],
    );
}

#[test]
fn types_and_bounds_are_those_of_the_schema() {
    check(
        "Collector",
        "{batch: {sendBatchSize: many}}",
        &["spec.batch.sendBatchSize: must be a whole number, is a string"],
    );
    check(
        "Collector",
        "{batch: {sendBatchSize: 0}}",
        &["spec.batch.sendBatchSize: 0 is too low; it must be at least 1"],
    );
    check("Collector", "{receivers: {otlp: {grpc: {port: 70000}}}}", &["it must be at most 65535"]);
    check("Collector", "{managementState: paused}", &["did you mean Paused?"]);
    check("Collector", "{clusterName: Prod}", &["spec.clusterName: \"Prod\" does not match"]);
    check(
        "Collector",
        "{batch: {timeout: soon}}",
        &["spec.batch.timeout: \"soon\" does not match"],
    );
    check("Collector", "{agent: 7}", &["spec.agent: must be a map, is a number"]);
    check(
        "Collector",
        "{image: {pullSecrets: [a, a]}}",
        &["spec.image.pullSecrets[1]: stands twice"],
    );
    check("Destination", "{}", &["spec.type: is missing"]);
    check("TelemetryPipeline", "{logs: {destinationRefs: []}}", &["has 0 items, fewer than 1"]);
    check("TelemetryPipeline", "{logs: {}}", &["spec.logs.destinationRefs: is missing"]);
    check(
        "TelemetryPipeline",
        "{paused: 'yes', logs: {destinationRefs: [{name: a}]}}",
        &["must be true or false"],
    );
}

#[test]
fn the_cel_rules_are_those_of_the_api_server() {
    check(
        "Collector",
        "{agent: {memoryLimiter: {softLimit: 500Mi, hardLimit: 400Mi}}}",
        &["softLimit must be below hardLimit"],
    );
    check(
        "Collector",
        "{rollout: {agent: {maxSurge: 0, maxUnavailable: 0}}}",
        &["cannot both be 0"],
    );
    check("Collector", "{receivers: {otlp: {grpc: {port: 4318}}}}", &["must differ"]);
    check("Collector", "{batch: {timeout: 2m}}", &["must be 100ms to 60s"]);
    check("Collector", "{batch: {maxBatchBytes: 1Ki}}", &["must be 64Ki to 64Mi"]);
    check(
        "Destination",
        "{type: Tempo, otlp: {endpoint: 'a:1'}}",
        &["set exactly the member named by type"],
    );
    check("Destination", "{type: OTLP, otlp: {endpoint: 'host'}}", &["must have a port"]);
    check(
        "Destination",
        "{type: OTLP, otlp: {endpoint: 'a:1'}, headers: {Authorization: x}}",
        &["a secret does not belong in headers"],
    );
    check(
        "Destination",
        "{type: OTLP, otlp: {endpoint: 'a:1'}, auth: {type: Basic}}",
        &["secretRef is needed"],
    );
    check(
        "Destination",
        "{type: OTLP, otlp: {endpoint: 'a:1'}, tls: {mode: Plaintext, caSecretRef: {name: a, key: b}}}",
        &["caSecretRef needs mode Verify"],
    );
    check("TelemetryPipeline", "{}", &["at least one of traces, metrics and logs"]);
    check("TelemetryPipeline", "{logs: {destinationRefs: [{name: a}, {name: a}]}}", &["twice"]);
    check(
        "TelemetryPipeline",
        "{sources: {otlp: {enabled: false}}, logs: {destinationRefs: [{name: a}]}}",
        &["logs needs a source"],
    );
}

#[test]
fn a_field_without_value_is_absent_only_where_a_default_follows() {
    check("Collector", "{managementState: }", &[]);
    check("Collector", "{clusterName: 5}", &["must be a string, is a number"]);
    check("Destination", "{type: Debug, debug: }", &["spec.debug: must be a map, is empty (null)"]);
}

#[test]
fn what_stands_around_the_spec_is_checked_too() {
    let found = problems("{apiVersion: sluice.dev/v1, kind: Collector, metadata: {name: X_}}");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].contains("apiVersion: \"sluice.dev/v1\" is not served; use sluice.dev/v1alpha1")
    );
    assert!(found[1].contains("metadata.name: \"X_\" is no name of an object"));
    assert!(found[2].contains("spec: is missing"));
    let found = problems("{kind: TelemetryPipelin}");
    assert_eq!(
        found,
        ["kind: \"TelemetryPipelin\" is no kind of Sluice; did you mean TelemetryPipeline?"]
    );
    let found = problems(
        "{apiVersion: sluice.dev/v1alpha1, kind: Collector, metadata: {name: a, label: {}}, spec: {}}",
    );
    assert_eq!(found, ["metadata.label: is no field that exists here; did you mean labels?"]);
}
