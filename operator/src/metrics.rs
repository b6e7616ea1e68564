//! What the operator measures about itself. Label values come from enums only.

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

/// Cheap to clone; all clones count into the same registry.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    pub reconcile_seconds: Histogram,
    /// By the attempt that failed.
    pub errors: IntCounterVec,
    /// By kind.
    pub applied: IntCounterVec,
    /// By kind.
    pub pruned: IntCounterVec,
    pub status_writes: IntCounter,
    /// By "written" or "deduplicated".
    pub events: IntCounterVec,
    pub collectors_connected: IntGauge,
    /// By the answer: "accepted", "refused" or "failed".
    pub reviews: IntCounterVec,
    pub leader: IntGauge,
    pub unreadable: IntGauge,
}

impl Metrics {
    /// # Errors
    /// When two metrics have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            reconcile_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "sluice_operator_reconcile_seconds",
                    "Duration of one lap: observe, plan, apply, report.",
                )
                .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
            )?,
            errors: counters("errors", "Attempts that failed, by attempt.", "attempt")?,
            applied: counters("applied_objects", "Objects applied, by kind.", "kind")?,
            pruned: counters("pruned_objects", "Objects deleted, by kind.", "kind")?,
            status_writes: IntCounter::new(
                "sluice_operator_status_writes_total",
                "Writes of a user object's status.",
            )?,
            events: counters("events", "Events, by what became of them.", "outcome")?,
            collectors_connected: IntGauge::new(
                "sluice_operator_collectors_connected",
                "Control streams that are open.",
            )?,
            reviews: counters("token_reviews", "Token reviews, by answer.", "answer")?,
            leader: IntGauge::new("sluice_operator_leader", "1 while this replica leads, else 0.")?,
            unreadable: IntGauge::new(
                "sluice_operator_unreadable_objects",
                "Objects that the API server holds and this version cannot read.",
            )?,
            registry,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        // No `..`: a metric that is not registered does not compile.
        let Self {
            registry,
            reconcile_seconds,
            errors,
            applied,
            pruned,
            status_writes,
            events,
            collectors_connected,
            reviews,
            leader,
            unreadable,
        } = self;
        registry.register(Box::new(reconcile_seconds.clone()))?;
        for family in [errors, applied, pruned, events, reviews] {
            registry.register(Box::new(family.clone()))?;
        }
        registry.register(Box::new(status_writes.clone()))?;
        for gauge in [collectors_connected, leader, unreadable] {
            registry.register(Box::new(gauge.clone()))?;
        }
        Ok(())
    }

    /// Counts one failed attempt.
    pub fn failed(&self, attempt: &'static str) {
        self.errors.with_label_values(&[attempt]).inc();
    }

    /// The Prometheus text format.
    ///
    /// # Errors
    /// When a metric cannot be written as text.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn counters(noun: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(format!("sluice_operator_{noun}_total"), help), &[label])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_failure_is_rendered_with_its_attempt() {
        let metrics = Metrics::new().unwrap();
        metrics.failed("apply");
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text.contains("sluice_operator_errors_total{attempt=\"apply\"} 1"), "{text}");
    }
}
