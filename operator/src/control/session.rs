//! One collector's stream. It is driven by whoever reads its messages: no task of its own, so it
//! ends with the connection.

use super::{Desk, Identity, Wanted};
use crate::lease::Role;
use futures::Stream;
use jiff::Timestamp;
use sluice_wire::control::gateway as wire;
use sluice_wire::control::sampling::Lookup;
use sluice_wire::control::{
    Assignment, FromCollector, Hello, NotLeader, Report, ToCollector, from_collector, to_collector,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::broadcast;
use tonic::{Status, Streaming};

const HELLO_WAIT: Duration = Duration::from_secs(10);
/// A fleet's name is a Kubernetes name.
const NAME_LENGTH_MAX: usize = 253;

static STREAMS: AtomicU64 = AtomicU64::new(1);

pub(super) struct Session {
    desk: Desk,
    identity: Identity,
    inbound: Streaming<FromCollector>,
    stream: u64,
    hello: Option<Hello>,
    /// Hash of what was last sent.
    sent: Option<String>,
    /// Of the ring that was last sent.
    sent_ring: u64,
    /// For a gateway that asked for it.
    certificate: Option<String>,
    /// Of a gateway.
    questions: Option<broadcast::Receiver<Lookup>>,
    question: Option<Lookup>,
    over: bool,
}

pub(super) fn not_leader(leader: &str) -> ToCollector {
    to(to_collector::Message::NotLeader(NotLeader { address: leader.to_owned() }))
}

fn to(message: to_collector::Message) -> ToCollector {
    ToCollector { message: Some(message) }
}

/// What woke a session.
enum Step {
    Received(Result<Option<FromCollector>, Status>),
    AssignmentsChanged,
    RoleChanged,
    Asked(Lookup),
    /// The operator is going down.
    Closed,
}

impl Session {
    pub(super) fn open(desk: Desk, identity: Identity, inbound: Streaming<FromCollector>) -> Self {
        desk.metrics.collectors_connected.inc();
        let questions = identity.is_gateway.then(|| desk.lookups.questions());
        let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
        Self {
            desk,
            identity,
            inbound,
            stream,
            hello: None,
            sent: None,
            sent_ring: 0,
            certificate: None,
            questions,
            question: None,
            over: false,
        }
    }

    pub(super) fn messages(self) -> impl Stream<Item = Result<ToCollector, Status>> {
        futures::stream::unfold(self, |mut session| async {
            session.next().await.map(|message| (message, session))
        })
    }

    async fn next(&mut self) -> Option<Result<ToCollector, Status>> {
        if self.over {
            return None;
        }
        if self.hello.is_none()
            && let Err(status) = self.greet().await
        {
            self.over = true;
            return Some(Err(status));
        }
        loop {
            if let Some(message) = self.due() {
                return Some(Ok(message));
            }
            match self.step().await {
                Step::AssignmentsChanged | Step::RoleChanged => {}
                Step::Asked(question) => self.question = Some(question),
                Step::Received(Ok(Some(message))) => self.take(message),
                Step::Received(Ok(None) | Err(_)) | Step::Closed => {
                    self.over = true;
                    return None;
                }
            }
        }
    }

    async fn greet(&mut self) -> Result<(), Status> {
        let first = tokio::time::timeout(HELLO_WAIT, self.inbound.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no Hello came"))??;
        let Some(from_collector::Message::Hello(hello)) = first.and_then(|first| first.message)
        else {
            return Err(Status::invalid_argument("the first message must be Hello"));
        };
        if hello.fleet.is_empty() || hello.fleet.len() > NAME_LENGTH_MAX {
            return Err(Status::invalid_argument("Hello names no fleet"));
        }
        tracing::info!(
            pod = self.identity.pod,
            uid = self.identity.uid,
            node = self.identity.node,
            fleet = hello.fleet,
            version = hello.version,
            "collector attached"
        );
        self.desk.reports.began(&hello.fleet, &self.identity.pod, self.stream);
        self.hello = Some(hello);
        Ok(())
    }

    /// What the collector must be told now, if anything.
    fn due(&mut self) -> Option<ToCollector> {
        let epoch = match &*self.desk.roles.borrow_and_update() {
            Role::Leader { epoch } => *epoch,
            Role::Follower { leader } => {
                self.over = true;
                return Some(not_leader(leader));
            }
        };
        if let Some(chain) = self.certificate.take() {
            let certificate = wire::Certificate { chain: chain.into_bytes() };
            return Some(to(to_collector::Message::Certificate(certificate)));
        }
        if let Some(question) = self.question.take() {
            return Some(to(to_collector::Message::Lookup(question)));
        }
        let assignments = std::sync::Arc::clone(&self.desk.assignments.borrow_and_update());
        let wanted: &Wanted = assignments.get(&self.hello.as_ref()?.fleet)?;
        if self.sent.as_ref() == Some(&wanted.hash) {
            let ring = wanted.ring.as_ref().filter(|ring| ring.epoch != self.sent_ring)?;
            self.sent_ring = ring.epoch;
            let ring = wire::Ring { leader_epoch: epoch, ring: ring.ring.to_vec() };
            return Some(to(to_collector::Message::Ring(ring)));
        }
        self.sent = Some(wanted.hash.clone());
        let assignment = Assignment {
            leader_epoch: epoch,
            config_hash: wanted.hash.clone(),
            config: wanted.config.to_vec(),
        };
        Some(to(to_collector::Message::Assignment(assignment)))
    }

    async fn step(&mut self) -> Step {
        tokio::select! {
            received = self.inbound.message() => Step::Received(received),
            changed = self.desk.assignments.changed() => match changed {
                Ok(()) => Step::AssignmentsChanged,
                Err(_) => Step::Closed,
            },
            changed = self.desk.roles.changed() => match changed {
                Ok(()) => Step::RoleChanged,
                Err(_) => Step::Closed,
            },
            question = next(&mut self.questions) => Step::Asked(question),
        }
    }

    fn take(&mut self, message: FromCollector) {
        match message.message {
            Some(from_collector::Message::Report(report)) => self.absorb(report),
            Some(from_collector::Message::SigningRequest(request)) => self.sign(&request),
            Some(from_collector::Message::Found(found)) => {
                self.desk.lookups.answered(&self.identity.pod, found);
            }
            // A second Hello, or what a newer collector says.
            Some(from_collector::Message::Hello(_)) | None => {}
        }
    }

    /// Only a gateway gets a certificate for gateways.
    fn sign(&mut self, request: &wire::SigningRequest) {
        let pod = &self.identity.pod;
        if !self.identity.is_gateway {
            tracing::warn!(pod, "an agent asked for a gateway's certificate");
            return;
        }
        match (self.desk.signer)(&String::from_utf8_lossy(&request.request)) {
            Ok(chain) => self.certificate = Some(chain),
            Err(error) => tracing::error!(pod, error, "a certificate cannot be made"),
        }
    }

    fn absorb(&self, report: Report) {
        if let Some(hello) = &self.hello {
            self.desk.reports.absorb(&self.identity, hello, report, Timestamp::now());
        }
    }
}

/// What a gateway is asked next; agents are asked nothing.
async fn next(questions: &mut Option<broadcast::Receiver<Lookup>>) -> Lookup {
    if let Some(questions) = questions {
        loop {
            match questions.recv().await {
                Ok(question) => return question,
                // Whoever asked has got no answer, and goes on without.
                Err(broadcast::error::RecvError::Lagged(_)) => (),
                Err(broadcast::error::RecvError::Closed) => break,
            }
        }
    }
    std::future::pending().await
}

impl Drop for Session {
    fn drop(&mut self) {
        self.desk.metrics.collectors_connected.dec();
        if let Some(hello) = &self.hello {
            self.desk.reports.ended(&hello.fleet, &self.identity.pod, self.stream);
            tracing::info!(pod = self.identity.pod, fleet = hello.fleet, "collector detached");
        }
    }
}
