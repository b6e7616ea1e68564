//! Where the certificate authority is kept: read from its Secret, or made once by the leader.

use crate::authority::{self, Authority, AuthorityError};
use crate::backoff::Backoff;
use crate::calls::{self, CallError};
use crate::lease::Role;
use crate::owner;
use crate::settings::Settings;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::fmt;
use tokio::sync::watch;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

#[derive(Debug)]
pub(crate) enum CustodyError {
    Read(CallError),
    Store(CallError),
    FindOwner(CallError),
    Make(AuthorityError),
    /// The Secret exists without what it is for.
    Incomplete,
}

impl fmt::Display for CustodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = authority::NAME;
        match self {
            Self::Read(error) => write!(f, "cannot read Secret {name}: {error}"),
            Self::Store(error) => write!(f, "cannot write Secret {name}: {error}"),
            Self::FindOwner(error) => write!(f, "cannot read the operator's Deployment: {error}"),
            Self::Make(error) => write!(f, "{error}; delete Secret {name} to have a new one made"),
            Self::Incomplete => write!(
                f,
                "Secret {name} lacks {CERTIFICATE} or {KEY}; delete it to have a new one made"
            ),
        }
    }
}

impl std::error::Error for CustodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) | Self::Store(error) | Self::FindOwner(error) => Some(error),
            Self::Make(error) => Some(error),
            Self::Incomplete => None,
        }
    }
}

/// Waits until there is an authority; the leader makes it if there is none.
pub(crate) async fn obtain(
    client: &Client,
    settings: &Settings,
    roles: &watch::Receiver<Role>,
) -> Authority {
    let mut backoff = Backoff::new(settings.retry_delay);
    loop {
        let leads = matches!(*roles.borrow(), Role::Leader { .. });
        match attempt(client, settings, leads).await {
            Ok(Some(authority)) => return authority,
            Ok(None) => backoff.reset(),
            Err(error) => tracing::warn!(%error, "certificate authority not obtained"),
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// `None`: there is none yet, and it is not for this replica to make one.
async fn attempt(
    client: &Client,
    settings: &Settings,
    leads: bool,
) -> Result<Option<Authority>, CustodyError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &settings.namespace);
    let call = secrets.get_opt(authority::NAME);
    let found = calls::within(settings.call_timeout, call).await.map_err(CustodyError::Read)?;
    match found {
        Some(secret) => read(&secret).map(Some),
        None if leads => make(client, &secrets, settings).await.map(Some),
        None => Ok(None),
    }
}

fn read(secret: &Secret) -> Result<Authority, CustodyError> {
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok())
    };
    let (Some(certificate), Some(key)) = (text(CERTIFICATE), text(KEY)) else {
        return Err(CustodyError::Incomplete);
    };
    Authority::from_pem(certificate, key).map_err(CustodyError::Make)
}

async fn make(
    client: &Client,
    secrets: &Api<Secret>,
    settings: &Settings,
) -> Result<Authority, CustodyError> {
    let owners = owner::find(client, settings).await.map_err(CustodyError::FindOwner)?;
    let made = Authority::generate(Timestamp::now()).map_err(CustodyError::Make)?;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": authority::NAME,
            "namespace": settings.namespace,
            "ownerReferences": owners,
        },
        "type": "kubernetes.io/tls",
        "data": {
            CERTIFICATE: k8s_openapi::ByteString(made.certificate_pem().as_bytes().to_vec()),
            KEY: k8s_openapi::ByteString(made.key_pem().into_bytes()),
        },
    });
    // Applied without force under a name of this replica's own: should two make one at once, the
    // second gets a conflict instead of overwriting the first, and then reads it.
    let manager = format!("sluice-ca-{}", settings.pod_name);
    let params = PatchParams::apply(&manager);
    let patch = Patch::Apply(&secret);
    let call = secrets.patch(authority::NAME, &params, &patch);
    let stored = calls::within(settings.call_timeout, call).await;
    read(&stored.map_err(CustodyError::Store)?)
}
