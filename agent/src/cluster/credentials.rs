//! Reads the Secrets that destinations name: at each config, every five minutes, and sooner while
//! one is missing or a delivery fails that another content may mend.

use crate::secrets::{SecretData, SecretProblem, Secrets};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use sluice_engine::config::{Config, SecretName};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const INTERVAL: Duration = Duration::from_secs(300);
/// A delivery that fails asks no more often than this; each time for nothing, half as often.
const PAUSE_MIN: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(80);
const READ_MAX: Duration = Duration::from_secs(10);

/// Runs until the config closes.
pub(super) async fn keep_fresh(
    client: Client,
    mut config: watch::Receiver<Option<Arc<Config>>>,
    secrets: Secrets,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let names = config.borrow_and_update().as_ref().map(|config| named(config));
        let mut lacking = false;
        for name in names.unwrap_or_default() {
            let Some(data) = read(&client, &name).await else { continue };
            lacking |= data.is_err();
            if secrets.put(name, data) {
                pause = PAUSE_MIN;
            }
        }
        let asked = async {
            tokio::time::sleep(jittered(pause)).await;
            if !lacking {
                secrets.refresh_asked().await;
            }
        };
        tokio::select! {
            changed = config.changed() => {
                if changed.is_err() {
                    return;
                }
                pause = PAUSE_MIN;
            }
            () = tokio::time::sleep(jittered(INTERVAL)) => pause = PAUSE_MIN,
            () = asked => pause = PAUSE_MAX.min(2 * pause),
        }
    }
}

fn named(config: &Config) -> BTreeSet<SecretName> {
    let keys = config.destinations.values().flat_map(crate::secrets::keys_of);
    keys.map(|key| key.secret).collect()
}

/// `None` when the API server could not be asked: what was read before stays.
async fn read(client: &Client, name: &SecretName) -> Option<SecretData> {
    let api = Api::<Secret>::namespaced(client.clone(), &name.namespace);
    match tokio::time::timeout(READ_MAX, api.get(&name.name)).await {
        Ok(Ok(secret)) => {
            let data = secret.data.unwrap_or_default();
            Some(Ok(data.into_iter().map(|(key, value)| (key, value.0)).collect()))
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            Some(Err(SecretProblem::Missing))
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            Some(Err(SecretProblem::AccessDenied))
        }
        Ok(Err(error)) => {
            let (namespace, name) = (&name.namespace, &name.name);
            tracing::warn!(namespace, name, %error, "a secret cannot be read now");
            None
        }
        Err(_) => None,
    }
}

/// Up to a fifth longer, so that a fleet does not ask at once.
fn jittered(pause: Duration) -> Duration {
    let part = u32::try_from(RandomState::new().hash_one(0) % 1000).unwrap_or(0);
    pause + pause / 5000 * part
}
