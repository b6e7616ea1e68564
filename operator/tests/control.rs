//! The control server over real TLS and a real client, with the token review as a parameter.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use flate2::read::GzDecoder;
use futures::FutureExt;
use jiff::Timestamp;
use sluice_operator::{
    Assignments, Authority, Desk, Identity, Lookups, Metrics, Refusal, Reports, Reviewer, Role,
    ServingCertificate, Wanted, WantedRing, serve, server_config,
};
use sluice_wire::control::control_client::ControlClient;
use sluice_wire::control::gateway::SigningRequest;
use sluice_wire::control::sampling::{Found, Known, Record};
use sluice_wire::control::{
    Adoption, Assignment, FromCollector, Hello, Report, ToCollector, from_collector, to_collector,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Code, Request, Status, Streaming};

const NAME: &str = "sluice-operator.sluice-system.svc";

struct Operator {
    endpoint: tonic::transport::Endpoint,
    roles: watch::Sender<Role>,
    assignments: watch::Sender<Assignments>,
    reports: Arc<Reports>,
    lookups: Arc<Lookups>,
    wake: Arc<Notify>,
}

async fn operator(role: Role) -> Operator {
    let provider = rustls::crypto::ring::default_provider();
    let authority = Authority::generate(Timestamp::now()).unwrap();
    let certificate = authority.certify(&[NAME.to_owned()], Timestamp::now(), &provider).unwrap();
    let tls = server_config(Arc::new(ServingCertificate::new(certificate)), provider).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (roles, role) = watch::channel(role);
    let (assignments, assigned) = watch::channel(Assignments::default());
    let wake = Arc::new(Notify::new());
    let reports = Arc::new(Reports::new(Duration::from_secs(60), Arc::clone(&wake)));
    let lookups = Arc::<Lookups>::default();
    let desk = Desk {
        roles: role,
        assignments: assigned,
        reports: Arc::clone(&reports),
        lookups: Arc::clone(&lookups),
        reviewer: reviewer(),
        signer: {
            let authority = authority.clone();
            Arc::new(move |request| {
                authority.sign(request, Timestamp::now()).map_err(|error| error.to_string())
            })
        },
        metrics: Metrics::new().unwrap(),
    };
    tokio::spawn(serve(desk, listener, tls, std::future::pending()));
    let trust = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority.certificate_pem()))
        .domain_name(NAME);
    let endpoint = Channel::from_shared(format!("https://{address}")).unwrap();
    let endpoint = endpoint.tls_config(trust).unwrap();
    Operator { endpoint, roles, assignments, reports, lookups, wake }
}

/// Knows one token.
fn reviewer() -> Reviewer {
    Arc::new(|token| {
        let answer = match token.as_str() {
            "agent-a" | "gateway-a" => Ok(Identity {
                pod: token.clone(),
                uid: "uid-a".into(),
                node: "node-a".into(),
                is_gateway: token == "gateway-a",
            }),
            _ => Err(Refusal::Refused("the token is not valid".into())),
        };
        async move { answer }.boxed()
    })
}

/// An open stream of a collector.
struct Attached {
    say: mpsc::Sender<FromCollector>,
    heard: Streaming<ToCollector>,
}

impl Operator {
    async fn attach(&self, token: Option<&str>, first: FromCollector) -> Result<Attached, Status> {
        let mut client = ControlClient::new(self.endpoint.connect().await.unwrap());
        let (say, said) = mpsc::channel(4);
        say.send(first).await.unwrap();
        let mut request = Request::new(ReceiverStream::new(said));
        if let Some(token) = token {
            let header = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", header);
        }
        let heard = client.attach(request).await?.into_inner();
        Ok(Attached { say, heard })
    }

    fn want(&self, hash: &str, config: &[u8]) {
        self.want_ring(hash, config, None);
    }

    fn want_ring(&self, hash: &str, config: &[u8], ring: Option<(u64, &[u8])>) {
        let gzip = |bytes: &[u8]| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut gzip, bytes).unwrap();
            gzip.finish().unwrap().into()
        };
        let ring = ring.map(|(epoch, ring)| WantedRing { epoch, ring: gzip(ring) });
        let wanted = Wanted { hash: hash.into(), config: gzip(config), ring };
        self.assignments.send_replace(Arc::new(BTreeMap::from([("default".into(), wanted)])));
    }
}

impl Attached {
    async fn hear(&mut self) -> to_collector::Message {
        self.heard.message().await.unwrap().unwrap().message.unwrap()
    }

    async fn assignment(&mut self) -> Assignment {
        match self.hear().await {
            to_collector::Message::Assignment(assignment) => assignment,
            other => panic!("not an assignment: {other:?}"),
        }
    }
}

fn hello() -> FromCollector {
    let hello = Hello {
        role: "agent".into(),
        version: "0.1.0".into(),
        incarnation: "1".into(),
        fleet: "default".into(),
        node: "a-lie".into(),
    };
    FromCollector { message: Some(from_collector::Message::Hello(hello)) }
}

fn report(hash: &str) -> FromCollector {
    let report = Report {
        sequence: 1,
        config_hash: hash.into(),
        adoption: Adoption::Applied.into(),
        ..Report::default()
    };
    FromCollector { message: Some(from_collector::Message::Report(report)) }
}

fn inflate(bytes: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut inflated).unwrap();
    inflated
}

const LEADER: Role = Role::Leader { epoch: 7 };

#[tokio::test]
async fn a_collector_is_told_what_to_run_at_once_and_on_each_change() {
    let operator = operator(LEADER).await;
    operator.want("h1", b"first");
    let mut agent = operator.attach(Some("agent-a"), hello()).await.unwrap();
    let first = agent.assignment().await;
    assert_eq!((first.leader_epoch, first.config_hash.as_str()), (7, "h1"));
    assert_eq!(inflate(&first.config), b"first");
    operator.want("h2", b"second");
    let second = agent.assignment().await;
    assert_eq!(second.config_hash, "h2");
    assert_eq!(inflate(&second.config), b"second");
}

#[tokio::test]
async fn a_collector_is_told_of_each_ring_after_its_config() {
    let operator = operator(LEADER).await;
    operator.want_ring("h1", b"first", Some((3, b"ring 3")));
    let mut agent = operator.attach(Some("agent-a"), hello()).await.unwrap();
    assert_eq!(agent.assignment().await.config_hash, "h1");
    for (epoch, text) in [(3, "ring 3"), (4, "ring 4")] {
        operator.want_ring("h1", b"first", Some((epoch, text.as_bytes())));
        let to_collector::Message::Ring(ring) = agent.hear().await else {
            panic!("no ring");
        };
        assert_eq!((ring.leader_epoch, inflate(&ring.ring)), (7, text.as_bytes().to_vec()));
    }
}

#[tokio::test]
async fn a_gateway_gets_a_certificate_for_its_key_and_an_agent_gets_none() {
    let operator = operator(LEADER).await;
    let key = rcgen::KeyPair::generate().unwrap();
    // Whatever name is asked for: the operator chooses.
    let params = rcgen::CertificateParams::new(["evil.example".to_owned()]).unwrap();
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let request = || FromCollector {
        message: Some(from_collector::Message::SigningRequest(SigningRequest {
            request: request.clone().into_bytes(),
        })),
    };
    let mut gateway = operator.attach(Some("gateway-a"), hello()).await.unwrap();
    gateway.say.send(request()).await.unwrap();
    let to_collector::Message::Certificate(certificate) = gateway.hear().await else {
        panic!("no certificate");
    };
    let chain = String::from_utf8(certificate.chain).unwrap();
    assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"), "{chain}");
    let mut agent = operator.attach(Some("agent-a"), hello()).await.unwrap();
    agent.say.send(request()).await.unwrap();
    operator.want("h1", b"first");
    assert_eq!(agent.assignment().await.config_hash, "h1");
}

#[tokio::test]
async fn a_report_counts_for_the_pod_of_the_token_not_for_what_the_peer_says() {
    let operator = operator(LEADER).await;
    let agent = operator.attach(Some("agent-a"), hello()).await.unwrap();
    agent.say.send(report("h1")).await.unwrap();
    operator.wake.notified().await;
    let sum = operator.reports.report("default", Timestamp::now(), &BTreeSet::new(), |_| true);
    let state = &sum.agents["agent-a"];
    assert_eq!((state.node.as_str(), state.config_hash.as_str()), ("node-a", "h1"));
}

#[tokio::test]
async fn only_a_reviewed_token_attaches() {
    let operator = operator(LEADER).await;
    for token in [None, Some("somebody")] {
        let refused = operator.attach(token, hello()).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token:?}");
    }
}

#[tokio::test]
async fn who_does_not_begin_with_hello_is_sent_away() {
    let operator = operator(LEADER).await;
    let mut agent = operator.attach(Some("agent-a"), report("h1")).await.unwrap();
    assert_eq!(agent.heard.message().await.err().unwrap().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_follower_names_the_leader_and_ends_the_stream() {
    let operator = operator(Role::Follower { leader: "10.1.2.3:9443".into() }).await;
    let mut agent = operator.attach(Some("agent-a"), hello()).await.unwrap();
    let to_collector::Message::NotLeader(answer) = agent.hear().await else {
        panic!("a follower assigned something");
    };
    assert_eq!(answer.address, "10.1.2.3:9443");
    assert!(agent.heard.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_leader_that_loses_its_lease_lets_its_collectors_go() {
    let operator = operator(LEADER).await;
    operator.want("h1", b"first");
    let mut agent = operator.attach(Some("agent-a"), hello()).await.unwrap();
    agent.assignment().await;
    operator.roles.send_replace(Role::Follower { leader: "10.1.2.3:9443".into() });
    assert!(matches!(agent.hear().await, to_collector::Message::NotLeader(_)));
    assert!(agent.heard.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_collector_does_not_trust_another_authority() {
    let operator = operator(LEADER).await;
    let other = Authority::generate(Timestamp::now()).unwrap();
    let trust = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(other.certificate_pem()))
        .domain_name(NAME);
    assert!(operator.endpoint.clone().tls_config(trust).unwrap().connect().await.is_err());
}

/// Answers the next question about a trace as told.
async fn answer(gateway: &mut Attached, known: Known) {
    let question = loop {
        if let to_collector::Message::Lookup(question) = gateway.hear().await {
            break question;
        }
    };
    assert_eq!(question.trace_id, 7_u128.to_be_bytes());
    let record = (known == Known::Decided).then(|| Record { spans: 3, ..Record::default() });
    let found = Found { id: question.id, known: known.into(), record };
    let message = Some(from_collector::Message::Found(found));
    gateway.say.send(FromCollector { message }).await.unwrap();
}

#[tokio::test]
async fn every_gateway_is_asked_what_became_of_a_trace_and_no_agent() {
    let operator = operator(Role::Leader { epoch: 3 }).await;
    operator.want("h", b"config");
    assert!(operator.lookups.ask(7).await.is_none(), "nobody is there");
    let mut agent = operator.attach(Some("agent-a"), hello()).await.unwrap();
    let mut gateways = Vec::new();
    for _ in 0..2 {
        let mut gateway = operator.attach(Some("gateway-a"), hello()).await.unwrap();
        gateway.assignment().await;
        gateways.push(gateway);
    }
    let [one, other] = &mut gateways[..] else { panic!("two gateways") };
    let (found, (), ()) = tokio::join!(
        operator.lookups.ask(7),
        answer(one, Known::Decided),
        answer(other, Known::Nothing)
    );
    let (gateway, found) = found.unwrap();
    assert_eq!((gateway.as_str(), found.record.unwrap().spans), ("gateway-a", 3));
    agent.assignment().await;
    operator.want("other", b"config");
    // The agent's next message is no question.
    agent.assignment().await;
}
