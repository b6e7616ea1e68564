//! The gateway seen from outside while it runs: its memory, and what it tells of itself.

use super::gateway::Gateway;
use crate::contest::process::memory_bytes_of;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const LOOK: Duration = Duration::from_millis(100);
/// Looks at the memory between two looks at `/metrics`.
const LOOKS_PER_SCRAPE: u32 = 5;
const SHOWN_EVERY: Duration = Duration::from_secs(5);

/// What `/metrics` told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) level: f64,
    pub(super) used_bytes: f64,
    pub(super) open_traces: f64,
    /// Spans, refused for want of memory; also those that were sent again.
    pub(super) refused: f64,
    /// Spans that were sampled out for want of memory.
    pub(super) shed: f64,
    pub(super) late: f64,
    pub(super) dropped: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) memory_bytes: u64,
    /// As of the last scrape.
    pub(super) told: Told,
}

pub(super) struct Watch {
    looks: Arc<Mutex<Vec<Look>>>,
    watching: JoinHandle<Result<()>>,
}

impl Watch {
    pub(super) fn start(gateway: &Gateway) -> Self {
        let looks = Arc::<Mutex<Vec<Look>>>::default();
        let folder = PathBuf::from(format!("/proc/{}", gateway.process.id()));
        let watching = tokio::spawn(watch(folder, gateway.metrics, Arc::clone(&looks)));
        Self { looks, watching }
    }

    /// All looks so far; fails when the gateway could not be looked at.
    pub(super) async fn end(self) -> Result<Vec<Look>> {
        self.watching.abort();
        if let Ok(ended) = self.watching.await {
            ended?;
        }
        Ok(std::mem::take(&mut self.looks.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

async fn watch(folder: PathBuf, metrics: SocketAddr, looks: Arc<Mutex<Vec<Look>>>) -> Result<()> {
    let (started, mut shown) = (Instant::now(), Instant::now());
    let mut ticks = tokio::time::interval(LOOK);
    let mut told = Told::default();
    for number in 0_u32.. {
        ticks.tick().await;
        let memory_bytes = memory_bytes_of(&folder)?;
        if number % LOOKS_PER_SCRAPE == 0 {
            told = scrape(metrics).await?;
        }
        let look = Look { at: Instant::now(), memory_bytes, told };
        looks.lock().unwrap_or_else(PoisonError::into_inner).push(look);
        if SHOWN_EVERY < shown.elapsed() {
            shown = Instant::now();
            let (seconds, mebibytes) = (started.elapsed().as_secs(), memory_bytes >> 20);
            let Told { level, used_bytes, open_traces, refused, shed, late, .. } = told;
            eprintln!(
                "flood: {seconds} s, {mebibytes} MiB resident, {used_bytes} bytes used, level {level}, \
                 {open_traces} open traces; spans: {refused} refused, {shed} shed, {late} late"
            );
        }
    }
    Ok(())
}

async fn scrape(address: SocketAddr) -> Result<Told> {
    let mut stream = TcpStream::connect(address).await.context("connect to /metrics")?;
    let request = b"GET /metrics HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.context("ask for metrics")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.context("read the metrics")?;
    if !text.starts_with("HTTP/1.1 200") {
        bail!("no metrics: {text}");
    }
    let of_memory = "reason=\"memory_limiter\"";
    Ok(Told {
        level: sum(&text, "sluice_memory_level", ""),
        used_bytes: sum(&text, "sluice_memory_used_bytes", ""),
        open_traces: sum(&text, "sluice_tail_open_traces", ""),
        refused: sum(&text, "sluice_refused_items_total", of_memory),
        shed: sum(&text, "sluice_pipeline_sampled_out_items_total", of_memory),
        late: sum(&text, "sluice_pipeline_sampled_out_items_total", "reason=\"late\""),
        dropped: sum(&text, "sluice_dropped_items_total", "")
            + sum(&text, "sluice_pipeline_dropped_items_total", ""),
    })
}

/// Over all series of a metric with this label.
fn sum(text: &str, name: &str, label: &str) -> f64 {
    let series = text.lines().filter_map(|line| line.strip_prefix(name));
    let own = series.filter(|rest| rest.starts_with([' ', '{']) && rest.contains(label));
    own.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_label_are_added() {
        let text = "a_total{reason=\"x\"} 2\na_total{reason=\"y\"} 3\na_total_more 7\nb 4\n";
        assert_eq!(sum(text, "a_total", "reason=\"x\""), 2.0);
        assert_eq!(sum(text, "a_total", ""), 5.0);
        assert_eq!(sum(text, "b", ""), 4.0);
    }
}
