//! What a run shows: on a terminal a table in place, elsewhere a line for each row, or JSON.

use super::books::Row;
use super::local::Local;
use super::policies::{self, Policies};
use super::story::Change;
use super::summary::Summary;
use crate::say;
use serde_json::json;
use sluice_agent::Running;
use sluice_engine::Signal;
use sluice_engine::tail::PolicyCounts;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

pub(super) struct Screen {
    form: Form,
    colour: bool,
    /// Lines of the table that stand at the end of the terminal.
    drawn: usize,
    /// Accepted and sent when the last second was shown.
    before: BTreeMap<(String, Signal), (u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Lines,
    Table,
}

/// A row, and what came since the second before.
struct Shown<'a> {
    row: &'a Row,
    accepted: u64,
    sent: u64,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let form = match (json, std::io::stdout().is_terminal() && !dumb) {
            (true, _) => Form::Json,
            (false, true) => Form::Table,
            (false, false) => Form::Lines,
        };
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = form == Form::Table && !no_colour;
        Self { form, colour, drawn: 0, before: BTreeMap::new() }
    }

    /// For people, beside the output.
    pub(super) fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    pub(super) fn begin(&self, local: &Local, running: &Running, seed: Option<u64>) {
        let grpc = running.grpc_address();
        let http = running.http_address().map(|http| http.to_string()).unwrap_or_default();
        let metrics = running.metrics_address();
        if self.form == Form::Json {
            return say(json!({
                "type": "start",
                "collector": local.collector,
                "grpc": grpc.to_string(),
                "http": http,
                "metrics": metrics.to_string(),
                "seed": seed,
            }));
        }
        say(format_args!(
            "Collector {} takes OTLP over gRPC on {grpc}, over HTTP on {http}",
            local.collector
        ));
        say(format_args!("  metrics: http://{metrics}/metrics"));
        if let Some(asked) = running.sampling_http_address() {
            say(format_args!("  for Jaeger remote samplers: http://{asked}/sampling"));
        }
        for policy in local.config.sampling.policies.keys() {
            say(format_args!("  SamplingPolicy {policy} decides which traces are kept"));
        }
        if !local.config.sampling.is_empty() {
            say(format_args!("  what became of one: sluice explain trace ID --at {metrics}"));
        }
        for (name, pipeline) in &local.config.pipelines {
            let signals = [
                ("traces", &pipeline.traces),
                ("metrics", &pipeline.metrics),
                ("logs", &pipeline.logs),
            ];
            for (signal, destinations) in signals {
                for destination in destinations {
                    let place = local.place(destination);
                    say(format_args!("  {name} sends {signal} to {destination}: {place}"));
                }
            }
        }
        let existing = local.files().into_iter().flat_map(|folder| {
            ["traces", "metrics", "logs"].map(|signal| folder.join(format!("{signal}.jsonl")))
        });
        for file in existing.filter(|file| file.exists()) {
            say(format_args!("  {} is there already and is added to", file.display()));
        }
        if let Some(seed) = seed {
            say(format_args!("  a small shop sends to it, with seed {seed}"));
        }
        say("");
    }

    pub(super) fn changes(&mut self, at: Duration, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        self.clear();
        let seconds = at.as_secs();
        for change in changes {
            let Change { kind, object, condition, status, reason, message } = change;
            if self.form == Form::Json {
                say(json!({
                    "type": "condition", "at": seconds, "kind": kind, "object": object,
                    "condition": condition, "status": status, "reason": reason, "message": message,
                }));
                continue;
            }
            say(format_args!(
                "{seconds:>5}s  {kind} {object}: {condition}={status} {reason}: {message}"
            ));
        }
    }

    pub(super) fn second(&mut self, at: Duration, rows: &[Row], policies: &Policies) {
        self.clear();
        let seconds = at.as_secs();
        let mut shown = Vec::new();
        for row in rows {
            let now = (row.accepted, row.sent);
            let key = (row.pipeline.clone(), row.signal);
            let before = self.before.insert(key, now).unwrap_or_default();
            let (accepted, sent) = (now.0 - before.0, now.1 - before.1);
            shown.push(Shown { row, accepted, sent });
        }
        match self.form {
            Form::Json => say(json!({
                "type": "second",
                "at": seconds,
                "flows": rows.iter().map(|row| json!({
                    "pipeline": row.pipeline, "signal": row.signal.as_str(), "accepted": row.accepted,
                    "sampledOut": row.sampled_out, "sent": row.sent, "dropped": row.dropped,
                    "held": row.held,
                })).collect::<Vec<_>>(),
                "policies": policies.iter().map(policies::json).collect::<Vec<_>>(),
            })),
            Form::Lines => {
                shown.iter().for_each(|shown| say(line(seconds, shown)));
                policies.iter().for_each(|policy| say(policy_line(seconds, policy)));
            }
            Form::Table => self.draw(seconds, &shown, policies),
        }
    }

    pub(super) fn end(&mut self, summary: &Summary) {
        self.clear();
        if self.form == Form::Json {
            return say(summary.json());
        }
        say(summary.text());
    }

    fn draw(&mut self, seconds: u64, shown: &[Shown<'_>], policies: &Policies) {
        let width = shown.iter().map(|shown| shown.row.pipeline.len()).max().unwrap_or(0).max(8);
        let header = format!(
            "{:>5}s  {:<width$}  {:<7}  {:>10} {:>8}  {:>11}  {:>10} {:>8}  {:>8}  {:>8}",
            seconds,
            "PIPELINE",
            "SIGNAL",
            "ACCEPTED",
            "/s",
            "SAMPLED OUT",
            "SENT",
            "/s",
            "DROPPED",
            "HELD"
        );
        say(self.paint("1", &header));
        for Shown { row, accepted, sent } in shown {
            let dropped = format!("{:>8}", row.dropped);
            let dropped = if row.dropped == 0 { dropped } else { self.paint("31", &dropped) };
            say(format_args!(
                "        {:<width$}  {:<7}  {:>10} {accepted:>8}  {:>11}  {:>10} {sent:>8}  {dropped}  \
                 {:>8}",
                row.pipeline, row.signal, row.accepted, row.sampled_out, row.sent, row.held
            ));
        }
        policies.iter().for_each(|policy| say(policy_line(seconds, policy)));
        self.drawn = shown.len() + 1 + policies.len();
    }

    /// Takes the table off the terminal.
    fn clear(&mut self) {
        let drawn = std::mem::take(&mut self.drawn);
        if 0 < drawn {
            let mut out = std::io::stdout();
            let _ = write!(out, "\x1b[{drawn}A\x1b[J");
            let _ = out.flush();
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn line(seconds: u64, Shown { row, accepted, sent }: &Shown<'_>) -> String {
    let Row { pipeline, signal, accepted: all, sampled_out, sent: all_sent, dropped, held } = row;
    format!(
        "{seconds:>5}s  {pipeline} {signal}: accepted {all} (+{accepted}), sampled out {sampled_out}, \
         sent {all_sent} (+{sent}), dropped {dropped}, held {held}"
    )
}

fn policy_line(seconds: u64, (policy, counts): (&String, &PolicyCounts)) -> String {
    format!("{seconds:>5}s  SamplingPolicy {policy}: {}", policies::line(counts))
}
