//! A small shop that serves requests and tells of them by OTLP, as an instrumented one would:
//! five services, semantic conventions, errors, slow spans. Everything but time follows from a seed.

mod call;
mod export;
mod meter;
mod random;
mod service;
mod visits;
mod window;

use export::Exporter;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;
use window::Shop;

const TICKS_PER_SECOND: u32 = 5;

pub(crate) use export::Sent;

pub(crate) struct Settings {
    /// `http://host:port` of an OTLP receiver over gRPC.
    pub(crate) endpoint: String,
    pub(crate) requests_per_second: u32,
    pub(crate) seed: u64,
}

/// Serves requests until `stop` is dropped, then sends what is left.
///
/// # Errors
/// When the endpoint cannot be reached at the start.
pub(crate) async fn run(
    settings: Settings,
    mut stop: oneshot::Receiver<()>,
) -> anyhow::Result<Sent> {
    let mut exporter = Exporter::connect(&settings.endpoint).await?;
    let mut shop = Shop::new(settings.seed, now_ns());
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / TICKS_PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut count, mut owed) = (0_u32, 0);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stop => break,
        }
        count = count.wrapping_add(1);
        owed += settings.requests_per_second;
        for _ in 0..owed / TICKS_PER_SECOND {
            shop.serve(now_ns());
        }
        owed %= TICKS_PER_SECOND;
        exporter.send(shop.take(now_ns(), count % TICKS_PER_SECOND == 0)).await;
    }
    exporter.send(shop.take(now_ns(), true)).await;
    Ok(exporter.sent)
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// For a run that was given no seed.
pub(crate) fn seed_of_now() -> u64 {
    now_ns() / 1_000_000_000
}
