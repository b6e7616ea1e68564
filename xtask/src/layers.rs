//! The walls between the rooms: which room may use which, and the libraries each must never see.

use std::path::Path;

/// A room, the rooms it may use, and the libraries that are not for it.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    ("crds", &[], &["tokio", "tonic", "kube-runtime", "tracing"]),
    ("wire", &[], &["kube", "k8s-openapi", "tokio", "hyper", "h2", "tracing"]),
    ("engine", &["wire"], &["kube", "k8s-openapi", "tokio", "tonic", "hyper", "prometheus"]),
    ("plan", &["crds", "engine"], &["tokio", "tonic", "kube-runtime", "tracing", "serde_yaml"]),
    ("operator", &["crds", "plan", "wire"], &["serde_yaml", "anyhow"]),
    ("agent", &["engine", "wire"], &["serde_yaml", "anyhow"]),
    ("cli", &["crds", "plan", "engine", "agent"], &[]),
    ("e2e", &[], &[]),
];

/// The names under `[dependencies]`; dev-dependencies are free.
fn dependencies(room: &str) -> Vec<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(room).join("Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let section = manifest.split("[dependencies]\n").nth(1).unwrap_or_default();
    section
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['=', '.', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn rooms_only_use_the_rooms_below_them() {
    for (room, allowed, banned) in ROOMS {
        for name in dependencies(room) {
            if let Some(other) = name.strip_prefix("sluice-") {
                assert!(allowed.contains(&other), "{room} must not use {other}");
            }
            assert!(!banned.contains(&name.as_str()), "{room} must not see {name}");
        }
    }
}

#[test]
fn every_room_has_its_walls() {
    for (room, ..) in ROOMS {
        let manifest = std::fs::read_to_string(format!("../{room}/Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{room} must keep the lints");
    }
}
