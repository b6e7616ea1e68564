//! The memory limiter: from bytes in use to what is still taken. Before everything else.

use crate::config::Limiter;
use sluice_wire::Signal;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Normal,
    /// New traces are thinned; a rising share of log and metric requests is refused.
    Soft,
    /// Every request is refused, retryably: what was taken needs room while it is decided and sent.
    Hard,
}

/// What is done until the next check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    pub level: Level,
    /// From 0 (nothing) to [`SHARE_MAX`] (all): the part that is not taken.
    pub share: u16,
}

/// The share that stands for everything.
pub const SHARE_MAX: u16 = u16::MAX;

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Take,
    /// Keep only spans whose randomness reaches this 56-bit threshold.
    Thin {
        threshold: u64,
    },
    Refuse,
}

/// Of what is between the limits, the part below the hard one that is kept free.
const FREE_PART: u64 = 2;

impl Pressure {
    pub fn of(limits: &Limiter, used_bytes: u64) -> Self {
        let range = limits.hard_bytes.saturating_sub(limits.soft_bytes);
        let range = range - range / FREE_PART;
        if limits.soft_bytes + range <= used_bytes {
            return Self { level: Level::Hard, share: SHARE_MAX };
        }
        if used_bytes <= limits.soft_bytes {
            return Self::default();
        }
        let over = u128::from(used_bytes - limits.soft_bytes);
        let range = u128::from(range);
        let share = over * u128::from(SHARE_MAX) / range;
        Self { level: Level::Soft, share: u16::try_from(share).unwrap_or(SHARE_MAX) }
    }

    /// `turn` is the number of the request among its kind; refusals are spread evenly over turns.
    pub fn verdict(self, signal: Signal, turn: u64) -> Verdict {
        match (self.level, signal) {
            (Level::Normal, _) => Verdict::Take,
            (Level::Hard, _) => Verdict::Refuse,
            (Level::Soft, Signal::Traces) => {
                Verdict::Thin { threshold: u64::from(self.share) << 40 }
            }
            (Level::Soft, Signal::Metrics | Signal::Logs) => self.refuse_in_turn(turn),
        }
    }

    fn refuse_in_turn(self, turn: u64) -> Verdict {
        let refused_before =
            |turn: u64| u128::from(turn) * u128::from(self.share) / u128::from(SHARE_MAX);
        let due = refused_before(turn) < refused_before(turn.saturating_add(1));
        if due { Verdict::Refuse } else { Verdict::Take }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limiter = Limiter { soft_bytes: 400, hard_bytes: 600, check_interval_ms: 1000 };

    #[track_caller]
    fn check(used: u64, level: Level, refused_of_thousand: usize, threshold: u64) {
        let pressure = Pressure::of(&LIMITS, used);
        assert_eq!(pressure.level, level);
        let refused = |turn: &u64| pressure.verdict(Signal::Logs, *turn) == Verdict::Refuse;
        assert_eq!((0..1000).filter(refused).count(), refused_of_thousand);
        let expected = match level {
            Level::Normal => Verdict::Take,
            Level::Soft => Verdict::Thin { threshold },
            Level::Hard => Verdict::Refuse,
        };
        assert_eq!(pressure.verdict(Signal::Traces, 0), expected);
    }

    #[test]
    fn below_soft_everything_is_taken() {
        check(0, Level::Normal, 0, 0);
        check(400, Level::Normal, 0, 0);
    }

    #[test]
    fn above_soft_the_untaken_share_rises_with_use() {
        check(425, Level::Soft, 249, 0x3fff << 40);
        check(475, Level::Soft, 749, 0xbfff << 40);
    }

    #[test]
    fn half_way_to_hard_everything_is_refused() {
        check(499, Level::Soft, 989, 0xfd6f << 40);
        check(500, Level::Hard, 1000, 0);
        check(u64::MAX, Level::Hard, 1000, 0);
    }
}
