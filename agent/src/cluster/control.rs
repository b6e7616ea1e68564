//! The agent's end of the control stream: attaches to whoever leads, hands on what it is assigned,
//! says what runs. Data flows on whatever happens here.

use super::arguments::RunArguments;
use super::boot::unpack;
use sluice_engine::config::Config;
use sluice_wire::control::control_client::ControlClient;
use sluice_wire::control::{
    Assignment, FromCollector, Hello, Report, ToCollector, from_collector, to_collector,
};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status, Streaming};

const CONNECT_MAX: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Followers that send us from one to the other are not believed for ever.
const REDIRECTS_MAX: u32 = 3;

/// A config to run, and the bytes that it was read from.
pub(super) struct Assigned {
    pub(super) hash: String,
    pub(super) config: Config,
    pub(super) bytes: Vec<u8>,
}

/// Whom to attach to, and as whom.
pub(super) struct Link {
    operator: String,
    ca: Option<PathBuf>,
    token: Option<PathBuf>,
    hello: Hello,
}

/// What a stream ended with.
enum End {
    /// Who leads; `None` when it was not said.
    NotLeader(Option<String>),
    Closed,
}

#[derive(Debug)]
enum LinkError {
    /// The CA or the token, which the kubelet may not have written yet.
    Read(PathBuf, io::Error),
    Connect(tonic::transport::Error),
    Attach(Box<Status>),
    /// The leader's certificate, token or address is no legal value.
    Invalid(&'static str),
}

/// The highest epoch seen: an older leader's word is void.
#[derive(Default)]
struct Epoch(u64);

impl Link {
    /// `None` when no operator is named.
    pub(super) fn new(arguments: &RunArguments) -> Option<Self> {
        let random = RandomState::new();
        Some(Self {
            operator: arguments.operator.clone()?,
            ca: arguments.operator_ca.clone(),
            token: arguments.operator_token.clone(),
            hello: Hello {
                role: "agent".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                incarnation: format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1)),
                fleet: arguments.fleet.clone(),
                node: arguments.node.clone().unwrap_or_default(),
            },
        })
    }

    /// By default the certificate's name is the one of the Service, whichever replica answers.
    async fn connect(&self, address: &str) -> Result<Channel, LinkError> {
        let invalid = |_| LinkError::Invalid("address");
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(invalid)?
            .connect_timeout(CONNECT_MAX)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(16 * 1024);
        if let Some(path) = &self.ca {
            let pem = read(path).await?;
            let host = self.operator.rsplit_once(':').map_or(&*self.operator, |(host, _)| host);
            let tls =
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)).domain_name(host);
            endpoint = endpoint.tls_config(tls).map_err(LinkError::Connect)?;
        }
        endpoint.connect().await.map_err(LinkError::Connect)
    }

    async fn attach(
        &self,
        channel: Channel,
        outbox: mpsc::Receiver<FromCollector>,
    ) -> Result<Streaming<ToCollector>, LinkError> {
        let mut request = Request::new(ReceiverStream::new(outbox));
        if let Some(path) = &self.token {
            let token = read(path).await?;
            let token = String::from_utf8_lossy(token.trim_ascii()).into_owned();
            let value = MetadataValue::try_from(format!("Bearer {token}"));
            let value = value.map_err(|_| LinkError::Invalid("token"))?;
            request.metadata_mut().insert("authorization", value);
        }
        let mut client = ControlClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let attached = tokio::time::timeout(CONNECT_MAX, client.attach(request)).await;
        let attached = attached.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
        attached.map(tonic::Response::into_inner).map_err(|status| LinkError::Attach(status.into()))
    }
}

/// Attaches again and again, with jitter, until nobody takes the assignments any more.
pub(super) async fn stay_attached(
    link: Link,
    assigned: mpsc::Sender<Result<Assigned, String>>,
    reports: watch::Receiver<Report>,
) {
    let (mut epoch, mut pause, mut redirects) = (Epoch::default(), PAUSE_MIN, 0);
    let mut address = link.operator.clone();
    let mut last_error = String::new();
    while !assigned.is_closed() {
        let mut told = false;
        let end = session(&link, &address, (&assigned, &mut told), reports.clone(), &mut epoch);
        let end = end.await;
        if told {
            (pause, redirects) = (PAUSE_MIN, 0);
            last_error.clear();
        }
        match end {
            Ok(End::NotLeader(Some(leader))) if redirects < REDIRECTS_MAX => {
                redirects += 1;
                address = leader;
                continue;
            }
            Ok(End::NotLeader(_) | End::Closed) => (),
            Err(error) => {
                let error = error.to_string();
                if error != last_error {
                    tracing::warn!(address, error, "not attached to the operator");
                    last_error = error;
                }
            }
        }
        address.clone_from(&link.operator);
        redirects = 0;
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One stream from Hello to its end. Every report that changes is sent.
async fn session(
    link: &Link,
    address: &str,
    (assigned, told): (&mpsc::Sender<Result<Assigned, String>>, &mut bool),
    mut reports: watch::Receiver<Report>,
    epoch: &mut Epoch,
) -> Result<End, LinkError> {
    let (outbox, sent) = mpsc::channel(2);
    // The channel is empty: neither of the two can fail.
    let _ = outbox.try_send(from(from_collector::Message::Hello(link.hello.clone())));
    let mut inbound = link.attach(link.connect(address).await?, sent).await?;
    reports.mark_changed();
    loop {
        tokio::select! {
            message = inbound.next() => match message {
                None => return Ok(End::Closed),
                Some(Err(status)) => return Err(LinkError::Attach(status.into())),
                Some(Ok(ToCollector { message: Some(message) })) => match message {
                    to_collector::Message::NotLeader(not_leader) => {
                        let leader = not_leader.address;
                        return Ok(End::NotLeader((!leader.is_empty()).then_some(leader)));
                    }
                    to_collector::Message::Assignment(assignment) => {
                        *told = true;
                        if let Some(next) = epoch.check(assignment)
                            && assigned.send(next).await.is_err()
                        {
                            return Ok(End::Closed);
                        }
                    }
                },
                // A newer operator's message.
                Some(Ok(ToCollector { message: None })) => (),
            },
            changed = reports.changed() => {
                if changed.is_err() {
                    return Ok(End::Closed);
                }
                let report = reports.borrow_and_update().clone();
                let report = from(from_collector::Message::Report(report));
                if 0 < outbox.capacity() && outbox.try_send(report).is_err() {
                    return Ok(End::Closed);
                }
            }
        }
    }
}

impl Epoch {
    /// What is not older than all before; or why that cannot be read.
    fn check(&mut self, assignment: Assignment) -> Option<Result<Assigned, String>> {
        let Assignment { leader_epoch, config_hash, config } = assignment;
        if leader_epoch < self.0 {
            tracing::warn!(leader_epoch, seen = self.0, "an assignment of a former leader");
            return None;
        }
        self.0 = leader_epoch;
        let bytes = unpack(&config).map_err(|error| error.to_string());
        Some(match bytes.and_then(Assigned::from_bytes) {
            Ok(assigned) if assigned.hash == config_hash => Ok(assigned),
            Ok(assigned) => {
                Err(format!("config {config_hash} is damaged: its hash is {}", assigned.hash))
            }
            Err(error) => Err(format!("config {config_hash} cannot be read: {error}")),
        })
    }
}

fn from(message: from_collector::Message) -> FromCollector {
    FromCollector { message: Some(message) }
}

async fn read(path: &PathBuf) -> Result<Vec<u8>, LinkError> {
    tokio::fs::read(path).await.map_err(|error| LinkError::Read(path.clone(), error))
}

/// Between the half and the whole, so that a fleet does not come back at once.
fn jittered(pause: Duration) -> Duration {
    let part = u32::try_from(RandomState::new().hash_one(0) % 1000).unwrap_or(0);
    pause / 2 + pause / 2000 * part
}

impl fmt::Display for LinkError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(out, "cannot read {}: {error}", path.display()),
            Self::Connect(error) => {
                write!(out, "cannot connect: {error}")?;
                let mut source = std::error::Error::source(error);
                while let Some(cause) = source {
                    write!(out, ": {cause}")?;
                    source = cause.source();
                }
                Ok(())
            }
            Self::Attach(status) => write!(out, "{:?}: {}", status.code(), status.message()),
            Self::Invalid(what) => write!(out, "the {what} is no legal value"),
        }
    }
}
