//! From why a delivery failed, as agents say it, to the words of conditions.

use crate::report::Delivery;
use sluice_crds::conditions::Reason;
use sluice_engine::failure::FailureReason;

/// Which aspect of a destination a failure speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    /// No connection.
    Reach(Reason),
    Tls(Reason),
    Credentials(Reason),
    /// It answers, and refuses.
    Answer(Reason),
}

/// A word of an agent; one that this version does not know is a refusal.
pub(super) fn failing(word: &str) -> Failing {
    use FailureReason as Why;
    match Why::parse(word) {
        Some(Why::DnsFailed | Why::InvalidEndpoint) => Failing::Reach(Reason::DNSFailed),
        Some(Why::ConnectionRefused | Why::ConnectionLost) => {
            Failing::Reach(Reason::ConnectionRefused)
        }
        Some(Why::Timeout) => Failing::Reach(Reason::Timeout),
        Some(Why::UnknownAuthority) => Failing::Tls(Reason::UnknownAuthority),
        Some(Why::HostnameMismatch) => Failing::Tls(Reason::HostnameMismatch),
        Some(Why::CertificateExpired) => Failing::Tls(Reason::CertificateExpired),
        Some(Why::TlsFailed) => Failing::Tls(Reason::HandshakeFailed),
        Some(Why::SecretMissing) => Failing::Credentials(Reason::SecretMissing),
        Some(Why::SecretKeyMissing | Why::SecretInvalid) => {
            Failing::Credentials(Reason::SecretKeyMissing)
        }
        Some(Why::SecretAccessDenied) => Failing::Credentials(Reason::SecretAccessDenied),
        Some(Why::Unauthorized) => Failing::Credentials(Reason::Unauthorized),
        Some(Why::RateLimited) => Failing::Answer(Reason::RateLimited),
        Some(Why::Unavailable) => Failing::Answer(Reason::DestinationUnreachable),
        Some(Why::StorageFailed) => Failing::Answer(Reason::StorageFailed),
        Some(Why::Rejected) | None => Failing::Answer(Reason::AllRejected),
    }
}

/// All deliveries to one destination, or of one queue of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) agents: u32,
    /// Anything was ever handed over.
    pub(super) tried: bool,
    pub(super) sent_rate: f64,
    pub(super) dropped_rate: f64,
    pub(super) queue_percent: u32,
    pub(super) failing_agents: u32,
    /// The reasons given, the one of most agents first, each with a message.
    pub(super) failures: Vec<(Failing, u32, String)>,
    pub(super) credentials: Option<Reason>,
}

impl Summary {
    pub(super) fn of<'a>(deliveries: impl Iterator<Item = &'a Delivery>) -> Self {
        let mut all = Self::default();
        for delivery in deliveries {
            all.agents += delivery.agents;
            all.tried |= delivery.sent > 0 || !delivery.failures.is_empty();
            all.sent_rate += delivery.sent_rate;
            all.dropped_rate += delivery.dropped_rate;
            all.queue_percent = all.queue_percent.max(delivery.queue_percent);
            for (reason, failure) in &delivery.failures {
                all.failing_agents += failure.agents;
                all.add_failure(failing(reason), failure.agents, &failure.message);
            }
            for reason in delivery.credentials.keys() {
                if let Failing::Credentials(reason) = failing(reason) {
                    all.credentials = all.credentials.max(Some(reason));
                }
            }
        }
        // Stable: equal counts stay in the order of their reasons.
        all.failures.sort_by_key(|(_, agents, _)| std::cmp::Reverse(*agents));
        all
    }

    fn add_failure(&mut self, failing: Failing, agents: u32, message: &str) {
        match self.failures.iter_mut().find(|(known, _, _)| *known == failing) {
            Some((_, count, _)) => *count += agents,
            None => self.failures.push((failing, agents, message.to_owned())),
        }
    }

    /// Every agent that reports fails.
    pub(super) fn is_total(&self) -> bool {
        self.failing_agents >= self.agents
    }

    /// The reason of the condition `Delivering`.
    pub(super) fn delivering(&self) -> Reason {
        match self.failures.first().map(|(failing, _, _)| *failing) {
            Some(Failing::Reach(_) | Failing::Tls(_)) => Reason::DestinationUnreachable,
            Some(Failing::Answer(Reason::AllRejected) | Failing::Credentials(_)) => {
                if self.sent_rate > 0.0 || !self.is_total() {
                    Reason::SomeRejected
                } else {
                    Reason::AllRejected
                }
            }
            Some(Failing::Answer(reason)) => reason,
            None if self.queue_percent >= 100 => Reason::QueueFull,
            None if self.sent_rate <= 0.0 => Reason::NoTraffic,
            None => Reason::Delivering,
        }
    }
}
