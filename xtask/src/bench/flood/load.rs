//! What agents send: requests at a steady rate, each sent again for a while where it is refused.

use super::corpus::Corpus;
use super::ledger::Rounds;
use crate::contest::load::{Senders, UNAVAILABLE, call};
use crate::contest::message::Codec;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use h2::client::SendRequest;
use sluice_wire::forward::PATH;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Of all connections together. Who waits to send again sends nothing else.
const REQUESTS_AT_ONCE: usize = 64;
/// As an agent's queue for a gateway has it.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// After so many a request is given up.
const TRIES: u32 = 8;

/// What is sent from a moment on.
pub(super) struct Phase {
    pub(super) corpus: Arc<Corpus>,
    pub(super) spans_per_second: u64,
    pub(super) duration: Duration,
    /// Number of its first round: no two phases have the same.
    pub(super) first_round: u32,
}

#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) rounds: Rounds,
    /// Spans that were accepted.
    pub(super) accepted: u64,
    /// Requests that were refused and sent again.
    pub(super) refused: u64,
    /// Spans whose requests were given up.
    pub(super) given_up: u64,
}

/// What those who send at once share.
struct Sending {
    phase: Phase,
    started: Instant,
    next: AtomicU64,
    sent: Mutex<Sent>,
}

impl Phase {
    pub(super) async fn send(self, senders: &Senders) -> Result<Sent> {
        let (started, next, sent) = (Instant::now(), AtomicU64::new(0), Mutex::default());
        let sending = Arc::new(Sending { phase: self, started, next, sent });
        let mut tasks = JoinSet::new();
        for connection in senders.connections().iter().cycle().take(REQUESTS_AT_ONCE) {
            tasks.spawn(send_in_turn(connection.clone(), Arc::clone(&sending)));
        }
        while let Some(done) = tasks.join_next().await {
            done.context("join a sender")??;
        }
        let mut sent = sending.sent.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *sent))
    }
}

async fn send_in_turn(mut connection: SendRequest<Bytes>, sending: Arc<Sending>) -> Result<()> {
    let Phase { corpus, spans_per_second, duration, first_round } = &sending.phase;
    let requests = corpus.messages.len() as u64;
    let spans_per_request = corpus.spans() as f64 / requests as f64;
    loop {
        let number = sending.next.fetch_add(1, Ordering::Relaxed);
        let due = number as f64 * spans_per_request / *spans_per_second as f64;
        let due = Duration::from_secs_f64(due);
        if *duration <= due || *duration <= sending.started.elapsed() {
            return Ok(());
        }
        tokio::time::sleep_until((sending.started + due).into()).await;
        let round = first_round + u32::try_from(number / requests).context("count rounds")?;
        let template = &corpus.messages[(number % requests) as usize];
        let frame = u64::from(round) << 32 | (number % requests);
        let message = Bytes::from(template.message(round, frame));
        let (is_taken, refused) = send(&mut connection, message).await?;
        let mut sent = sending.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = template.spans.len() as u64;
        sent.refused += refused;
        if !is_taken {
            sent.given_up += spans;
            continue;
        }
        sent.accepted += spans;
        let accepted = sent.rounds.entry(round).or_insert_with(|| vec![0; corpus.failed.len()]);
        template.spans.iter().for_each(|(_, trace)| accepted[*trace as usize] += 1);
    }
}

/// Whether it was taken at last, and how often it was refused.
async fn send(connection: &mut SendRequest<Bytes>, message: Bytes) -> Result<(bool, u64)> {
    let mut delay = RETRY_DELAY_MIN;
    for refused in 0..TRIES {
        let mut ready = connection.clone().ready().await.context("wait for a stream")?;
        match call(&mut ready, PATH, Codec::Plain, message.clone()).await? {
            0 => return Ok((true, u64::from(refused))),
            UNAVAILABLE => tokio::time::sleep(delay).await,
            code => bail!("a forward was answered with gRPC status {code}"),
        }
        delay = (delay * 2).min(RETRY_DELAY_MAX);
    }
    Ok((false, u64::from(TRIES)))
}
