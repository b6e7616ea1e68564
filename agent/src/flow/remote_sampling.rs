//! What services are told to keep of their traces, and their spans with what they did.

use super::Flow;
use crate::intake::Refusal;
use bytes::Bytes;
use sluice_engine::remote_sampling::RemoteSampling;
use sluice_engine::sender::Sender;
use sluice_wire::Signal;
use sluice_wire::sampling::Threshold;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

#[derive(Default)]
pub(super) struct RemoteSamplingStage {
    /// Somebody may ask.
    is_on: AtomicBool,
    clients: RwLock<RemoteSampling>,
    answers: AtomicU64,
}

/// How often services were told a rate, and how many ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) answers: u64,
    pub(crate) services: u64,
}

impl RemoteSamplingStage {
    pub(super) fn set_on(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Relaxed);
    }
}

impl Flow {
    /// What a service is to keep of its traces.
    pub(crate) fn tell(&self, sender: &Sender, service: &str) -> Threshold {
        let state = self.read();
        let stage = &self.remote_sampling;
        stage.answers.fetch_add(1, Ordering::Relaxed);
        let mut clients = stage.clients.write().unwrap_or_else(PoisonError::into_inner);
        clients.tell(&state.compiled, (sender, service), self.moment())
    }

    /// Traces whose spans say what the SDKs that sent them did.
    pub(super) fn marked(
        &self,
        sender: &Sender,
        signal: Signal,
        body: Bytes,
    ) -> Result<Bytes, Refusal> {
        let stage = &self.remote_sampling;
        if signal != Signal::Traces || !stage.is_on.load(Ordering::Relaxed) {
            return Ok(body);
        }
        let survey = self.survey(signal, &body)?;
        let marked = {
            let clients = stage.clients.read().unwrap_or_else(PoisonError::into_inner);
            clients.mark(sender, (&body, &survey), self.now())
        };
        if marked.is_news {
            let mut clients = stage.clients.write().unwrap_or_else(PoisonError::into_inner);
            clients.learn(sender, (&body, &survey));
        }
        Ok(Bytes::from(marked.body))
    }

    /// `None`: nobody can ask.
    pub(crate) fn asked(&self) -> Option<Asked> {
        let stage = &self.remote_sampling;
        if !stage.is_on.load(Ordering::Relaxed) {
            return None;
        }
        let clients = stage.clients.read().unwrap_or_else(PoisonError::into_inner);
        let answers = stage.answers.load(Ordering::Relaxed);
        Some(Asked { answers, services: clients.services() as u64 })
    }
}
