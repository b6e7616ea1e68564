//! `Destination`: where telemetry is sent; credentials are named here once.

mod member;
mod security;
mod status;

pub use member::{Debug, File, Otlp, Protocol, Verbosity};
pub use security::{Auth, AuthSecretRef, AuthType, Tls, TlsMode};
pub use status::DestinationStatus;

use crate::duration::{self, Duration};
use crate::{rule, selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where it is and how to talk to it: exactly one member named by `type` (`tempo` for type Tempo).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
#[expect(clippy::duplicated_attributes, reason = "each column has a type")]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Destination",
    namespaced,
    category = "sluice",
    shortname = "dest",
    status = "DestinationStatus",
    selectable = ".spec.type",
    derive = "PartialEq",
    doc = "A Destination is a place that telemetry is sent to. Pipelines of its own namespace may \
           name it; one in the system namespace may be shared with others by `allowedNamespaces`.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Delivering",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Delivering\")].status",
        description = "whether data arrives there"
    ),
    printcolumn(
        name = "Users",
        type_ = "integer",
        json_path = ".status.users",
        description = "pipelines that send here"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    )
)]
pub struct DestinationSpec {
    /// What kind of destination it is: OTLP (any server that speaks it), Tempo, File, Debug.
    #[serde(rename = "type")]
    #[schemars(extend("x-kubernetes-validations" = rule::list(&[(
        "self == oldSelf",
        "must not change: create another Destination and point pipelines to it",
    )])))]
    pub type_: DestinationType,
    /// Namespaces whose pipelines may send here; only in the system namespace. `{}`: every
    /// namespace; absent: this object's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "selector::label_selector")]
    pub allowed_namespaces: Option<LabelSelector>,
    /// With type OTLP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<Otlp>,
    /// With type Tempo: OTLP, traces only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tempo: Option<Otlp>,
    /// With type File.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
    /// With type Debug.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug: Option<Debug>,
    /// How the connection is secured; absent: TLS, verified against the system's authorities. With
    /// types OTLP and Tempo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How agents prove who they are; absent: not at all. With types OTLP and Tempo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Headers sent with every request, in clear; a secret one goes through `auth` with type
    /// Header. With types OTLP and Tempo. Example: `{x-team: checkout}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        extend("maxProperties" = 16),
        extend("additionalProperties" = {
            "type": "string", "maxLength": 1024, "pattern": "^[ -~]*$"
        }),
        extend("x-kubernetes-validations" = member::header_rules())
    )]
    pub headers: BTreeMap<String, String>,
    /// How request bodies are compressed: None, Gzip or Zstd; absent: Gzip. With types OTLP and
    /// Tempo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// A request that takes longer has failed and is tried again; absent: `10s`. With types OTLP
    /// and Tempo.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = duration::between("1s", "5m")))]
    pub timeout: Option<Duration>,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum DestinationType {
    #[serde(rename = "OTLP")]
    Otlp,
    Tempo,
    File,
    Debug,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Compression {
    None,
    #[default]
    Gzip,
    Zstd,
}

/// The member that `type` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member<'a> {
    Otlp(&'a Otlp),
    Tempo(&'a Otlp),
    File(&'a File),
    Debug(&'a Debug),
}

impl DestinationType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Otlp => "OTLP",
            Self::Tempo => "Tempo",
            Self::File => "File",
            Self::Debug => "Debug",
        }
    }
}

impl DestinationSpec {
    /// `None` when it is absent, which the API server does not let pass.
    pub fn member(&self) -> Option<Member<'_>> {
        match self.type_ {
            DestinationType::Otlp => self.otlp.as_ref().map(Member::Otlp),
            DestinationType::Tempo => self.tempo.as_ref().map(Member::Tempo),
            DestinationType::File => self.file.as_ref().map(Member::File),
            DestinationType::Debug => self.debug.as_ref().map(Member::Debug),
        }
    }

    pub fn tls(&self) -> Tls {
        self.tls.clone().unwrap_or_default()
    }

    pub fn auth(&self) -> Auth {
        self.auth.clone().unwrap_or_default()
    }

    pub fn compression(&self) -> Compression {
        self.compression.unwrap_or_default()
    }

    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(10))
    }
}

fn rules() -> serde_json::Value {
    let members = "(self.type == 'OTLP') == has(self.otlp) && (self.type == 'Tempo') == \
                   has(self.tempo) && (self.type == 'File') == has(self.file) && (self.type == \
                   'Debug') == has(self.debug)";
    let network = "self.type in ['OTLP', 'Tempo'] || !(has(self.tls) || has(self.auth) || \
                   has(self.headers) || has(self.compression) || has(self.timeout))";
    let endpoint = |member: &str, scheme: &str, mode: &str| {
        format!("!has(self.{member}) || !self.{member}.endpoint.startsWith('{scheme}') || {mode}")
    };
    let plaintext = "(has(self.tls) && self.tls.mode == 'Plaintext')";
    let secured = "!has(self.tls) || self.tls.mode != 'Plaintext'";
    rule::list(&[
        (
            members,
            "set exactly the member named by type: otlp, tempo, file or debug (debug: {} will do)",
        ),
        (network, "tls, auth, headers, compression and timeout go with types OTLP and Tempo"),
        (
            &format!(
                "({}) && ({})",
                endpoint("otlp", "http://", plaintext),
                endpoint("tempo", "http://", plaintext)
            ),
            "an http:// endpoint needs tls.mode Plaintext; write https:// for TLS",
        ),
        (
            &format!(
                "({}) && ({})",
                endpoint("otlp", "https://", secured),
                endpoint("tempo", "https://", secured)
            ),
            "an https:// endpoint excludes tls.mode Plaintext; write http:// for plain text",
        ),
    ])
}
