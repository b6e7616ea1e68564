//! A DDSketch: quantiles of durations with a bounded relative error, in a bounded space.
//!
//! Masson, Rim, Lee: "DDSketch: A fast and fully-mergeable quantile sketch with relative-error
//! guarantees", PVLDB 12(12), 2019, <https://www.vldb.org/pvldb/vol12/p2195-masson.pdf>.
//! Counts can lose weight, so that the sketch is one of the recent past.

/// Of a bucket's middle, half of what a quantile errs by.
const ERROR: f64 = 0.005;
/// From one microsecond up to 20 minutes; what is outside counts as the nearest.
const BUCKETS: usize = 2100;
const LEAST_NS: f64 = 1000.0;
/// The part of all from which on a bucket holds much.
const HEAVY: f64 = 0.1;

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

    /// The duration that this part of all, from 0 to 1, does not exceed. Where much of all is in its
    /// bucket, as of calls that always take as long, that is the bucket's end: nothing in there is
    /// longer than the others. Else it lies within the bucket as if these were spread evenly.
    #[expect(clippy::cast_precision_loss, reason = "there are two thousand buckets")]
    pub(super) fn quantile_ns(&self, part: f64) -> u64 {
        let rank = part * f64::from(self.total - 1.0).max(0.0);
        let mut below = 0.0;
        for (at, count) in self.counts.iter().enumerate() {
            let count = f64::from(*count);
            if rank < below + count {
                let is_heavy = HEAVY * f64::from(self.total) <= count;
                let into = if is_heavy { 1.0 } else { (rank - below) / count };
                let steps = (self.first + at) as f64 - 1.0 + into;
                return (LEAST_NS * (step() * steps).exp()) as u64;
            }
            below += count;
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
        let error = (found / expected as f64 - 1.0).abs();
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
    fn of_equal_durations_none_is_longer_than_their_quantile() {
        for duration_ns in (1..1000).map(|at| at * 86_753) {
            let mut sketch = Sketch::default();
            (0..100).for_each(|_| sketch.add(duration_ns));
            assert!(duration_ns <= sketch.quantile_ns(0.99), "{duration_ns}");
        }
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
