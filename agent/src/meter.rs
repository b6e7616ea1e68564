//! Bytes in use, by count: what is being received, what traces wait for, and what the queues hold. The cgroup is only the guard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Meter {
    receiving: AtomicU64,
    queued: AtomicU64,
    /// Of open traces.
    held: AtomicU64,
    hard_bytes: AtomicU64,
}

/// Bytes that one request takes up until it is queued or refused.
#[derive(Debug)]
pub(crate) struct Permit {
    meter: Arc<Meter>,
    bytes: u64,
}

impl Meter {
    pub(crate) fn new(hard_bytes: u64) -> Arc<Self> {
        let hard_bytes = AtomicU64::new(hard_bytes);
        Arc::new(Self { receiving: 0.into(), queued: 0.into(), held: 0.into(), hard_bytes })
    }

    pub(crate) fn set_hard_bytes(&self, bytes: u64) {
        self.hard_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn used(&self) -> u64 {
        self.receiving.load(Ordering::Relaxed) + self.queued() + self.held()
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Open traces take this many bytes now.
    pub(crate) fn set_held(&self, bytes: u64) {
        self.held.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// A queue went from `before` to `after` bytes.
    pub(crate) fn queue_changed(&self, before: u64, after: u64) {
        if before <= after {
            self.queued.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.queued.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// A permit for nothing yet.
    pub(crate) fn permit(self: &Arc<Self>) -> Permit {
        Permit { meter: Arc::clone(self), bytes: 0 }
    }
}

impl Permit {
    /// False, and unchanged, when that would pass the hard limit.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let hard_bytes = self.meter.hard_bytes.load(Ordering::Relaxed);
        self.meter.receiving.fetch_add(bytes, Ordering::Relaxed);
        if hard_bytes < self.meter.used() {
            self.meter.receiving.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.meter.receiving.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_and_queues_share_one_limit() {
        let meter = Meter::new(100);
        meter.queue_changed(0, 60);
        let mut permit = meter.permit();
        assert!(permit.grow(40));
        assert!(!permit.grow(1));
        permit.shrink_to(10);
        assert_eq!(meter.used(), 70);
        meter.queue_changed(60, 0);
        drop(permit);
        assert_eq!(meter.used(), 0);
    }
}
