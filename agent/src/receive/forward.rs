//! What agents forward to a gateway, and gateways to each other: many senders' requests in one, none
//! of them twice.

use super::guard::Guard;
use crate::flow::Arrival;
use crate::intake::{Intake, Refusal};
use bytes::Bytes;
use sluice_engine::books::Refused;
use sluice_engine::lane::Lane;
use sluice_engine::sender::{Sender, Source};
use sluice_wire::Signal;
use sluice_wire::forward::{Frame, Part, read, write_answer};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// Senders that are remembered; then all are learnt anew.
const SENDERS_MAX: usize = 4096;
/// Frames of one generation that are known again when an agent repeats them.
const FRAMES_MAX: usize = 64 * 1024;

/// The way in of a gateway; one for all connections.
pub(crate) struct Forwards {
    pub(super) guard: Guard,
    intake: Intake,
    lanes: Mutex<HashMap<Bytes, Lane>>,
    seen: Mutex<Seen>,
}

/// Ids of frames that were taken.
#[derive(Default)]
struct Seen {
    now: HashSet<u64>,
    before: HashSet<u64>,
}

impl Forwards {
    pub(crate) fn new(intake: Intake, guard: Guard) -> Self {
        Self { guard, intake, lanes: Mutex::default(), seen: Mutex::default() }
    }

    /// Takes a forward, part by part. What cannot be taken for good is counted and left out. Where a
    /// part cannot be taken now, it ends: the answer says what was taken before, so that its sender
    /// does not give that to a new owner as well.
    pub(super) fn submit(&self, body: &Bytes) -> Result<Vec<u8>, Refusal> {
        let parts = read(body).map_err(|problem| {
            let refusal = Refusal::for_good(Refused::Malformed, problem.as_str());
            self.intake.flow().refuse(Signal::Traces, 1, refusal)
        })?;
        for (taken, part) in parts.iter().enumerate() {
            match part {
                Part::Handover(told) => self.intake.flow().learn(told),
                Part::Frame(frame) => match self.take_once(body, frame) {
                    Ok(()) => (),
                    Err(refusal) if taken == 0 => return Err(refusal),
                    Err(_) => return Ok(write_answer(taken)),
                },
            }
        }
        Ok(Vec::new())
    }

    /// An error says that it cannot be taken now.
    fn take_once(&self, body: &Bytes, frame: &Frame<'_>) -> Result<(), Refusal> {
        if self.seen().has(frame.id) {
            return Ok(());
        }
        let arrival = Arrival { epoch: frame.epoch, handed_over: frame.handed_over };
        let (sender, request) = (body.slice_ref(frame.sender), body.slice_ref(frame.body));
        match self.take(&sender, request, arrival) {
            Err(refusal) if refusal.retry_after.is_some() => return Err(refusal),
            Err(refusal) => tracing::warn!(%refusal, "an agent's frame is lost"),
            Ok(()) => (),
        }
        self.seen().add(frame.id);
        Ok(())
    }

    fn take(&self, sender: &Bytes, body: Bytes, arrival: Arrival) -> Result<(), Refusal> {
        // Taken out while it is used: two connections may bring the same sender at once.
        let known = self.lanes().remove(sender);
        let mut lane = match known {
            Some(lane) => lane,
            None => {
                let sender = Sender::from_bytes(sender)
                    .map_err(|error| Refusal::for_good(Refused::Malformed, error))?;
                Lane::new(sender, Source::Otlp)
            }
        };
        let flow = self.intake.flow();
        let taken = flow.submit(&mut lane, Signal::Traces, body, (None, Some(arrival)));
        let mut lanes = self.lanes();
        if SENDERS_MAX <= lanes.len() {
            lanes.clear();
        }
        lanes.insert(Bytes::copy_from_slice(sender), lane);
        taken
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, HashMap<Bytes, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn has(&self, id: u64) -> bool {
        self.now.contains(&id) || self.before.contains(&id)
    }

    fn add(&mut self, id: u64) {
        if FRAMES_MAX <= self.now.len() {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.insert(id);
    }
}
