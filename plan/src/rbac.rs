//! What the owner of Secrets applies so that agents and gateways may read them: exactly the named
//! ones.

use crate::children::{AGENT, GATEWAY};
use crate::observed::{ObjectName, Settings};
use crate::status::secrets;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use sluice_crds::Destination;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Name of the Role and of the RoleBinding in each namespace.
pub(crate) const ROLE: &str = "sluice-agent-destinations";

/// A Role and a RoleBinding for each namespace of which a Secret is named, by namespace.
pub fn rbac(
    destinations: &BTreeMap<ObjectName, Arc<Destination>>,
    settings: &Settings,
) -> Vec<Value> {
    let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, object) in destinations {
        let secrets = secrets(&object.spec);
        if !secrets.is_empty() {
            names.entry(&name.namespace).or_default().extend(secrets);
        }
    }
    let objects = names.into_iter().flat_map(|(namespace, names)| {
        let role = serde_json::to_value(role(namespace, names));
        let binding = serde_json::to_value(binding(namespace, settings));
        [role, binding]
    });
    // Typed objects are plain data: none of them fails.
    objects.filter_map(Result::ok).collect()
}

fn metadata(namespace: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(ROLE.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectMeta::default()
    }
}

fn role(namespace: &str, names: BTreeSet<String>) -> Role {
    Role {
        metadata: metadata(namespace),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["secrets".to_owned()]),
            resource_names: Some(names.into_iter().collect()),
            verbs: vec!["get".to_owned()],
            non_resource_urls: None,
        }]),
    }
}

fn binding(namespace: &str, settings: &Settings) -> RoleBinding {
    let subject = |account: &str| Subject {
        kind: "ServiceAccount".to_owned(),
        name: account.to_owned(),
        namespace: Some(settings.system_namespace.clone()),
        api_group: None,
    };
    RoleBinding {
        metadata: metadata(namespace),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: ROLE.to_owned(),
        },
        subjects: Some(vec![subject(AGENT), subject(GATEWAY)]),
    }
}
