//! What is sent arrives, with the attributes of the pod that sent it.

use crate::stage::Stage;
use anyhow::{Result, ensure};

pub(crate) fn the_three_signals_of_an_app_pod_arrive_at_a_real_otel_collector(
    stage: &Stage,
) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    let app = stage
        .sender(namespace, "app")
        .with("--signals=traces,metrics,logs,stdout")
        .with("--count=200");
    app.start()?;
    app.finish()?;
    for signal in ["traces", "metrics"] {
        destination.wait_for_ids(signal, "app", &app.ids(200))?;
    }
    // Logs arrive twice: by OTLP and as lines of the pod's log.
    let arrivals = destination.wait_for_ids("logs", "app", &app.ids(200))?;
    ensure!(arrivals.values().all(|times| *times >= 1), "every log arrives");
    for signal in ["traces", "metrics", "logs"] {
        for (key, value) in [
            ("k8s.namespace.name", namespace.as_str()),
            ("k8s.pod.name", "app"),
            ("k8s.cluster.name", "e2e"),
        ] {
            let values = destination.resource_values(signal, "app", key)?;
            ensure!(
                values == [value.to_owned()].into(),
                "{signal}: {key} is {values:?}, not {value}"
            );
        }
    }
    Ok(())
}
