//! What entry spans went through lately, by service and operation: how slow they were and how rare.
//!
//! Samples are gathered as they come; what rules are told changes once a second, so that all spans
//! of a second are judged alike.

use super::hash::TraceHasher;
use super::sketch::Sketch;
use crate::config::sampling::{RareOperation, SlowerThan};
use crate::matching::Tracked;
use std::collections::HashMap;

/// Operations that one tracker knows; further ones are neither slow nor rare.
const OPERATIONS_MAX: usize = 8192;
/// Counts lose half their weight in each of these parts of a window: what is older than the window
/// weighs a quarter or less.
const FADES_PER_WINDOW: u64 = 2;

/// A service of a namespace, and one of its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Operation {
    pub(super) service: u64,
    pub(super) operation: u64,
}

/// An entry span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) operation: Operation,
    pub(super) duration_ns: u64,
}

#[derive(Debug, Default)]
pub(super) struct Trackers {
    trackers: Vec<Tracker>,
}

#[derive(Debug)]
enum Tracker {
    Slow { config: SlowerThan, faded_ms: u64, sketches: HashMap<Operation, Sketch> },
    Rare { config: RareOperation, faded_ms: u64, counts: HashMap<Operation, Count> },
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    weight: f32,
    /// Since the last snapshot.
    fresh: u32,
}

/// What rules are told until the next one: as the matcher numbers trackers.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    answers: Vec<Answers>,
}

#[derive(Clone, Debug)]
enum Answers {
    /// Slower than this is slow.
    Slow(HashMap<Operation, u64>),
    /// Services that are known well enough, and of these the operations that are not rare.
    Rare { services: HashMap<u64, ()>, common: HashMap<Operation, ()>, is_full: bool },
}

impl Operation {
    /// The same on every collector.
    pub(super) fn service(namespace: &str, service: &str) -> u64 {
        let hasher = TraceHasher::new(0);
        hasher.of_bytes(namespace.as_bytes()).rotate_left(1) ^ hasher.of_bytes(service.as_bytes())
    }

    pub(super) fn new(service: u64, name: &[u8]) -> Self {
        Self { service, operation: TraceHasher::new(0).of_bytes(name) }
    }
}

impl Trackers {
    /// Trackers that stay keep what they know.
    pub(super) fn track(&mut self, tracked: &[Tracked], now_ms: u64) {
        let mut before = std::mem::take(&mut self.trackers);
        for wanted in tracked {
            let known = before.iter().position(|own| own.is_for(wanted));
            self.trackers.push(match known {
                Some(at) => before.swap_remove(at),
                None => Tracker::new(wanted, now_ms),
            });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.trackers.is_empty()
    }

    pub(super) fn add(&mut self, samples: &[Sample]) {
        for tracker in &mut self.trackers {
            samples.iter().for_each(|sample| tracker.add(sample));
        }
    }

    /// Called once a second.
    pub(super) fn snapshot(&mut self, now_ms: u64) -> Snapshot {
        Snapshot { answers: self.trackers.iter_mut().map(|own| own.answers(now_ms)).collect() }
    }
}

impl Tracker {
    fn new(tracked: &Tracked, now_ms: u64) -> Self {
        match tracked {
            Tracked::SlowerThan(config) => {
                let (config, sketches) = (config.clone(), HashMap::new());
                Self::Slow { config, faded_ms: now_ms, sketches }
            }
            Tracked::Rare(config) => {
                let (config, counts) = (config.clone(), HashMap::new());
                Self::Rare { config, faded_ms: now_ms, counts }
            }
        }
    }

    fn is_for(&self, tracked: &Tracked) -> bool {
        match (self, tracked) {
            (Self::Slow { config, .. }, Tracked::SlowerThan(wanted)) => config == wanted,
            (Self::Rare { config, .. }, Tracked::Rare(wanted)) => config == wanted,
            _ => false,
        }
    }

    fn add(&mut self, sample: &Sample) {
        match self {
            Self::Slow { sketches, .. } => {
                if sketches.len() < OPERATIONS_MAX || sketches.contains_key(&sample.operation) {
                    sketches.entry(sample.operation).or_default().add(sample.duration_ns);
                }
            }
            Self::Rare { counts, .. } => {
                if counts.len() < OPERATIONS_MAX || counts.contains_key(&sample.operation) {
                    let count = counts.entry(sample.operation).or_default();
                    count.weight += 1.0;
                    count.fresh += 1;
                }
            }
        }
    }

    fn answers(&mut self, now_ms: u64) -> Answers {
        match self {
            Self::Slow { config, faded_ms, sketches } => {
                if fades(faded_ms, config.window_ms, now_ms) {
                    sketches.values_mut().for_each(Sketch::fade);
                    sketches.retain(|_, sketch| 0.5 <= sketch.total());
                }
                let known = sketches
                    .iter()
                    .filter(|(_, own)| f64::from(config.samples_min) <= f64::from(own.total()));
                let part = f64::from(config.percentile_ppm) / 1e6;
                Answers::Slow(known.map(|(key, own)| (*key, own.quantile_ns(part))).collect())
            }
            Self::Rare { config, faded_ms, counts } => {
                if fades(faded_ms, config.window_ms, now_ms) {
                    counts.values_mut().for_each(|count| count.weight /= 2.0);
                    counts.retain(|_, count| 0.5 <= count.weight);
                }
                rare(config, counts)
            }
        }
    }
}

/// A service is known once an operation that was seen once is not more than the part that is rare.
fn rare(config: &RareOperation, counts: &mut HashMap<Operation, Count>) -> Answers {
    let part = f64::from(config.below_ppm) / 1e6;
    let mut totals: HashMap<u64, f64> = HashMap::new();
    for (key, count) in &*counts {
        *totals.entry(key.service).or_default() += f64::from(count.weight);
    }
    let is_known = |total: &f64| 1.0 <= total * part;
    let common = counts.iter().filter(|(key, count)| {
        let total = totals.get(&key.service).copied().unwrap_or_default();
        total * part <= f64::from(count.weight) || config.per_second_max < count.fresh
    });
    let common = common.map(|(key, _)| (*key, ())).collect();
    counts.values_mut().for_each(|count| count.fresh = 0);
    let services = totals.iter().filter(|(_, total)| is_known(total)).map(|(key, _)| (*key, ()));
    Answers::Rare { services: services.collect(), common, is_full: OPERATIONS_MAX <= counts.len() }
}

fn fades(faded_ms: &mut u64, window_ms: u64, now_ms: u64) -> bool {
    let is_due = window_ms / FADES_PER_WINDOW <= now_ms.saturating_sub(*faded_ms);
    if is_due {
        *faded_ms = now_ms;
    }
    is_due
}

impl Snapshot {
    /// Whether this tracker says yes of an entry span.
    pub(super) fn says(&self, tracker: usize, sample: &Sample) -> bool {
        match self.answers.get(tracker) {
            Some(Answers::Slow(limits)) => {
                limits.get(&sample.operation).is_some_and(|limit| *limit < sample.duration_ns)
            }
            Some(Answers::Rare { services, common, is_full }) => {
                services.contains_key(&sample.operation.service)
                    && !common.contains_key(&sample.operation)
                    && !is_full
            }
            None => false,
        }
    }

    /// Whether this tracker knows enough of anything to ever say yes.
    pub(super) fn is_warm(&self, tracker: usize) -> bool {
        match self.answers.get(tracker) {
            Some(Answers::Slow(limits)) => !limits.is_empty(),
            Some(Answers::Rare { services, .. }) => !services.is_empty(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, duration_ns: u64) -> Sample {
        let service = Operation::service("shop", "front");
        Sample { operation: Operation::new(service, name.as_bytes()), duration_ns }
    }

    fn trackers() -> Trackers {
        let slow = SlowerThan { percentile_ppm: 990_000, window_ms: 600_000, samples_min: 100 };
        let rare = RareOperation { below_ppm: 10_000, window_ms: 3_600_000, per_second_max: 10 };
        let mut trackers = Trackers::default();
        trackers.track(&[Tracked::SlowerThan(slow), Tracked::Rare(rare)], 0);
        trackers
    }

    #[test]
    fn slow_is_what_exceeds_the_percentile_of_its_own_operation() {
        let mut trackers = trackers();
        let samples: Vec<_> = (1..=1000).map(|at| sample("GET /", at * 1_000_000)).collect();
        trackers.add(&samples);
        trackers.add(&[sample("GET /new", 9_000_000_000)]);
        let snapshot = trackers.snapshot(1000);
        assert!(snapshot.says(0, &sample("GET /", 1_010_000_000)));
        assert!(!snapshot.says(0, &sample("GET /", 970_000_000)));
        assert!(!snapshot.says(0, &sample("GET /new", 99_000_000_000)), "too few samples");
    }

    #[test]
    fn rare_is_what_makes_up_little_of_its_service() {
        let mut trackers = trackers();
        assert!(!trackers.snapshot(0).says(1, &sample("GET /never", 1)), "nothing is known yet");
        trackers.add(&vec![sample("GET /", 1); 1000]);
        trackers.add(&[sample("GET /rare", 1); 5]);
        trackers.snapshot(1000);
        let snapshot = trackers.snapshot(2000);
        assert!(snapshot.says(1, &sample("GET /rare", 1)));
        assert!(snapshot.says(1, &sample("GET /never", 1)));
        assert!(!snapshot.says(1, &sample("GET /", 1)));
    }

    #[test]
    fn a_rare_operation_that_comes_in_a_rush_is_not_rare() {
        let mut trackers = trackers();
        trackers.add(&vec![sample("GET /", 1); 100_000]);
        trackers.add(&[sample("GET /rush", 1); 11]);
        assert!(!trackers.snapshot(1000).says(1, &sample("GET /rush", 1)));
        assert!(trackers.snapshot(2000).says(1, &sample("GET /rush", 1)));
    }

    #[test]
    fn the_table_of_operations_is_bounded() {
        let mut trackers = trackers();
        for at in 0..20_000 {
            trackers.add(&[sample(&format!("GET /{at}"), 1)]);
        }
        for tracker in &trackers.trackers {
            match tracker {
                Tracker::Slow { sketches, .. } => assert_eq!(sketches.len(), OPERATIONS_MAX),
                Tracker::Rare { counts, .. } => assert_eq!(counts.len(), OPERATIONS_MAX),
            }
        }
        assert!(!trackers.snapshot(1000).says(1, &sample("GET /other", 1)));
    }

    #[test]
    fn a_tracker_that_stays_keeps_what_it_knows() {
        let mut trackers = trackers();
        trackers.add(&vec![sample("GET /", 1_000_000); 1000]);
        let slow = SlowerThan { percentile_ppm: 990_000, window_ms: 600_000, samples_min: 100 };
        trackers.track(&[Tracked::SlowerThan(slow)], 1000);
        assert!(trackers.snapshot(1000).says(0, &sample("GET /", 2_000_000)));
    }
}
