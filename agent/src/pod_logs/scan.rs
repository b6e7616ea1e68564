//! One look over the logs folder: which log files there are, by container, from old to new.

use super::files::{self, Found};
use sluice_engine::pod_logs::path::{LogName, PodFolder, is_container};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Containers that are followed at most; more are not looked at, and counted as ignored.
const CONTAINERS_MAX: usize = 4096;

/// Whose log a file is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContainerKey {
    pub(super) folder: PodFolder,
    pub(super) container: String,
}

impl fmt::Display for ContainerKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.folder, self.container)
    }
}

/// A regular file, as its name was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogFile {
    pub(super) name: LogName,
    pub(super) inode: Inode,
    pub(super) size: u64,
}

/// Device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Inode {
    pub(super) device: u64,
    pub(super) number: u64,
}

#[derive(Debug)]
pub(super) struct Scan {
    root: OwnedFd,
    pub(super) containers: BTreeMap<ContainerKey, Vec<LogFile>>,
    /// Links, pipes, devices and strange names.
    pub(super) ignored: u64,
}

impl Scan {
    /// # Errors
    /// When a folder could not be read, other than for lack of permission: a scan is whole or none.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let root = files::open_root(root)?;
        let mut scan = Self { root, containers: BTreeMap::new(), ignored: 0 };
        scan.look_at_pods()?;
        Ok(scan)
    }

    /// Opens a file of the scan, unless its name was given to another since.
    pub(super) fn open(&self, key: &ContainerKey, log: &LogFile) -> io::Result<Found<File>> {
        let pod = match files::open_folder(&self.root, &key.folder.to_string())? {
            Found::Here(pod) => pod,
            Found::Gone => return Ok(Found::Gone),
            Found::Ignored => return Ok(Found::Ignored),
        };
        let container = match files::open_folder(pod, &key.container)? {
            Found::Here(container) => container,
            Found::Gone => return Ok(Found::Gone),
            Found::Ignored => return Ok(Found::Ignored),
        };
        let file = files::open_file(container, &log.name.to_string())?;
        if let Found::Here(file) = &file
            && Inode::of(file)? != log.inode
        {
            return Ok(Found::Gone);
        }
        Ok(file)
    }

    fn look_at_pods(&mut self) -> io::Result<()> {
        let (names, strange) = files::names(&self.root)?;
        self.ignored += strange;
        for name in names {
            let Some(folder) = PodFolder::parse(&name) else {
                self.ignored += 1;
                continue;
            };
            match files::open_folder(&self.root, &name)? {
                Found::Here(handle) => self.look_at_containers(&handle, &folder)?,
                Found::Gone => (),
                Found::Ignored => self.ignored += 1,
            }
        }
        Ok(())
    }

    fn look_at_containers(&mut self, pod: impl AsFd, folder: &PodFolder) -> io::Result<()> {
        let (names, strange) = files::names(&pod)?;
        self.ignored += strange;
        for container in names {
            if !is_container(&container) || CONTAINERS_MAX <= self.containers.len() {
                self.ignored += 1;
                continue;
            }
            match files::open_folder(&pod, &container)? {
                Found::Here(handle) => {
                    let logs = self.look_at_logs(handle)?;
                    let key = ContainerKey { folder: folder.clone(), container };
                    self.containers.insert(key, logs);
                }
                Found::Gone => (),
                Found::Ignored => self.ignored += 1,
            }
        }
        Ok(())
    }

    fn look_at_logs(&mut self, container: impl AsFd) -> io::Result<Vec<LogFile>> {
        let (names, strange) = files::names(&container)?;
        self.ignored += strange;
        let mut logs = Vec::new();
        for (text, name) in names.iter().filter_map(|text| Some((text, LogName::parse(text)?))) {
            match files::look(&container, text)? {
                Found::Here(stat) => logs.push(LogFile {
                    name,
                    inode: Inode { device: stat.st_dev, number: stat.st_ino },
                    size: u64::try_from(stat.st_size).unwrap_or(0),
                }),
                Found::Gone => (),
                Found::Ignored => self.ignored += 1,
            }
        }
        logs.sort_unstable_by_key(|log| log.name);
        Ok(logs)
    }
}

impl Inode {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = file.metadata()?;
        Ok(Self { device: metadata.dev(), number: metadata.ino() })
    }
}
