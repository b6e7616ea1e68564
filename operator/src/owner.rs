//! Who owns what the operator makes for itself: its Deployment, so that uninstalling leaves nothing.

use crate::backoff::Backoff;
use crate::calls::{self, CallError};
use crate::settings::Settings;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// The `ownerReferences` of such an object; empty outside a cluster.
///
/// # Errors
/// When the API server did not answer.
pub(crate) async fn find(client: &Client, settings: &Settings) -> Result<Value, CallError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), &settings.namespace);
    let found = calls::within(settings.call_timeout, api.get_opt(&settings.deployment)).await?;
    let Some(deployment) = found else { return Ok(json!([])) };
    Ok(json!([{
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": deployment.name_any(),
        "uid": deployment.uid().unwrap_or_default(),
    }]))
}

/// [`find`], tried until the API server answers.
pub(crate) async fn find_or_wait(client: &Client, settings: &Settings) -> Value {
    let mut backoff = Backoff::new(settings.retry_delay);
    loop {
        match find(client, settings).await {
            Ok(owners) => return owners,
            Err(error) => tracing::warn!(%error, "owner not found"),
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}
