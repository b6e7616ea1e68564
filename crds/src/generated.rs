//! Every file that is made from this crate: definitions and reference pages.

use crate::schema::{crds, tidy_crds, whole_numbers};
use crate::{pages, yaml};

const HEADER: &str =
    "# Made by `cargo xtask generate` from the Rust types in crds/src. Do not edit.\n";

/// Paths from the repository's root, with the text that belongs there.
pub fn generated() -> Vec<(String, String)> {
    let definitions = crds().into_iter().map(|crd| {
        let mut value = serde_json::to_value(&crd).unwrap_or_default();
        whole_numbers(&mut value);
        #[expect(clippy::expect_used, reason = "every key of a definition is text")]
        let text = yaml::write(&value).expect("a definition is YAML");
        let name = crd.metadata.name.unwrap_or_default();
        (format!("crds/yaml/{name}.yaml"), format!("{HEADER}{text}"))
    });
    let kinds = tidy_crds().into_iter().map(|crd| {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default();
        (format!("docs/reference/{}.md", kind.to_lowercase()), pages::kind(&crd))
    });
    let catalogue = [
        ("docs/reference/conditions.md".to_owned(), pages::conditions()),
        ("docs/reference/events.md".to_owned(), pages::events()),
    ];
    definitions.chain(kinds).chain(catalogue).collect()
}
