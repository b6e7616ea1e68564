//! What a laptop changes in a cluster's config: ports, where Secrets and files are, no pods.

use crate::arguments::Run;
use crate::load::Loaded;
use crate::read::Unreadable;
use anyhow::{Context, Result};
use sluice_agent::Settings;
use sluice_agent::secrets::Secrets;
use sluice_crds::TelemetryPipeline;
use sluice_crds::policy::TargetKind;
use sluice_engine::config::gateway::Gateway;
use sluice_engine::config::{Auth, Config, DestinationKind, Selector};
use sluice_plan::{ObjectName, Observed};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// One fleet, ready to run here.
pub(super) struct Local {
    /// Name of the Collector.
    pub(super) collector: String,
    /// What runs here.
    pub(super) config: Config,
    /// What would run in a cluster, and its hash.
    pub(super) planned: Arc<Config>,
    pub(super) config_hash: String,
    data_folder: PathBuf,
    bind: std::net::IpAddr,
    secrets: Option<PathBuf>,
}

impl Local {
    /// Plans and adapts. Objects of other fleets are left out of what is loaded.
    ///
    /// # Errors
    /// When there is no Collector to run, or no data folder can be made.
    pub(super) fn prepare(arguments: &Run, loaded: &mut Loaded) -> Result<Self> {
        let collector = choose(loaded, arguments.collector.as_deref())?;
        leave_out_others(&mut loaded.observed, &collector);
        let mut plan = sluice_plan::plan(&loaded.observed);
        let fleet = plan.fleets.remove(&collector).ok_or_else(|| {
            let advice = "see what `sluice check` says of it";
            Unreadable::new(format!("Collector {collector} cannot run: {advice}"))
        })?;
        let data_folder = arguments.to.clone().unwrap_or_else(|| arguments.data.clone());
        let data_folder = std::path::absolute(&data_folder).unwrap_or(data_folder);
        let making = || format!("make the data folder {}", data_folder.display());
        fs::create_dir_all(&data_folder).with_context(making)?;
        let config = adapted(fleet.config.as_ref().clone(), arguments, &mut loaded.notes);
        Ok(Self {
            collector,
            config,
            planned: fleet.config,
            config_hash: fleet.hash,
            data_folder,
            bind: arguments.bind,
            secrets: arguments.secrets.clone(),
        })
    }

    pub(super) fn settings(&self) -> Settings {
        let secrets = self.secrets.as_ref().map(|folder| Secrets::from_folder(folder));
        Settings {
            bind: self.bind,
            secrets: secrets.unwrap_or_else(Secrets::empty),
            ..Settings::local(self.data_folder.clone())
        }
    }

    /// Where a destination sends, in words.
    pub(super) fn place(&self, destination: &str) -> String {
        match self.config.destinations.get(destination).map(|destination| &destination.kind) {
            Some(DestinationKind::File { path, .. }) => {
                format!("{}/", self.data_folder.join(path).display())
            }
            Some(DestinationKind::Otlp { endpoint, .. }) => endpoint.clone(),
            Some(DestinationKind::Debug { .. }) => "the log, on stderr".to_owned(),
            None => "nowhere".to_owned(),
        }
    }

    /// The folders that destinations of type File write to.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let kinds = self.config.destinations.values().map(|destination| &destination.kind);
        let paths = kinds.filter_map(|kind| match kind {
            DestinationKind::File { path, .. } => Some(self.data_folder.join(path)),
            DestinationKind::Otlp { .. } | DestinationKind::Debug { .. } => None,
        });
        let mut paths: Vec<_> = paths.collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

/// The Collector that was asked for, or the only one.
fn choose(loaded: &Loaded, asked: Option<&str>) -> Result<String, Unreadable> {
    let names: Vec<&String> = loaded.observed.collectors.keys().collect();
    match (asked, names.as_slice()) {
        (Some(asked), names) if names.iter().any(|name| *name == asked) => Ok(asked.to_owned()),
        (Some(asked), _) => Err(Unreadable::new(format!("there is no valid Collector {asked}"))),
        (None, [only]) => Ok((*only).clone()),
        (None, []) => Err(Unreadable::new(
            "there is no valid Collector, which says how to collect; the smallest one: \
             {apiVersion: sluice.dev/v1alpha1, kind: Collector, metadata: {name: default}, spec: {}}",
        )),
        (None, several) => {
            let names: Vec<_> = several.iter().map(|name| name.as_str()).collect();
            let names = names.join(", ");
            Err(Unreadable::new(format!("several Collectors ({names}): --collector chooses one")))
        }
    }
}

/// What is of other fleets. A policy that is about pipelines here and elsewhere stays, for those here.
fn leave_out_others(observed: &mut Observed, collector: &str) {
    let others = |pipeline: &TelemetryPipeline| pipeline.spec.collector() != collector;
    let gone: BTreeSet<ObjectName> =
        observed.pipelines.extract_if(.., |_, pipeline| others(pipeline)).map(|(n, _)| n).collect();
    let fleets: BTreeSet<String> = observed
        .collectors
        .extract_if(.., |name, _| *name != collector)
        .map(|(name, _)| name)
        .collect();
    observed.policies.retain(|name, policy| {
        let targets = &mut Arc::make_mut(policy).spec.target_refs;
        let is_for_all = targets.is_empty();
        targets.retain(|target| match target.kind {
            TargetKind::TelemetryPipeline => {
                !gone.contains(&ObjectName::new(&name.namespace, &target.name))
            }
            TargetKind::Collector => !fleets.contains(&target.name),
        });
        is_for_all || !targets.is_empty()
    });
}

fn adapted(mut config: Config, arguments: &Run, notes: &mut Vec<String>) -> Config {
    config.receivers.grpc_port = arguments.grpc_port.unwrap_or(config.receivers.grpc_port);
    config.receivers.http_port = arguments.http_port.unwrap_or(config.receivers.http_port);
    config.metrics_port = arguments.metrics_port;
    // One process is all there is: it decides itself.
    config.gateway = Gateway::default();
    for (name, pipeline) in &mut config.pipelines {
        if pipeline.pod_logs.take().is_some() {
            notes.push(format!("TelemetryPipeline {name}: there are no pods here, so no pod logs"));
        }
        if std::mem::take(&mut pipeline.workload) != Selector::default() {
            notes.push(format!(
                "TelemetryPipeline {name}: there are no pods here, so workloadSelector takes all"
            ));
        }
    }
    if arguments.to.is_some() {
        for (name, destination) in &mut config.destinations {
            // Nothing that was asked for is rotated away.
            let (bytes_max, files_max) = (u64::MAX / 2, u32::MAX);
            destination.kind = DestinationKind::File { path: name.clone(), bytes_max, files_max };
            destination.auth = Auth::None;
        }
    }
    config
}
