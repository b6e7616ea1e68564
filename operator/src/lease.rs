//! Who leads: at most one replica, the holder of the Lease. What leading means is left to others.

use crate::backoff::Backoff;
use crate::calls;
use crate::owner;
use crate::settings::Settings;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use kube_lease_manager::{LeaseCreateMode, LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use serde_json::json;
use std::fmt;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What this replica is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Follower {
        /// `host:port` of the leader's control server; empty when unknown.
        leader: String,
    },
    Leader {
        /// Grows with each change of leader.
        epoch: u64,
    },
}

impl Role {
    pub const UNKNOWN: Self = Self::Follower { leader: String::new() };
}

/// Why an election ended before it was told to. The process must exit: it may have a successor.
#[derive(Debug)]
pub enum Lost {
    /// Another replica holds the Lease.
    TakenOver { holder: String },
    /// The Lease could not be confirmed for as long as it lasts.
    Unconfirmed,
    /// The Lease manager ended.
    Ended(LeaseManagerError),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakenOver { holder } => write!(f, "the Lease is held by {holder:?}"),
            Self::Unconfirmed => write!(f, "the Lease could not be confirmed before its end"),
            Self::Ended(error) => write!(f, "the Lease manager ended: {error}"),
        }
    }
}

/// Takes part in the election until `stop` is dropped or sent, then gives the Lease back.
///
/// # Errors
/// [`Lost`], when this replica led and does not any more.
pub(crate) async fn elect(
    client: Client,
    settings: &Settings,
    roles: watch::Sender<Role>,
    mut stop: oneshot::Receiver<()>,
) -> Result<(), Lost> {
    let api: Api<Lease> = Api::namespaced(client.clone(), &settings.namespace);
    let manager = tokio::select! {
        manager = manager(&client, &api, settings) => manager,
        _ = &mut stop => return Ok(()),
    };
    let (leads, manager) = manager.watch().await;
    let mut candidate = Candidate { api, settings, leads, end: Instant::now() };
    let mut probes = tokio::time::interval(settings.lease_duration.div_f64(5.0));
    loop {
        tokio::select! {
            changed = candidate.leads.changed() => if changed.is_err() {
                return ended(manager).await;
            },
            _ = probes.tick() => {}
            _ = &mut stop => break,
        }
        candidate.probe(&roles).await?;
    }
    // The manager releases the Lease once nobody listens to it.
    drop(candidate);
    let _ = tokio::time::timeout(settings.call_timeout, manager).await;
    Ok(())
}

async fn ended(manager: JoinHandle<Result<LeaseManager, LeaseManagerError>>) -> Result<(), Lost> {
    match manager.await {
        Ok(Err(error)) => Err(Lost::Ended(error)),
        _ => Err(Lost::Unconfirmed),
    }
}

struct Candidate<'a> {
    api: Api<Lease>,
    settings: &'a Settings,
    leads: watch::Receiver<bool>,
    /// When the Lease ends, as far as the API server has confirmed it.
    end: Instant,
}

impl Candidate<'_> {
    /// Asks the API server who holds the Lease and publishes the role that follows.
    ///
    /// The manager keeps its word of leading while the API server cannot be reached; a leader
    /// must not outlive its Lease, so this probe does the counting.
    async fn probe(&mut self, roles: &watch::Sender<Role>) -> Result<(), Lost> {
        let led = matches!(*roles.borrow(), Role::Leader { .. });
        let lease = calls::within(self.timeout(led), self.api.get(&self.settings.lease)).await;
        let spec = match lease {
            Ok(lease) => lease.spec.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "lease not read");
                if led && Instant::now() >= self.end {
                    return Err(Lost::Unconfirmed);
                }
                return Ok(());
            }
        };
        let holder = spec.holder_identity.unwrap_or_default();
        let leads = *self.leads.borrow_and_update();
        let role = if holder == self.settings.identity() && leads {
            self.end = Instant::now() + remaining(spec.renew_time.as_ref(), self.settings);
            let transitions = spec.lease_transitions.unwrap_or_default();
            Role::Leader { epoch: u64::try_from(transitions).unwrap_or_default() }
        } else if led {
            return Err(Lost::TakenOver { holder });
        } else {
            Role::Follower { leader: address(&holder).to_owned() }
        };
        roles.send_if_modified(|known| {
            let changed = *known != role;
            *known = role;
            changed
        });
        Ok(())
    }

    /// A leader must know in time, and may try again; nobody else is in a hurry.
    fn timeout(&self, led: bool) -> Duration {
        let limit = self.settings.call_timeout.min(self.settings.lease_duration.div_f64(3.0));
        let left = self.end.saturating_duration_since(Instant::now());
        if led { limit.min(left) } else { limit }
    }
}

/// How long a Lease lasts that this replica renewed at `renewed`, by its own clock.
fn remaining(renewed: Option<&MicroTime>, settings: &Settings) -> Duration {
    let age = renewed.map(|at| Timestamp::now().duration_since(at.0));
    let age = age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default();
    settings.lease_duration.saturating_sub(age)
}

/// The part of an identity that says where its control server is.
fn address(identity: &str) -> &str {
    identity.split_once('/').map_or("", |(_, address)| address)
}

/// Tried until it succeeds: without the API server there is nothing else to do.
async fn manager(client: &Client, api: &Api<Lease>, settings: &Settings) -> LeaseManager {
    let mut backoff = Backoff::new(settings.retry_delay);
    loop {
        match try_manager(client, api, settings).await {
            Ok(manager) => return manager,
            Err(error) => tracing::warn!(error, "lease not prepared"),
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn try_manager(
    client: &Client,
    api: &Api<Lease>,
    settings: &Settings,
) -> Result<LeaseManager, String> {
    let owners = owner::find(client, settings).await.map_err(|error| error.to_string())?;
    // Applied rather than posted: so the right to create can be given for this name alone.
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": settings.lease,
            "namespace": settings.namespace,
            "ownerReferences": owners,
        },
    });
    let apply = PatchParams::apply(crate::FIELD_MANAGER);
    let patch = Patch::Apply(&lease);
    let applied =
        calls::within(settings.call_timeout, api.patch(&settings.lease, &apply, &patch)).await;
    let name = applied.map_err(|error| error.to_string())?.name_any();
    LeaseManagerBuilder::new(client.clone(), name)
        .with_namespace(&settings.namespace)
        .with_identity(settings.identity())
        .with_field_manager(format!("sluice-lease-{}", settings.pod_name))
        .with_duration(settings.lease_duration.as_secs())
        .with_grace(settings.lease_grace.as_secs())
        .with_create_mode(LeaseCreateMode::UseExistent)
        .build()
        .await
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use jiff::SignedDuration;

    #[test]
    fn a_follower_reads_the_leaders_address_from_the_lease() {
        assert_eq!(address("sluice-operator-7d/10.1.2.3:9443"), "10.1.2.3:9443");
        assert_eq!(address(""), "");
        assert_eq!(address("someone-else"), "");
    }

    #[test]
    fn a_lease_lasts_from_its_renewal_not_from_when_that_was_read() {
        let settings = Settings::parse_from(["x", "--lease-duration", "15s"]);
        let renewed = MicroTime(Timestamp::now() - SignedDuration::from_secs(5));
        let left = remaining(Some(&renewed), &settings);
        assert!(left <= Duration::from_secs(10) && left > Duration::from_secs(8), "{left:?}");
        let long_ago = MicroTime(Timestamp::UNIX_EPOCH);
        assert_eq!(remaining(Some(&long_ago), &settings), Duration::ZERO);
    }
}
