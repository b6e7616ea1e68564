//! A mistake in one object never touches another's data.

use crate::kubectl::{apply, condition, get, kubectl, wait_for};
use crate::stage::Stage;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

pub(crate) fn a_broken_pipeline_leaves_its_neighbour_alone(stage: &Stage) -> Result<()> {
    let sound = stage.namespace.clone();
    let broken = format!("{sound}-broken");
    stage.add_namespace(&broken)?;
    let (at_sound, at_broken) = (stage.destination(&sound)?, stage.destination(&broken)?);
    stage.pipeline(&sound)?;
    stage.pipeline(&broken)?;
    apply(&format!(
        r"
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {{name: all, namespace: {broken}}}
spec:
  traces: {{destinationRefs: [{{name: absent}}]}}
"
    ))?;
    wait_for("the condition", Duration::from_secs(20), || {
        let object = get(&["-n", &broken, "telemetrypipeline", "all"])?;
        let (status, reason, message) = condition(&object, "Ready").context("no Ready yet")?;
        ensure!(status == "False" && reason == "DestinationNotFound", "{status} {reason}");
        ensure!(message.contains("absent"), "the message names it: {message}");
        ensure!(
            condition(&object, "Stalled").is_some_and(|(status, ..)| status == "True"),
            "not stalled"
        );
        Ok(())
    })?;
    // What the neighbour changes from now on counts as before.
    let patch = r#"{"spec":{"enrich":{"resourceAttributes":{"e2e.changed":"after"}}}}"#;
    kubectl(&["-n", &sound, "patch", "tp", "all", "--type=merge", "-p", patch])?;
    stage.ready(&sound, "telemetrypipeline/all")?;
    let neighbour = stage.sender(&sound, "neighbour").with("--signals=traces");
    let last_good = stage.sender(&broken, "last-good").with("--signals=traces");
    neighbour.start()?;
    last_good.start()?;
    neighbour.finish()?;
    last_good.finish()?;
    at_sound.wait_for_ids("traces", "neighbour", &neighbour.ids(100))?;
    let changed = at_sound.resource_values("traces", "neighbour", "e2e.changed")?;
    ensure!(changed == ["after".to_owned()].into(), "the neighbour runs without its change");
    at_broken.wait_for_ids("traces", "last-good", &last_good.ids(100))?;
    Ok(())
}
