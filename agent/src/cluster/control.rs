//! The agent's end of the control stream: attaches to whoever leads, hands on what it is assigned,
//! says what runs and what became of a trace. Data flows on whatever happens here.

use super::arguments::{RoleName, RunArguments};
use super::boot::unpack;
use super::peers::Identity;
use crate::decisions::Answer;
use crate::monitor::Monitor;
use sluice_engine::config::Config;
use sluice_engine::ring::Ring;
use sluice_wire::control::control_client::ControlClient;
use sluice_wire::control::gateway::{self as wire, SigningRequest};
use sluice_wire::control::sampling::{Found, Lookup};
use sluice_wire::control::{
    Assignment, FromCollector, Hello, Report, ToCollector, from_collector, to_collector,
};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::io;
use std::ops::ControlFlow;
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
const PAUSE_SOON: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(15);
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Followers that send us from one to the other are not believed for ever.
const REDIRECTS_MAX: u32 = 3;
/// A gateway's certificate is valid for days; it asks for the next one sooner.
const RENEWAL: Duration = Duration::from_secs(12 * 3600);
/// Messages to the operator that wait; what finds no room is said another time.
const OUTBOX_MAX: usize = 8;

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

/// Whom in the agent a stream is about.
pub(super) struct Desk {
    pub(super) assigned: mpsc::Sender<Result<Assigned, String>>,
    pub(super) rings: watch::Sender<Option<Ring>>,
    /// Of a gateway.
    pub(super) identity: Option<Identity>,
    pub(super) reports: watch::Receiver<Report>,
    pub(super) monitor: Monitor,
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
                role: match arguments.role {
                    RoleName::Agent => "agent".to_owned(),
                    RoleName::Gateway => "gateway".to_owned(),
                },
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
pub(super) async fn stay_attached(link: Link, desk: Desk) {
    let (mut epoch, mut pause, mut redirects) = (Epoch::default(), PAUSE_MIN, 0);
    let mut address = link.operator.clone();
    let mut last_error = String::new();
    while !desk.assigned.is_closed() {
        let mut told = false;
        let end = session(&link, &address, &desk, &mut told, &mut epoch).await;
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
            // Somebody is there: who leads will be known soon.
            Ok(End::NotLeader(_) | End::Closed) => pause = PAUSE_SOON,
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

/// One stream from Hello to its end. Every report that changes is sent. `told`: it was the leader.
async fn session(
    link: &Link,
    address: &str,
    desk: &Desk,
    told: &mut bool,
    epoch: &mut Epoch,
) -> Result<End, LinkError> {
    let (outbox, sent) = mpsc::channel(OUTBOX_MAX);
    // The channel is empty: it cannot fail.
    let _ = outbox.try_send(from(from_collector::Message::Hello(link.hello.clone())));
    let mut inbound = link.attach(link.connect(address).await?, sent).await?;
    let mut reports = desk.reports.clone();
    reports.mark_changed();
    let mut renewal = tokio::time::interval(RENEWAL);
    loop {
        let answer = tokio::select! {
            message = inbound.next() => match message {
                None => return Ok(End::Closed),
                Some(Err(status)) => return Err(LinkError::Attach(status.into())),
                Some(Ok(ToCollector { message })) => {
                    match desk.hear(message, told, epoch).await {
                        ControlFlow::Continue(answer) => answer,
                        ControlFlow::Break(end) => return Ok(end),
                    }
                }
            },
            _ = renewal.tick() => desk.signing_request(),
            changed = reports.changed() => {
                if changed.is_err() {
                    return Ok(End::Closed);
                }
                let report = reports.borrow_and_update().clone();
                Some(from_collector::Message::Report(report))
            }
        };
        if let Some(answer) = answer
            && 0 < outbox.capacity()
            && outbox.try_send(from(answer)).is_err()
        {
            return Ok(End::Closed);
        }
    }
}

impl Desk {
    /// A gateway's, for its certificate.
    fn signing_request(&self) -> Option<from_collector::Message> {
        let request = self.identity.as_ref()?.request();
        match request {
            Ok(request) => {
                let request = SigningRequest { request: request.into_bytes() };
                Some(from_collector::Message::SigningRequest(request))
            }
            Err(error) => {
                tracing::error!(%error, "no certificate can be asked for");
                None
            }
        }
    }

    /// Takes up what the operator said; goes on with an answer, if it asked.
    async fn hear(
        &self,
        message: Option<to_collector::Message>,
        told: &mut bool,
        epoch: &mut Epoch,
    ) -> ControlFlow<End, Option<from_collector::Message>> {
        match message {
            Some(to_collector::Message::NotLeader(not_leader)) => {
                let leader = not_leader.address;
                ControlFlow::Break(End::NotLeader((!leader.is_empty()).then_some(leader)))
            }
            Some(to_collector::Message::Assignment(assignment)) => {
                *told = true;
                if let Some(next) = epoch.check(assignment)
                    && self.assigned.send(next).await.is_err()
                {
                    return ControlFlow::Break(End::Closed);
                }
                ControlFlow::Continue(None)
            }
            Some(to_collector::Message::Ring(ring)) => {
                if let Some(ring) = epoch.check_ring(&ring) {
                    self.rings.send_replace(Some(ring));
                }
                ControlFlow::Continue(None)
            }
            Some(to_collector::Message::Certificate(certificate)) => {
                let shown = self.identity.as_ref().map(|own| own.show(&certificate.chain));
                if let Some(Err(error)) = shown {
                    tracing::error!(error, "the certificate cannot be used");
                }
                ControlFlow::Continue(None)
            }
            Some(to_collector::Message::Lookup(lookup)) => {
                let found = self.find(&lookup);
                ControlFlow::Continue(Some(from_collector::Message::Found(found)))
            }
            // A newer operator's message.
            None => ControlFlow::Continue(None),
        }
    }

    fn find(&self, lookup: &Lookup) -> Found {
        let trace = lookup.trace_id.as_slice().try_into().map(u128::from_be_bytes);
        let answer = trace.ok().and_then(|trace| self.monitor.decision(trace));
        answer.unwrap_or(Answer::Unknown).on_the_wire(lookup.id)
    }
}

impl Epoch {
    /// What is not older than all before, and can be read.
    fn check_ring(&mut self, told: &wire::Ring) -> Option<Ring> {
        if told.leader_epoch < self.0 {
            tracing::warn!(told.leader_epoch, seen = self.0, "a ring of a former leader");
            return None;
        }
        self.0 = told.leader_epoch;
        let bytes = unpack(&told.ring).map_err(|error| error.to_string());
        let ring = bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
        match ring {
            Ok(ring) => Some(ring),
            Err(error) => {
                tracing::error!(error, "the ring cannot be read");
                None
            }
        }
    }

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
