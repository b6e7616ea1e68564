//! The operator's word arrives, an older leader's does not, and a restart needs neither.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use flate2::write::GzEncoder;
use futures::stream::BoxStream;
use sluice_agent::cluster::{Arguments, RunArguments, Verb, run};
use sluice_engine::config::{Config, hash};
use sluice_wire::control::control_server::{Control, ControlServer};
use sluice_wire::control::{
    Adoption, Assignment, FromCollector, Hello, NotLeader, Report, ToCollector, from_collector,
    to_collector,
};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::{config, file, pipeline, until};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{TcpListenerStream, WatchStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Says what it is told to say, and remembers what it hears.
#[derive(Clone)]
struct Operator {
    says: watch::Receiver<ToCollector>,
    hellos: Arc<Mutex<Vec<Hello>>>,
    reports: Arc<Mutex<Vec<Report>>>,
}

impl Operator {
    async fn start(first: ToCollector) -> (Self, watch::Sender<ToCollector>, SocketAddr) {
        let (tell, says) = watch::channel(first);
        let operator = Self { says, hellos: Arc::default(), reports: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().add_service(ControlServer::new(operator.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (operator, tell, address)
    }

    fn last(&self) -> Report {
        self.reports.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

#[tonic::async_trait]
impl Control for Operator {
    type AttachStream = BoxStream<'static, Result<ToCollector, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<FromCollector>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (mut inbound, heard) = (request.into_inner(), self.clone());
        tokio::spawn(async move {
            while let Some(Ok(FromCollector { message: Some(message) })) = inbound.next().await {
                match message {
                    from_collector::Message::Hello(hello) => {
                        heard.hellos.lock().unwrap().push(hello);
                    }
                    from_collector::Message::Report(report) => {
                        heard.reports.lock().unwrap().push(report);
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(WatchStream::new(self.says.clone()).map(Ok))))
    }
}

fn assignment(leader_epoch: u64, config: &Config) -> ToCollector {
    let bytes = config.to_bytes();
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&bytes).unwrap();
    let config = encoder.finish().unwrap();
    let assignment = Assignment { leader_epoch, config_hash: hash(&bytes), config };
    ToCollector { message: Some(to_collector::Message::Assignment(assignment)) }
}

fn not_leader(address: SocketAddr) -> ToCollector {
    let not_leader = NotLeader { address: address.to_string() };
    ToCollector { message: Some(to_collector::Message::NotLeader(not_leader)) }
}

fn arguments(folder: &Path, operator: SocketAddr) -> RunArguments {
    use clap::Parser;
    let flags = [
        "sluice-agent".to_owned(),
        "run".to_owned(),
        "--fleet=edge".to_owned(),
        format!("--data-folder={}", folder.display()),
        format!("--operator={operator}"),
        "--metrics-port=0".to_owned(),
        "--bind=127.0.0.1".to_owned(),
        "--report-seconds=1".to_owned(),
    ];
    match Arguments::parse_from(flags).verb {
        Verb::Run(arguments) => *arguments,
        Verb::PrepareState { .. } => panic!("the verb was run"),
    }
}

/// Different hashes for different numbers.
fn numbered(number: u64) -> (Config, String) {
    let mut config = config();
    config.batch.timeout_ms = number;
    let hash = hash(&config.to_bytes());
    (config, hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_is_adopted_kept_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (first, first_hash) = numbered(50);
    let (operator, tell, address) = Operator::start(assignment(7, &first)).await;
    let agent = tokio::spawn(run(arguments(folder.path(), address)));
    until("the first config runs", || operator.last().config_hash == first_hash).await;
    assert_eq!(operator.last().adoption(), Adoption::Applied);
    assert_eq!(operator.hellos.lock().unwrap()[0].fleet, "edge");

    let (mut broken, _) = numbered(60);
    broken.pipelines.insert("shop/shop".into(), pipeline(&["shop/absent".into()]));
    tell.send_replace(assignment(7, &broken));
    until("the failure is told", || operator.last().adoption() == Adoption::Failed).await;
    assert_eq!(operator.last().config_hash, first_hash);
    assert!(operator.last().adoption_error.contains("shop/absent"));

    let (mut second, _) = numbered(70);
    second.destinations.insert("shop/file".into(), file("out"));
    second.pipelines.insert("shop/shop".into(), pipeline(&["shop/file".into()]));
    let second_hash = hash(&second.to_bytes());
    tell.send_replace(assignment(8, &second));
    until("the second config runs", || operator.last().config_hash == second_hash).await;
    let kept = std::fs::read(folder.path().join("config.json")).unwrap();
    assert_eq!(kept, second.to_bytes());
    let queues = || operator.last().destinations.len();
    until("its queues are reported", || queues() == 3).await;
    agent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_leaders_assignment_is_void() {
    let folder = tempfile::tempdir().unwrap();
    let (current, current_hash) = numbered(50);
    let (operator, tell, address) = Operator::start(assignment(7, &current)).await;
    let agent = tokio::spawn(run(arguments(folder.path(), address)));
    until("the config runs", || operator.last().config_hash == current_hash).await;
    tell.send_replace(assignment(6, &numbered(60).0));
    let seen = operator.last().sequence;
    until("two more reports", || seen + 2 <= operator.last().sequence).await;
    assert_eq!(operator.last().config_hash, current_hash);
    agent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sends_the_agent_to_the_leader() {
    let folder = tempfile::tempdir().unwrap();
    let (config, hash) = numbered(50);
    let (leader, _tell, leader_address) = Operator::start(assignment(7, &config)).await;
    let (_follower, _tell_too, address) = Operator::start(not_leader(leader_address)).await;
    let agent = tokio::spawn(run(arguments(folder.path(), address)));
    until("the leader is found", || leader.last().config_hash == hash).await;
    agent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_runs_what_it_was_assigned_before() {
    let folder = tempfile::tempdir().unwrap();
    let (config, hash) = numbered(50);
    std::fs::write(folder.path().join("config.json"), config.to_bytes()).unwrap();
    let silent = ToCollector { message: None };
    let (operator, _tell, address) = Operator::start(silent).await;
    let agent = tokio::spawn(run(arguments(folder.path(), address)));
    until("the kept config runs", || operator.last().config_hash == hash).await;
    agent.abort();
}
