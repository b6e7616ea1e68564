//! The config that an agent starts with: the last good one that it was assigned, or the boot-strap's.

use super::control::Assigned;
use flate2::read::GzDecoder;
use sluice_engine::config::{Config, hash};
use sluice_engine::ring::Ring;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const KEPT: &str = "config.json";
const RING: &str = "ring.json";
const BOOT_STRAP: &str = "config.json.gz";
const PARTS_MAX: usize = 16;
/// What inflates to more is not one of ours.
pub(super) const CONFIG_BYTES_MAX: u64 = 256 << 20;

/// A config on disk.
pub(super) struct Found {
    pub(super) assigned: Assigned,
    /// The operator assigned it, since the boot-strap was written.
    pub(super) is_kept: bool,
}

/// The newer of the two that can be read: the kubelet writes the boot-strap when a pod starts, and
/// a container that is only restarted finds what it was assigned after that.
pub(super) fn find(data_folder: &Path, boot_strap: &Option<PathBuf>) -> Option<Found> {
    let kept = data_folder.join(KEPT);
    let packed = boot_strap.as_ref().map(|folder| folder.join(BOOT_STRAP));
    let mut sources: Vec<(SystemTime, &Path, bool)> = Vec::new();
    sources.extend(written(&kept).map(|at| (at, kept.as_path(), false)));
    if let Some(packed) = &packed {
        sources.extend(written(packed).map(|at| (at, packed.as_path(), true)));
    }
    sources.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    sources.into_iter().find_map(|(_, path, is_packed)| {
        let bytes = if is_packed { unpack_parts(path) } else { fs::read(path) };
        let assigned = bytes.map_err(|error| error.to_string()).and_then(Assigned::from_bytes);
        match assigned {
            Ok(assigned) => {
                tracing::info!(path = %path.display(), hash = assigned.hash, "config found");
                Some(Found { assigned, is_kept: !is_packed })
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), error, "config cannot be read");
                None
            }
        }
    })
}

/// # Errors
/// When the file cannot be replaced; the one before stays.
pub(super) fn keep(data_folder: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(&data_folder.join(KEPT), bytes)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = path.with_extension("json.new");
    let mut file = fs::File::create(&next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(next, path)
}

/// The ring that was kept, if there is one.
pub(super) fn find_ring(data_folder: &Path) -> Option<Ring> {
    let bytes = fs::read(data_folder.join(RING)).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::warn!(%error, "the kept ring cannot be read"))
        .ok()
}

/// # Errors
/// When the file cannot be replaced; the one before stays.
pub(super) fn keep_ring(data_folder: &Path, ring: &Ring) -> io::Result<()> {
    replace(&data_folder.join(RING), &serde_json::to_vec(ring)?)
}

/// The kubelet makes the folder root's, 0755; the agent's user is a member of group 0.
///
/// # Errors
/// When the folder is not ours to change.
pub fn prepare_state(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    chown(path, None, Some(0))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o770))
}

/// # Errors
/// When it is not gzip, or of more than 256 MiB.
pub(super) fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(packed).take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if CONFIG_BYTES_MAX < bytes.len() as u64 {
        return Err(io::Error::other("the config is too large"));
    }
    Ok(bytes)
}

impl Assigned {
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Result<Self, String> {
        let config = Config::from_bytes(&bytes)?;
        Ok(Self { hash: hash(&bytes), config, bytes })
    }
}

fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// `config.json.gz`, `config.json.gz.1` and so on are one gzip file.
fn unpack_parts(first: &Path) -> io::Result<Vec<u8>> {
    let mut packed = fs::read(first)?;
    for part in 1..PARTS_MAX {
        let mut name = first.as_os_str().to_owned();
        name.push(format!(".{part}"));
        match fs::read(PathBuf::from(name)) {
            Ok(more) => packed.extend(more),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    unpack(&packed)
}
