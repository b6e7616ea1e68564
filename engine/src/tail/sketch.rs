//! A DDSketch: quantiles of durations with a bounded relative error, in a bounded space.
//!
//! Masson, Rim, Lee: "DDSketch: A fast and fully-mergeable quantile sketch with relative-error
//! guarantees", PVLDB 12(12), 2019, <https://www.vldb.org/pvldb/vol12/p2195-masson.pdf>.
//! Counts can lose weight, so that the sketch is one of the recent past.

/// Of a quantile.
pub(super) const ERROR: f64 = 0.01;
/// From one microsecond up to 20 minutes; what is outside counts as the nearest.
const BUCKETS: usize = 1050;
const LEAST_NS: f64 = 1000.0;

#[derive(Clone, Debug, Default)]
pub(super) struct Sketch {
    /// Number of the first of `counts`.
    first: usize,
    counts: Vec<f32>,
    total: f32,
}

/// `ln` of the ratio of two neighbouring buckets.
fn step() -> f64 {
    ((1.0 + ERROR) / (1.0 - ERROR)).ln()
}

#[expect(clippy::cast_precision_loss, reason = "one in a hundred is asked for")]
fn bucket(duration_ns: u64) -> usize {
    let steps = ((duration_ns as f64 / LEAST_NS).max(1.0).ln() / step()).ceil();
    (steps as usize).min(BUCKETS - 1)
}

impl Sketch {
    pub(super) fn add(&mut self, duration_ns: u64) {
        let bucket = bucket(duration_ns);
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let missing = self.first - bucket;
            self.counts.splice(0..0, std::iter::repeat_n(0.0, missing));
            self.first = bucket;
        }
        let at = bucket - self.first;
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0.0);
        }
        self.counts[at] += 1.0;
        self.total += 1.0;
    }

    /// How many durations it stands for.
    pub(super) fn total(&self) -> f32 {
        self.total
    }

    /// The duration that this part of all, from 0 to 1, does not exceed.
    #[expect(clippy::cast_precision_loss, reason = "there are a thousand buckets")]
    pub(super) fn quantile_ns(&self, part: f64) -> u64 {
        let rank = part * f64::from(self.total - 1.0).max(0.0);
        let mut below = 0.0;
        for (at, count) in self.counts.iter().enumerate() {
            below += f64::from(*count);
            if rank < below {
                let upper = LEAST_NS * (step() * (self.first + at) as f64).exp();
                return (upper * (1.0 - ERROR)) as u64;
            }
        }
        u64::MAX
    }

    /// Halves the weight of all that was added so far.
    pub(super) fn fade(&mut self) {
        self.counts.iter_mut().for_each(|count| *count /= 2.0);
        self.total /= 2.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(durations: impl Iterator<Item = u64>, part: f64, expected: u64) {
        let mut sketch = Sketch::default();
        durations.for_each(|duration| sketch.add(duration));
        let found = sketch.quantile_ns(part) as f64;
        let error = (found - expected as f64).abs() / expected as f64;
        assert!(error <= 0.0101, "{found} is not {expected}");
    }

    #[test]
    fn quantiles_err_by_one_in_a_hundred_at_most() {
        let shuffled = |count: u64| (0..count).map(move |at| 1 + at * 7919 % count);
        check(shuffled(10_000).map(|at| at * 10_000), 0.5, 50_000_000);
        check(shuffled(10_000).map(|at| at * 10_000), 0.99, 99_000_000);
        check(shuffled(1000).map(|at| at * at * 2000), 0.9, 900 * 900 * 2000);
        check([5_000_000].into_iter(), 0.99, 5_000_000);
    }

    #[test]
    fn what_is_far_outside_counts_as_the_nearest() {
        let mut sketch = Sketch::default();
        [0, u64::MAX].into_iter().for_each(|duration| sketch.add(duration));
        assert!(sketch.quantile_ns(0.0) <= 1000);
        assert!(1_000_000_000_000 < sketch.quantile_ns(1.0));
        assert!(sketch.counts.len() <= BUCKETS);
    }

    #[test]
    fn the_past_fades() {
        let mut sketch = Sketch::default();
        (0..1000).for_each(|_| sketch.add(1_000_000));
        (0..10).for_each(|_| sketch.fade());
        (0..1000).for_each(|_| sketch.add(9_000_000));
        assert!(8_900_000 < sketch.quantile_ns(0.5));
    }
}
