//! What a destination with TLS has of its own: an authority, a certificate, a listener.

use super::http;
use super::oracle::Oracle;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sluice_engine::config::Protocol;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// PEM, as in a Secret of type `kubernetes.io/tls`.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// What a listener shows, and what it asks of clients.
pub struct Face<'a> {
    pub identity: &'a Identity,
    /// Clients need a certificate of one of these; none: they need none.
    pub clients: &'a [&'a Authority],
    pub alpn: &'a [&'a str],
}

pub struct TlsListener {
    pub address: SocketAddr,
    face: Arc<Mutex<Arc<ServerConfig>>>,
    clients: Arc<Mutex<Vec<Vec<u8>>>>,
}

type Connections = ReceiverStream<io::Result<TlsStream<TcpStream>>>;

impl Authority {
    /// Each has a key of its own, even where names are the same.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a server of this name, or a client.
    pub fn issue(&self, name: &str) -> Identity {
        self.sign(CertificateParams::new([name.to_owned()]).unwrap())
    }

    pub fn issue_expired(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    pub fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap().to_vec()
    }
}

impl Face<'_> {
    fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if self.clients.is_empty() {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for authority in self.clients {
                roots.add(authority.0.der().clone()).unwrap();
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        };
        let chain = CertificateDer::from(self.identity.der());
        let key = PrivateKeyDer::from_pem_slice(self.identity.key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(vec![chain], key).unwrap();
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl TlsListener {
    /// On a port of the system's choice, for the rest of the test.
    async fn start(face: Face<'_>) -> (Self, Connections) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (accepted, connections) = mpsc::channel(16);
        let tls = Self {
            address: listener.local_addr().unwrap(),
            face: Arc::new(Mutex::new(face.config())),
            clients: Arc::default(),
        };
        let (face, clients) = (Arc::clone(&tls.face), Arc::clone(&tls.clients));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&*face.lock().unwrap()));
                // Who does not like what it sees goes away, and comes again.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let client = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let client = client.first().map(|own| own.to_vec()).unwrap_or_default();
                clients.lock().unwrap().push(client);
                if accepted.send(Ok(stream)).await.is_err() {
                    return;
                }
            }
        });
        (tls, ReceiverStream::new(connections))
    }

    /// To connections that are not there yet.
    pub fn show(&self, face: Face<'_>) {
        *self.face.lock().unwrap() = face.config();
    }

    /// For each connection so far the client's certificate (DER), or nothing.
    pub fn clients(&self) -> Vec<Vec<u8>> {
        self.clients.lock().unwrap().clone()
    }
}

/// An oracle that only TLS reaches.
pub async fn start(protocol: Protocol, face: Face<'_>) -> (Oracle, TlsListener) {
    let (tls, connections) = TlsListener::start(face).await;
    let oracle = match protocol {
        Protocol::Grpc => Oracle::serve_connections(connections),
        Protocol::Http => http::serve(connections),
    };
    (oracle, tls)
}
