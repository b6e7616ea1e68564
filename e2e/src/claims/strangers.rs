//! Gateways believe what they are told about senders, so only agents and gateways may tell them.

use super::sampling::POLICY;
use crate::gateways;
use crate::kubectl::{apply, kubectl, wait_for};
use crate::sdk::Sdk;
use crate::stage::{SYSTEM, Stage};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a pod of the team can show, and what the API server finds it to be.
const STRANGERS: [(&str, &str); 4] = [
    ("none", ""),
    ("forged", "/tokens/forged"),
    // An agent's own, as it shows it to the API server.
    ("for-others", "/tokens/for-others"),
    // Good for gateways by its audience, but the pod's own.
    ("own", "/own/token"),
];
/// Last: what it brings arrives, so it would be seen if what was before it did.
const AGENT: (&str, &str) = ("agent", "/tokens/agent");

pub(crate) fn a_pod_without_an_agent_s_token_cannot_send_to_a_gateway(stage: &Stage) -> Result<()> {
    let namespace = &stage.namespace;
    let destination = stage.destination(namespace)?;
    stage.pipeline(namespace)?;
    apply(&POLICY.replace("NAMESPACE", namespace))?;
    stage.ready(namespace, "samplingpolicy/shop")?;
    gateways::wait_for_summary("2/2")?;
    put_tokens(namespace)?;
    let refused_before = refused()?;
    let answers = push(namespace)?;
    let refusals = STRANGERS.map(|(name, _)| (name, "Unauthenticated"));
    let wanted: BTreeMap<_, _> = refusals.into_iter().chain([(AGENT.0, "OK")]).collect();
    for (gateway, refused_before) in &refused_before {
        let found = &answers[gateway];
        ensure!(*found == json!(wanted), "{gateway} answered {found}");
        let grown = refused()?[gateway] - refused_before;
        ensure!(grown == STRANGERS.len() as u64, "{gateway} counts {grown} refusals");
    }
    let pushed = refused_before.len();
    wait_for("what came with the agents' token", Duration::from_secs(60), || {
        let arrived: Vec<_> = destination.spans()?.iter().map(token_of).collect();
        ensure!(arrived == vec![AGENT.0; pushed], "{arrived:?} arrived");
        Ok(())
    })?;
    let policy = format!("policy=\"{namespace}/shop\"");
    let traces = gateways::count("sluice_tail_traces_total", &[&policy])?;
    ensure!(traces == pushed as u64, "the gateways have seen {traces} traces");
    kubectl(&["-n", namespace, "delete", "samplingpolicy", "shop"])?;
    gateways::wait_for_none()
}

fn put_tokens(namespace: &str) -> Result<()> {
    let create = ["-n", SYSTEM, "create", "token", "sluice-agent"];
    let agent = kubectl(&[&create[..], &["--audience=sluice-gateway"]].concat())?;
    let for_others = kubectl(&create)?;
    // The same claims under another signature.
    let claims = agent.rsplit_once('.').map_or("", |(claims, _)| claims);
    let signature = for_others.rsplit('.').next().unwrap_or_default();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "tokens", "namespace": namespace},
        "stringData": {
            "agent": agent, "for-others": for_others, "forged": format!("{claims}.{signature}"),
        },
    });
    apply(&secret.to_string())?;
    Ok(())
}

/// By each gateway, for want of a good token.
fn refused() -> Result<BTreeMap<String, u64>> {
    let counted = gateways::all()?.into_iter().map(|gateway| {
        let labels = ["signal=\"traces\"", "reason=\"unauthorized\""];
        let refused = gateway.count("sluice_refused_items_total", &labels)?;
        Ok((gateway.forward_address(), refused))
    });
    counted.collect()
}

/// To each gateway, a trace with each token; gives the answers.
fn push(namespace: &str) -> Result<Value> {
    let gateways = gateways::all()?;
    let to = gateways.iter().map(|own| format!("--push-to-gateway={}", own.forward_address()));
    let tokens = STRANGERS.into_iter().chain([AGENT]);
    let with = tokens.map(|(name, file)| format!("--token={name}={file}"));
    let arguments: Vec<_> = to.chain(with).chain([format!("--namespace={namespace}")]).collect();
    let pod = Sdk::new(namespace, "stranger", &arguments);
    let own = json!({"audience": "sluice-gateway", "expirationSeconds": 600, "path": "token"});
    let own = json!({"sources": [{"serviceAccountToken": own}]});
    let pod = pod
        .with(json!({"name": "tokens", "secret": {"secretName": "tokens"}}))
        .with(json!({"name": "own", "projected": own}));
    pod.start()?;
    pod.finish(Duration::from_secs(90))
}

/// Which token a span came with, as it says.
fn token_of(span: &Value) -> String {
    let attributes = span["attributes"].as_array().into_iter().flatten();
    let mut own = attributes.filter(|attribute| attribute["key"] == "e2e.token");
    let said = own.next().and_then(|attribute| attribute["value"]["stringValue"].as_str());
    said.unwrap_or("none told").to_owned()
}
