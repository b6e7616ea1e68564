//! What the memory in use means for what comes.

use super::{Flow, lock};
use crate::intake::Refusal;
use sluice_engine::books::Refused;
use sluice_engine::limiter::{Level, Pressure, Verdict};
use sluice_wire::Signal;
use std::sync::atomic::Ordering;

impl Flow {
    /// Called at each check interval of the memory limiter.
    pub(crate) fn check_memory(&self) {
        let level = self.pressure().level;
        let before = std::mem::replace(&mut *lock(&self.level), level);
        if before != level {
            tracing::warn!(?level, used_bytes = self.meter.used(), "memory");
        }
    }

    /// At the last check.
    pub(crate) fn level(&self) -> Level {
        *lock(&self.level)
    }

    /// Of this moment: between two checks a flood fills what is left.
    fn pressure(&self) -> Pressure {
        Pressure::of(&self.read().compiled.config.limiter, self.meter.used())
    }

    /// Of the hard limit.
    pub(crate) fn memory_percent(&self) -> u32 {
        let hard_bytes = self.config.borrow().limiter.hard_bytes.max(1);
        u32::try_from(self.meter.used().saturating_mul(100) / hard_bytes).unwrap_or(u32::MAX)
    }

    pub(super) fn verdict(&self, signal: Signal) -> Verdict {
        let pressure = self.pressure();
        if pressure.level == Level::Normal {
            return Verdict::Take;
        }
        pressure.verdict(signal, self.turns[signal as usize].fetch_add(1, Ordering::Relaxed))
    }
}

pub(crate) fn short_of_memory() -> Refusal {
    Refusal::for_now(Refused::MemoryLimiter, "the collector is short of memory")
}
