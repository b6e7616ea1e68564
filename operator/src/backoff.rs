//! How long to wait after a failure: doubled each time, with jitter, forgotten after a success.

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

const DELAY_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    delays: ExponentialBackoff,
}

impl Backoff {
    /// `first` is the shortest delay; the longest is a minute, jitter comes on top.
    pub(crate) fn new(first: Duration) -> Self {
        Self { first, delays: Self::delays(first) }
    }

    pub(crate) fn next_delay(&mut self) -> Duration {
        self.delays.next().unwrap_or(DELAY_MAX)
    }

    pub(crate) fn reset(&mut self) {
        self.delays = Self::delays(self.first);
    }

    fn delays(first: Duration) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(DELAY_MAX)
            .with_jitter()
            .without_max_times()
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let delays: Vec<_> = (0..20).map(|_| backoff.next_delay()).collect();
        assert!(delays[0] <= Duration::from_secs(2), "{delays:?}");
        assert!(delays[19] >= DELAY_MAX && delays[19] <= 2 * DELAY_MAX, "{delays:?}");
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_secs(2));
    }
}
