//! Secrets of the namespace `shop`, as the API server gives them or as a folder does.

use sluice_agent::secrets::Secrets;
use sluice_engine::config::{SecretKey, SecretName};

pub struct Vault {
    pub secrets: Secrets,
    pub folder: Option<tempfile::TempDir>,
}

impl Vault {
    pub fn of_cluster() -> Self {
        Self { secrets: Secrets::empty(), folder: None }
    }

    pub fn of_folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { secrets: Secrets::from_folder(folder.path()), folder: Some(folder) }
    }

    /// Makes the Secret, or replaces what it holds.
    pub fn put(&self, secret: &str, data: &[(&str, &str)]) {
        let Some(folder) = &self.folder else {
            let data = data.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            self.secrets.put(name(secret), Ok(data));
            return;
        };
        let folder = folder.path().join("shop").join(secret);
        std::fs::create_dir_all(&folder).unwrap();
        for (key, value) in data {
            std::fs::write(folder.join(key), value).unwrap();
        }
    }
}

pub fn name(secret: &str) -> SecretName {
    SecretName { namespace: "shop".into(), name: secret.into() }
}

pub fn key(secret: &str, key: &str) -> SecretKey {
    SecretKey { secret: name(secret), key: key.into() }
}
