//! Which pipelines read the logs of a container, and where they start in a file that has no checkpoint.

use crate::compiled::Compiled;
use crate::config::{Pipeline, StartAt};
use crate::sender::{Pod, Sender, Source};
use sluice_wire::Signal;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of the pod whose folder was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    Pod(Arc<Pod>),
    /// Only what its folder's name says: no labels, so no pipeline with a workload selector takes it.
    Name(Arc<Pod>),
}

impl Known {
    pub fn pod(&self) -> &Arc<Pod> {
        match self {
            Self::Pod(pod) | Self::Name(pod) => pod,
        }
    }
}

/// Pipelines that read a container's logs, by index in [`Compiled::pipelines`].
pub fn readers(compiled: &Compiled, known: &Known, container: &str) -> Vec<usize> {
    let source = Source::PodLogs { container: container.to_owned() };
    let sender = Sender::Pod(known.pod().clone());
    let targets = compiled.route(Signal::Logs, &source, &sender, None).targets;
    let takes = |index: &usize| match known {
        Known::Pod(_) => true,
        Known::Name(_) => compiled.pipelines[*index].1.workload.is_empty(),
    };
    targets.iter().map(|target| target.pipeline).filter(takes).collect()
}

/// Where `readers` start in a file without checkpoint. A pipeline that has settled has a checkpoint
/// for each file that was there: this one is new, and is read whole.
pub fn start_at(
    compiled: &Compiled,
    readers: &[usize],
    settled: &BTreeMap<String, i64>,
) -> StartAt {
    let from_beginning = readers.iter().any(|index| {
        let (name, pipeline) = &compiled.pipelines[*index];
        let asked = pipeline.pod_logs.as_ref().map(|pod_logs| pod_logs.start_at);
        asked == Some(StartAt::Beginning) || settled.get(name) == Some(&pipeline.generation)
    });
    if from_beginning { StartAt::Beginning } else { StartAt::End }
}

/// What [`start_at`] is to be given once every file that exists now has a checkpoint.
pub fn settle(compiled: &Compiled) -> BTreeMap<String, i64> {
    let reads = |pipeline: &Pipeline| pipeline.pod_logs.is_some();
    let reading = compiled.pipelines.iter().filter(|(_, pipeline)| reads(pipeline));
    reading.map(|(name, pipeline)| (name.clone(), pipeline.generation)).collect()
}
