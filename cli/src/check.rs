//! `sluice check`: the API server's verdict on each object, then the planner's.

use crate::arguments::{Check, CheckFormat};
use crate::load::{Finding, Loaded, Verdict, load};
use crate::{Outcome, say};
use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_plan::{Plan, Status, StatusWrite, plan};

/// Reasons of what may exist outside the files.
const UNRESOLVED: [&str; 2] = ["CollectorNotFound", "DestinationNotFound"];

pub(crate) fn run(arguments: &Check) -> Result<Outcome> {
    let loaded = load(&arguments.paths, &arguments.cluster, "sluice", Timestamp::UNIX_EPOCH)?;
    let findings = judge(&loaded, &plan(&loaded.observed));
    let is_bad = |finding: &&Finding| arguments.strict || finding.verdict != Verdict::Unresolved;
    let bad = findings.iter().filter(is_bad).count();
    match arguments.output {
        CheckFormat::Json => say(as_json(&loaded, &findings)),
        CheckFormat::Text => {
            loaded.notes.iter().for_each(|note| eprintln!("{note}"));
            findings.iter().map(as_text).for_each(say);
            let warnings = counted(findings.len() - bad, "warning");
            let (objects, errors) = (counted(loaded.objects(), "object"), counted(bad, "error"));
            say(format_args!("{objects}, {errors}, {warnings}"));
        }
    }
    Ok(if bad == 0 { Outcome::Good } else { Outcome::Bad })
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Everything that is wrong, by place.
pub(crate) fn judge(loaded: &Loaded, plan: &Plan) -> Vec<Finding> {
    let mut findings = loaded.findings.clone();
    findings.extend(plan.statuses.iter().filter_map(|write| rejected(loaded, write)));
    findings.sort();
    findings
}

/// What the object's conditions say against it.
fn rejected(loaded: &Loaded, write: &StatusWrite) -> Option<Finding> {
    let conditions = match &write.status {
        Status::Collector(status) => &status.conditions,
        Status::TelemetryPipeline(status) => &status.conditions,
        Status::Destination(status) => &status.conditions,
    };
    let is = |type_: &str, status: &str| {
        conditions.iter().find(|c| c.type_ == type_ && c.status == status)
    };
    let condition = is("Accepted", "False").or_else(|| is("Stalled", "True"))?;
    let unresolved = UNRESOLVED.contains(&condition.reason.as_str());
    let verdict = if unresolved { Verdict::Unresolved } else { Verdict::Rejected };
    let message = format!("{}: {}", condition.reason, condition.message);
    loaded.finding(write.status.kind(), &write.name, verdict, &message)
}

/// `file:line: severity: object: what is wrong; what to do`, as editors and CI read it.
pub(crate) fn as_text(finding: &Finding) -> String {
    let severity = match finding.verdict {
        Verdict::Refused | Verdict::Rejected => "error",
        Verdict::Unresolved => "warning",
    };
    let Finding { file, line, object, message, .. } = finding;
    format!("{file}:{line}: {severity}: {object}: {message}")
}

fn as_json(loaded: &Loaded, findings: &[Finding]) -> Value {
    let findings = findings.iter().map(|finding| {
        json!({
            "file": finding.file,
            "line": finding.line,
            "object": finding.object,
            "verdict": finding.verdict.as_str(),
            "path": finding.path,
            "message": finding.message,
        })
    });
    json!({
        "objects": loaded.objects(),
        "findings": findings.collect::<Vec<_>>(),
        "notes": loaded.notes,
    })
}
