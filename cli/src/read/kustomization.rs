//! `kustomization.yaml` as a list of files. What it would change in them is left to kubectl.

use super::Unreadable;
use crate::yaml;
use std::fs;
use std::path::{Path, PathBuf};

/// Kustomizations that refer to folders with kustomizations.
pub(super) const DEPTH_MAX: usize = 16;

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
const UNDERSTOOD: [&str; 4] = ["apiVersion", "kind", "metadata", "resources"];

/// What the folder's kustomization lists, in its order; `None`: the folder has none.
pub(super) fn resources(folder: &Path) -> Result<Option<Vec<PathBuf>>, Unreadable> {
    let path = NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let Some(path) = path else { return Ok(None) };
    let text = fs::read_to_string(&path).map_err(|error| Unreadable::at(&path, error))?;
    let value = yaml::parse(&text).map_err(|error| Unreadable::at(&path, error.message))?;
    let fields = value.as_object().into_iter().flatten();
    if let Some((field, _)) =
        fields.into_iter().find(|(key, _)| !UNDERSTOOD.contains(&key.as_str()))
    {
        let folder = folder.display();
        return Err(Unreadable::at(
            &path,
            format!("{field} is left to kubectl: kubectl kustomize {folder} | sluice … -"),
        ));
    }
    let listed = value["resources"].as_array().into_iter().flatten();
    let listed: Option<Vec<_>> = listed.map(|entry| entry.as_str()).collect();
    let listed =
        listed.ok_or_else(|| Unreadable::at(&path, "resources must be a list of paths"))?;
    if let Some(remote) = listed.iter().find(|entry| entry.contains("://")) {
        return Err(Unreadable::at(&path, format!("{remote} is not a local path")));
    }
    Ok(Some(listed.into_iter().map(|entry| folder.join(entry)).collect()))
}
