//! The end of a run: where every item went, and whether the equations hold.

use super::policies::{self, Policies};
use crate::demo::Sent;
use serde_json::{Value, json};
use sluice_engine::books::{Books, total};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

pub(super) struct Summary {
    time: Duration,
    books: Books,
    policies: Policies,
    demo: Option<(u64, Sent)>,
    files: Vec<PathBuf>,
    /// The first equation that does not hold.
    pub(super) problem: Option<String>,
}

impl Summary {
    pub(super) fn new(
        time: Duration,
        books: Books,
        policies: Policies,
        demo: Option<(u64, Sent)>,
        files: Vec<PathBuf>,
    ) -> Self {
        let problem = books.check().err().map(|imbalance| imbalance.to_string());
        let problem = problem
            .or_else(|| held(&books))
            .or_else(|| demo.and_then(|(_, sent)| unaccounted(&books, &sent)));
        Self { time, books, policies, demo, files, problem }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("\nThe books of {:.1} s, in items\n", self.time.as_secs_f64());
        let mut line = |signal: &str, what: &str, equation: String| {
            let _ = writeln!(text, "  {signal:<8} {what:<44} {equation}");
        };
        for (signal, book) in &self.books.receivers {
            let refused = total(&book.refused);
            let equation = format!(
                "{} offered = {} accepted + {refused} refused",
                book.offered, book.accepted
            );
            line(signal.as_str(), "received", equation);
        }
        for ((pipeline, signal), book) in &self.books.pipelines {
            if book.copies == 0 {
                continue;
            }
            let (sampled_out, dropped) = (total(&book.sampled_out), total(&book.dropped));
            let name = if pipeline.is_empty() { "wanted by no pipeline" } else { pipeline };
            let equation = format!(
                "{} accepted × fan-out = {} queued + {sampled_out} sampled out + {dropped} dropped \
                 + {} held",
                book.copies, book.queued, book.held
            );
            line(signal.as_str(), name, equation);
        }
        for (key, book) in &self.books.destinations {
            let name = format!("{} → {}", key.pipeline, key.destination);
            let dropped: Vec<_> = book
                .dropped
                .iter()
                .map(|(why, items)| format!("{items} {}", why.as_str()))
                .collect();
            let dropped = match dropped.as_slice() {
                [] => "0 dropped".to_owned(),
                reasons => format!("{} dropped ({})", total(&book.dropped), reasons.join(", ")),
            };
            let equation = format!(
                "{} queued = {} sent + {dropped} + {} held",
                book.queued, book.sent, book.held
            );
            line(key.signal.as_str(), &name, equation);
        }
        for (policy, counts) in &self.policies {
            let _ = writeln!(text, "  SamplingPolicy {policy}: {}", policies::line(counts));
            for rule in policies::rules(counts) {
                let _ = writeln!(text, "    {rule}");
            }
        }
        if let Some((seed, sent)) = &self.demo {
            let Sent { spans, points, records, refused } = sent;
            let _ = writeln!(
                text,
                "  The demo (seed {seed}) sent {spans} spans, {points} metric points and {records} \
                 log records; {refused} items were refused for good."
            );
        }
        for folder in &self.files {
            let _ = writeln!(text, "  Written to {}/", folder.display());
        }
        match &self.problem {
            None => text.push_str("The books balance."),
            Some(problem) => {
                let _ = write!(text, "The books do NOT balance: {problem}");
            }
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let receivers = self.books.receivers.iter().map(|(signal, book)| {
            let refused = total(&book.refused);
            json!({"signal": signal.as_str(), "offered": book.offered, "accepted": book.accepted, "refused": refused})
        });
        let pipelines = self.books.pipelines.iter().map(|((pipeline, signal), book)| {
            json!({
                "pipeline": pipeline,
                "signal": signal.as_str(),
                "accepted": book.accepted,
                "copies": book.copies,
                "sampledOut": total(&book.sampled_out),
                "dropped": total(&book.dropped),
                "held": book.held,
                "queued": book.queued,
            })
        });
        let destinations = self.books.destinations.iter().map(|(key, book)| {
            json!({
                "pipeline": key.pipeline,
                "destination": key.destination,
                "signal": key.signal.as_str(),
                "queued": book.queued,
                "sent": book.sent,
                "dropped": total(&book.dropped),
                "held": book.held,
            })
        });
        json!({
            "type": "summary",
            "seconds": self.time.as_secs_f64(),
            "balanced": self.problem.is_none(),
            "problem": self.problem,
            "receivers": receivers.collect::<Vec<_>>(),
            "pipelines": pipelines.collect::<Vec<_>>(),
            "destinations": destinations.collect::<Vec<_>>(),
            "policies": self.policies.iter().map(policies::json).collect::<Vec<_>>(),
            "demo": self.demo.map(|(seed, sent)| json!({
                "seed": seed,
                "traces": sent.spans,
                "metrics": sent.points,
                "logs": sent.records,
                "refused": sent.refused,
            })),
            "files": self.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        })
    }
}

/// After the end nothing is under way: it was sent, or dropped with a reason.
fn held(books: &Books) -> Option<String> {
    let mut pipelines = books.pipelines.iter();
    if let Some(((pipeline, _), book)) = pipelines.find(|(_, book)| 0 < book.held) {
        return Some(format!("pipeline {pipeline}: {} held is not 0", book.held));
    }
    let (key, book) = books.destinations.iter().find(|(_, book)| 0 < book.held)?;
    Some(format!("destination {}: {} held is not 0", key.destination, book.held))
}

/// What the demo was told is accepted must be in the receivers' books.
fn unaccounted(books: &Books, sent: &Sent) -> Option<String> {
    let acknowledged = [("traces", sent.spans), ("metrics", sent.points), ("logs", sent.records)];
    acknowledged.into_iter().find_map(|(name, items)| {
        let book = books.receivers.iter().find(|(signal, _)| signal.as_str() == name);
        let accepted = book.map_or(0, |(_, book)| book.accepted);
        (accepted < items)
            .then(|| format!("demo {name}: {items} acknowledged is not {accepted} accepted"))
    })
}
