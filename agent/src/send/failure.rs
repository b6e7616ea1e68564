//! Why a delivery failed, in words that a condition can carry.

use crate::secrets::SecretProblem;
use std::time::Duration;

/// A reason of the conditions `Reachable`, `TLSHealthy`, `CredentialsValid` or `Delivering`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    DnsFailed,
    ConnectionRefused,
    Timeout,
    ConnectionLost,
    UnknownAuthority,
    HostnameMismatch,
    CertificateExpired,
    TlsFailed,
    SecretMissing,
    SecretKeyMissing,
    SecretAccessDenied,
    SecretInvalid,
    Unauthorized,
    RateLimited,
    Unavailable,
    Rejected,
    InvalidEndpoint,
    StorageFailed,
}

impl FailureReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DnsFailed => "DNSFailed",
            Self::ConnectionRefused => "ConnectionRefused",
            Self::Timeout => "Timeout",
            Self::ConnectionLost => "ConnectionLost",
            Self::UnknownAuthority => "UnknownAuthority",
            Self::HostnameMismatch => "HostnameMismatch",
            Self::CertificateExpired => "CertificateExpired",
            Self::TlsFailed => "TLSFailed",
            Self::SecretMissing => "SecretMissing",
            Self::SecretKeyMissing => "SecretKeyMissing",
            Self::SecretAccessDenied => "SecretAccessDenied",
            Self::SecretInvalid => "SecretInvalid",
            Self::Unauthorized => "Unauthorized",
            Self::RateLimited => "RateLimited",
            Self::Unavailable => "Unavailable",
            Self::Rejected => "Rejected",
            Self::InvalidEndpoint => "InvalidEndpoint",
            Self::StorageFailed => "StorageFailed",
        }
    }

    /// It is the credential that is missing or refused.
    pub fn is_of_credentials(self) -> bool {
        matches!(
            self,
            Self::SecretMissing
                | Self::SecretKeyMissing
                | Self::SecretAccessDenied
                | Self::SecretInvalid
                | Self::Unauthorized
        )
    }
}

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
