//! An operator that says what a test tells it to, and an agent that listens to it.

use clap::Parser;
use flate2::write::GzEncoder;
use futures::stream::BoxStream;
use sluice_agent::cluster::{Arguments, RunArguments, Verb};
use sluice_engine::config::{Config, hash};
use sluice_wire::control::control_server::{Control, ControlServer};
use sluice_wire::control::sampling::Found;
use sluice_wire::control::{
    Assignment, FromCollector, Hello, Report, ToCollector, from_collector, to_collector,
};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{TcpListenerStream, WatchStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Says what it is told to say, and remembers what it hears.
#[derive(Clone)]
pub struct Operator {
    says: watch::Receiver<ToCollector>,
    pub hellos: Arc<Mutex<Vec<Hello>>>,
    pub reports: Arc<Mutex<Vec<Report>>>,
    pub found: Arc<Mutex<Vec<Found>>>,
}

impl Operator {
    pub async fn start(first: ToCollector) -> (Self, watch::Sender<ToCollector>, SocketAddr) {
        let (tell, says) = watch::channel(first);
        let (hellos, reports, found) = Default::default();
        let operator = Self { says, hellos, reports, found };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().add_service(ControlServer::new(operator.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (operator, tell, address)
    }

    pub fn last(&self) -> Report {
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
                    from_collector::Message::SigningRequest(_) => (),
                    from_collector::Message::Found(found) => {
                        heard.found.lock().unwrap().push(found);
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(WatchStream::new(self.says.clone()).map(Ok))))
    }
}

pub fn assignment(leader_epoch: u64, config: &Config) -> ToCollector {
    let bytes = config.to_bytes();
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&bytes).unwrap();
    let config = encoder.finish().unwrap();
    let assignment = Assignment { leader_epoch, config_hash: hash(&bytes), config };
    ToCollector { message: Some(to_collector::Message::Assignment(assignment)) }
}

pub fn arguments(folder: &Path, operator: SocketAddr) -> RunArguments {
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
