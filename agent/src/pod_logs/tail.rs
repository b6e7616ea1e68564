//! One open log file: reads the next part of it, and takes it back when that was not wanted.

use super::RECORD_BYTES_MAX;
use super::scan::{ContainerKey, Inode, LogFile};
use bytes::Bytes;
use sluice_engine::config::StartAt;
use sluice_engine::pod_logs::checkpoint::{
    Begin, Checkpoint, Fingerprint, HEAD_BYTES, Identity, Mark, Sight, begin,
};
use sluice_engine::pod_logs::joiner::Joiner;
use sluice_engine::pod_logs::path::LogName;
use sluice_engine::pod_logs::records::{Batch, Tally};
use sluice_engine::pod_logs::window::{Landing, Load, Window, WindowMax};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// How far back the start of an unfinished line is looked for.
const LAST_LINE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Tail {
    pub(super) name: LogName,
    pub(super) inode: Inode,
    pub(super) window: Window,
    /// Read to its last byte, and no more will come.
    pub(super) finished: bool,
    file: File,
    head: Fingerprint,
    joiner: Joiner,
    batch: Batch,
}

/// What a look at the file brought.
#[derive(Debug)]
pub(super) enum Part {
    /// Everything was read.
    End,
    /// The window is full.
    Full,
    Read(Read),
}

#[derive(Debug, Default)]
pub(super) struct Read {
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// Bytes of content beyond the limit, passed over.
    pub(super) bytes_cut: u64,
    /// The file had shrunk, or was written anew.
    pub(super) starts_over: bool,
    /// `None` when no record was completed.
    pub(super) parcel: Option<Parcel>,
}

/// Records ready to be submitted, and how to take them back.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) body: Bytes,
    pub(super) load: Load,
    pub(super) tally: Tally,
    undo: Mark,
}

impl Tail {
    pub(super) fn open(
        file: File,
        log: &LogFile,
        known: Option<&Checkpoint>,
        start_at: StartAt,
        (batch, max): (Batch, WindowMax),
    ) -> io::Result<Self> {
        let (name, inode) = (log.name, log.inode);
        let head = read_head(&file)?;
        let size = file.metadata()?.len();
        let sight = Sight { device: inode.device, inode: inode.number, size, head: &head };
        let mark = match begin(known, &sight, start_at) {
            Begin::At(mark) => mark,
            Begin::AtEnd => Mark::at(last_line_end(&file, size)?),
        };
        Ok(Self {
            name,
            inode,
            window: Window::new(mark, max),
            finished: false,
            head: Fingerprint::of(&head),
            joiner: Joiner::resume(mark, RECORD_BYTES_MAX),
            batch,
            file,
        })
    }

    pub(super) fn checkpoint(&self, container: &ContainerKey) -> Checkpoint {
        let (device, inode) = (self.inode.device, self.inode.number);
        Checkpoint {
            path: format!("{container}/{}", self.name),
            identity: Identity { device, inode, head: self.head },
            mark: self.window.delivered(),
        }
    }

    /// Whether the file has bytes that were not read, or lost some that were.
    pub(super) fn differs(&self, size: u64) -> bool {
        !self.finished && size != self.joiner.position()
    }

    /// Reads at most `buffer`, and at most as many records as the window has room for.
    pub(super) fn read(&mut self, buffer: &mut [u8], now_unix_nano: u64) -> io::Result<Part> {
        let room = self.window.room();
        if room == 0 {
            return Ok(Part::Full);
        }
        let size = self.file.metadata()?.len();
        if size == self.joiner.position() {
            return Ok(Part::End);
        }
        let starts_over = !self.recognise(size)?;
        if starts_over {
            self.window.restart();
            self.rewind(Mark::at(0));
        }
        let undo = self.joiner.mark();
        let position = self.joiner.position();
        let bytes = read_at(&self.file, buffer, position)?;
        let batch = &mut self.batch;
        self.joiner.push(&buffer[..bytes], room as usize, &mut |record| {
            batch.push(record, now_unix_nano);
        });
        let bytes = self.joiner.position() - position;
        Ok(Part::Read(Read { bytes, starts_over, ..self.pack(undo) }))
    }

    /// Gives out what the file's last, unfinished lines hold. Only after [`Part::End`].
    pub(super) fn finish(&mut self, now_unix_nano: u64) -> Read {
        let undo = self.joiner.mark();
        let batch = &mut self.batch;
        self.joiner.finish(&mut |record| batch.push(record, now_unix_nano));
        self.finished = true;
        self.pack(undo)
    }

    /// The parcel left; returns its ticket.
    pub(super) fn depart(&mut self, parcel: &Parcel) -> u64 {
        self.window.depart(parcel.load, self.joiner.mark())
    }

    /// The parcel was refused: it will be read again.
    pub(super) fn take_back(&mut self, parcel: &Parcel) {
        self.rewind(parcel.undo);
    }

    pub(super) fn land(&mut self, ticket: u64, lost: bool) {
        if let Landing::Again(mark) = self.window.land(ticket, lost) {
            self.rewind(mark);
        }
    }

    /// No name leads to the file any more.
    pub(super) fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    fn rewind(&mut self, mark: Mark) {
        self.joiner = Joiner::resume(mark, RECORD_BYTES_MAX);
        self.finished = false;
    }

    fn pack(&mut self, undo: Mark) -> Read {
        let load = self.batch.load();
        let bytes_cut = self.joiner.take_bytes_cut();
        if load.items == 0 {
            self.window.pass_over(self.joiner.mark());
            return Read { bytes_cut, ..Read::default() };
        }
        let (body, tally) = self.batch.take();
        let parcel = Parcel { body: Bytes::from(body), load, tally, undo };
        Read { bytes_cut, parcel: Some(parcel), ..Read::default() }
    }

    /// False when this is no longer what was read so far.
    fn recognise(&mut self, size: u64) -> io::Result<bool> {
        let head = read_head(&self.file)?;
        let (device, inode) = (self.inode.device, self.inode.number);
        let sight = Sight { device, inode, size, head: &head };
        let same = sight.continues(&self.head, self.joiner.position());
        if !same || self.head.bytes < HEAD_BYTES as u64 {
            self.head = Fingerprint::of(&head);
        }
        Ok(same)
    }
}

fn read_head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    let bytes = read_at(file, &mut head, 0)?;
    head.truncate(bytes);
    Ok(head)
}

/// Fills the buffer unless the file ends.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Where the last whole line ends; the file's end when no line ends near it.
fn last_line_end(file: &File, size: u64) -> io::Result<u64> {
    let from = size.saturating_sub(LAST_LINE_BYTES_MAX);
    let mut last = vec![0; usize::try_from(size - from).unwrap_or(0)];
    let bytes = read_at(file, &mut last, from)?;
    let line_feed = last[..bytes].iter().rposition(|byte| *byte == b'\n');
    Ok(line_feed.map_or(if from == 0 { 0 } else { size }, |at| from + at as u64 + 1))
}
