//! The contents of the Secrets that destinations name. Filled from a folder, or by who reads the cluster.

use sluice_engine::config::{Auth, Destination, SecretKey, SecretName, Tls};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Notify;

/// Why a credential is not there; the condition reason of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretProblem {
    Missing,
    KeyMissing,
    AccessDenied,
}

impl SecretProblem {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "SecretMissing",
            Self::KeyMissing => "SecretKeyMissing",
            Self::AccessDenied => "SecretAccessDenied",
        }
    }
}

/// The keys of one Secret, or why they could not be read.
pub type SecretData = Result<BTreeMap<String, Vec<u8>>, SecretProblem>;

/// Shared by all destinations; cheap to clone.
#[derive(Clone)]
pub struct Secrets(Arc<Store>);

struct Store {
    /// `<folder>/<namespace>/<name>/<key>`; read at each look-up.
    folder: Option<PathBuf>,
    data: RwLock<BTreeMap<SecretName, SecretData>>,
    refresh: Notify,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secrets")
    }
}

impl Secrets {
    /// To be filled by [`Secrets::put`]; until then every Secret is missing.
    pub fn empty() -> Self {
        Self::new(None)
    }

    /// Files `<folder>/<namespace>/<name>/<key>`.
    pub fn from_folder(folder: &Path) -> Self {
        Self::new(Some(folder.to_owned()))
    }

    fn new(folder: Option<PathBuf>) -> Self {
        Self(Arc::new(Store { folder, data: RwLock::default(), refresh: Notify::new() }))
    }

    /// What the cluster says about one Secret now; returns whether that is new.
    pub fn put(&self, name: SecretName, data: SecretData) -> bool {
        let mut store = self.0.data.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = store.get(&name) != Some(&data);
        store.insert(name, data);
        is_new
    }

    /// # Errors
    /// Why it is not there.
    pub fn get(&self, key: &SecretKey) -> Result<Vec<u8>, SecretProblem> {
        if let Some(folder) = &self.0.folder {
            return read(folder, key);
        }
        let store = self.0.data.read().unwrap_or_else(PoisonError::into_inner);
        let data = store.get(&key.secret).ok_or(SecretProblem::Missing)?;
        let data = data.as_ref().map_err(|problem| *problem)?;
        data.get(&key.key).cloned().ok_or(SecretProblem::KeyMissing)
    }

    /// The first credential of a destination that is not there.
    pub fn problem_of(&self, destination: &Destination) -> Option<SecretProblem> {
        keys_of(destination).iter().find_map(|key| self.get(key).err())
    }

    /// A destination refused a credential: it may have been replaced.
    pub(crate) fn ask_for_refresh(&self) {
        self.0.refresh.notify_one();
    }

    /// Returns when a destination has refused a credential.
    pub async fn refresh_asked(&self) {
        self.0.refresh.notified().await;
    }
}

/// Every key that a destination needs.
pub(crate) fn keys_of(destination: &Destination) -> Vec<SecretKey> {
    let mut keys = tls_keys_of(&destination.tls);
    match &destination.auth {
        Auth::None => (),
        Auth::Basic(secret) => keys.extend(["username", "password"].map(|name| key(secret, name))),
        Auth::Bearer(value) | Auth::Header { value, .. } => keys.push(value.clone()),
    }
    keys
}

/// Those that its connections are made from.
pub(crate) fn tls_keys_of(tls: &Tls) -> Vec<SecretKey> {
    let mut keys: Vec<SecretKey> = tls.ca.iter().cloned().collect();
    if let Some(client) = &tls.client {
        keys.extend(["tls.crt", "tls.key"].map(|name| key(client, name)));
    }
    keys
}

fn key(secret: &SecretName, key: &str) -> SecretKey {
    SecretKey { secret: secret.clone(), key: key.to_owned() }
}

fn read(folder: &Path, key: &SecretKey) -> Result<Vec<u8>, SecretProblem> {
    let parts = [&key.secret.namespace, &key.secret.name, &key.key];
    let plain = |part: &&String| !part.contains(['/', '\0']) && *part != "." && *part != "..";
    if !parts.iter().all(plain) {
        return Err(SecretProblem::Missing);
    }
    let secret = folder.join(&key.secret.namespace).join(&key.secret.name);
    if !secret.is_dir() {
        return Err(SecretProblem::Missing);
    }
    std::fs::read(secret.join(&key.key)).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => SecretProblem::AccessDenied,
        _ => SecretProblem::KeyMissing,
    })
}
