//! A node's folders, and an agent on it whose intake is the test.

use crate::ack::AckToken;
use crate::intake::Refusal;
use crate::pod_logs::{Counts, FindPod, Settings, run};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message;
use sluice_engine::books::Refused;
use sluice_engine::config::*;
use sluice_engine::pod_logs::path::PodFolder;
use sluice_engine::sender::Pod;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Of paused time.
const DEADLINE: Duration = Duration::from_secs(120);

pub(super) fn cri(content: &str) -> String {
    format!("2026-01-02T03:04:05.000000006Z stdout F {content}\n")
}

pub(super) struct Node {
    logs: tempfile::TempDir,
    data: tempfile::TempDir,
    config: Config,
}

impl Node {
    pub(super) fn new(start_at: StartAt) -> Self {
        Self {
            logs: tempfile::tempdir().unwrap(),
            data: tempfile::tempdir().unwrap(),
            config: config(start_at),
        }
    }

    pub(super) fn batch_items(&self) -> usize {
        self.config.batch.items as usize
    }

    pub(super) fn append(&self, file: &str, text: &str) {
        self.append_bytes(file, text.as_bytes());
    }

    pub(super) fn append_bytes(&self, file: &str, bytes: &[u8]) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
    }

    pub(super) fn overwrite(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    pub(super) fn folder(&self, folder: &str) {
        fs::create_dir_all(self.path(folder)).unwrap();
    }

    pub(super) fn link(&self, target: &str, name: &str) {
        symlink(self.path(target), self.path(name)).unwrap();
    }

    pub(super) fn pipe(&self, name: &str) {
        nix::unistd::mkfifo(&self.path(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.logs.path().join(name)
    }
}

pub(super) struct Agent {
    pub(super) counts: Arc<Counts>,
    config: Option<watch::Sender<Arc<Config>>>,
    parcels: mpsc::Receiver<Parcel>,
    refusing: Arc<AtomicBool>,
    task: JoinHandle<()>,
    checkpoints: PathBuf,
}

/// One submission. Dropping it is its delivery.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) resource: Vec<(String, String)>,
    pub(super) records: Vec<Record>,
    token: AckToken,
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) body: String,
    pub(super) time_unix_nano: u64,
    pub(super) marks: Vec<String>,
}

impl Agent {
    pub(super) fn start(node: &Node) -> Self {
        let (config, configs) = watch::channel(Arc::new(node.config.clone()));
        let (submitted, parcels) = mpsc::channel(1);
        let refusing = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let settings = Settings {
            logs_folder: node.logs.path().to_owned(),
            data_folder: node.data.path().to_owned(),
            node: "node-1".to_owned(),
        };
        let refuses = Arc::clone(&refusing);
        let submit = move |_: &mut _, body: bytes::Bytes, token: AckToken| {
            let full = Refusal::for_now(Refused::QueueFull, "the test has no room");
            if refuses.load(Ordering::Relaxed) {
                return Err(full);
            }
            submitted.try_send(Parcel::new(&body, token)).map_err(|_| full)
        };
        let find_pod: Arc<FindPod> = Arc::new(find_pod);
        let task = tokio::spawn(run(settings, configs, find_pod, submit, Arc::clone(&counts)));
        let checkpoints = node.data.path().join("checkpoints.json");
        Self { counts, config: Some(config), parcels, refusing, task, checkpoints }
    }

    pub(super) async fn next(&mut self) -> Parcel {
        timeout(DEADLINE, self.parcels.recv())
            .await
            .expect("a batch in time")
            .expect("a running agent")
    }

    /// Bodies of all records, until `done` holds for the last one's and all of them.
    pub(super) async fn read_until(
        &mut self,
        done: impl Fn(&str, &Bodies<'_>) -> bool,
    ) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            seen.extend(self.next().await.bodies());
            let last = seen.last().expect("no batch is empty");
            if done(last, &Bodies(&seen)) {
                return seen;
            }
        }
    }

    /// Whether nothing comes in half a minute.
    pub(super) async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_secs(30), self.parcels.recv()).await.is_err()
    }

    /// Waits for the first checkpoints: every file that is there has been looked at.
    pub(super) async fn settled(&mut self) {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        let wait = async {
            while !self.checkpoints.exists() {
                looks.tick().await;
            }
        };
        timeout(DEADLINE, wait).await.expect("checkpoints in time");
    }

    pub(super) fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::Relaxed);
    }

    pub(super) fn close(&mut self) {
        self.config = None;
    }

    /// Lets it drain; returns the bodies of what it had under way.
    pub(super) async fn stop(mut self) -> Vec<String> {
        self.close();
        let mut seen = Vec::new();
        while let Some(parcel) =
            timeout(DEADLINE, self.parcels.recv()).await.expect("an end in time")
        {
            seen.extend(parcel.bodies());
        }
        self.task.await.unwrap();
        seen
    }

    /// Counters trail what they count until the agent is gone.
    pub(super) async fn stop_and_count(self) -> Arc<Counts> {
        let counts = Arc::clone(&self.counts);
        self.stop().await;
        counts
    }

    pub(super) async fn kill(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

pub(super) struct Bodies<'a>(&'a [String]);

impl Bodies<'_> {
    pub(super) fn contains(&self, body: &str) -> bool {
        self.0.iter().any(|seen| seen == body)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Parcel {
    fn new(body: &[u8], token: AckToken) -> Self {
        let request = ExportLogsServiceRequest::decode(body).unwrap();
        let [block] = request.resource_logs.as_slice() else { panic!("one resource") };
        let mut resource = pairs(&block.resource.as_ref().unwrap().attributes);
        resource.sort();
        let records = block.scope_logs.iter().flat_map(|scope| &scope.log_records);
        let records = records.map(|record| Record {
            body: text(record.body.as_ref().and_then(|body| body.value.as_ref())),
            time_unix_nano: record.time_unix_nano,
            marks: pairs(&record.attributes)
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
        });
        Self { resource, records: records.collect(), token }
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        self.records.iter().map(|record| record.body.clone()).collect()
    }

    pub(super) fn lose(self) {
        self.token.lose();
    }
}

fn pairs(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let value = |pair: &KeyValue| text(pair.value.as_ref().and_then(|value| value.value.as_ref()));
    attributes.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("not a string: {other:?}"),
    }
}

fn find_pod(folder: &PodFolder) -> Option<Arc<Pod>> {
    Some(Arc::new(Pod {
        namespace: folder.namespace.clone(),
        name: folder.pod.clone(),
        uid: folder.uid.clone(),
        node: "node-1".to_owned(),
        ..Pod::default()
    }))
}

fn config(start_at: StartAt) -> Config {
    let pipeline = Pipeline {
        generation: 1,
        namespaces: Namespaces::Only(["shop".to_owned()].into()),
        workload: Selector::default(),
        otlp: false,
        pod_logs: Some(PodLogs {
            include: Vec::new(),
            exclude: vec!["istio-*".to_owned()],
            start_at,
        }),
        enrich: Enrich {
            kubernetes: EnrichKubernetes::Standard,
            pod_labels: Vec::new(),
            resource_attributes: BTreeMap::new(),
        },
        traces: Vec::new(),
        metrics: Vec::new(),
        logs: vec!["shop/out".to_owned()],
        delivery: Delivery {
            queue_bytes_max: 1 << 20,
            age_max_ms: 1000,
            retry_initial_ms: 1,
            retry_max_ms: 1,
            retry_elapsed_max_ms: 1,
            on_full: OnFull::Block,
        },
    };
    let destination = Destination {
        kind: DestinationKind::Debug { detailed: false },
        tls: Tls { mode: TlsMode::Plaintext, ca: None, client: None, server_name: String::new() },
        auth: Auth::None,
        headers: BTreeMap::new(),
        compression: Compression::None,
        timeout_ms: 1000,
    };
    Config {
        format: FORMAT,
        cluster: Cluster::default(),
        receivers: Receivers {
            grpc_port: 0,
            grpc_message_bytes_max: 1,
            grpc_connection_age_max_ms: 1,
            http_port: 0,
            http_body_bytes_max: 1,
            jaeger_remote_sampling: None,
        },
        batch: Batch { timeout_ms: 1, items: 500, bytes_max: 1 << 20 },
        limiter: Limiter { soft_bytes: 1, hard_bytes: 2, check_interval_ms: 1 },
        metrics_port: 0,
        destinations: [("shop/out".to_owned(), destination)].into(),
        pipelines: [("shop/logs".to_owned(), pipeline)].into(),
        sampling: Default::default(),
        gateway: Default::default(),
    }
}
