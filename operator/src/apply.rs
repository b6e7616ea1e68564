//! Makes the API server hold what the plan says: server-side apply in the plan's order, then
//! deletes what the plan no longer names. Writes nothing that already stands as it should.

use crate::FIELD_MANAGER;
use crate::calls::{self, CallError};
use crate::metrics::Metrics;
use crate::observe::{ChildKey, ChildKind, Existing};
use crate::settings::Settings;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::json;
use sha2::{Digest, Sha256};
use sluice_plan::{DeletionCost, Event, Plan, Refusal, RefusalCause};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

/// <https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost>
pub(crate) const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A plan that the API server has taken. Only [`Applier::apply`] makes one, so that no status and
/// no configuration runs ahead of it.
#[derive(Debug)]
pub struct Applied {
    plan: Plan,
    /// Collectors of which something could not be applied, and why.
    failures: BTreeMap<String, ApplyError>,
    /// What somebody else had changed or deleted.
    repairs: Vec<Event>,
}

impl Applied {
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn failures(&self) -> &BTreeMap<String, ApplyError> {
        &self.failures
    }

    /// What the planner can tell users of the failures, by the name of the Collector.
    pub fn refusals(&self) -> BTreeMap<String, Refusal> {
        let failures = self.failures.iter();
        failures.filter_map(|(fleet, error)| Some((fleet.clone(), error.refusal()?))).collect()
    }

    pub fn repairs(&self) -> &[Event] {
        &self.repairs
    }
}

/// The attempt that failed; the fleet's other children wait for the next lap.
#[derive(Debug)]
pub enum ApplyError {
    /// A kind that the operator may not own: the planner and this room disagree.
    UnknownKind {
        kind: String,
    },
    Apply {
        key: ChildKey,
        source: CallError,
    },
    Prune {
        key: ChildKey,
        source: CallError,
    },
    /// A gateway that is to end first.
    Mark {
        pod: String,
        source: CallError,
    },
}

impl ApplyError {
    /// `None`: it may succeed when it is tried again.
    fn refusal(&self) -> Option<Refusal> {
        let (Self::Apply { source, .. } | Self::Prune { source, .. } | Self::Mark { source, .. }) =
            self
        else {
            return None;
        };
        let message = self.to_string();
        // <https://kubernetes.io/docs/concepts/policy/resource-quotas/>: how a quota refuses.
        let cause = match source.code() {
            403 if message.contains("exceeded quota") => RefusalCause::Quota,
            403 => RefusalCause::Permission,
            _ => return None,
        };
        Some(Refusal { cause, message })
    }

    /// A bounded set, fit for a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::UnknownKind { .. } => "unknown_kind",
            Self::Apply { .. } => "apply",
            Self::Prune { .. } => "prune",
            Self::Mark { .. } => "mark",
        }
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind { kind } => write!(f, "a {kind} is nothing that a Collector owns"),
            Self::Apply { key, source } => write!(f, "cannot apply {key}: {source}"),
            Self::Prune { key, source } => write!(f, "cannot delete {key}: {source}"),
            Self::Mark { pod, source } => write!(f, "cannot mark Pod {pod}: {source}"),
        }
    }
}

impl std::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UnknownKind { .. } => None,
            Self::Apply { source, .. } | Self::Prune { source, .. } | Self::Mark { source, .. } => {
                Some(source)
            }
        }
    }
}

impl fmt::Display for ChildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// Applies, and remembers what it applied.
pub struct Applier {
    client: Client,
    namespace: String,
    timeout: Duration,
    metrics: Metrics,
    last: HashMap<ChildKey, LastApply>,
}

#[derive(Debug, PartialEq, Eq)]
struct LastApply {
    hash: [u8; 32],
    /// What the API server answered.
    resource_version: String,
    /// Changes when somebody else changes what was applied, or deletes it.
    edition: Edition,
}

/// UID and generation; of kinds that have no generation, whose status nobody writes either, the
/// resource version.
type Edition = (Option<String>, Result<i64, Option<String>>);

/// What [`Applier::ensure`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    AsApplied,
    /// Another wish, or the first of this replica.
    New,
    /// The wish of before, changed or deleted by somebody else.
    Drifted,
}

impl Applier {
    pub fn new(client: Client, settings: &Settings, metrics: Metrics) -> Self {
        Self {
            client,
            namespace: settings.namespace.clone(),
            timeout: settings.call_timeout,
            metrics,
            last: HashMap::new(),
        }
    }

    /// One fleet's failure leaves the others alone.
    pub async fn apply(&mut self, plan: Plan, existing: &Existing) -> Applied {
        let mut failures: BTreeMap<String, ApplyError> = BTreeMap::new();
        let mut repairs = Vec::new();
        let mut wanted = BTreeSet::new();
        for cost in &plan.deletion_costs {
            if let Err(source) = self.set_deletion_cost(cost).await {
                let error = ApplyError::Mark { pod: cost.pod.clone(), source };
                failures.insert(cost.fleet.clone(), error);
            }
        }
        for child in &plan.children {
            let key = match key(&child.object) {
                Ok(key) => key,
                Err(error) => {
                    failures.entry(child.fleet.clone()).or_insert(error);
                    continue;
                }
            };
            wanted.insert(key.clone());
            if failures.contains_key(&child.fleet) {
                continue;
            }
            match self.ensure(&key, &child.object, existing).await {
                Ok(Found::AsApplied | Found::New) => {}
                Ok(Found::Drifted) => {
                    repairs.push(Event::drift_repaired(child, &key.to_string()));
                }
                Err(error) => {
                    failures.insert(child.fleet.clone(), error);
                }
            }
        }
        for (key, child) in &existing.children {
            let spared = child.fleet.is_empty()
                || child.being_deleted
                || wanted.contains(key)
                || plan.untouched.contains(&child.fleet)
                || existing.unreadable_fleets.contains(&child.fleet)
                || failures.contains_key(&child.fleet);
            if spared {
                continue;
            }
            if let Err(error) = self.prune(key, &child.resource_version).await {
                failures.insert(child.fleet.clone(), error);
            }
        }
        Applied { plan, failures, repairs }
    }

    /// Says which pods a Deployment ends first. A pod that is gone needs no mark.
    async fn set_deletion_cost(&self, cost: &DeletionCost) -> Result<(), CallError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({
            "metadata": {"annotations": {DELETION_COST: cost.cost.to_string()}},
        }));
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
        let call = pods.patch_metadata(&cost.pod, &parameters, &patch);
        match calls::within(self.timeout, call).await {
            Err(error) if error.code() != 404 => Err(error),
            _ => Ok(()),
        }
    }

    /// Applies one object unless it stands exactly as this replica last left it.
    ///
    /// # Errors
    /// When the API server did not take it.
    pub async fn ensure(
        &mut self,
        key: &ChildKey,
        object: &DynamicObject,
        existing: &Existing,
    ) -> Result<Found, ApplyError> {
        let hash = hash(object);
        let observed = existing.children.get(key).map(|child| child.resource_version.as_str());
        if let Some(last) = self.last.get(key)
            && last.hash == hash
            && observed == Some(&last.resource_version)
        {
            return Ok(Found::AsApplied);
        }
        let params = PatchParams::apply(crate::FIELD_MANAGER).force();
        let api = self.api(key.kind);
        let patch = Patch::Apply(object);
        let call = api.patch(&key.name, &params, &patch);
        let taken = calls::within(self.timeout, call)
            .await
            .map_err(|source| ApplyError::Apply { key: key.clone(), source })?;
        self.metrics.applied.with_label_values(&[key.kind.as_str()]).inc();
        tracing::info!(kind = key.kind.as_str(), name = key.name, "object applied");
        let applied = LastApply {
            hash,
            resource_version: taken.resource_version().unwrap_or_default(),
            edition: (taken.uid(), taken.metadata.generation.ok_or(taken.resource_version())),
        };
        let edition = applied.edition.clone();
        let last = self.last.insert(key.clone(), applied);
        let drifted = last.is_some_and(|last| last.hash == hash && last.edition != edition);
        Ok(if drifted { Found::Drifted } else { Found::New })
    }

    async fn prune(&mut self, key: &ChildKey, resource_version: &str) -> Result<(), ApplyError> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            // Whoever changed it since may have taken it for himself.
            preconditions: Some(Preconditions {
                resource_version: Some(resource_version.to_owned()),
                uid: None,
            }),
            ..DeleteParams::default()
        };
        self.last.remove(key);
        let api = self.api(key.kind);
        match calls::within(self.timeout, api.delete(&key.name, &params)).await {
            Ok(_) => {
                self.metrics.pruned.with_label_values(&[key.kind.as_str()]).inc();
                tracing::info!(kind = key.kind.as_str(), name = key.name, "object deleted");
                Ok(())
            }
            Err(error) if error.code() == 404 => Ok(()),
            Err(source) => Err(ApplyError::Prune { key: key.clone(), source }),
        }
    }

    fn api(&self, kind: ChildKind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }
}

/// # Errors
/// [`ApplyError::UnknownKind`].
fn key(object: &DynamicObject) -> Result<ChildKey, ApplyError> {
    let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
    let known = ChildKind::ALL.into_iter().find(|known| known.as_str() == kind);
    match known {
        Some(kind) => Ok(ChildKey { kind, name: object.name_any() }),
        None => Err(ApplyError::UnknownKind { kind: kind.to_owned() }),
    }
}

fn resource(kind: ChildKind) -> ApiResource {
    let (group, plural) = match kind {
        ChildKind::ConfigMap => ("", "configmaps"),
        ChildKind::Service => ("", "services"),
        ChildKind::DaemonSet => ("apps", "daemonsets"),
        ChildKind::Deployment => ("apps", "deployments"),
        ChildKind::PodDisruptionBudget => ("policy", "poddisruptionbudgets"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind.as_str()), plural)
}

fn hash(object: &DynamicObject) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "JSON values have string keys")]
    let bytes = serde_json::to_vec(object).expect("an object is plain data");
    Sha256::digest(bytes).into()
}
