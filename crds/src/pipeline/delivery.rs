//! What happens to data between its arrival and the destination's answer.

use crate::duration::{self, Duration};
use crate::quantity::{self, Size};
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Delivery {
    /// Where data waits for its destination, in the memory of each agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// How sending is tried again when a destination is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// When the queue is full. DropOldest and DropNew lose data, counted with the reason; Block
    /// refuses this pipeline's senders (retryably) and pauses its log files.
    pub on_full: OnFull,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Queue {
    /// Bytes that may wait, for each destination and signal of each agent.
    #[schemars(extend("x-kubernetes-validations" = quantity::between("1Mi", "16Gi")))]
    pub max_size: Size,
    /// Data that waited longer is dropped.
    #[schemars(extend("x-kubernetes-validations" = duration::between("1s", "24h")))]
    pub max_age: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[
    ("duration(self.initial) <= duration(self.max)", "initial must not exceed max (30s when absent)"),
    ("duration(self.max) <= duration(self.maxElapsed)", "max must not exceed maxElapsed (5m when absent)"),
])))]
pub struct Retry {
    /// The first pause; each further one is twice as long, with jitter.
    #[schemars(extend("x-kubernetes-validations" = duration::between("100ms", "5m")))]
    pub initial: Duration,
    /// The longest pause. A delay that the destination asks for is honoured.
    #[schemars(extend("x-kubernetes-validations" = duration::between("1s", "10m")))]
    pub max: Duration,
    /// A batch that failed for longer is dropped.
    #[schemars(extend("x-kubernetes-validations" = duration::between("1s", "24h")))]
    pub max_elapsed: Duration,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum OnFull {
    #[default]
    DropOldest,
    DropNew,
    Block,
}

impl Default for Queue {
    fn default() -> Self {
        Self { max_size: Size::from_mebibytes(64), max_age: Duration::from_secs(3600) }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            max_elapsed: Duration::from_secs(300),
        }
    }
}

impl Delivery {
    pub fn queue(&self) -> Queue {
        self.queue.clone().unwrap_or_default()
    }

    pub fn retry(&self) -> Retry {
        self.retry.clone().unwrap_or_default()
    }
}
