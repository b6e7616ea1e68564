//! Destinations with TLS: who is believed, who is not, and that nothing is lost meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use sluice_agent::{FailureReason, Running, Settings, start};
use sluice_engine::config::{Compression, Destination, Protocol, Tls, TlsMode};
use std::net::SocketAddr;
use support::tls::{Authority, Face, Identity, start as start_tls};
use support::vault::{Vault, key, name};
use support::*;

const HOST: &str = "127.0.0.1";
const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];

/// Believes what the Secret `ca` says.
fn verified(address: SocketAddr, protocol: Protocol) -> Destination {
    let ca = Some(key("ca", "ca.crt"));
    let tls = Tls { mode: TlsMode::Verify, ca, client: None, server_name: String::new() };
    Destination { tls, ..otlp(address, protocol, Compression::None) }
}

/// As `verified`, and shows the certificate of the Secret `client`.
fn with_client(address: SocketAddr, protocol: Protocol) -> Destination {
    let destination = verified(address, protocol);
    let tls = Tls { client: Some(name("client")), ..destination.tls };
    Destination { tls, ..destination }
}

fn face(identity: &Identity) -> Face<'_> {
    Face { identity, clients: &[], alpn: &["h2"] }
}

async fn run_to(destination: Destination, vault: &Vault) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { secrets: vault.secrets.clone(), ..settings(&folder) };
    let config = config_to(&[("shop/tempo", destination)]);
    (start(config, settings).await.unwrap(), folder)
}

async fn send(running: &Running, ids: std::ops::Range<u64>) {
    let address = format!("http://{}", running.grpc_address());
    let mut client = TraceServiceClient::connect(address).await.unwrap();
    for id in ids {
        client.export(traces(id..id + 1, &[])).await.unwrap();
    }
}

/// Waits until deliveries fail for this reason; everything is still held.
async fn fails(running: &Running, reason: FailureReason, held: u64) {
    let failures = || running.queues().into_values().filter_map(|queue| queue.failure);
    until(reason.as_str(), || failures().any(|failure| failure.reason == reason)).await;
    running.books().check().unwrap();
    assert_eq!(self::held(running), held);
    assert!(running.books().destinations.values().all(|book| book.dropped.is_empty()));
}

async fn delivered(running: &Running) {
    until("everything is delivered", || held(running) == 0).await;
}

fn held(running: &Running) -> u64 {
    running.books().destinations.values().map(|book| book.held).sum()
}

fn put_client(vault: &Vault, identity: &Identity) {
    vault.put("client", &[("tls.crt", &identity.certificate), ("tls.key", &identity.key)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_id_arrives_over_tls() {
    let authority = Authority::new("vendor");
    let identity = authority.issue(HOST);
    let cases: [(Protocol, &[&str]); 5] = [
        (Protocol::Grpc, &["h2"]),
        (Protocol::Grpc, &[]),
        (Protocol::Http, &["h2"]),
        (Protocol::Http, &["http/1.1"]),
        (Protocol::Http, &[]),
    ];
    for (protocol, alpn) in cases {
        let face = Face { identity: &identity, clients: &[], alpn };
        let (oracle, tls) = start_tls(protocol, face).await;
        let vault = Vault::of_cluster();
        vault.put("ca", &[("ca.crt", &authority.pem())]);
        let (running, _folder) = run_to(verified(tls.address, protocol), &vault).await;
        send(&running, 0..20).await;
        delivered(&running).await;
        send(&running, 20..40).await;
        stop(running).await;
        assert_eq!(oracle.ids(), (0..40).collect(), "{protocol:?} {alpn:?}");
        assert!(tls.clients().len() <= 4, "{protocol:?} {alpn:?}: connections are not kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_authority_holds_everything_until_the_secret_names_it() {
    let authority = Authority::new("vendor");
    let identity = authority.issue(HOST);
    let strangers = [Authority::new("stranger"), Authority::new("vendor")];
    for protocol in BOTH {
        for vault in [Vault::of_cluster(), Vault::of_folder()] {
            for stranger in &strangers {
                let (oracle, tls) = start_tls(protocol, face(&identity)).await;
                vault.put("ca", &[("ca.crt", &stranger.pem())]);
                let (running, _folder) = run_to(verified(tls.address, protocol), &vault).await;
                send(&running, 0..5).await;
                fails(&running, FailureReason::UnknownAuthority, 5).await;
                assert_eq!(oracle.requests(), 0);
                vault.put("ca", &[("ca.crt", &authority.pem())]);
                delivered(&running).await;
                stop(running).await;
                assert_eq!(oracle.ids(), (0..5).collect(), "{protocol:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_without_an_authority_holds_everything_until_it_has_one() {
    let authority = Authority::new("vendor");
    let identity = authority.issue(HOST);
    let (oracle, tls) = start_tls(Protocol::Grpc, face(&identity)).await;
    let vault = Vault::of_cluster();
    let (running, _folder) = run_to(verified(tls.address, Protocol::Grpc), &vault).await;
    send(&running, 0..5).await;
    fails(&running, FailureReason::SecretMissing, 5).await;
    vault.put("ca", &[("tls.crt", &authority.pem())]);
    fails(&running, FailureReason::SecretKeyMissing, 5).await;
    vault.put("ca", &[("ca.crt", "not PEM")]);
    fails(&running, FailureReason::SecretInvalid, 5).await;
    vault.put("ca", &[("ca.crt", &authority.pem())]);
    stop(running).await;
    assert_eq!(oracle.ids(), (0..5).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_name_holds_everything_until_that_name_is_asked_for() {
    let authority = Authority::new("vendor");
    let identity = authority.issue("tempo.example.com");
    for protocol in BOTH {
        let (oracle, tls) = start_tls(protocol, face(&identity)).await;
        let vault = Vault::of_cluster();
        vault.put("ca", &[("ca.crt", &authority.pem())]);
        let mut destination = verified(tls.address, protocol);
        let (running, _folder) = run_to(destination.clone(), &vault).await;
        send(&running, 0..5).await;
        fails(&running, FailureReason::HostnameMismatch, 5).await;
        destination.tls.server_name = "tempo.example.com".into();
        running.adopt(config_to(&[("shop/tempo", destination.clone())])).await.unwrap();
        delivered(&running).await;
        destination.tls.server_name = "loki.example.com".into();
        running.adopt(config_to(&[("shop/tempo", destination)])).await.unwrap();
        send(&running, 5..7).await;
        fails(&running, FailureReason::HostnameMismatch, 2).await;
        tls.show(face(&authority.issue("loki.example.com")));
        stop(running).await;
        assert_eq!(oracle.ids(), (0..7).collect());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_holds_everything_until_it_is_renewed() {
    let authority = Authority::new("vendor");
    let expired = authority.issue_expired(HOST);
    for protocol in BOTH {
        let (oracle, tls) = start_tls(protocol, face(&expired)).await;
        let vault = Vault::of_cluster();
        vault.put("ca", &[("ca.crt", &authority.pem())]);
        let (running, _folder) = run_to(verified(tls.address, protocol), &vault).await;
        send(&running, 0..5).await;
        fails(&running, FailureReason::CertificateExpired, 5).await;
        assert_eq!(oracle.requests(), 0);
        tls.show(face(&authority.issue(HOST)));
        stop(running).await;
        assert_eq!(oracle.ids(), (0..5).collect());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_no_tls_is_told_from_one_that_is_down() {
    let (oracle, address) = support::oracle::Oracle::start().await;
    let vault = Vault::of_cluster();
    vault.put("ca", &[("ca.crt", &Authority::new("vendor").pem())]);
    let (running, _folder) = run_to(verified(address, Protocol::Grpc), &vault).await;
    send(&running, 0..5).await;
    fails(&running, FailureReason::TlsFailed, 5).await;
    let plain = otlp(address, Protocol::Grpc, Compression::None);
    running.adopt(config_to(&[("shop/tempo", plain)])).await.unwrap();
    stop(running).await;
    assert_eq!(oracle.ids(), (0..5).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_verification_any_server_is_reached() {
    let identity = Authority::new("stranger").issue_expired("elsewhere.example.com");
    for protocol in BOTH {
        let (oracle, tls) = start_tls(protocol, face(&identity)).await;
        let mut destination = verified(tls.address, protocol);
        destination.tls.mode = TlsMode::InsecureSkipVerify;
        destination.tls.ca = None;
        let (running, _folder) = run_to(destination, &Vault::of_cluster()).await;
        send(&running, 0..5).await;
        stop(running).await;
        assert_eq!(oracle.ids(), (0..5).collect(), "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_certificates_takes_only_clients_that_have_one() {
    let (authority, clients) = (Authority::new("vendor"), Authority::new("clients"));
    let identity = authority.issue(HOST);
    for protocol in BOTH {
        let face = Face { identity: &identity, clients: &[&clients], alpn: &["h2", "http/1.1"] };
        let (oracle, tls) = start_tls(protocol, face).await;
        let vault = Vault::of_cluster();
        vault.put("ca", &[("ca.crt", &authority.pem())]);
        let (running, _folder) = run_to(verified(tls.address, protocol), &vault).await;
        send(&running, 0..5).await;
        fails(&running, FailureReason::TlsFailed, 5).await;
        let own = clients.issue("agent.example.com");
        put_client(&vault, &own);
        let destination = with_client(tls.address, protocol);
        running.adopt(config_to(&[("shop/tempo", destination)])).await.unwrap();
        stop(running).await;
        assert_eq!(oracle.ids(), (0..5).collect(), "{protocol:?}");
        assert_eq!(tls.clients(), [own.der()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_that_is_refused_holds_everything_until_it_is_renewed() {
    let (authority, clients) = (Authority::new("vendor"), Authority::new("clients"));
    let identity = authority.issue(HOST);
    for protocol in BOTH {
        for vault in [Vault::of_cluster(), Vault::of_folder()] {
            let face = Face { identity: &identity, clients: &[&clients], alpn: &["h2"] };
            let (oracle, tls) = start_tls(protocol, face).await;
            vault.put("ca", &[("ca.crt", &authority.pem())]);
            put_client(&vault, &clients.issue_expired("agent.example.com"));
            let (running, _folder) = run_to(with_client(tls.address, protocol), &vault).await;
            send(&running, 0..5).await;
            fails(&running, FailureReason::TlsFailed, 5).await;
            put_client(&vault, &clients.issue("agent.example.com"));
            stop(running).await;
            assert_eq!(oracle.ids(), (0..5).collect(), "{protocol:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_renewed_in_a_secret_counts_from_the_next_request() {
    let (authority, clients) = (Authority::new("vendor"), Authority::new("clients"));
    let identity = authority.issue(HOST);
    for protocol in BOTH {
        for vault in [Vault::of_cluster(), Vault::of_folder()] {
            let face = Face { identity: &identity, clients: &[&clients], alpn: &["h2"] };
            let (oracle, tls) = start_tls(protocol, face).await;
            let [first, second] = [(); 2].map(|()| clients.issue("agent.example.com"));
            vault.put("ca", &[("ca.crt", &authority.pem())]);
            put_client(&vault, &first);
            let (running, _folder) = run_to(with_client(tls.address, protocol), &vault).await;
            send(&running, 0..1).await;
            delivered(&running).await;
            put_client(&vault, &second);
            send(&running, 1..2).await;
            delivered(&running).await;
            assert_eq!(tls.clients(), [first.der(), second.der()], "{protocol:?}");
            vault.put("ca", &[("ca.crt", &Authority::new("vendor").pem())]);
            send(&running, 2..3).await;
            fails(&running, FailureReason::UnknownAuthority, 1).await;
            vault.put("ca", &[("ca.crt", &authority.pem())]);
            stop(running).await;
            assert_eq!(oracle.ids(), (0..3).collect(), "{protocol:?}");
        }
    }
}
