//! What agents and gateways need to trust each other: a gateway's key and certificate, who may
//! send to it, and what an agent shows it.

use crate::receive::Guard;
use crate::secrets::Secrets;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sluice_engine::forward::{SERVER_NAME, credentials};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Tokens for gateways are projected for this audience, so that none can be replayed elsewhere.
const AUDIENCE: &str = "sluice-gateway";
const REVIEW_MAX: Duration = Duration::from_secs(10);
/// The kubelet renews tokens; files are read again this often.
const READ_INTERVAL: Duration = Duration::from_secs(30);

/// A gateway's key, made when it starts and never written down.
pub(super) struct Identity {
    key: KeyPair,
    guard: Guard,
}

impl Identity {
    /// # Errors
    /// When no key can be made.
    pub(super) fn new(guard: Guard) -> Result<Self, rcgen::Error> {
        Ok(Self { key: KeyPair::generate()?, guard })
    }

    /// For the operator to sign, in PEM.
    ///
    /// # Errors
    /// When the request cannot be made.
    pub(super) fn request(&self) -> Result<String, rcgen::Error> {
        let params = CertificateParams::new([SERVER_NAME.to_owned()])?;
        params.serialize_request(&self.key)?.pem()
    }

    /// Shows a chain in PEM from now on.
    ///
    /// # Errors
    /// When it is none, or not of this key.
    pub(super) fn show(&self, chain: &[u8]) -> Result<(), String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|error| format!("the certificate is not PEM: {error}"))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let mut config = config.map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        self.guard.show(Arc::new(config));
        Ok(())
    }
}

/// Lets in whom the API server finds to be one of these accounts, by a token for gateways.
pub(super) fn guard(client: Client, accounts: Vec<String>) -> Guard {
    let accounts = Arc::new(accounts);
    Guard::strict(move |token| {
        let (client, accounts) = (client.clone(), Arc::clone(&accounts));
        Box::pin(async move { review(client, token, &accounts).await })
    })
}

async fn review(client: Client, token: String, accounts: &[String]) -> Result<bool, String> {
    let review = TokenReview {
        metadata: ObjectMeta::default(),
        spec: TokenReviewSpec { audiences: Some(vec![AUDIENCE.into()]), token: Some(token) },
        status: None,
    };
    let api: Api<TokenReview> = Api::all(client);
    let parameters = PostParams::default();
    let asked = tokio::time::timeout(REVIEW_MAX, api.create(&parameters, &review)).await;
    let review = asked.map_err(|_| "no answer in time".to_owned())?;
    let status = review.map_err(|error| error.to_string())?.status.unwrap_or_default();
    let is_for_gateways = status.audiences.unwrap_or_default().iter().any(|own| own == AUDIENCE);
    let name = status.user.unwrap_or_default().username.unwrap_or_default();
    Ok(status.authenticated == Some(true) && is_for_gateways && accounts.contains(&name))
}

/// Keeps the authority and this pod's token where the queues to gateways look for them.
pub(super) async fn keep_credentials(ca: PathBuf, token: PathBuf, secrets: Secrets) {
    let mut tick = tokio::time::interval(READ_INTERVAL);
    let mut last_problem = String::new();
    loop {
        tick.tick().await;
        let (authority, own) = tokio::join!(tokio::fs::read(&ca), tokio::fs::read(&token));
        match (authority, own) {
            (Ok(authority), Ok(own)) => {
                let files = [("ca.crt".to_owned(), authority), ("token".to_owned(), own)];
                secrets.put(credentials(), Ok(BTreeMap::from(files)));
            }
            (Err(error), _) | (_, Err(error)) => {
                let problem = error.to_string();
                if problem != last_problem {
                    tracing::warn!(problem, "credentials for gateways cannot be read");
                    last_problem = problem;
                }
            }
        }
    }
}
