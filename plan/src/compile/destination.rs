//! A Destination as collectors read it. Secrets are names here, never contents.

use crate::observed::{ObjectName, Settings};
use crate::problem::Problem;
use sluice_crds::DestinationSpec;
use sluice_crds::destination as crd;
use sluice_engine::config::{
    Auth, Compression, Destination, DestinationKind, Protocol, SecretKey, SecretName, Tls, TlsMode,
};

pub(super) fn compile(
    name: &ObjectName,
    spec: &DestinationSpec,
    settings: &Settings,
) -> Result<Destination, Problem> {
    if spec.allowed_namespaces.is_some() && name.namespace != settings.system_namespace {
        return Err(Problem::SystemOnly {
            path: "spec.allowedNamespaces",
            system_namespace: settings.system_namespace.clone(),
        });
    }
    Ok(Destination {
        kind: kind(&name.namespace, spec)?,
        tls: tls(&name.namespace, &spec.tls()),
        auth: auth(&name.namespace, &spec.auth())?,
        headers: spec.headers.clone(),
        compression: match spec.compression() {
            crd::Compression::None => Compression::None,
            crd::Compression::Gzip => Compression::Gzip,
            crd::Compression::Zstd => Compression::Zstd,
        },
        timeout_ms: spec.timeout().millis(),
    })
}

fn kind(namespace: &str, spec: &DestinationSpec) -> Result<DestinationKind, Problem> {
    match spec.member() {
        Some(crd::Member::Otlp(otlp) | crd::Member::Tempo(otlp)) => Ok(DestinationKind::Otlp {
            endpoint: otlp.endpoint.clone(),
            protocol: match otlp.protocol {
                crd::Protocol::Grpc => Protocol::Grpc,
                crd::Protocol::Http => Protocol::Http,
            },
            tenant: otlp.tenant.clone(),
        }),
        Some(crd::Member::File(file)) => Ok(DestinationKind::File {
            path: format!("files/{namespace}/{}", contained(&file.path)?),
            bytes_max: file.max_size.bytes(),
            files_max: u32::try_from(file.max_files).unwrap_or(1),
        }),
        Some(crd::Member::Debug(debug)) => {
            Ok(DestinationKind::Debug { detailed: debug.verbosity == crd::Verbosity::Detailed })
        }
        None => Err(Problem::invalid(
            "spec",
            format!("type {} has no member of its name", spec.type_.as_str()),
            &format!("add spec.{}", spec.type_.as_str().to_lowercase()),
        )),
    }
}

/// The path itself, when it cannot lead out of its namespace's folder.
fn contained(path: &str) -> Result<String, Problem> {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\\');
    if path.split('/').all(plain) {
        return Ok(path.to_owned());
    }
    Err(Problem::invalid(
        "spec.file.path",
        format!("\"{path}\" is no folder below another"),
        "use a relative path without . and .. (shop/archive, for one)",
    ))
}

fn tls(namespace: &str, tls: &crd::Tls) -> Tls {
    Tls {
        mode: match tls.mode {
            crd::TlsMode::Verify => TlsMode::Verify,
            crd::TlsMode::InsecureSkipVerify => TlsMode::InsecureSkipVerify,
            crd::TlsMode::Plaintext => TlsMode::Plaintext,
        },
        ca: tls
            .ca_secret_ref
            .as_ref()
            .map(|ca| SecretKey { secret: secret(namespace, &ca.name), key: ca.key.clone() }),
        client: tls.client_secret_ref.as_ref().map(|client| secret(namespace, &client.name)),
        server_name: tls.server_name.clone().unwrap_or_default(),
    }
}

fn secret(namespace: &str, name: &str) -> SecretName {
    SecretName { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn auth(namespace: &str, auth: &crd::Auth) -> Result<Auth, Problem> {
    let missing = |path: &str| {
        let message = format!("is missing with type {:?}", auth.type_);
        Problem::invalid(path, message, "add it")
    };
    if auth.type_ == crd::AuthType::None {
        return Ok(Auth::None);
    }
    let Some(reference) = &auth.secret_ref else {
        return Err(missing("spec.auth.secretRef"));
    };
    let secret = secret(namespace, &reference.name);
    if auth.type_ == crd::AuthType::Basic {
        return Ok(Auth::Basic(secret));
    }
    let key = reference.key.clone().ok_or_else(|| missing("spec.auth.secretRef.key"))?;
    let value = SecretKey { secret, key };
    if auth.type_ == crd::AuthType::Bearer {
        return Ok(Auth::Bearer(value));
    }
    let name = auth.header.clone().ok_or_else(|| missing("spec.auth.header"))?;
    Ok(Auth::Header { name, value })
}
