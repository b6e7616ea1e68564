//! Who sent what is the word of Kubernetes, not of the sender.

use crate::kubectl::apply;
use crate::stage::{SYSTEM, Stage};
use anyhow::{Result, ensure};

pub(crate) fn forged_attributes_are_overwritten(stage: &Stage) -> Result<()> {
    let honest = stage.namespace.clone();
    let forger = format!("{honest}-forger");
    stage.add_namespace(&forger)?;
    let (at_honest, at_forger) = (stage.destination(&honest)?, stage.destination(&forger)?);
    stage.pipeline(&honest)?;
    stage.pipeline(&forger)?;
    let owner = stage.sender(&honest, "owner").with("--signals=traces,metrics,logs");
    owner.start()?;
    owner.finish()?;
    let app = stage
        .sender(&forger, "forger")
        .with("--signals=traces,metrics,logs")
        .with(&format!("--claim=k8s.namespace.name={honest}"))
        .with("--claim=k8s.pod.name=somebody-else")
        .with("--claim=k8s.namespace.name=twice");
    app.start()?;
    app.finish()?;
    for signal in ["traces", "metrics", "logs"] {
        at_forger.wait_for_ids(signal, "forger", &app.ids(100))?;
        let namespaces = at_forger.resource_values(signal, "forger", "k8s.namespace.name")?;
        ensure!(namespaces == [forger.clone()].into(), "{signal}: namespace is {namespaces:?}");
        let pods = at_forger.resource_values(signal, "forger", "k8s.pod.name")?;
        ensure!(pods == ["forger".to_owned()].into(), "{signal}: pod is {pods:?}");
        at_honest.wait_for_ids(signal, "owner", &owner.ids(100))?;
        let leaked = at_honest.arrivals(signal, "forger")?;
        ensure!(leaked.is_empty(), "{signal} reached the other namespace: {leaked:?}");
    }
    Ok(())
}

pub(crate) fn a_claim_in_an_unusual_place_is_overwritten(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    let shapes = ["late", "repeated"].map(|shape| {
        let sender = stage.sender(namespace, shape).with("--signals=traces");
        let sender = sender.with(&format!("--shape={shape}")).with("--claim=k8s.pod.name=other");
        (shape, sender.with("--claim=k8s.namespace.name=kube-system"))
    });
    for (_, sender) in &shapes {
        sender.start()?;
    }
    for (shape, sender) in &shapes {
        sender.finish()?;
        destination.wait_for_ids("traces", shape, &sender.ids(100))?;
        for (key, value) in [("k8s.namespace.name", namespace.as_str()), ("k8s.pod.name", shape)] {
            let values = destination.resource_values("traces", shape, key)?;
            ensure!(values == [value.to_owned()].into(), "{shape}: {key} is {values:?}");
        }
    }
    Ok(())
}

pub(crate) fn an_unknown_sender_is_marked(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    apply(&format!(
        r"
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {{name: unknown, namespace: {SYSTEM}}}
spec:
  type: OTLP
  otlp: {{endpoint: 'otelcol.{namespace}:4317', protocol: GRPC}}
  tls: {{mode: Plaintext}}
---
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {{name: unknown, namespace: {SYSTEM}}}
spec:
  namespaceSelector: {{}}
  sources: {{otlp: {{enabled: true}}}}
  traces: {{destinationRefs: [{{name: unknown}}]}}
"
    ))?;
    stage.ready(SYSTEM, "telemetrypipeline/unknown")?;
    let app = stage
        .sender(namespace, "hostnet")
        .on_host_network()
        .with("--signals=traces")
        .with("--claim=k8s.namespace.name=shop");
    app.start()?;
    app.finish()?;
    destination.wait_for_ids("traces", "hostnet", &app.ids(100))?;
    let claimed = destination.resource_values("traces", "hostnet", "k8s.namespace.name")?;
    ensure!(claimed == ["(absent)".to_owned()].into(), "the claim survived: {claimed:?}");
    let mark = destination.resource_values("traces", "hostnet", "sluice.sender")?;
    ensure!(mark == ["unknown".to_owned()].into(), "not marked: {mark:?}");
    Ok(())
}
