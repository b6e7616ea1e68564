//! Why a delivery failed, in words that a condition can carry.

use crate::secrets::SecretProblem;
pub use sluice_engine::failure::FailureReason;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: FailureReason,
    /// At most 256 characters; never a credential.
    pub message: String,
    /// Sending the same again cannot help.
    pub for_good: bool,
    /// What the peer asks to wait.
    pub delay: Option<Duration>,
}

impl Failure {
    pub(crate) fn for_now(reason: FailureReason, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let message = message.chars().take(256).collect();
        Self { reason, message, for_good: false, delay: None }
    }

    pub(crate) fn for_good(reason: FailureReason, message: impl Into<String>) -> Self {
        Self { for_good: true, ..Self::for_now(reason, message) }
    }

    pub(crate) fn after(self, delay: Option<Duration>) -> Self {
        Self { delay, ..self }
    }

    pub(crate) fn of_secret(problem: SecretProblem, name: &str) -> Self {
        let reason = match problem {
            SecretProblem::Missing => FailureReason::SecretMissing,
            SecretProblem::KeyMissing => FailureReason::SecretKeyMissing,
            SecretProblem::AccessDenied => FailureReason::SecretAccessDenied,
        };
        Self::for_now(reason, format!("secret {name}"))
    }
}
