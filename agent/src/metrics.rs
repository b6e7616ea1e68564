//! The books as Prometheus metrics, made anew for each scrape: there is nothing to keep in step.

use crate::flow::Flow;
use crate::pod_logs::Counts;
use crate::pods::PodTable;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use sluice_engine::books::Books;
use sluice_engine::tail::{PolicyCounts, Tail};
use std::sync::atomic::Ordering;

/// # Errors
/// When the encoder refuses what it is given.
pub(crate) fn text(
    flow: &Flow,
    pods: Option<&PodTable>,
    logs: Option<&Counts>,
) -> prometheus::Result<String> {
    let registry = Registry::new();
    let books = flow.books();
    receivers(&registry, &books)?;
    pipelines(&registry, &books)?;
    destinations(&registry, &books)?;
    let queues = gauges(
        &registry,
        ("sluice_queue_bytes", "Bytes held, overhead included"),
        &["pipeline", "destination", "signal"],
    )?;
    for (key, state) in flow.pump_states() {
        let labels = [&*key.pipeline, &*key.destination, key.signal.as_str()];
        queues.with_label_values(&labels).set(saturated(state.queue_bytes));
    }
    let alone = [
        (
            "sluice_memory_used_bytes",
            "Bytes being received, held or queued, and the overhead",
            flow.meter.used(),
        ),
        (
            "sluice_memory_overhead_bytes",
            "Bytes that the process takes beyond those",
            flow.meter.overhead(),
        ),
        ("sluice_memory_queued_bytes", "Bytes in the queues", flow.meter.queued()),
        ("sluice_memory_held_bytes", "Bytes that open traces take", flow.meter.held()),
        ("sluice_memory_level", "0 normal, 1 soft, 2 hard", flow.level() as u64),
    ];
    for (name, help, value) in alone {
        gauge(&registry, (name, help), value)?;
    }
    let help = "Connections whose peer was no known pod";
    let unknown_peers = pods.map_or(0, PodTable::unknown_peers);
    counter(&registry, ("sluice_unknown_peers_total", help), unknown_peers)?;
    if let Some(asked) = flow.asked() {
        let help = "Answers to services that asked which share of their traces to keep";
        counter(&registry, ("sluice_remote_sampling_answers_total", help), asked.answers)?;
        let help = "Services that asked within the last hour";
        gauge(&registry, ("sluice_remote_sampling_services", help), asked.services)?;
    }
    if let Some(open) = flow.tail() {
        tail(&registry, &open)?;
        let help = "Traces whose former gateway never handed them over: they may lack spans";
        let incomplete = flow.incomplete_traces();
        counter(&registry, ("sluice_tail_incomplete_traces_total", help), incomplete)?;
    }
    if let Some(counts) = logs {
        pod_logs(&registry, counts)?;
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn receivers(registry: &Registry, books: &Books) -> prometheus::Result<()> {
    let help = "Items that receivers were offered";
    let received = counters(registry, ("sluice_received_items_total", help), &["signal"])?;
    let help = "Items that receivers accepted";
    let accepted = counters(registry, ("sluice_accepted_items_total", help), &["signal"])?;
    let help = "Items that receivers refused; an unreadable request counts as one";
    let refused = counters(registry, ("sluice_refused_items_total", help), &["signal", "reason"])?;
    for (signal, book) in &books.receivers {
        let signal = signal.as_str();
        received.with_label_values(&[signal]).inc_by(book.offered);
        accepted.with_label_values(&[signal]).inc_by(book.accepted);
        for (reason, items) in &book.refused {
            refused.with_label_values(&[signal, reason.as_str()]).inc_by(*items);
        }
    }
    Ok(())
}

fn pipelines(registry: &Registry, books: &Books) -> prometheus::Result<()> {
    let labels = ["pipeline", "signal"];
    let with_reason = ["pipeline", "signal", "reason"];
    let help = "Items that a pipeline took";
    let accepted = counters(registry, ("sluice_pipeline_accepted_items_total", help), &labels)?;
    let help = "Copies of items that a pipeline queued, one a destination";
    let queued = counters(registry, ("sluice_pipeline_queued_items_total", help), &labels)?;
    let help = "Copies of items that a rule took out of the sample";
    let sampled_out =
        counters(registry, ("sluice_pipeline_sampled_out_items_total", help), &with_reason)?;
    let help = "Copies of items that were dropped before a queue";
    let dropped = counters(registry, ("sluice_pipeline_dropped_items_total", help), &with_reason)?;
    let help = "Copies of spans of open traces that went to another gateway";
    let handed_over =
        counters(registry, ("sluice_pipeline_handed_over_items_total", help), &labels)?;
    let help = "Copies of spans whose trace is not decided";
    let held = gauges(registry, ("sluice_pipeline_held_items", help), &labels)?;
    for ((pipeline, signal), book) in &books.pipelines {
        let signal = signal.as_str();
        accepted.with_label_values(&[pipeline, signal]).inc_by(book.accepted);
        queued.with_label_values(&[pipeline, signal]).inc_by(book.queued);
        handed_over.with_label_values(&[pipeline, signal]).inc_by(book.handed_over);
        held.with_label_values(&[pipeline, signal]).set(saturated(book.held));
        for (rule, items) in &book.sampled_out {
            sampled_out.with_label_values(&[pipeline, signal, rule.as_str()]).inc_by(*items);
        }
        for (reason, items) in &book.dropped {
            dropped.with_label_values(&[pipeline, signal, reason.as_str()]).inc_by(*items);
        }
    }
    Ok(())
}

fn destinations(registry: &Registry, books: &Books) -> prometheus::Result<()> {
    let labels = ["pipeline", "destination", "signal"];
    let with_reason = ["pipeline", "destination", "signal", "reason"];
    let help = "Items that a destination's queue took";
    let queued = counters(registry, ("sluice_queued_items_total", help), &labels)?;
    let help = "Items that a destination took";
    let sent = counters(registry, ("sluice_sent_items_total", help), &labels)?;
    let help = "Items that a destination's queue lost";
    let dropped = counters(registry, ("sluice_dropped_items_total", help), &with_reason)?;
    let held = gauges(registry, ("sluice_held_items", "Items in a destination's queue"), &labels)?;
    for (key, book) in &books.destinations {
        let labels = [&*key.pipeline, &*key.destination, key.signal.as_str()];
        queued.with_label_values(&labels).inc_by(book.queued);
        sent.with_label_values(&labels).inc_by(book.sent);
        held.with_label_values(&labels).set(saturated(book.held));
        for (reason, items) in &book.dropped {
            let [pipeline, destination, signal] = labels;
            let labels = [pipeline, destination, signal, reason.as_str()];
            dropped.with_label_values(&labels).inc_by(*items);
        }
    }
    Ok(())
}

/// Traces, each by every policy that it has a span of.
fn tail(registry: &Registry, tail: &Tail) -> prometheus::Result<()> {
    gauge(
        registry,
        ("sluice_tail_open_traces", "Traces that are not decided"),
        tail.open_traces(),
    )?;
    let help = "Spans that came after their trace was kept";
    counter(registry, ("sluice_tail_late_spans_total", help), tail.late_spans())?;
    let labels = ["policy", "fate"];
    let help = "Traces that were decided";
    let decided = counters(registry, ("sluice_tail_traces_total", help), &labels)?;
    let help = "Traces with an error that were decided";
    let errors = counters(registry, ("sluice_tail_error_traces_total", help), &labels)?;
    let help = "Traces that were decided before their time";
    let early = counters(registry, ("sluice_tail_early_traces_total", help), &["policy"])?;
    let help = "Traces that a policy in DryRun would keep";
    let tried = counters(registry, ("sluice_tail_would_keep_traces_total", help), &["policy"])?;
    for (policy, counts) in tail.counts() {
        let PolicyCounts { traces, kept, error_traces, error_traces_kept, .. } = counts;
        for (family, all, kept) in
            [(&decided, traces, kept), (&errors, error_traces, error_traces_kept)]
        {
            family.with_label_values(&[&*policy, "kept"]).inc_by(kept);
            family.with_label_values(&[&*policy, "sampled_out"]).inc_by(all - kept);
        }
        early.with_label_values(&[&policy]).inc_by(counts.decided_early);
        tried.with_label_values(&[&policy]).inc_by(counts.would_keep);
    }
    Ok(())
}

fn pod_logs(registry: &Registry, counts: &Counts) -> prometheus::Result<()> {
    let Counts {
        read_bytes,
        records,
        cut_records,
        cut_bytes,
        lossy_records,
        foreign_records,
        refused_batches,
        rejected_records,
        truncated_files,
        failed_reads,
        failed_saves,
        files,
        ignored,
    } = counts;
    let counters = [
        ("read_bytes", "Bytes of log lines that were taken", read_bytes),
        ("records", "Log records that were read", records),
        ("cut_records", "Records longer than the most", cut_records),
        ("cut_bytes", "Bytes cut off from such records", cut_bytes),
        ("lossy_records", "Records that were not UTF-8", lossy_records),
        ("foreign_records", "Lines that are not in the CRI format", foreign_records),
        ("refused_batches", "Batches that were refused and read again", refused_batches),
        ("rejected_records", "Records refused for good", rejected_records),
        ("truncated_files", "Files that shrank or were written anew", truncated_files),
        ("failed_reads", "Reads that failed", failed_reads),
        ("failed_saves", "Checkpoints that could not be written", failed_saves),
    ];
    for (name, help, count) in counters {
        let name = format!("sluice_pod_logs_{name}_total");
        counter(registry, (&name, help), count.load(Ordering::Relaxed))?;
    }
    let gauges = [
        ("files", "Log files followed", files),
        ("ignored", "Links, pipes and strange names", ignored),
    ];
    for (name, help, count) in gauges {
        let name = format!("sluice_pod_logs_{name}");
        gauge(registry, (&name, help), count.load(Ordering::Relaxed))?;
    }
    Ok(())
}

fn counter(registry: &Registry, (name, help): (&str, &str), value: u64) -> prometheus::Result<()> {
    let counter = IntCounter::new(name, help)?;
    counter.inc_by(value);
    registry.register(Box::new(counter))
}

fn gauge(registry: &Registry, (name, help): (&str, &str), value: u64) -> prometheus::Result<()> {
    let gauge = IntGauge::new(name, help)?;
    gauge.set(saturated(value));
    registry.register(Box::new(gauge))
}

fn counters(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let family = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn gauges(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
) -> prometheus::Result<IntGaugeVec> {
    let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn saturated(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
