//! The TLS side of a destination: roots, client certificate, and what a failed handshake means.

use super::failure::{Failure, FailureReason};
use crate::secrets::Secrets;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use sluice_engine::config::{SecretKey, SecretName, Tls, TlsMode};
use std::sync::{Arc, OnceLock};

/// # Errors
/// When a Secret is missing or does not hold what it should.
pub(super) fn client_config(
    tls: &Tls,
    secrets: &Secrets,
    protocols: &[&[u8]],
) -> Result<Arc<ClientConfig>, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::for_now(FailureReason::TlsFailed, error.to_string()))?;
    let builder = if tls.mode == TlsMode::InsecureSkipVerify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny { provider }))
    } else {
        builder.with_root_certificates(roots(tls, secrets)?)
    };
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let (chain, key) = client_certificate(name, secrets)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| invalid(name, "tls.crt and tls.key do not fit"))?
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// What a broken handshake is called in a condition.
pub(super) fn handshake_failure(error: &std::io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let reason = match inner {
        Some(rustls::Error::InvalidCertificate(problem)) => match problem {
            // An authority of the same name with another key: this is what a renewed one looks like.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                FailureReason::UnknownAuthority
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                FailureReason::HostnameMismatch
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => FailureReason::CertificateExpired,
            _ => FailureReason::TlsFailed,
        },
        _ => FailureReason::TlsFailed,
    };
    Failure::for_now(reason, error.to_string())
}

/// The destination's own CA alone, or else those of the system.
fn roots(tls: &Tls, secrets: &Secrets) -> Result<RootCertStore, Failure> {
    let Some(ca) = &tls.ca else { return Ok(native_roots().clone()) };
    let pem = read(ca, secrets)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| invalid(&ca.secret, "not PEM"))?;
        roots.add(certificate).map_err(|_| invalid(&ca.secret, "not a CA certificate"))?;
    }
    if roots.is_empty() {
        return Err(invalid(&ca.secret, "no certificate"));
    }
    Ok(roots)
}

/// Read once: it takes a parse of some 150 certificates.
fn native_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    })
}

type Certificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_certificate(name: &SecretName, secrets: &Secrets) -> Result<Certificate, Failure> {
    let key = |key: &str| SecretKey { secret: name.clone(), key: key.to_owned() };
    let chain = read(&key("tls.crt"), secrets)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.map_err(|_| invalid(name, "tls.crt is not PEM"))?;
    let private = PrivateKeyDer::from_pem_slice(&read(&key("tls.key"), secrets)?)
        .map_err(|_| invalid(name, "tls.key is not PEM"))?;
    Ok((chain, private))
}

pub(super) fn read(key: &SecretKey, secrets: &Secrets) -> Result<Vec<u8>, Failure> {
    let name = || format!("{}/{} key {}", key.secret.namespace, key.secret.name, key.key);
    secrets.get(key).map_err(|problem| Failure::of_secret(problem, &name()))
}

fn invalid(name: &SecretName, what: &str) -> Failure {
    let message = format!("secret {}/{}: {what}", name.namespace, name.name);
    Failure::for_now(FailureReason::SecretInvalid, message)
}

/// `InsecureSkipVerify`: whoever answers is believed; signatures are still checked.
#[derive(Debug)]
struct AcceptAny {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
