//! OTLP JSON lines below the data folder, one file a signal, the older ones numbered.

use super::failure::{Failure, FailureReason};
use crate::ack::AckToken;
use sluice_engine::queue::Chunk;
use sluice_wire::Signal;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The folders that destinations write to; destinations of the same path share one.
#[derive(Clone)]
pub(crate) struct Files {
    data_folder: PathBuf,
    folders: Arc<Mutex<BTreeMap<String, Arc<Mutex<Folder>>>>>,
}

#[derive(Default)]
struct Folder {
    open: BTreeMap<Signal, (File, u64)>,
}

pub(super) struct FileEnd {
    path: Result<PathBuf, Failure>,
    bytes_max: u64,
    files_max: u32,
    folder: Arc<Mutex<Folder>>,
}

impl Files {
    pub(crate) fn new(data_folder: &Path) -> Self {
        Self { data_folder: data_folder.to_owned(), folders: Arc::default() }
    }

    pub(super) fn open(&self, path: &str, bytes_max: u64, files_max: u32) -> FileEnd {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = Arc::clone(folders.entry(path.to_owned()).or_default());
        let below = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let path = if below {
            Ok(self.data_folder.join(path))
        } else {
            let message = format!("{path} is not a path below the data folder");
            Err(Failure::for_now(FailureReason::InvalidEndpoint, message))
        };
        FileEnd { path, bytes_max, files_max, folder }
    }
}

impl FileEnd {
    pub(super) async fn send(
        &self,
        signal: Signal,
        chunks: &[Chunk<AckToken>],
    ) -> Result<u64, Failure> {
        let path = self.path.clone()?;
        let bodies: Vec<_> = chunks.iter().map(|chunk| chunk.body.clone()).collect();
        let folder = Arc::clone(&self.folder);
        let (bytes_max, files_max) = (self.bytes_max, self.files_max);
        let written = tokio::task::spawn_blocking(move || {
            let mut lines = Vec::new();
            for body in &bodies {
                lines.append(&mut json_line(signal, body));
                lines.push(b'\n');
            }
            let mut folder = folder.lock().unwrap_or_else(PoisonError::into_inner);
            folder.append(&path, signal, &lines, bytes_max, files_max)
        });
        let storage = |error: String| Failure::for_now(FailureReason::StorageFailed, error);
        let written = written.await.map_err(|error| storage(error.to_string()))?;
        written.map_err(|error| storage(error.to_string()))?;
        Ok(0)
    }
}

impl Folder {
    fn append(
        &mut self,
        path: &Path,
        signal: Signal,
        lines: &[u8],
        bytes_max: u64,
        files_max: u32,
    ) -> io::Result<()> {
        let name = path.join(format!("{}.jsonl", signal.as_str()));
        if let Some((_, bytes)) = self.open.get(&signal)
            && 0 < *bytes
            && bytes_max < bytes + lines.len() as u64
        {
            self.open.remove(&signal);
            rotate(&name, files_max)?;
        }
        let (file, bytes) = match self.open.entry(signal) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                fs::create_dir_all(path)?;
                let file = OpenOptions::new().create(true).append(true).open(&name)?;
                let bytes = file.metadata()?.len();
                place.insert((file, bytes))
            }
        };
        if let Err(error) = file.write_all(lines) {
            // A part of a line may be there: what follows starts where the file was whole.
            file.set_len(*bytes)?;
            return Err(error);
        }
        *bytes += lines.len() as u64;
        Ok(())
    }
}

/// `traces.jsonl` becomes `traces.jsonl.1`, and so on; what is beyond `files_max` goes.
fn rotate(name: &Path, files_max: u32) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = name.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let files_max = files_max.max(1);
    // Those that are left from when more were kept.
    let mut beyond = (files_max..).map(numbered);
    while beyond.next().is_some_and(|name| fs::remove_file(name).is_ok()) {}
    if files_max == 1 {
        return fs::remove_file(name);
    }
    for number in (1..files_max - 1).rev() {
        if numbered(number).exists() {
            fs::rename(numbered(number), numbered(number + 1))?;
        }
    }
    fs::rename(name, numbered(1))
}

/// One export request as OTLP JSON without a line feed.
pub(super) fn json_line(signal: Signal, body: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(2 * body.len());
    sluice_wire::json::from_protobuf(signal, body, &mut line);
    line
}
