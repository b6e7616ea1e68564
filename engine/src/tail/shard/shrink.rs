//! After many traces were open the tables that held them are made smaller again.

use super::Shard;
use crate::tail::trace::{Link, NO_RUN};

/// Places for each open trace: with more, tables are nearly empty.
const SPARSE: usize = 4;
/// As many places are never too many.
const PLACES_MIN: usize = 8192;

impl Shard {
    /// Places are given out from the lowest one on while tables are sparse, so their ends soon are
    /// free.
    pub(super) fn shrink(&mut self) {
        if self.traces.len() <= PLACES_MIN + SPARSE * self.places.len() {
            return;
        }
        self.traces.trim(Option::is_none);
        let places = self.traces.len();
        self.free.retain(|place| (*place as usize) < places);
        self.free.sort_unstable_by(|a, b| b.cmp(a));
        self.free.shrink_to_fit();
        self.places.shrink_to(2 * self.places.len());
        self.shrink_links();
    }

    /// Those that are in use, side by side.
    fn shrink_links(&mut self) {
        let old = std::mem::take(&mut self.links);
        self.free_links = Vec::new();
        for trace in self.traces.iter_mut().flatten() {
            let mut at = std::mem::replace(&mut trace.last_run, NO_RUN);
            let mut newer = None;
            while let Some(Link { run, before }) = old.get(at).copied() {
                let place = self.links.push(Link { run, before: NO_RUN });
                match newer.replace(place).and_then(|newer| self.links.get_mut(newer)) {
                    Some(newer) => newer.before = place,
                    None => trace.last_run = place,
                }
                at = before;
            }
        }
    }
}
