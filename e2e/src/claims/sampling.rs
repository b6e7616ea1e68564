//! A policy decides whole traces on gateways, and what it says is what arrives.

use crate::gateways;
use crate::kubectl::{apply, kubectl, wait_for};
use crate::stage::Stage;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::time::Duration;

const SPANS: usize = 4000;
const PER_TRACE: usize = 4;
const ERROR_EVERY: usize = 10;
/// Nine tenths of 2^56, to four hexadecimal digits: what a tenth of all traces reach.
pub(super) const TENTH: u64 = 0xe6_6600_0000_0000;

pub(super) const POLICY: &str = r"
apiVersion: sluice.dev/v1alpha1
kind: SamplingPolicy
metadata: {name: shop, namespace: NAMESPACE}
spec:
  tail: {decisionWait: 5s, decisionWaitAfterRoot: 1s}
  keep:
  - {name: errors, match: {status: Error}, atLeastPercent: 100}
  default: {keepPercent: 10}
";

pub(crate) fn traces_are_sampled_whole_by_the_gateways(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    apply(&POLICY.replace("NAMESPACE", namespace))?;
    stage.ready(namespace, "samplingpolicy/shop")?;
    gateways::wait_for_summary("2/2")?;
    let app = stage
        .sender(namespace, "sampled")
        .with("--signals=traces")
        .with(&format!("--count={SPANS}"))
        .with(&format!("--per-trace={PER_TRACE}"))
        .with(&format!("--error-every={ERROR_EVERY}"))
        // A trace's spans come by several requests.
        .with("--per-request=50");
    app.start()?;
    app.finish()?;
    destination.wait_for_ids("traces", "sampled", &kept())?;
    status_says_so(namespace)?;
    let fewer = r#"{"spec": {"gateway": {"autoscaling": {"minReplicas": 1, "maxReplicas": 1},
        "traceRouting": {"handoff": {"timeout": "5s"}}}}}"#;
    kubectl(&["patch", "collector", "default", "--type=merge", "-p", fewer])?;
    gateways::wait_for_summary("1/1")?;
    let as_before = r#"{"spec": {"gateway": null}}"#;
    kubectl(&["patch", "collector", "default", "--type=merge", "-p", as_before])?;
    kubectl(&["-n", namespace, "delete", "samplingpolicy", "shop"])?;
    gateways::wait_for_none()
}

/// Within one percent, and of errors exactly.
fn status_says_so(namespace: &str) -> Result<()> {
    let measured = |member: &str| {
        let path = format!("jsonpath={{.status.observed.{member}}}");
        kubectl(&["-n", namespace, "get", "samplingpolicy", "shop", "-o", &path])
    };
    wait_for("the status to say so", Duration::from_secs(90), || {
        let errors = measured("errorsKeptPercent")?;
        ensure!(errors == "100", "errors kept: {errors:?} %");
        let found = measured("keepPercent")?;
        let percent: f64 = found.parse().with_context(|| format!("kept: {found:?} %"))?;
        let wanted = kept().len() as f64 * 100.0 / SPANS as f64;
        ensure!((percent - wanted).abs() <= 1.0, "kept: {percent} %, not {wanted} %");
        Ok(())
    })
}

/// Ids of the spans of traces with an error, and of the tenth of all traces.
fn kept() -> BTreeSet<String> {
    let is_kept = |number: &usize| {
        let trace = number / PER_TRACE;
        trace.is_multiple_of(ERROR_EVERY) || TENTH <= randomness(trace)
    };
    (0..SPANS).filter(is_kept).map(|number| format!("sampled-{number}")).collect()
}

/// Of the trace id that the load program (`src/bin/load.rs`) makes, and the one of `xtask/go/sdk`:
/// its last 56 bits.
pub(super) fn randomness(trace: usize) -> u64 {
    let mut mixed = (trace as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) & ((1 << 56) - 1)
}
