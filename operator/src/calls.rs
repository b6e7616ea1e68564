//! One call to the API server: never without a timeout, and an error that says what to do next.

use std::fmt;
use std::time::Duration;

#[derive(Debug)]
pub enum CallError {
    TimedOut(Duration),
    Failed(kube::Error),
}

impl CallError {
    /// The HTTP status that the API server answered with; 0 when it did not answer.
    pub fn code(&self) -> u16 {
        match self {
            Self::Failed(kube::Error::Api(status)) => status.code,
            _ => 0,
        }
    }

    /// A bounded set, fit for a metric label.
    pub fn label(&self) -> &'static str {
        match (self, self.code()) {
            (Self::TimedOut(_), _) => "timed_out",
            (_, 0) => "unreachable",
            (_, 401 | 403) => "forbidden",
            (_, 404) => "not_found",
            (_, 409) => "conflict",
            (_, 400 | 422) => "invalid",
            (_, 429) => "throttled",
            (_, 500..) => "server",
            _ => "other",
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(limit) => write!(f, "no answer within {limit:?}"),
            Self::Failed(kube::Error::Api(status)) => write!(f, "{}", status.message),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TimedOut(_) => None,
            Self::Failed(error) => Some(error),
        }
    }
}

/// # Errors
/// The call's own, or [`CallError::TimedOut`].
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map_err(CallError::Failed),
        Err(_) => Err(CallError::TimedOut(limit)),
    }
}
