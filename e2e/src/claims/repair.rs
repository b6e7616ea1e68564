//! What the operator made stays as it made it.

use crate::kubectl::{get, kubectl, wait_for};
use crate::stage::{SYSTEM, Stage};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(crate) fn a_child_edited_or_deleted_by_hand_is_repaired(_: &Stage) -> Result<()> {
    let before = get(&["-n", SYSTEM, "service", "sluice-agent"])?;
    let patch = r#"{"spec":{"internalTrafficPolicy":"Cluster"}}"#;
    kubectl(&["-n", SYSTEM, "patch", "service", "sluice-agent", "-p", patch])?;
    wait_for("the edited Service", Duration::from_secs(10), || {
        let now = get(&["-n", SYSTEM, "service", "sluice-agent"])?;
        ensure!(now["spec"]["internalTrafficPolicy"] == "Local", "still edited");
        Ok(())
    })?;
    kubectl(&["-n", SYSTEM, "delete", "service", "sluice-agent"])?;
    wait_for("the deleted Service", Duration::from_secs(10), || {
        let now = get(&["-n", SYSTEM, "service", "sluice-agent"])?;
        ensure!(now["metadata"]["uid"] != before["metadata"]["uid"], "still the old one");
        ensure!(now["spec"]["ports"].as_array().map(Vec::len) == Some(2), "ports differ");
        Ok(())
    })
}
