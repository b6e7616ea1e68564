//! What a gateway uses, in percent of what it may: from this the operator scales.

use crate::running::Running;
use sluice_engine::config::Config;
use sluice_engine::forward::GATEWAYS;
use sluice_wire::control::gateway as wire;
use std::time::Instant;

/// Linux counts a process's time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Remembers the last look at the process's time.
#[derive(Default)]
pub(super) struct LoadMeter {
    last: Option<(Instant, u64)>,
    cpu_percent: u32,
}

impl LoadMeter {
    pub(super) fn measure(&mut self, running: &Running, config: &Config) -> wire::Load {
        let (now, ticks) = (Instant::now(), ticks().unwrap_or_default());
        if let Some((then, before)) = self.last {
            let seconds = now.duration_since(then).as_secs_f64();
            // Reports that follow each other closely say nothing of the time between.
            if seconds < 1.0 {
                return self.load(running);
            }
            let used = whole(ticks.saturating_sub(before)) / TICKS_PER_SECOND / seconds;
            let allowed = whole(config.gateway.cpu_millis.max(1)) / 1000.0;
            self.cpu_percent = percent(used / allowed);
        }
        self.last = Some((now, ticks));
        self.load(running)
    }

    fn load(&self, running: &Running) -> wire::Load {
        // An outage of a destination is not mended by more gateways, nor what goes to others of them.
        let mut queues = running.queues();
        queues.retain(|key, queue| queue.failure.is_none() && key.pipeline != GATEWAYS);
        wire::Load {
            memory_percent: running.memory_percent(),
            cpu_percent: self.cpu_percent,
            queue_percent: queues.values().map(|queue| queue.queue_percent).max().unwrap_or(0),
        }
    }
}

/// User and system time of this process: fields 14 and 15 of its `stat`, proc(5).
fn ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[expect(clippy::cast_precision_loss, reason = "a percentage is made of it")]
fn whole(count: u64) -> f64 {
    count as f64
}

fn percent(part: f64) -> u32 {
    (part * 100.0).clamp(0.0, 10_000.0) as u32
}
