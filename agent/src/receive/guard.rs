//! Who may send to a gateway, and what the gateway shows them: its certificate.

use crate::intake::Refusal;
use sluice_engine::books::Refused;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;

/// For how long a token that was found good is not asked about again.
const GOOD_FOR: Duration = Duration::from_secs(60);
const BAD_FOR: Duration = Duration::from_secs(5);
/// Tokens that are remembered; more are asked about each time.
const REMEMBERED_MAX: usize = 16 * 1024;

type Answer = Pin<Box<dyn Future<Output = Result<bool, String>> + Send>>;

/// Shared by all connections; cheap to clone.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    /// Whether a token is an agent's or a gateway's; an error says why that is not known.
    /// `None`: whoever connects is believed.
    ask: Option<Box<dyn Fn(String) -> Answer + Send + Sync>>,
    known: Mutex<HashMap<String, (bool, Instant)>>,
    /// `None` in front: plain text; inside: no certificate yet.
    tls: Option<RwLock<Option<Arc<rustls::ServerConfig>>>>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Guard")
    }
}

impl Guard {
    /// Plain text, and everybody is let in: for gateways on the machine of their agents.
    pub fn open() -> Self {
        Self(Arc::new(Inner { ask: None, known: Mutex::default(), tls: None }))
    }

    /// TLS, once there is a certificate ([`Guard::show`]), and tokens that `ask` finds good.
    pub fn strict(ask: impl Fn(String) -> Answer + Send + Sync + 'static) -> Self {
        let tls = Some(RwLock::default());
        Self(Arc::new(Inner { ask: Some(Box::new(ask)), known: Mutex::default(), tls }))
    }

    /// Another certificate, for connections from now on.
    pub fn show(&self, config: Arc<rustls::ServerConfig>) {
        if let Some(tls) = &self.0.tls {
            *tls.write().unwrap_or_else(PoisonError::into_inner) = Some(config);
        }
    }

    /// `Some(None)`: TLS is due, but there is no certificate yet.
    pub(super) fn acceptor(&self) -> Option<Option<TlsAcceptor>> {
        let tls = self.0.tls.as_ref()?;
        let config = tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        Some(config.map(TlsAcceptor::from))
    }

    /// # Errors
    /// When the bearer of this `authorization` is not let in.
    pub(super) async fn check(&self, authorization: &[u8]) -> Result<(), Refusal> {
        let Some(ask) = &self.0.ask else { return Ok(()) };
        let token = authorization.strip_prefix(b"Bearer ").unwrap_or_default();
        let Ok(token) = std::str::from_utf8(token) else { return Err(stranger()) };
        if token.is_empty() {
            return Err(stranger());
        }
        let known = match self.remembered(token) {
            Some(known) => known,
            None => {
                let found = ask(token.to_owned()).await.map_err(|error| {
                    tracing::warn!(error, "cannot review a token");
                    Refusal::for_now(Refused::Unauthorized, "tokens cannot be reviewed now")
                })?;
                self.remember(token, found);
                found
            }
        };
        if known { Ok(()) } else { Err(stranger()) }
    }

    fn remembered(&self, token: &str) -> Option<bool> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, at) = known.get(token)?;
        let holds = if *found { GOOD_FOR } else { BAD_FOR };
        (at.elapsed() < holds).then_some(*found)
    }

    fn remember(&self, token: &str, found: bool) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if REMEMBERED_MAX <= known.len() {
            known.clear();
        }
        known.insert(token.to_owned(), (found, Instant::now()));
    }
}

fn stranger() -> Refusal {
    let message = "only agents and gateways of this fleet may send here";
    Refusal::for_good(Refused::Unauthorized, message)
}
