//! `sluice check`, `render` and `version` as a person runs them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::Value;
use std::fs;
use std::path::Path;
use support::{folder, manifests, sluice};

/// Each file of `tests/bad` is refused; `tests/bad/<name>.txt` holds what is said.
#[test]
fn every_bad_object_is_refused_with_a_remedy() {
    let bad = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut files: Vec<_> =
        fs::read_dir(&bad).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 20, "{} bad objects", files.len());
    let mut wrong = Vec::new();
    for file in &files {
        let done = sluice(&["check", file.to_str().unwrap()]);
        let found = done.stdout.replace(&format!("{}/", bad.display()), "");
        let expected = file.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if found != expected || done.code != 1 {
            wrong.push(format!("{}: code {}\n{found}", file.display(), done.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_we_ship_is_valid() {
    for name in ["quickstart", "samples"] {
        let done = sluice(&["check", manifests(name).to_str().unwrap()]);
        let clean = done.stdout.ends_with("0 errors, 0 warnings\n");
        // The samples are for different clusters: two of them are Collectors called default.
        assert!(done.code == 0 && clean, "{name}: {}{}", done.stdout, done.stderr);
    }
}

#[test]
fn a_reference_to_another_file_is_a_warning_unless_strict() {
    let sample = manifests("samples").join("otlp.yaml");
    let sample = sample.to_str().unwrap();
    let done = sluice(&["check", sample]);
    assert_eq!(done.code, 0, "{}", done.stdout);
    assert!(done.stdout.contains("warning: TelemetryPipeline shop/backend: CollectorNotFound"));
    assert_eq!(sluice(&["check", "--strict", sample]).code, 1);
}

#[test]
fn a_destination_that_does_not_allow_the_namespace_is_an_error() {
    let text = "
apiVersion: sluice.dev/v1alpha1
kind: Collector
metadata: {name: default}
spec: {}
---
apiVersion: sluice.dev/v1alpha1
kind: Destination
metadata: {name: shared, namespace: sluice-system}
spec:
  type: Debug
  debug: {}
  allowedNamespaces: {matchLabels: {team: other}}
---
apiVersion: sluice.dev/v1alpha1
kind: TelemetryPipeline
metadata: {name: shop, namespace: shop}
spec:
  traces:
    destinationRefs: [{name: shared, namespace: sluice-system}]
";
    let folder = folder(&[("all.yaml", text)]);
    let done = sluice(&["check", "-o", "json", folder.path().to_str().unwrap()]);
    assert_eq!(done.code, 1, "{}", done.stdout);
    let found: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(found["findings"][0]["verdict"], "rejected");
    assert_eq!(found["findings"][0]["line"], 15);
    let message = found["findings"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("DestinationNotAllowed: "), "{message}");
}

#[test]
fn rules_that_do_nothing_are_a_warning_unless_strict() {
    let text = "
apiVersion: sluice.dev/v1alpha1
kind: SamplingPolicy
metadata: {name: slow, namespace: shop}
spec:
  keep:
  - {name: slow, match: {minDuration: 1s}, atLeastPercent: 100}
  - {name: slower, match: {minDuration: 5s}, atLeastPercent: 100}
---
apiVersion: sluice.dev/v1alpha1
kind: SamplingPolicy
metadata: {name: off, namespace: shop}
spec: {mode: Disabled, default: {keepPercent: 1}}
---
apiVersion: sluice.dev/v1alpha1
kind: SamplingPolicy
metadata: {name: elsewhere, namespace: shop}
spec: {targetRefs: [{kind: TelemetryPipeline, name: shop}], default: {keepPercent: 1}}
";
    let folder = folder(&[("policies.yaml", text)]);
    let path = folder.path().to_str().unwrap();
    let done = sluice(&["check", path]);
    assert_eq!(done.code, 0, "{}", done.stdout);
    let slow = "policies.yaml:2: warning: SamplingPolicy shop/slow: RulesShadowed: Rule \"slower\" \
                changes nothing: \"slow\" decides all that it matches.";
    assert!(done.stdout.contains(slow), "{}", done.stdout);
    let absent = "warning: SamplingPolicy shop/elsewhere: TargetNotFound: There is no \
                  TelemetryPipeline \"shop/shop\"";
    assert!(done.stdout.contains(absent), "{}", done.stdout);
    assert!(done.stdout.ends_with("3 objects, 0 errors, 2 warnings\n"), "{}", done.stdout);
    assert_eq!(sluice(&["check", "--strict", path]).code, 1);
}

#[test]
fn what_cannot_be_read_has_a_code_of_its_own() {
    let folder = folder(&[("broken.yaml", "kind: [\n"), ("none/other.yaml", "kind: Pod\n")]);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let broken = sluice(&["check", &path("broken.yaml")]);
    assert_eq!(broken.code, 2);
    assert!(broken.stderr.contains("broken.yaml:2: "), "{}", broken.stderr);
    let other = sluice(&["check", &path("none")]);
    assert_eq!(other.code, 2);
    assert!(
        other.stderr.contains("no Collector, TelemetryPipeline, Destination or SamplingPolicy")
    );
    assert_eq!(sluice(&["check", &path("absent.yaml")]).code, 2);
    assert_eq!(sluice(&["chek"]).code, 2);
}

#[test]
fn the_same_files_render_the_same_objects() {
    let quickstart = manifests("quickstart");
    let render = |format| sluice(&["render", "-o", format, quickstart.to_str().unwrap()]);
    let (one, two) = (render("yaml"), render("yaml"));
    assert_eq!(one.code, 0, "{}", one.stderr);
    assert_eq!(one.stdout, two.stdout);
    let list: Value = serde_json::from_str(&render("json").stdout).unwrap();
    let kinds: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|item| item["kind"].clone()).collect();
    assert!(kinds.contains(&"DaemonSet".into()), "{kinds:?}");
    assert_eq!(one.stdout.matches("\nkind: ").count(), kinds.len());
}

#[test]
fn roles_are_rendered_for_the_secrets_that_are_named_and_no_others() {
    let sample = manifests("samples").join("otlp.yaml");
    let done = sluice(&["render", "--rbac", "-o", "json", sample.to_str().unwrap()]);
    let list: Value = serde_json::from_str(&done.stdout).unwrap();
    let role = &list["items"][0];
    assert_eq!(role["kind"], "Role");
    assert_eq!(role["metadata"]["namespace"], "shop");
    assert_eq!(role["rules"][0]["resourceNames"], serde_json::json!(["backend"]));
    let binding = &list["items"][1];
    assert_eq!(binding["subjects"][0]["namespace"], "sluice-system");
}

#[test]
fn the_version_is_the_package_s() {
    assert_eq!(sluice(&["version"]).stdout, concat!("sluice ", env!("CARGO_PKG_VERSION"), "\n"));
}
