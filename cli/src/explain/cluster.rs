//! A way to the operator that leads, by kubectl: its rights are those of whoever asks.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// Its Lease, and the port of its metrics.
const LEASE: &str = "sluice-operator";
const PORT: u16 = 8080;

/// Ends with its owner.
pub(super) struct Forward {
    child: Child,
    /// On this machine.
    pub(super) address: String,
}

impl Forward {
    pub(super) fn start(namespace: &str) -> Result<Self> {
        let pod = leader(namespace)?;
        let mut child = Command::new("kubectl")
            .args(["-n", namespace, "port-forward", &format!("pod/{pod}"), &format!(":{PORT}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("run kubectl, which --cluster needs")?;
        let mut line = String::new();
        if let Some(out) = child.stdout.as_mut() {
            BufReader::new(out).read_line(&mut line).context("read what kubectl says")?;
        }
        // "Forwarding from 127.0.0.1:40123 -> 8080"
        let Some(address) = line.split_whitespace().nth(2).filter(|_| line.contains("->")) else {
            let _ = child.kill();
            let mut said = String::new();
            if let Some(mut errors) = child.stderr.take() {
                let _ = errors.read_to_string(&mut said);
            }
            let _ = child.wait();
            bail!("cannot reach the operator's pod {pod}: {}", said.trim());
        };
        let address = address.to_owned();
        Ok(Self { child, address })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pod that holds the Lease as `pod/address`.
fn leader(namespace: &str) -> Result<String> {
    let holder = "jsonpath={.spec.holderIdentity}";
    let output = Command::new("kubectl")
        .args(["-n", namespace, "get", "lease", LEASE, "-o", holder])
        .output()
        .context("run kubectl, which --cluster needs")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("no operator is found in namespace {namespace} (--system-namespace): {said}");
    }
    let holder = String::from_utf8_lossy(&output.stdout).into_owned();
    match holder.split('/').next() {
        Some(pod) if !pod.is_empty() => Ok(pod.to_owned()),
        _ => bail!("no operator leads in namespace {namespace}: `kubectl get pods -n {namespace}`"),
    }
}
