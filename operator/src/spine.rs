//! The loop: observe, plan, apply, report. A lap is made when something changed, and now and then
//! anyway; whatever fails is made good by a later lap.

use crate::apply::{Applied, Applier};
use crate::authority;
use crate::backoff::Backoff;
use crate::control::{Assignments, Reports, Wanted, WantedRing};
use crate::metrics::Metrics;
use crate::observe::{self, ChildKey, ChildKind, Existing, Seen};
use crate::published::Published;
use crate::report::{self, News};
use crate::settings::Settings;
use crate::stores::Stores;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use kube::core::DynamicObject;
use sluice_plan::{FleetConfig, Observed};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub struct Spine {
    pub settings: Arc<Settings>,
    pub metrics: Metrics,
    pub stores: Arc<Stores>,
    pub reports: Arc<Reports>,
    pub applier: Applier,
    /// Rung by watches and reports.
    pub wake: Arc<Notify>,
    pub assignments: watch::Sender<Assignments>,
    pub outbox: watch::Sender<Arc<News>>,
    /// The ConfigMap through which collectors learn whom to trust.
    pub trust: DynamicObject,
    /// Empty at first.
    pub published: Published,
}

/// Some part of a lap failed and was logged; the next is due sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete;

impl Spine {
    /// Laps until `stop` turns true or its sender is gone; the lap under way is finished.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut backoff = Backoff::new(self.settings.retry_delay);
        while !*stop.borrow_and_update() {
            let pause = match self.lap(Timestamp::now()).await {
                Ok(()) => {
                    backoff.reset();
                    Pause::UntilWoken
                }
                Err(Incomplete) => Pause::For(backoff.next_delay().min(self.settings.resync)),
            };
            tokio::select! {
                () = self.rest(pause) => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn rest(&self, pause: Pause) {
        match pause {
            Pause::UntilWoken => {
                // No ring in this time: then it is the regular lap.
                let _ = tokio::time::timeout(self.settings.resync, self.wake.notified()).await;
            }
            // Rings are kept: a failing API server is not asked more often for them.
            Pause::For(delay) => tokio::time::sleep(delay).await,
        }
        tokio::time::sleep(self.settings.debounce).await;
    }

    /// One lap as of `now`.
    ///
    /// # Errors
    /// [`Incomplete`], after logging what failed.
    pub async fn lap(&mut self, now: Timestamp) -> Result<(), Incomplete> {
        let begun = Instant::now();
        let seen =
            observe::observe(&self.stores, &self.reports, &self.published, &self.settings, now);
        let Seen { observed, existing } = seen;
        let unreadable = observed.unreadable.len();
        self.metrics.unreadable.set(i64::try_from(unreadable).unwrap_or(i64::MAX));
        let running = running(&observed);
        let trusted = self.trust(&existing).await;
        let applied = self.applier.apply(sluice_plan::plan(&observed), &existing).await;
        self.publish(&applied, &running);
        self.published.remember(applied.refusals());
        report::report(&applied, &self.outbox);
        for (fleet, error) in applied.failures() {
            self.metrics.failed(error.label());
            tracing::warn!(fleet, %error, "fleet not applied");
        }
        self.metrics.reconcile_seconds.observe(begun.elapsed().as_secs_f64());
        if applied.failures().is_empty() { trusted } else { Err(Incomplete) }
    }

    async fn trust(&mut self, existing: &Existing) -> Result<(), Incomplete> {
        let key = ChildKey { kind: ChildKind::ConfigMap, name: authority::NAME.to_owned() };
        let ensured = self.applier.ensure(&key, &self.trust, existing).await;
        ensured.map(drop).map_err(|error| {
            self.metrics.failed("trust");
            tracing::warn!(%error, "certificate authority not published");
            Incomplete
        })
    }

    /// Hands collectors what to run, and remembers it.
    fn publish(&mut self, applied: &Applied, running: &BTreeMap<String, BTreeSet<String>>) {
        self.published.record(applied.plan(), running);
        self.assignments.send_if_modified(|known| {
            let wanted = assignments(known, &applied.plan().fleets);
            let changed = wanted != **known;
            if changed {
                *known = Arc::new(wanted);
            }
            changed
        });
    }
}

enum Pause {
    UntilWoken,
    For(std::time::Duration),
}

/// The configs that agents say they run, by fleet.
fn running(observed: &Observed) -> BTreeMap<String, BTreeSet<String>> {
    let hashes = |fleet: &sluice_plan::Fleet| {
        fleet.report.agents.values().map(|agent| agent.config_hash.clone()).collect()
    };
    observed.fleets.iter().map(|(name, fleet)| (name.clone(), hashes(fleet))).collect()
}

/// What is known already is not packed again.
fn assignments(
    known: &BTreeMap<String, Wanted>,
    fleets: &BTreeMap<String, FleetConfig>,
) -> BTreeMap<String, Wanted> {
    let wanted = fleets.iter().map(|(name, config)| {
        let old = known.get(name).filter(|old| old.hash == config.hash);
        let packed = old.map_or_else(|| pack(&config.bytes), |old| Arc::clone(&old.config));
        let ring = config.gateways.as_ref().and_then(|memory| memory.ring.as_ref());
        let ring = ring.map(|ring| {
            let known = known.get(name).and_then(|old| old.ring.as_ref());
            known.filter(|known| known.epoch == ring.epoch()).cloned().unwrap_or_else(|| {
                let bytes = serde_json::to_vec(ring).unwrap_or_default();
                WantedRing { epoch: ring.epoch(), ring: pack(&bytes) }
            })
        });
        (name.clone(), Wanted { hash: config.hash.clone(), config: packed, ring })
    });
    wanted.collect()
}

fn pack(bytes: &[u8]) -> Arc<[u8]> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    #[expect(clippy::expect_used, reason = "writing to memory does not fail")]
    let packed = gzip.write_all(bytes).and_then(|()| gzip.finish()).expect("memory takes all");
    packed.into()
}
