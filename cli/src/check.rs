//! `sluice check`: the API server's verdict on each object, then the planner's.

use crate::arguments::{Check, CheckFormat};
use crate::load::{Finding, Loaded, Verdict, load};
use crate::{Outcome, say};
use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_plan::{Plan, StatusWrite, plan};

/// Reasons of what may exist outside the files.
const UNRESOLVED: [&str; 3] = ["CollectorNotFound", "DestinationNotFound", "TargetNotFound"];
/// What its owner wants, and no mistake.
const WANTED: &str = "Disabled";

pub(crate) fn run(arguments: &Check) -> Result<Outcome> {
    let loaded = load(&arguments.paths, &arguments.cluster, "sluice", Timestamp::UNIX_EPOCH)?;
    let findings = judge(&loaded, &plan(&loaded.observed));
    let is_bad = |finding: &&Finding| arguments.strict || finding.verdict.is_error();
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
    findings.extend(plan.statuses.iter().filter_map(|write| ineffective(loaded, write)));
    findings.sort();
    findings
}

/// What the object's conditions say against it.
fn rejected(loaded: &Loaded, write: &StatusWrite) -> Option<Finding> {
    let (reason, message) =
        find(write, "Accepted", "False").or_else(|| find(write, "Stalled", "True"))?;
    let verdict = match reason {
        WANTED => return None,
        reason if UNRESOLVED.contains(&reason) => Verdict::Unresolved,
        _ => Verdict::Rejected,
    };
    loaded.finding(write.status.kind(), &write.name, verdict, (reason, message))
}

/// Rules of a SamplingPolicy that change nothing.
fn ineffective(loaded: &Loaded, write: &StatusWrite) -> Option<Finding> {
    let told = find(write, "RulesEffective", "False")?;
    loaded.finding(write.status.kind(), &write.name, Verdict::Ineffective, told)
}

/// Reason and message of a condition.
fn find<'a>(write: &'a StatusWrite, type_: &str, status: &str) -> Option<(&'a str, &'a str)> {
    let mut conditions = write.status.conditions().iter();
    let found = conditions.find(|own| own.type_ == type_ && own.status == status)?;
    Some((&found.reason, &found.message))
}

/// `file:line: severity: object: what is wrong; what to do`, as editors and CI read it.
pub(crate) fn as_text(finding: &Finding) -> String {
    let severity = if finding.verdict.is_error() { "error" } else { "warning" };
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
