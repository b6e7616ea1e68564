//! Bytes in use, by count: what is being received, what traces wait for, and what the queues hold. To
//! these comes what the process takes beyond them, as it was seen. The cgroup is only the guard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Of what goes down, the part that goes at one look.
const SLOWNESS: u64 = 64;

#[derive(Debug)]
pub(crate) struct Meter {
    receiving: AtomicU64,
    queued: AtomicU64,
    /// Of open traces.
    held: AtomicU64,
    /// What the process takes beyond all these.
    overhead: AtomicU64,
    /// Where growth of the process begins.
    resident: Mutex<u64>,
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
        Arc::new(Self {
            receiving: 0.into(),
            queued: 0.into(),
            held: 0.into(),
            overhead: 0.into(),
            resident: Mutex::default(),
            hard_bytes: hard_bytes.into(),
        })
    }

    pub(crate) fn set_hard_bytes(&self, bytes: u64) {
        self.hard_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn used(&self) -> u64 {
        self.counted() + self.overhead()
    }

    fn counted(&self) -> u64 {
        self.receiving.load(Ordering::Relaxed) + self.queued() + self.held()
    }

    pub(crate) fn overhead(&self) -> u64 {
        self.overhead.load(Ordering::Relaxed)
    }

    /// The process has so many bytes of memory now. What an allocator keeps of memory that was let
    /// go it gives out again: only growth shows that what is counted is not all. Both what is beyond
    /// it and where growth begins go down slowly: what was needed for a moment will be again.
    pub(crate) fn observe(&self, resident: u64) {
        let mut last = self.resident.lock().unwrap_or_else(PoisonError::into_inner);
        let beyond = resident.saturating_sub(self.counted());
        let overhead = self.overhead();
        let next = match beyond < overhead {
            true => beyond.max(overhead - overhead.div_ceil(SLOWNESS)),
            false => beyond.min(overhead + resident.saturating_sub(*last)),
        };
        self.overhead.store(next, Ordering::Relaxed);
        *last = resident.max(*last - last.saturating_sub(resident) / SLOWNESS);
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

    #[track_caller]
    fn check(meter: &Meter, (held, resident): (u64, u64), used: u64) {
        meter.set_held(held);
        meter.observe(resident);
        assert_eq!(meter.used(), used, "{held} of {resident}");
    }

    #[test]
    fn what_is_resident_but_not_counted_counts_too() {
        let meter = Meter::new(300);
        check(&meter, (0, 20), 20);
        check(&meter, (100, 150), 150);
        // Let go, but not given back: free for what comes.
        check(&meter, (10, 150), 60);
        // A little growth does not make all of that used.
        check(&meter, (10, 155), 65);
        let mut permit = meter.permit();
        assert!(!permit.grow(236));
        assert!(permit.grow(235));
    }

    #[test]
    fn the_overhead_sinks_slowly_to_what_is_seen() {
        let meter = Meter::new(300);
        check(&meter, (0, 64), 64);
        check(&meter, (100, 104), 163);
        check(&meter, (100, 104), 162);
        (0..100).for_each(|_| meter.observe(104));
        assert_eq!(meter.used(), 104);
    }
}
