//! Where spans come from: their sender, resource and scope, once for all spans that share them.

use super::rules::Rules;
use super::trackers::Operation;
use crate::compiled::{Compiled, destinations};
use crate::enrich::is_reserved;
use crate::matching::ResourceMatch;
use crate::sender::{Sender, Source};
use sluice_wire::Signal;
use sluice_wire::sampling::Threshold;
use sluice_wire::spans::{ScopeView, edit_resource, resource_text};
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug)]
pub struct Origin {
    /// Of the config that `targets` was made for.
    pub generation: u64,
    pub targets: Vec<Target>,
    pub sender: Sender,
    source: Source,
    namespace: Option<String>,
    pub(super) around_scopes: Box<[u8]>,
    pub(super) around_spans: Box<[u8]>,
    pub(super) resource: ResourceMatch,
    /// Of the rules that `resource`, `scope` and `policies` were made for.
    version: u32,
    /// Number of the set of policies in whose scope these spans are ([`Rules::scope`]).
    scope: u16,
    /// The same as bits.
    pub(super) policies: Box<[u64]>,
    /// What is left of its traces before they are held.
    pub(super) head: Threshold,
    /// For trackers: the service, of its namespace.
    pub(super) service: u64,
}

/// One pipeline that takes the spans.
#[derive(Debug)]
pub struct Target {
    /// Index in [`Compiled::pipelines`] of the generation.
    pub pipeline: usize,
    pub name: String,
    /// How many destinations get a copy.
    pub copies: u64,
    /// The block's fields around its scopes, the resource as the pipeline sends it.
    pub(super) around_scopes: Box<[u8]>,
}

/// What an origin is made for.
pub(super) struct Context<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) generation: u64,
    pub(super) rules: &'a Arc<Rules>,
    /// Number of the rules.
    pub(super) version: u32,
    pub(super) sender: &'a Sender,
    pub(super) source: &'a Source,
}

impl Origin {
    pub(super) fn new(context: &Context<'_>, scope: &ScopeView<'_>) -> Self {
        let Context { compiled, generation, rules, version, sender, source } = *context;
        let namespace = match sender {
            Sender::Pod(pod) => Some(pod.namespace.clone()),
            Sender::Claimed => {
                resource_text(scope.around_scopes, "k8s.namespace.name").map(str::to_owned)
            }
            Sender::Unknown => None,
        };
        let (targets, head) =
            targets(compiled, sender, source, namespace.as_deref(), scope.around_scopes);
        let pipelines: BTreeSet<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        let number = rules.scope(namespace.as_deref(), &pipelines);
        let proven = |key: &str| proven(compiled, sender, key);
        let mut found = scope.attributes.to_vec();
        if *sender != Sender::Claimed {
            let probes = rules.matcher.resource_probes();
            found.retain(|(number, _)| !is_reserved(probes.key(*number)));
        }
        let resource = rules.resource(&found, &proven, number);
        let mut policies = vec![0; rules.policies.len().div_ceil(64)];
        for policy in rules.policies_of(number) {
            policies[usize::from(policy) / 64] |= 1 << (policy % 64);
        }
        let name = namespace.as_deref().unwrap_or_default();
        let service = Operation::service(name, resource.service());
        Self {
            generation,
            version,
            targets,
            head,
            service,
            policies: policies.into(),
            sender: sender.clone(),
            source: source.clone(),
            namespace,
            around_scopes: scope.around_scopes.into(),
            around_spans: scope.around_spans.into(),
            resource,
            scope: number,
        }
    }

    pub(super) fn is_of(&self, scope: &ScopeView<'_>) -> bool {
        *self.around_scopes == *scope.around_scopes && *self.around_spans == *scope.around_spans
    }

    /// Number of the set of policies, of these rules, in whose scope the spans are.
    pub(super) fn scope_by(&self, rules: &Rules, version: u32) -> u16 {
        if version == self.version {
            return self.scope;
        }
        let pipelines = self.targets.iter().map(|target| target.name.as_str()).collect();
        rules.scope(self.namespace.as_deref(), &pipelines)
    }

    /// Its targets by another config.
    pub fn rerouted(&self, compiled: &Compiled) -> Vec<Target> {
        let Self { sender, source, namespace, around_scopes, .. } = self;
        targets(compiled, sender, source, namespace.as_deref(), around_scopes).0
    }
}

/// And what heads leave of its traces.
fn targets(
    compiled: &Compiled,
    sender: &Sender,
    source: &Source,
    claimed: Option<&str>,
    around_scopes: &[u8],
) -> (Vec<Target>, Threshold) {
    let route = compiled.route(Signal::Traces, source, sender, claimed);
    let targets = route.targets.into_iter().map(|target| {
        let (name, pipeline) = &compiled.pipelines[target.pipeline];
        // A resource that was surveyed can be edited; else it stays as it came.
        let edited = target.edit.and_then(|edit| edit_resource(around_scopes, &edit).ok());
        Target {
            pipeline: target.pipeline,
            name: name.clone(),
            copies: destinations(pipeline, Signal::Traces).len() as u64,
            around_scopes: edited.unwrap_or_else(|| around_scopes.to_vec()).into(),
        }
    });
    (targets.collect(), route.head)
}

/// What the collector stamps on the resource, which wins over what the sender wrote.
fn proven(compiled: &Compiled, sender: &Sender, key: &str) -> Option<String> {
    crate::enrich::proven(&compiled.config.cluster, sender, key)
}
