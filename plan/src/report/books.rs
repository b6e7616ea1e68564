//! The running sum over the agents of one fleet, and its rates. Time is an argument.

use super::policies::PolicyBooks;
use super::{
    AgentReport, Delivery, DeliveryBook, DeliveryKey, Failure, FleetReport, Flow, FlowCounters,
    FlowKey, FlowRates,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// The span over which rates are taken, in seconds.
pub const WINDOW_S: i64 = 30;
/// Totals are kept for a rate no more often than this, in seconds.
const SNAPSHOT_S: i64 = 5;

/// The running sum over the agents of one fleet. Whoever holds the control streams feeds it.
#[derive(Debug, Default)]
pub struct FleetBooks {
    last: BTreeMap<String, AgentReport>,
    flows: BTreeMap<FlowKey, FlowCounters>,
    deliveries: BTreeMap<DeliveryKey, DeliveryTotal>,
    policies: PolicyBooks,
    snapshots: VecDeque<Snapshot>,
    shown: BTreeMap<FlowKey, FlowRates>,
    shown_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct DeliveryTotal {
    queued: u64,
    sent: u64,
    dropped: BTreeMap<String, u64>,
    held: u64,
    agents: u32,
    /// By pod, and only what is not as it should be: a healthy fleet has none.
    exceptions: BTreeMap<String, Exception>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Exception {
    queue_percent: u32,
    failure_reason: String,
    failure_message: String,
    credentials_reason: String,
}

#[derive(Debug)]
struct Snapshot {
    at: Timestamp,
    flows: BTreeMap<FlowKey, FlowCounters>,
    /// Sent and dropped.
    deliveries: BTreeMap<DeliveryKey, (u64, u64)>,
}

impl FleetBooks {
    /// Takes in the newest report of a pod. What a pod had counted before it was first seen here
    /// is not counted again.
    pub fn absorb(&mut self, pod: &str, report: AgentReport) {
        let before = self.last.remove(pod);
        self.retire(pod, before.as_ref());
        let past = Past::of(before.as_ref(), &report.incarnation);
        past.grow(
            &mut self.flows,
            &report.flows,
            |r| &r.flows,
            |total, own, base| {
                total.add(&own.since(base));
                total.held += own.held;
            },
        );
        past.grow(
            &mut self.deliveries,
            &report.deliveries,
            |r| &r.deliveries,
            |total, own, base| {
                total.add(pod, own, base);
            },
        );
        self.policies.absorb(&past, &report);
        self.last.insert(pod.to_owned(), report);
    }

    /// A pod is gone for good: what it held is held no more.
    pub fn forget(&mut self, pod: &str) {
        let before = self.last.remove(pod);
        self.retire(pod, before.as_ref());
    }

    /// Takes away the levels that a pod's last report had put in; counters stay.
    fn retire(&mut self, pod: &str, before: Option<&AgentReport>) {
        let Some(before) = before else { return };
        for (key, counters) in &before.flows {
            if let Some(total) = self.flows.get_mut(key) {
                total.held = total.held.saturating_sub(counters.held);
            }
        }
        for (key, book) in &before.deliveries {
            if let Some(total) = self.deliveries.get_mut(key) {
                total.held = total.held.saturating_sub(book.held);
                total.agents = total.agents.saturating_sub(1);
                total.exceptions.remove(pod);
            }
        }
        self.policies.retire(before);
    }

    /// The sum as of now. Books of which `keep` says no are closed: their objects are gone.
    pub fn report(&mut self, now: Timestamp, keep: impl Fn(&str) -> bool) -> FleetReport {
        self.flows.retain(|key, _| keep(&key.pipeline));
        self.deliveries.retain(|key, _| keep(&key.pipeline) && keep(&key.destination));
        self.policies.retain(&keep);
        self.snapshot(now);
        let base = self.snapshots.front();
        let seconds = base.map_or(0, |s| now.duration_since(s.at).as_secs()).max(0);
        let live: BTreeMap<_, _> = self
            .flows
            .iter()
            .map(|(key, total)| {
                let past = base.and_then(|b| b.flows.get(key)).copied().unwrap_or_default();
                (key.clone(), total.since(&past).per(seconds))
            })
            .collect();
        if self.shown_at.is_none_or(|at| now.duration_since(at).as_secs() >= WINDOW_S) {
            self.shown.clone_from(&live);
            self.shown_at = Some(now);
            self.policies.show(now);
        }
        let flows = live.into_iter().map(|(key, rates)| {
            let total = self.flows.get(&key).copied().unwrap_or_default();
            let shown = self.shown.get(&key).copied().unwrap_or_default();
            (key, Flow { total, rates, shown })
        });
        let deliveries = self.deliveries.iter().map(|(key, total)| {
            let past = base.and_then(|b| b.deliveries.get(key)).copied().unwrap_or_default();
            (key.clone(), total.delivery(past, seconds))
        });
        FleetReport {
            agents: self.last.iter().map(|(pod, r)| (pod.clone(), r.state.clone())).collect(),
            flows: flows.collect(),
            deliveries: deliveries.collect(),
            policies: self.policies.flows(now),
            tail: self.policies.tail(),
        }
    }

    fn snapshot(&mut self, now: Timestamp) {
        let age = |s: &Snapshot| now.duration_since(s.at).as_secs();
        if self.snapshots.back().is_some_and(|s| age(s) < SNAPSHOT_S) {
            return;
        }
        let sent = |total: &DeliveryTotal| (total.sent, total.dropped.values().sum());
        self.snapshots.push_back(Snapshot {
            at: now,
            flows: self.flows.clone(),
            deliveries: self.deliveries.iter().map(|(k, t)| (k.clone(), sent(t))).collect(),
        });
        while self.snapshots.len() > 1 && self.snapshots.get(1).is_some_and(|s| age(s) >= WINDOW_S)
        {
            self.snapshots.pop_front();
        }
    }
}

/// What an agent had counted when it last reported.
pub(super) enum Past<'a> {
    /// Never seen: what it has counted so far is not counted here.
    Unknown,
    /// Its counters began at zero since then.
    Restarted,
    Known(&'a AgentReport),
}

impl<'a> Past<'a> {
    fn of(before: Option<&'a AgentReport>, incarnation: &str) -> Self {
        match before {
            None => Self::Unknown,
            Some(before) if before.incarnation == incarnation => Self::Known(before),
            Some(_) => Self::Restarted,
        }
    }

    /// What a counter is measured from.
    pub(super) fn base<C: Clone + Default + 'a>(
        &self,
        own: &C,
        past: impl Fn(&'a AgentReport) -> Option<&'a C>,
    ) -> C {
        match self {
            Self::Unknown => own.clone(),
            Self::Restarted => C::default(),
            Self::Known(before) => past(before).cloned().unwrap_or_default(),
        }
    }

    /// Adds each book to the total of its key: `add` is given the book and what it is measured from.
    pub(super) fn grow<K, C, T>(
        &self,
        totals: &mut BTreeMap<K, T>,
        books: &BTreeMap<K, C>,
        of: impl Fn(&'a AgentReport) -> &'a BTreeMap<K, C>,
        mut add: impl FnMut(&mut T, &C, &C),
    ) where
        K: Clone + Ord + 'a,
        C: Clone + Default + 'a,
        T: Default,
    {
        for (key, own) in books {
            let base = self.base(own, |before| of(before).get(key));
            add(totals.entry(key.clone()).or_default(), own, &base);
        }
    }
}

impl FlowCounters {
    /// The counters' growth; levels are zero in it.
    fn since(&self, past: &Self) -> Self {
        Self {
            accepted: self.accepted.saturating_sub(past.accepted),
            refused: self.refused.saturating_sub(past.refused),
            sampled_out: self.sampled_out.saturating_sub(past.sampled_out),
            dropped: self.dropped.saturating_sub(past.dropped),
            sent: self.sent.saturating_sub(past.sent),
            held: 0,
        }
    }

    fn add(&mut self, growth: &Self) {
        self.accepted += growth.accepted;
        self.refused += growth.refused;
        self.sampled_out += growth.sampled_out;
        self.dropped += growth.dropped;
        self.sent += growth.sent;
    }

    fn per(&self, seconds: i64) -> FlowRates {
        FlowRates {
            accepted: rate(self.accepted, seconds),
            refused: rate(self.refused, seconds),
            sampled_out: rate(self.sampled_out, seconds),
            dropped: rate(self.dropped, seconds),
            sent: rate(self.sent, seconds),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "two digits of it are shown")]
pub(super) fn rate(items: u64, seconds: i64) -> f64 {
    if seconds == 0 { 0.0 } else { items as f64 / seconds as f64 }
}

impl DeliveryTotal {
    fn add(&mut self, pod: &str, book: &DeliveryBook, base: &DeliveryBook) {
        self.queued += book.queued.saturating_sub(base.queued);
        self.sent += book.sent.saturating_sub(base.sent);
        self.held += book.held;
        self.agents += 1;
        for (reason, items) in &book.dropped {
            let past = base.dropped.get(reason).copied().unwrap_or_default();
            *self.dropped.entry(reason.clone()).or_default() += items.saturating_sub(past);
        }
        let exception = Exception {
            queue_percent: book.queue_percent,
            failure_reason: book.failure_reason.clone(),
            failure_message: book.failure_message.clone(),
            credentials_reason: book.credentials_reason.clone(),
        };
        if exception != Exception::default() {
            self.exceptions.insert(pod.to_owned(), exception);
        }
    }

    fn delivery(&self, (sent, dropped): (u64, u64), seconds: i64) -> Delivery {
        let lost: u64 = self.dropped.values().sum();
        let mut delivery = Delivery {
            queued: self.queued,
            sent: self.sent,
            dropped: self.dropped.clone(),
            held: self.held,
            sent_rate: rate(self.sent.saturating_sub(sent), seconds),
            dropped_rate: rate(lost.saturating_sub(dropped), seconds),
            agents: self.agents,
            ..Delivery::default()
        };
        for exception in self.exceptions.values() {
            delivery.queue_percent = delivery.queue_percent.max(exception.queue_percent);
            if !exception.failure_reason.is_empty() {
                let failure = delivery
                    .failures
                    .entry(exception.failure_reason.clone())
                    .or_insert(Failure { agents: 0, message: exception.failure_message.clone() });
                failure.agents += 1;
            }
            if !exception.credentials_reason.is_empty() {
                *delivery.credentials.entry(exception.credentials_reason.clone()).or_default() += 1;
            }
        }
        delivery
    }
}
