//! What of the SDK's traces (`xtask/go/sdk`) has arrived at a destination.

use crate::destination::Destination;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Arrived {
    pub(super) traces: BTreeMap<usize, Trace>,
}

#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) kind: String,
    /// Places in the trace; 0 is the root.
    pub(super) spans: BTreeSet<u64>,
    /// What its spans say that it was kept by.
    pub(super) rules: BTreeSet<String>,
    /// Of the root.
    pub(super) duration_ms: u64,
}

impl Arrived {
    pub(super) fn read(destination: &Destination) -> Result<Self> {
        let mut arrived = Self::default();
        for span in destination.spans()? {
            arrived.add(&span)?;
        }
        Ok(arrived)
    }

    fn add(&mut self, span: &Value) -> Result<()> {
        let number = usize::try_from(integer(attribute(span, "e2e.trace")?)?)?;
        let place = integer(attribute(span, "e2e.span")?)?;
        let text = |key: &str| -> Result<String> {
            Ok(attribute(span, key)?["stringValue"].as_str().context("no text")?.to_owned())
        };
        let trace = self.traces.entry(number).or_default();
        trace.kind = text("e2e.kind")?;
        trace.rules.insert(text("sampling.rule")?);
        trace.spans.insert(place);
        if place == 0 {
            let took = integer(&span["endTimeUnixNano"])? - integer(&span["startTimeUnixNano"])?;
            trace.duration_ms = took / 1_000_000;
        }
        Ok(())
    }

    pub(super) fn count(&self, is_counted: impl Fn(&Trace) -> bool) -> usize {
        self.traces.values().filter(|trace| is_counted(trace)).count()
    }
}

impl Trace {
    /// Tags name the policy too.
    pub(super) fn is_by(&self, rule: &str) -> bool {
        self.rules.iter().any(|own| own.rsplit('/').next() == Some(rule))
    }
}

fn attribute<'a>(span: &'a Value, key: &str) -> Result<&'a Value> {
    let own = span["attributes"].as_array().into_iter().flatten();
    let mut own = own.filter(|attribute| attribute["key"] == key);
    Ok(&own.next().with_context(|| format!("a span without {key}: {span}"))?["value"])
}

/// JSON has 64-bit integers as text.
fn integer(value: &Value) -> Result<u64> {
    let value = value.get("intValue").unwrap_or(value);
    let text = value.as_str().context("an integer is not text")?;
    Ok(text.parse()?)
}
