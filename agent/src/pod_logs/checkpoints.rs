//! `checkpoints.json` in the data folder, and the lock that says whose it is.
//!
//! During a rolling update two agents share a node; the new one waits until the old one has drained.

use sluice_engine::pod_logs::checkpoint::{Checkpoints, FORMAT};
use std::fs::{File, OpenOptions, TryLockError, create_dir_all, rename};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "checkpoints.json";
/// Enough for 100 000 files.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// Held while the store lives.
    _lock: File,
}

#[derive(Debug)]
pub(super) enum OpenError {
    /// Another agent still drains.
    Taken,
    Folder(io::Error),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Taken => out.write_str("another agent of this node still drains"),
            Self::Folder(error) => write!(out, "the data folder cannot be used: {error}"),
        }
    }
}

impl Store {
    /// # Errors
    /// [`OpenError::Taken`] while another process has it; else when the folder cannot be written.
    pub(super) fn open(folder: &Path) -> Result<Self, OpenError> {
        create_dir_all(folder).map_err(OpenError::Folder)?;
        let path = folder.join("checkpoints.lock");
        let options = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let lock = options.map_err(OpenError::Folder)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Taken),
            Err(TryLockError::Error(error)) => Err(OpenError::Folder(error)),
        }
    }

    /// `None` where there are none yet.
    ///
    /// # Errors
    /// When they cannot be read, or were written by a version that is not known here.
    pub(super) fn load(&self) -> io::Result<Option<Checkpoints>> {
        let file = match File::open(self.folder.join(NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        let checkpoints: Checkpoints = serde_json::from_slice(&bytes)?;
        if checkpoints.format != FORMAT {
            return Err(io::Error::other(format!("format {} is not {FORMAT}", checkpoints.format)));
        }
        Ok(Some(checkpoints))
    }

    /// Replaces them at once: a reader sees the old ones or the new ones, also after a power cut.
    pub(super) fn save(&self, checkpoints: &Checkpoints) -> io::Result<()> {
        let bytes = serde_json::to_vec(checkpoints)?;
        let temporary = self.folder.join("checkpoints.json.new");
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        rename(&temporary, self.folder.join(NAME))?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_engine::pod_logs::checkpoint::{Checkpoint, Fingerprint, Identity, Mark};

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.load().unwrap(), None);
        let identity = Identity { device: 1, inode: u64::MAX, head: Fingerprint::of(b"head") };
        let checkpoint = Checkpoint { path: "a_b_c/d/0.log".into(), identity, mark: Mark::at(17) };
        let checkpoints = Checkpoints {
            format: FORMAT,
            settled: [("shop/logs".to_owned(), 3)].into(),
            files: vec![checkpoint],
        };
        store.save(&checkpoints).unwrap();
        assert_eq!(store.load().unwrap(), Some(checkpoints));
    }

    #[test]
    fn one_agent_at_a_time_has_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let first = Store::open(folder.path()).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(OpenError::Taken)));
        drop(first);
        assert!(Store::open(folder.path()).is_ok());
    }

    #[test]
    fn an_unknown_format_is_an_error_not_a_guess() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        std::fs::write(folder.path().join(NAME), r#"{"format":9,"settled":{},"files":[]}"#)
            .unwrap();
        assert!(store.load().is_err());
    }
}
