//! The way in for every source: what it submits is checked, routed, enriched and queued, or refused.
//!
//! Types that go with it: `sluice_engine::sender::{Sender, Pod, Source}`, `sluice_engine::lane::Lane`
//! (one a connection or log file), [`crate::ack::AckToken`].

use crate::ack::AckToken;
use crate::flow::Flow;
use bytes::Bytes;
use sluice_engine::books::Refused;
use sluice_engine::config::{Config, StartAt};
use sluice_engine::lane::Lane;
use sluice_engine::sender::{Pod, Sender, Source};
use sluice_wire::Signal;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Shared by all sources; cheap to clone.
#[derive(Clone)]
pub struct Intake {
    flow: Arc<Flow>,
}

/// Why a submission was not taken. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Refused,
    /// For the sender: what to change.
    pub message: String,
    /// When to try again; `None`: never as it is.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    pub fn for_good(reason: Refused, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry_after: None }
    }

    pub fn for_now(reason: Refused, message: impl Into<String>) -> Self {
        let retry_after = match reason {
            Refused::ShuttingDown => Duration::from_secs(1),
            _ => Duration::from_secs(2),
        };
        Self { reason, message: message.into(), retry_after: Some(retry_after) }
    }
}

impl Intake {
    pub(crate) fn new(flow: Arc<Flow>) -> Self {
        Self { flow }
    }

    /// The way of one sender: remembers its routes.
    pub fn lane(&self, sender: Sender, source: Source) -> Lane {
        Lane::new(sender, source)
    }

    /// Takes one export request (protobuf, not compressed). Does not wait.
    ///
    /// `ack` is resolved as [`crate::ack::Acked::Settled`] once each destination took its part or
    /// dropped it for good.
    ///
    /// # Errors
    /// When it was refused; then `ack` is resolved as lost.
    pub fn submit(
        &self,
        lane: &mut Lane,
        signal: Signal,
        body: Bytes,
        ack: Option<AckToken>,
    ) -> Result<(), Refusal> {
        let token = ack.clone();
        let submitted = self.flow.submit(lane, signal, body, (ack, None));
        if let (Err(_), Some(token)) = (&submitted, token) {
            token.lose();
        }
        submitted
    }

    /// The config that runs, now and after each change.
    pub fn config(&self) -> watch::Receiver<Arc<Config>> {
        self.flow.config()
    }

    /// Whether any pipeline reads the logs of this container, and where to start in a file that
    /// has no checkpoint.
    pub fn start_of_logs(&self, pod: &Pod, container: &str) -> Option<StartAt> {
        self.flow.start_of_logs(pod, container)
    }

    pub(crate) fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }
}
