//! `sluice render`: what the operator would apply, or the Roles that its collectors need.

use crate::arguments::{Render, RenderFormat};
use crate::check;
use crate::load::load;
use crate::{Outcome, say};
use anyhow::{Context, Error, Result};
use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_crds::yaml;
use sluice_plan::{plan, rbac};

/// Deterministic: the same files give the same text. What is wrong goes to stderr.
pub(crate) fn run(arguments: &Render) -> Result<Outcome> {
    let now = Timestamp::UNIX_EPOCH;
    let loaded = load(&arguments.paths, &arguments.cluster, &arguments.image, now)?;
    let plan = plan(&loaded.observed);
    loaded.notes.iter().for_each(|note| eprintln!("{note}"));
    let findings = check::judge(&loaded, &plan);
    findings.iter().for_each(|finding| eprintln!("{}", check::as_text(finding)));
    let objects = if arguments.rbac {
        rbac(&loaded.observed.destinations, &loaded.observed.settings)
    } else {
        let children = plan.children.iter().map(|child| serde_json::to_value(&child.object));
        children.collect::<Result<_, _>>().context("write a child as JSON")?
    };
    say(text(&objects, arguments.output)?.trim_end());
    let bad = findings.iter().any(|finding| finding.verdict.is_error());
    Ok(if bad { Outcome::Bad } else { Outcome::Good })
}

fn text(objects: &[Value], format: RenderFormat) -> Result<String> {
    match format {
        RenderFormat::Yaml => {
            let document = |object: &Value| Ok(format!("---\n{}", yaml::write(object)?));
            let documents = objects.iter().map(document).collect::<Result<String, String>>();
            documents.map_err(Error::msg).context("write YAML")
        }
        RenderFormat::Json => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
            serde_json::to_string_pretty(&list).context("write JSON")
        }
    }
}
