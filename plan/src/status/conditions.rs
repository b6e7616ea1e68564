//! The conditions of one object: what they were, and what they become.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use sluice_crds::conditions::{ConditionType, Reason, Status};

pub(super) struct Conditions<'a> {
    before: &'a [Condition],
    generation: i64,
    now: Timestamp,
    list: Vec<Condition>,
}

/// How far a generation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Done(Reason, String),
    /// Under way: `Ready` is False for `ready`, `Reconciling` True for `reconciling`. Past the
    /// deadline it counts as stuck, for the reason `stuck`.
    UnderWay {
        ready: Reason,
        reconciling: Reason,
        stuck: Reason,
        message: String,
    },
    /// Under way, however long it takes.
    Waiting {
        reconciling: Reason,
        message: String,
    },
    Failed(Reason, String),
}

impl<'a> Conditions<'a> {
    pub(super) fn new(before: &'a [Condition], generation: i64, now: Timestamp) -> Self {
        // Whole seconds, as Kubernetes writes times.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self { before, generation, now, list: Vec::new() }
    }

    pub(super) fn set(
        &mut self,
        type_: ConditionType,
        status: Status,
        reason: Reason,
        message: impl Into<String>,
    ) {
        let unchanged = self.was(type_).filter(|before| before.status == status.as_str());
        let since = unchanged.map_or(Time(self.now), |before| before.last_transition_time.clone());
        self.list.push(Condition {
            type_: type_.as_str().to_owned(),
            status: status.as_str().to_owned(),
            reason: reason.as_str().to_owned(),
            message: message.into(),
            observed_generation: Some(self.generation),
            last_transition_time: since,
        });
    }

    /// As before; nothing new is known. Unknown where there was nothing.
    pub(super) fn keep_or_unknown(&mut self, type_: ConditionType, reason: Reason, message: &str) {
        match self.was(type_) {
            Some(before) => self
                .list
                .push(Condition { observed_generation: Some(self.generation), ..before.clone() }),
            None => self.set(type_, Status::Unknown, reason, message),
        }
    }

    fn was(&self, type_: ConditionType) -> Option<&'a Condition> {
        self.before.iter().find(|condition| condition.type_ == type_.as_str())
    }

    /// The condition was True already, and said so of this generation.
    pub(super) fn was_true(&self, type_: ConditionType) -> bool {
        self.was(type_).is_some_and(|before| {
            before.status == "True" && before.observed_generation == Some(self.generation)
        })
    }

    /// The condition had one of these reasons already, and said so of this generation.
    pub(super) fn had_reason(&self, type_: ConditionType, reasons: &[Reason]) -> bool {
        self.was(type_).is_some_and(|before| {
            reasons.iter().any(|reason| reason.as_str() == before.reason)
                && before.observed_generation == Some(self.generation)
        })
    }

    /// Whether the condition has been other than True for longer than `deadline`.
    pub(super) fn is_overdue(&self, type_: ConditionType, deadline: SignedDuration) -> bool {
        let before = self.was(type_).filter(|before| before.status != "True");
        before.is_some_and(|b| self.now.duration_since(b.last_transition_time.0) >= deadline)
    }

    /// Sets `Ready`, and `Reconciling` or `Stalled` only while they are True.
    pub(super) fn set_readiness(&mut self, readiness: Readiness, deadline: SignedDuration) {
        use ConditionType::{Ready, Reconciling, Stalled};
        match readiness {
            Readiness::Done(reason, message) => self.set(Ready, Status::True, reason, message),
            Readiness::Failed(reason, message) => {
                self.set(Ready, Status::False, reason, message.clone());
                self.set(Stalled, Status::True, reason, message);
            }
            Readiness::Waiting { reconciling, message } => {
                self.set(Ready, Status::False, Reason::Progressing, message.clone());
                self.set(Reconciling, Status::True, reconciling, message);
            }
            Readiness::UnderWay { ready, reconciling, stuck, message } => {
                if self.is_stuck(stuck, deadline) {
                    self.set(Ready, Status::False, stuck, message.clone());
                    self.set(Stalled, Status::True, stuck, message);
                } else {
                    self.set(Ready, Status::False, ready, message.clone());
                    self.set(Reconciling, Status::True, reconciling, message);
                }
            }
        }
    }

    /// Under way for longer than the deadline; or found stuck before, and nothing has changed.
    fn is_stuck(&self, stuck: Reason, deadline: SignedDuration) -> bool {
        let since = self.was(ConditionType::Reconciling).map(|b| b.last_transition_time.0);
        let overdue = since.is_some_and(|since| self.now.duration_since(since) >= deadline);
        let before = self.was(ConditionType::Stalled);
        let same = |b: &Condition| {
            b.reason == stuck.as_str() && b.observed_generation == Some(self.generation)
        };
        overdue || before.is_some_and(same)
    }

    /// `Ready`, `Reconciling`, `Stalled` first, then as they were set.
    pub(super) fn finish(mut self) -> Vec<Condition> {
        let summary = ["Ready", "Reconciling", "Stalled"];
        self.list.sort_by_key(|c| summary.iter().position(|name| *name == c.type_).unwrap_or(3));
        self.list
    }
}
