//! Seeded randomness, and traces made from it.

use crate::spans::Span;
use crate::world::START_NS;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

/// A span, and when it is sent.
pub(crate) type Sent = (u64, Span);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    /// Spans of one trace that begins at `at_ms`: some late, doubled, without a root, or with
    /// clocks that are off.
    pub(crate) fn trace(&mut self, at_ms: u64) -> Vec<Sent> {
        let trace = u128::from(self.next()) << 64 | u128::from(self.next());
        let root = (!self.one_in(10)).then(|| self.next() | 1);
        let threshold = if self.one_in(8) { self.below(15) << 52 & trace as u64 } else { 0 };
        let slow = if self.one_in(6) { 1_500_000_000 } else { 0 };
        let mut sent = Vec::new();
        for at in 0..1 + self.below(8) {
            let is_root = at == 0 && root.is_some();
            let parent = if is_root { 0 } else { root.unwrap_or(99) };
            let skew = if self.one_in(40) { 365 * 24 * 3_600_000_000_000 } else { 0 };
            let start_ns = START_NS + at_ms * 1_000_000 + self.below(50_000_000) - skew;
            let lasts = slow + self.below(20_000_000);
            let (service, namespace) =
                self.pick(&[("front", "shop"), ("cart", "shop"), ("card", "pay")]);
            let span = Span {
                trace,
                id: if is_root { root.unwrap_or_default() } else { self.next() },
                parent,
                namespace,
                service,
                name: self.pick(&["GET /", "GET /healthz", "POST /pay", "SELECT"]),
                start_ns,
                end_ns: if self.one_in(30) { start_ns - 5 } else { start_ns + lasts },
                is_error: self.one_in(30),
                http_status: if self.one_in(20) { 503 } else { 200 },
                tier: if self.one_in(9) { "gold" } else { "" },
                threshold,
            };
            let delay = if self.one_in(12) { self.below(15_000) } else { self.below(800) };
            if self.one_in(20) {
                sent.push((at_ms + delay + self.below(300), span.clone()));
            }
            sent.push((at_ms + delay, span));
        }
        sent
    }
}
