//! How a connection is secured, and how agents prove who they are.

use crate::reference::{SecretKeyRef, SecretRef};
use crate::rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[
    ("self.mode == 'Verify' || !has(self.caSecretRef)", "caSecretRef needs mode Verify"),
    (
        "self.mode != 'Plaintext' || !has(self.clientSecretRef)",
        "clientSecretRef does nothing with mode Plaintext: remove one of them",
    ),
    (
        "self.mode != 'Plaintext' || !has(self.serverName)",
        "serverName does nothing with mode Plaintext: remove one of them",
    ),
])))]
pub struct Tls {
    /// Verify: TLS, the certificate is checked. InsecureSkipVerify: TLS with any certificate.
    /// Plaintext: no TLS.
    pub mode: TlsMode,
    /// The authority that signed the destination's certificate (PEM); absent: the system's
    /// authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// The client's certificate: a Secret of type `kubernetes.io/tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<SecretRef>,
    /// The name to ask for and to check, where it is not the endpoint's host.
    /// Example: `tempo.example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$")
    )]
    pub server_name: Option<String>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum TlsMode {
    #[default]
    Verify,
    InsecureSkipVerify,
    Plaintext,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rule::list(&[
    (
        "(self.type != 'None') == has(self.secretRef)",
        "secretRef is needed with types Basic, Bearer and Header, and only there",
    ),
    (
        "!has(self.secretRef) || (self.type in ['Bearer', 'Header']) == has(self.secretRef.key)",
        "secretRef.key is needed with types Bearer and Header; Basic reads the keys username and \
         password",
    ),
    (
        "(self.type == 'Header') == has(self.header)",
        "header, the name of the header, is needed with type Header, and only there",
    ),
])))]
pub struct Auth {
    /// None; Basic: user name and password; Bearer: a token; Header: a header of any name.
    #[serde(rename = "type")]
    pub type_: AuthType,
    /// The Secret that holds the credentials. Agents read it themselves; the operator never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<AuthSecretRef>,
    /// Name of the header that carries the secret, with type Header. Example: `x-api-key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9][-A-Za-z0-9_]*$"))]
    pub header: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSecretRef {
    /// Name of the Secret, in this object's namespace. Example: `tempo-token`.
    #[schemars(length(min = 1, max = 253), regex(pattern = crate::reference::NAME_PATTERN))]
    pub name: String,
    /// Key in the Secret's data, with types Bearer and Header. Example: `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = crate::reference::KEY_PATTERN))]
    pub key: Option<String>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum AuthType {
    #[default]
    None,
    Basic,
    Bearer,
    Header,
}
