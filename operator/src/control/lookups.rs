//! Asks every gateway what became of a trace, by the control streams.

use sluice_wire::control::sampling::{Found, Known, Lookup};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};

/// Who has not answered by then is not waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Questions that a slow stream may be behind.
const QUESTIONS_MAX: usize = 16;
const ANSWERS_MAX: usize = 256;

/// Shared by all streams and by those who ask.
#[derive(Debug)]
pub struct Lookups {
    questions: broadcast::Sender<Lookup>,
    last_id: AtomicU64,
    asking: Mutex<HashMap<u64, mpsc::Sender<(String, Found)>>>,
}

impl Default for Lookups {
    fn default() -> Self {
        let (questions, _) = broadcast::channel(QUESTIONS_MAX);
        Self { questions, last_id: AtomicU64::new(0), asking: Mutex::default() }
    }
}

impl Lookups {
    /// What the gateway that knows most says, with its name; `None`: no gateway is attached.
    pub async fn ask(&self, trace: u128) -> Option<(String, Found)> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, mut answers) = mpsc::channel(ANSWERS_MAX);
        self.asking().insert(id, answer);
        let question = Lookup { id, trace_id: trace.to_be_bytes().to_vec() };
        let asked = self.questions.send(question).unwrap_or(0);
        let mut best: Option<(String, Found)> = None;
        let collected = async {
            for _ in 0..asked {
                let Some(found) = answers.recv().await else { return };
                if best.as_ref().is_none_or(|best| best.1.known < found.1.known) {
                    best = Some(found);
                }
            }
        };
        let is_whole = tokio::time::timeout(ANSWER_WAIT, collected).await.is_ok();
        self.asking().remove(&id);
        if !is_whole {
            tracing::warn!("not every gateway says what became of a trace");
        }
        best
    }

    /// For the stream of a gateway.
    pub(super) fn questions(&self) -> broadcast::Receiver<Lookup> {
        self.questions.subscribe()
    }

    pub(super) fn answered(&self, pod: &str, found: Found) {
        let asking = self.asking().get(&found.id).cloned();
        if let Some(asking) = asking {
            // Fails when nobody waits any more.
            let _ = asking.try_send((pod.to_owned(), found));
        }
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<(String, Found)>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As collectors answer `sluice explain` themselves, and by which gateway.
pub(crate) fn as_json(gateway: &str, found: &Found) -> serde_json::Value {
    match (found.known(), &found.record) {
        (Known::Decided, Some(record)) => serde_json::json!({
            "state": "decided",
            "isKept": record.is_kept,
            "isEarly": record.is_early,
            "rule": (!record.rule.is_empty()).then_some(&record.rule),
            "probability": sluice_wire::sampling::Threshold::new(record.threshold).probability(),
            "threshold": record.threshold,
            "spans": record.spans,
            "lateSpans": record.late_spans,
            "ageMs": record.age_ms,
            "gateway": gateway,
        }),
        (Known::Open, _) => serde_json::json!({"state": "open"}),
        _ => serde_json::json!({"state": "unknown"}),
    }
}
