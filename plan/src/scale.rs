//! How many gateways there are: one more as soon as one of them is above a target, one fewer after
//! those that stay would have been well below all targets for long enough.
//!
//! A gateway that is to go leaves the ring first and is stopped when its traces have moved.

use crate::observed::{GatewayPod, GatewayPodState};
use crate::report::Load;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A gateway that was just added needs so long to take its part of the load.
const UP_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// Those that stay must be below this part of a target: what goes up does not come down at once.
const HEADROOM_PERCENT: u32 = 90;

/// The decision so far. It lives in a ConfigMap, so that neither a new leader nor a restart makes
/// the number of gateways jump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    pub replicas: u32,
    /// When `replicas` last changed.
    pub changed_at: Timestamp,
    /// Since when one fewer would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
}

/// A gateway that takes no new traces and hands over those that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    pub pod: String,
    pub since: Timestamp,
    /// `replicas` does not count it any more.
    pub released: bool,
}

/// What the Collector says.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) target: Load,
    pub(crate) stabilization: SignedDuration,
    pub(crate) handoff: SignedDuration,
}

/// What is measured.
#[derive(Clone, Copy)]
pub(crate) struct Measured<'a> {
    pub(crate) pods: &'a BTreeMap<String, GatewayPod>,
    /// By pod; those that have reported.
    pub(crate) loads: &'a BTreeMap<String, Load>,
    pub(crate) now: Timestamp,
}

impl Scale {
    /// The first one: as few as may be, or as many as there are already.
    pub(crate) fn first(limits: &Limits, existing: Option<u32>, now: Timestamp) -> Self {
        let replicas = existing.unwrap_or(limits.min).clamp(limits.min, limits.max);
        Self { replicas, changed_at: now, below_since: None, leaving: None }
    }

    /// At most one step further. The next one from the same measures changes nothing.
    pub(crate) fn next(&self, limits: &Limits, measured: &Measured<'_>) -> Self {
        let mut next = self.clone();
        if next.replicas < limits.min {
            next.set_replicas(limits.min, measured.now);
        }
        if let Some(leaving) = next.leaving.take() {
            next.let_go(leaving, limits, measured);
        }
        match next.leaving {
            Some(_) => {}
            None if next.replicas > limits.max => next.shrink(limits.max, measured),
            None => next.follow(limits, measured),
        }
        next
    }

    fn set_replicas(&mut self, replicas: u32, now: Timestamp) {
        (self.replicas, self.changed_at, self.below_since) = (replicas, now, None);
    }

    fn let_go(&mut self, leaving: Leaving, limits: &Limits, measured: &Measured<'_>) {
        let now = measured.now;
        let is_there = |pod: &GatewayPod| pod.state != GatewayPodState::Ending;
        let is_gone = !measured.pods.get(&leaving.pod).is_some_and(is_there);
        let fewer = self.replicas.saturating_sub(1).max(limits.min);
        let is_missed = self.replicas <= limits.min
            || (self.replicas <= limits.max
                && measured.demand(self.replicas, limits) == Demand::More);
        if leaving.released {
            // Where another one was stopped in its place, it stays.
            let left = measured.pods.values().filter(|pod| is_there(pod)).count();
            let is_done = is_gone || left <= usize::try_from(self.replicas).unwrap_or(usize::MAX);
            self.leaving = (!is_done).then_some(leaving);
        } else if is_gone {
            self.set_replicas(fewer, now);
        } else if is_missed {
            // It stays after all, and takes its part of the load again.
            self.set_replicas(self.replicas, now);
        } else if now.duration_since(leaving.since) >= limits.handoff {
            self.set_replicas(fewer, now);
            self.leaving = Some(Leaving { released: true, ..leaving });
        } else {
            self.leaving = Some(leaving);
        }
    }

    fn follow(&mut self, limits: &Limits, measured: &Measured<'_>) {
        let now = measured.now;
        match measured.demand(self.replicas, limits) {
            Demand::More => {
                self.below_since = None;
                if self.replicas < limits.max && now.duration_since(self.changed_at) >= UP_PAUSE {
                    self.set_replicas(self.replicas + 1, now);
                }
            }
            Demand::Fewer if self.replicas > limits.min => {
                let since = *self.below_since.get_or_insert(now);
                if now.duration_since(since) >= limits.stabilization {
                    self.shrink(self.replicas - 1, measured);
                }
            }
            Demand::Fewer | Demand::AsMany => self.below_since = None,
            Demand::Unknown => {}
        }
    }

    /// Towards `goal`. What is not ready holds no traces and goes at once, the others one by one.
    fn shrink(&mut self, goal: u32, measured: &Measured<'_>) {
        let now = measured.now;
        self.below_since = None;
        let ready: Vec<&String> = measured.ready().collect();
        let count = u32::try_from(ready.len()).unwrap_or(u32::MAX);
        if count < self.replicas {
            self.set_replicas(count.max(goal), now);
        }
        if let Some(last) = ready.last().filter(|_| self.replicas > goal) {
            let pod = (*last).clone();
            self.leaving = Some(Leaving { pod, since: now, released: false });
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    More,
    AsMany,
    Fewer,
    /// Not every gateway has reported.
    Unknown,
}

impl<'a> Measured<'a> {
    fn ready(&self) -> impl Iterator<Item = &'a String> {
        let ready = self.pods.iter().filter(|(_, pod)| pod.state == GatewayPodState::Ready);
        ready.map(|(name, _)| name)
    }

    fn demand(&self, replicas: u32, limits: &Limits) -> Demand {
        let loads: Vec<Load> =
            self.ready().filter_map(|name| self.loads.get(name).copied()).collect();
        let target = limits.target.parts();
        let above = |load: &Load| load.parts().iter().zip(target).any(|(is, target)| *is > target);
        if loads.iter().any(above) {
            return Demand::More;
        }
        let ready = self.ready().count();
        if ready == 0 || loads.len() < ready {
            return Demand::Unknown;
        }
        let ready = u32::try_from(ready).unwrap_or(u32::MAX);
        let left = ready.min(replicas.saturating_sub(1));
        let would_fit = |load: &Load| {
            let parts = load.parts();
            parts.iter().zip(target).all(|(is, target)| {
                let (would, may) = (u64::from(*is) * u64::from(ready), u64::from(target));
                would * 100 <= may * u64::from(HEADROOM_PERCENT) * u64::from(left)
            })
        };
        if loads.iter().all(would_fit) { Demand::Fewer } else { Demand::AsMany }
    }
}

impl Load {
    fn parts(self) -> [u32; 3] {
        [self.memory_percent, self.cpu_percent, self.queue_percent]
    }
}

#[cfg(test)]
mod tests;
