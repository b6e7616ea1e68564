//! The cluster's certificates: one authority for Kubernetes, one for aggregated API servers, a
//! certificate for each part, and the key that signs service-account tokens.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use std::fs;
use std::path::Path;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A client as Kubernetes sees it: user name and group.
struct Client {
    file: &'static str,
    user: &'static str,
    group: Option<&'static str>,
}

/// The clients of the API server and, first, the API server as a client of the kubelet.
const CLIENTS: &[Client] = &[
    Client { file: "kubelet-client", user: "kube-apiserver", group: Some("system:masters") },
    Client { file: "admin", user: "admin", group: Some("system:masters") },
    Client { file: "coredns", user: "coredns", group: Some("system:masters") },
    Client { file: "controller-manager", user: "system:kube-controller-manager", group: None },
    Client { file: "scheduler", user: "system:kube-scheduler", group: None },
    Client { file: "kube-proxy", user: "system:kube-proxy", group: None },
    Client { file: "kubelet", user: "system:node:node1", group: Some("system:nodes") },
];

const API_SERVER_NAMES: &[&str] = &[
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    super::NODE_ADDRESS,
    super::API_SERVICE_ADDRESS,
];

/// Writes `<name>.crt` and `<name>.key` for each part into `folder`, which must exist.
pub(super) fn write(folder: &Path) -> Result<()> {
    let cluster = authority(folder, "ca", "sluice-cluster")?;
    for client in CLIENTS {
        issue(folder, client.file, &cluster, subject(client), &[])?;
    }
    let server = |user| Client { file: user, user, group: None };
    issue(
        folder,
        "kube-apiserver",
        &cluster,
        subject(&server("kube-apiserver")),
        API_SERVER_NAMES,
    )?;
    let kubelet_names = [super::NODE, super::NODE_ADDRESS, "127.0.0.1"];
    issue(folder, "kubelet-server", &cluster, subject(&server(super::NODE)), &kubelet_names)?;

    let front = authority(folder, "front-proxy-ca", "sluice-cluster-front-proxy")?;
    issue(folder, "front-proxy-client", &front, subject(&server("front-proxy-client")), &[])?;

    let tokens = KeyPair::generate().context("make the service-account key")?;
    put(folder, "service-accounts.key", &tokens.serialize_pem())?;
    put(folder, "service-accounts.pub", &tokens.public_key_pem())
}

fn subject(client: &Client) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(group) = client.group {
        name.push(DnType::OrganizationName, group);
    }
    name.push(DnType::CommonName, client.user);
    name
}

fn authority(folder: &Path, file: &str, name: &str) -> Result<Authority> {
    let mut params = CertificateParams::new(Vec::new()).context("name an authority")?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let key = KeyPair::generate().context("make an authority's key")?;
    let authority = CertifiedIssuer::self_signed(params, key).context("sign an authority")?;
    put(folder, &format!("{file}.crt"), &authority.pem())?;
    put(folder, &format!("{file}.key"), &authority.key().serialize_pem())?;
    Ok(authority)
}

/// A certificate with names is a server's, one without is a client's.
fn issue(
    folder: &Path,
    file: &str,
    authority: &Authority,
    subject: DistinguishedName,
    names: &[&str],
) -> Result<()> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let is_server = !names.is_empty();
    let mut params = CertificateParams::new(names).context("name a certificate")?;
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match is_server {
        true => ExtendedKeyUsagePurpose::ServerAuth,
        false => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().context("make a key")?;
    let certificate = params.signed_by(&key, authority).context("sign a certificate")?;
    put(folder, &format!("{file}.crt"), &certificate.pem())?;
    put(folder, &format!("{file}.key"), &key.serialize_pem())
}

fn put(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_gets_a_certificate_and_a_key() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        for client in CLIENTS {
            for kind in ["crt", "key"] {
                let text =
                    fs::read_to_string(folder.path().join(format!("{}.{kind}", client.file)));
                assert!(text.unwrap().starts_with("-----BEGIN "), "{} {kind}", client.file);
            }
        }
        let key = fs::read_to_string(folder.path().join("service-accounts.pub")).unwrap();
        assert!(key.starts_with("-----BEGIN PUBLIC KEY-----"));
    }
}
