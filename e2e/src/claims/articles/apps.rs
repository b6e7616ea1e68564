//! Two apps with the SDK, and what each of their traces is.

use crate::sdk::Sdk;
use crate::stage::OTLP;
use anyhow::{Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// Three services with two spans each.
pub(super) const SPANS: u64 = 6;
pub(super) const SEED: usize = 1_000_000;
pub(super) const TRACES: usize = 20_600;

/// A pod with the SDK, as it is by default.
struct App {
    name: &'static str,
    numbers: Range<usize>,
    per_second: usize,
    /// Kinds of traces, and of how many each is one; its numbers leave its place here plus one.
    kinds: [(&'static str, usize); 4],
}

/// The first fills the SDK's batches before they are due, the second does not.
const APPS: [App; 2] = [
    App {
        name: "busy",
        numbers: 0..20_000,
        per_second: 1000,
        kinds: [("error", 100), ("slow", 200), ("5xx", 200), ("rare", 400)],
    },
    App {
        name: "quiet",
        numbers: 20_000..20_600,
        per_second: 25,
        kinds: [("error", 10), ("slow", 20), ("5xx", 20), ("rare", 0)],
    },
];

/// Each app's own count of what was accepted is what the claim expects.
pub(super) fn send(namespace: &str) -> Result<()> {
    let pods: Vec<_> =
        APPS.iter().map(|app| Sdk::new(namespace, app.name, &app.arguments())).collect();
    pods.iter().try_for_each(Sdk::start)?;
    for (app, pod) in APPS.iter().zip(pods) {
        let sent = pod.finish(Duration::from_secs(180))?;
        let mut kinds = BTreeMap::<_, usize>::new();
        app.numbers.clone().for_each(|number| *kinds.entry(app.kind(number)).or_default() += 1);
        let spans = SPANS * app.numbers.len() as u64;
        let is_right = sent["traces"] == json!(kinds) && sent["spans"] == json!(spans);
        ensure!(is_right, "{} sent {sent}, not {kinds:?}", app.name);
    }
    Ok(())
}

impl App {
    fn arguments(&self) -> Vec<String> {
        let flags = [
            ("first", self.numbers.start),
            ("traces", self.numbers.len()),
            ("per-second", self.per_second),
            ("seed", SEED),
        ];
        let flags = flags.map(|(flag, value)| format!("--{flag}={value}")).into_iter();
        let every = self.kinds.map(|(kind, every)| format!("--{kind}-every={every}"));
        let endpoint = OTLP.trim_start_matches("http://");
        flags.chain(every).chain([format!("--endpoint={endpoint}")]).collect()
    }

    fn kind(&self, number: usize) -> &'static str {
        let mut kinds = self.kinds.iter().enumerate();
        let found = kinds.find(|(at, (_, every))| 0 < *every && number % every == at + 1);
        found.map_or("ordinary", |(_, (kind, _))| kind)
    }
}

pub(super) fn kind(number: usize) -> &'static str {
    let app = APPS.iter().find(|app| app.numbers.contains(&number));
    app.map_or("nobody's", |app| app.kind(number))
}
