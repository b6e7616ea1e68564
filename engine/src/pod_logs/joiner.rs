//! Bytes of one log file in, records out: finds lines, joins partial ones, cuts what is too long, knows where to resume.
//!
//! However the bytes are split into reads, the records are the same.

use super::checkpoint::{Mark, StreamMark};
use crate::cri::{self, HEADER_BYTES_MAX, Line, NotCri, Stream};

/// One record. Content beyond the limit was cut and is in [`Joiner::bytes_cut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Of its first line; 0 where the line was not CRI.
    pub time_unix_nano: u64,
    pub stream: Stream,
    pub content: &'a [u8],
    pub cut: bool,
    /// The line was not CRI: it is passed on whole, as of stdout, and ends what was open there.
    pub foreign: bool,
}

/// Holds at most `record_bytes_max` for each stream and as much for an unfinished line.
#[derive(Debug)]
pub struct Joiner {
    record_bytes_max: usize,
    /// Where the next byte is to be read from.
    position: u64,
    /// Where the unfinished line starts.
    line_start: u64,
    /// The unfinished line's first bytes, and how many more were let go.
    line: Vec<u8>,
    line_bytes_cut: u64,
    streams: [Half; 2],
    bytes_cut: u64,
}

/// One stream's part of the file.
#[derive(Debug)]
struct Half {
    /// Lines that start before this were taken.
    taken_to: u64,
    /// The record was cut and is out; its further lines are passed over.
    skipping: bool,
    open: Option<Open>,
}

/// A record whose last line has not come.
#[derive(Debug)]
struct Open {
    time_unix_nano: u64,
    content: Vec<u8>,
}

impl Joiner {
    pub fn resume(mark: Mark, record_bytes_max: usize) -> Self {
        let half =
            |mark: StreamMark| Half { taken_to: mark.offset, skipping: mark.skipping, open: None };
        Self {
            record_bytes_max,
            position: mark.offset(),
            line_start: mark.offset(),
            line: Vec::new(),
            line_bytes_cut: 0,
            streams: [half(mark.stdout), half(mark.stderr)],
            bytes_cut: 0,
        }
    }

    /// Where the next byte is to be read from.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// From where to resume so that each record not yet given out comes whole, and no other again.
    pub fn mark(&self) -> Mark {
        let mark = |half: &Half| StreamMark {
            offset: match half.open {
                Some(_) => half.taken_to,
                None => half.taken_to.max(self.line_start),
            },
            skipping: half.skipping,
        };
        Mark { stdout: mark(&self.streams[0]), stderr: mark(&self.streams[1]) }
    }

    /// Bytes of content that were not passed on, since the last call.
    pub fn take_bytes_cut(&mut self) -> u64 {
        std::mem::take(&mut self.bytes_cut)
    }

    /// Takes the bytes at [`Joiner::position`], at most up to the end of the line that completes the
    /// `records_max`-th record (a foreign line may complete two). The position moves by what was taken.
    pub fn push(
        &mut self,
        bytes: &[u8],
        records_max: usize,
        on_record: &mut impl FnMut(Record<'_>),
    ) {
        let mut records = 0;
        let mut rest = bytes;
        while records < records_max && !rest.is_empty() {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.position += rest.len() as u64;
                self.keep(rest);
                return;
            };
            self.position += end as u64 + 1;
            let whole = self.line.is_empty() && self.line_bytes_cut == 0;
            if whole {
                records += self.take_line(&rest[..end], 0, on_record);
            } else {
                self.keep(&rest[..end]);
                records += self.take_kept(on_record);
            }
            rest = &rest[end + 1..];
        }
    }

    /// Gives out what is unfinished. For a file that will not grow any more and was read to its end.
    pub fn finish(&mut self, on_record: &mut impl FnMut(Record<'_>)) {
        if !self.line.is_empty() {
            self.take_kept(on_record);
        }
        for (half, stream) in self.streams.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
            if let Some(open) = half.open.take() {
                on_record(open.record(stream, false));
            }
            half.taken_to = half.taken_to.max(self.position);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (self.record_bytes_max + HEADER_BYTES_MAX).saturating_sub(self.line.len());
        let kept = bytes.len().min(room);
        self.line.extend_from_slice(&bytes[..kept]);
        self.line_bytes_cut += (bytes.len() - kept) as u64;
    }

    fn take_kept(&mut self, on_record: &mut impl FnMut(Record<'_>)) -> usize {
        let line = std::mem::take(&mut self.line);
        let bytes_cut = std::mem::take(&mut self.line_bytes_cut);
        self.take_line(&line, bytes_cut, on_record)
    }

    /// Takes the line that ends at `position`; returns how many records that completed.
    fn take_line(
        &mut self,
        line: &[u8],
        bytes_cut: u64,
        on_record: &mut impl FnMut(Record<'_>),
    ) -> usize {
        let start = std::mem::replace(&mut self.line_start, self.position);
        match cri::parse(line) {
            _ if line.is_empty() => 0,
            Ok(line) => usize::from(self.take_cri(start, line, bytes_cut, on_record)),
            Err(NotCri) => self.take_foreign(start, line, bytes_cut, on_record),
        }
    }

    fn take_cri(
        &mut self,
        start: u64,
        line: Line<'_>,
        bytes_cut: u64,
        on_record: &mut impl FnMut(Record<'_>),
    ) -> bool {
        let half = &mut self.streams[line.stream as usize];
        if start < half.taken_to {
            return false;
        }
        if half.skipping {
            self.bytes_cut += line.content.len() as u64 + bytes_cut;
            half.skipping = !line.complete;
            half.taken_to = self.position;
            return false;
        }
        let held = half.open.as_ref().map_or(0, |open| open.content.len());
        let kept = line.content.len().min(self.record_bytes_max - held);
        let cut = (line.content.len() - kept) as u64 + bytes_cut;
        self.bytes_cut += cut;
        let done = line.complete || 0 < cut;
        if done && half.open.is_none() {
            on_record(Record {
                time_unix_nano: line.time_unix_nano,
                stream: line.stream,
                content: &line.content[..kept],
                cut: 0 < cut,
                foreign: false,
            });
        } else {
            if half.open.is_none() {
                half.taken_to = start;
            }
            let open = half.open.get_or_insert_with(|| Open::at(line.time_unix_nano));
            open.content.extend_from_slice(&line.content[..kept]);
        }
        if !done {
            return false;
        }
        if let Some(open) = half.open.take() {
            on_record(open.record(line.stream, 0 < cut));
        }
        half.skipping = !line.complete;
        half.taken_to = self.position;
        true
    }

    fn take_foreign(
        &mut self,
        start: u64,
        line: &[u8],
        bytes_cut: u64,
        on_record: &mut impl FnMut(Record<'_>),
    ) -> usize {
        let half = &mut self.streams[Stream::Stdout as usize];
        if start < half.taken_to {
            return 0;
        }
        let broken = half.open.take();
        if let Some(open) = &broken {
            on_record(open.record(Stream::Stdout, false));
            half.taken_to = self.position;
        }
        let kept = line.len().min(self.record_bytes_max);
        let cut = (line.len() - kept) as u64 + bytes_cut;
        self.bytes_cut += cut;
        on_record(Record {
            time_unix_nano: 0,
            stream: Stream::Stdout,
            content: &line[..kept],
            cut: 0 < cut,
            foreign: true,
        });
        1 + usize::from(broken.is_some())
    }
}

impl Open {
    fn at(time_unix_nano: u64) -> Self {
        Self { time_unix_nano, content: Vec::new() }
    }

    fn record(&self, stream: Stream, cut: bool) -> Record<'_> {
        Record {
            time_unix_nano: self.time_unix_nano,
            stream,
            content: &self.content,
            cut,
            foreign: false,
        }
    }
}

#[cfg(test)]
mod tests;
