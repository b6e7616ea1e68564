//! The chart grants exactly what is used: the API server's audit log of the whole run against the
//! rules of the chart, in both directions. So this comes after all claims that use anything.

use crate::kubectl::get;
use crate::stage::{SYSTEM, Stage};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};

const ACCOUNTS: &[&str] = &["sluice-operator", "sluice-agent", "sluice-gateway"];

/// One verb that a rule allows an account.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Grant {
    account: String,
    group: String,
    resource: String,
    verb: String,
    /// Absent: in every namespace, and outside them.
    namespace: Option<String>,
    /// Absent: of every name.
    name: Option<String>,
}

/// One verb that an account used.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    account: String,
    group: String,
    resource: String,
    verb: String,
    namespace: String,
    name: String,
}

pub(crate) fn the_verbs_used_equal_the_chart_s_rules(_: &Stage) -> Result<()> {
    let (grants, uses) = (grants()?, uses()?);
    for account in ACCOUNTS {
        let acted = uses.iter().any(|used| used.account == *account);
        ensure!(acted, "{account} did nothing: is the audit log of this run?");
    }
    let forbidden: Vec<String> = uses
        .iter()
        .filter(|used| !is_granted_by_an_owner(used))
        .filter(|used| !grants.iter().any(|grant| grant.covers(used)))
        .map(|used| format!("used without a rule: {used:?}"))
        .collect();
    let idle: Vec<String> = grants
        .iter()
        .filter(|grant| !uses.iter().any(|used| grant.needs(used) || grant.is_shared(used)))
        .map(|grant| format!("a rule that is not used: {grant:?}"))
        .collect();
    let differences = [forbidden, idle].concat();
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

impl Grant {
    fn covers(&self, used: &Use) -> bool {
        self.account == used.account
            && self.group == used.group
            && self.resource == used.resource
            && self.verb == used.verb
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == used.namespace)
            && self.name.as_ref().is_none_or(|name| *name == used.name)
    }

    /// One Role lets agents and gateways read a Secret: which of them does depends on who sends.
    fn is_shared(&self, used: &Use) -> bool {
        let is_collector = |account: &str| ["sluice-agent", "sluice-gateway"].contains(&account);
        let is_secret = self.resource == "secrets" && used.resource == "secrets";
        let own = Some(&used.name) == self.name.as_ref();
        is_secret && own && is_collector(&self.account) && is_collector(&used.account)
    }

    /// A use that a narrower grant would not have covered.
    fn needs(&self, used: &Use) -> bool {
        self.covers(used) && (self.namespace.is_some() || used.namespace != SYSTEM)
    }
}

/// Secrets of other namespaces: their owners let collectors read them, or do not.
fn is_granted_by_an_owner(used: &Use) -> bool {
    ["sluice-agent", "sluice-gateway"].contains(&used.account.as_str())
        && used.resource == "secrets"
        && used.verb == "get"
        && used.namespace != SYSTEM
}

/// What is bound to the two accounts, but by the owners of other namespaces.
fn grants() -> Result<BTreeSet<Grant>> {
    let roles = get(&["-A", "clusterroles,roles"])?;
    let bindings = get(&["-A", "clusterrolebindings,rolebindings"])?;
    let mut grants = BTreeSet::new();
    for binding in items(&bindings) {
        let namespace = &binding["metadata"]["namespace"];
        let accounts: Vec<_> = binding["subjects"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|subject| subject["kind"] == "ServiceAccount" && subject["namespace"] == SYSTEM)
            .filter_map(|subject| subject["name"].as_str())
            .filter(|name| ACCOUNTS.contains(name))
            .collect();
        if accounts.is_empty() || (namespace.is_string() && namespace != SYSTEM) {
            continue;
        }
        let role = items(&roles)
            .find(|role| {
                role["kind"] == binding["roleRef"]["kind"]
                    && role["metadata"]["name"] == binding["roleRef"]["name"]
                    && (role["kind"] == "ClusterRole"
                        || role["metadata"]["namespace"] == binding["metadata"]["namespace"])
            })
            .with_context(|| format!("no role for {}", binding["metadata"]["name"]))?;
        for rule in role["rules"].as_array().into_iter().flatten() {
            for account in &accounts {
                add(&mut grants, account, namespace, rule);
            }
        }
    }
    Ok(grants)
}

fn add(grants: &mut BTreeSet<Grant>, account: &str, namespace: &Value, rule: &Value) {
    for group in strings(&rule["apiGroups"]) {
        for resource in strings(&rule["resources"]) {
            let mut names: Vec<_> = strings(&rule["resourceNames"]).map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
            for (verb, name) in strings(&rule["verbs"])
                .flat_map(|verb| names.iter().map(move |name| (verb.clone(), name.clone())))
            {
                grants.insert(Grant {
                    account: account.to_owned(),
                    group: group.clone(),
                    resource: resource.clone(),
                    verb,
                    namespace: namespace.as_str().map(str::to_owned),
                    name,
                });
            }
        }
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn strings(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned()))
}

/// What the two accounts asked the API server for, from its audit log.
fn uses() -> Result<BTreeSet<Use>> {
    let path = std::env::var("SLUICE_AUDIT_LOG").context("SLUICE_AUDIT_LOG is not set")?;
    let file = File::open(&path).with_context(|| format!("open {path}"))?;
    let prefix = format!("system:serviceaccount:{SYSTEM}:");
    let mut uses = BTreeSet::new();
    for line in BufReader::new(file).lines() {
        let line = line?;
        if !line.contains(&prefix) {
            continue;
        }
        let event: Value = serde_json::from_str(&line).context("the audit log is no JSON")?;
        let user = event["user"]["username"].as_str().unwrap_or_default();
        let object = &event["objectRef"];
        let account = user.strip_prefix(&prefix).filter(|account| ACCOUNTS.contains(account));
        let Some(account) = account.filter(|_| object.is_object()) else { continue };
        let used = use_of(account, object, event["verb"].as_str().unwrap_or_default());
        // An apply that creates is asked for both verbs.
        if used.verb == "patch" && event["responseStatus"]["code"] == 201 {
            uses.insert(Use { verb: "create".to_owned(), ..use_of(account, object, "") });
        }
        uses.insert(used);
    }
    Ok(uses)
}

fn use_of(account: &str, object: &Value, verb: &str) -> Use {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let resource = match object["subresource"].as_str() {
        Some(subresource) => format!("{}/{subresource}", text("resource")),
        None => text("resource"),
    };
    Use {
        account: account.to_owned(),
        group: text("apiGroup"),
        resource,
        verb: verb.to_owned(),
        namespace: text("namespace"),
        name: text("name"),
    }
}
