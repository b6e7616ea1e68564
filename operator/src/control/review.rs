//! Who is speaking: the pod that the API server finds in the token, never what the peer says.

use crate::calls;
use crate::settings::Settings;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::api::{Api, PostParams};
use kube::{Client, api::ObjectMeta};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

/// Tokens are projected for this audience, so that none can be replayed elsewhere.
pub const AUDIENCE: &str = "sluice-operator";

/// A pod of the fleet, as its token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub pod: String,
    pub uid: String,
    pub node: String,
    /// Its account is the gateways'.
    pub is_gateway: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token is not one of a collector. Final.
    Refused(String),
    /// The API server could not be asked. Worth another try.
    Failed(String),
}

impl Refusal {
    /// A bounded set, fit for a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Refused(reason) => Self::unauthenticated(reason),
            Refusal::Failed(reason) => Self::unavailable(reason),
        }
    }
}

/// From a token to whom it belongs.
pub type Reviewer =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<Identity, Refusal>> + Send + Sync>;

/// Asks the API server, and believes an accepted token for a while.
pub(crate) fn reviewer(client: Client, settings: &Settings) -> Reviewer {
    let account = |name| format!("system:serviceaccount:{}:{name}", settings.namespace);
    let accounts = Accounts {
        agents: account(&settings.agent_service_account),
        gateways: account(&settings.gateway_service_account),
    };
    let timeout = settings.call_timeout;
    let known = Arc::new(Known { kept: settings.review_kept, tokens: Mutex::default() });
    Arc::new(move |token| {
        let (client, accounts, known) = (client.clone(), accounts.clone(), Arc::clone(&known));
        async move {
            let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
            if let Some(identity) = known.find(key) {
                return Ok(identity);
            }
            let review = ask(client, token, timeout).await?;
            let identity = judge(review, &accounts)?;
            known.remember(key, identity.clone());
            Ok(identity)
        }
        .boxed()
    })
}

/// Of collectors, as the API server names users.
#[derive(Clone)]
struct Accounts {
    agents: String,
    gateways: String,
}

async fn ask(client: Client, token: String, timeout: Duration) -> Result<TokenReview, Refusal> {
    let review = TokenReview {
        metadata: ObjectMeta::default(),
        spec: TokenReviewSpec { audiences: Some(vec![AUDIENCE.into()]), token: Some(token) },
        status: None,
    };
    let api: Api<TokenReview> = Api::all(client);
    calls::within(timeout, api.create(&PostParams::default(), &review))
        .await
        .map_err(|error| Refusal::Failed(format!("the token could not be reviewed: {error}")))
}

fn judge(review: TokenReview, accounts: &Accounts) -> Result<Identity, Refusal> {
    let refused = |reason: String| Err(Refusal::Refused(reason));
    let status = review.status.unwrap_or_default();
    if status.authenticated != Some(true) {
        return refused("the token is not valid".into());
    }
    if !status.audiences.unwrap_or_default().iter().any(|audience| audience == AUDIENCE) {
        return refused(format!("the token is not for audience {AUDIENCE}"));
    }
    let user = status.user.unwrap_or_default();
    let name = user.username.as_deref().unwrap_or_default();
    let is_gateway = name == accounts.gateways;
    if name != accounts.agents && !is_gateway {
        return refused(format!("the token is not of {}", accounts.agents));
    }
    let extra = |key: &str| claim(&user, key);
    match (extra("pod-name"), extra("pod-uid")) {
        (Some(pod), Some(uid)) => {
            let node = extra("node-name").unwrap_or_default();
            Ok(Identity { pod, uid, node, is_gateway })
        }
        _ => refused("the token is not bound to a pod".into()),
    }
}

fn claim(user: &UserInfo, key: &str) -> Option<String> {
    let values = user.extra.as_ref()?.get(&format!("authentication.kubernetes.io/{key}"))?;
    values.first().cloned()
}

struct Known {
    kept: Duration,
    /// By the token's SHA-256: tokens themselves are not kept.
    tokens: Mutex<HashMap<[u8; 32], (Instant, Identity)>>,
}

impl Known {
    fn find(&self, key: [u8; 32]) -> Option<Identity> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, identity) = tokens.get(&key)?;
        (at.elapsed() < self.kept).then(|| identity.clone())
    }

    fn remember(&self, key: [u8; 32], identity: Identity) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (at, _)| at.elapsed() < self.kept);
        tokens.insert(key, (Instant::now(), identity));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ACCOUNT: &str = "system:serviceaccount:sluice-system:sluice-agent";
    const GATEWAYS: &str = "system:serviceaccount:sluice-system:sluice-gateway";

    fn check(status: Value, expected: Result<&str, &str>) {
        let review = json!({"metadata": {}, "spec": {}, "status": status});
        let accounts = Accounts { agents: ACCOUNT.into(), gateways: GATEWAYS.into() };
        let found = judge(serde_json::from_value(review).unwrap(), &accounts);
        let found = found.map(|identity| identity.pod).map_err(|refusal| match refusal {
            Refusal::Refused(reason) | Refusal::Failed(reason) => reason,
        });
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn only_a_bound_token_of_the_agents_account_and_audience_is_a_collectors() {
        let user = json!({"username": ACCOUNT, "extra": {
            "authentication.kubernetes.io/pod-name": ["agent-x"],
            "authentication.kubernetes.io/pod-uid": ["1"],
            "authentication.kubernetes.io/node-name": ["node-a"],
        }});
        let audiences = [AUDIENCE];
        check(json!({"authenticated": true, "audiences": audiences, "user": user}), Ok("agent-x"));
        check(json!({"authenticated": false}), Err("the token is not valid"));
        check(
            json!({"authenticated": true, "audiences": ["other"], "user": user}),
            Err("the token is not for audience sluice-operator"),
        );
        check(
            json!({"authenticated": true, "audiences": audiences, "user": {"username": "eve"}}),
            Err("the token is not of system:serviceaccount:sluice-system:sluice-agent"),
        );
        check(
            json!({"authenticated": true, "audiences": audiences, "user": {"username": ACCOUNT}}),
            Err("the token is not bound to a pod"),
        );
    }
}
