//! How far each file was delivered, which file that was, and where to start in a file found on disk.

use crate::config::StartAt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Raised when the version before could not resume from the result.
pub const FORMAT: u32 = 1;
/// How much of a file's head identifies it.
pub const HEAD_BYTES: usize = 1024;

/// What outlives the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoints {
    pub format: u32,
    /// Generation of each pipeline whose files were all looked at once: what is new to it since then was written since then.
    pub settled: BTreeMap<String, i64>,
    pub files: Vec<Checkpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// For people; a file is known by its identity.
    pub path: String,
    pub identity: Identity,
    pub mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
    pub head: Fingerprint,
}

/// Of the first [`HEAD_BYTES`] of a file, or of as many as it had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub bytes: u64,
    pub hash: u64,
}

/// How far a file was taken, for each stream: their partial lines interleave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub stdout: StreamMark,
    pub stderr: StreamMark,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMark {
    /// Lines of this stream that start before it were taken.
    pub offset: u64,
    /// What follows belongs to a record that was cut, up to its last line.
    pub skipping: bool,
}

impl Mark {
    pub fn at(offset: u64) -> Self {
        let mark = StreamMark { offset, skipping: false };
        Self { stdout: mark, stderr: mark }
    }

    /// Where reading resumes, in bytes from the file's start.
    pub fn offset(&self) -> u64 {
        self.stdout.offset.min(self.stderr.offset)
    }
}

impl Fingerprint {
    /// Of the first [`HEAD_BYTES`] of `head`.
    pub fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(HEAD_BYTES)];
        let digest = Sha256::digest(head);
        let hash = digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte));
        Self { bytes: head.len() as u64, hash }
    }

    /// Whether a file that now starts with `head` can be the one that this was taken of.
    pub fn matches(&self, head: &[u8]) -> bool {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        head.get(..bytes).is_some_and(|head| Self::of(head).hash == self.hash)
    }
}

/// What a file looks like now.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Its first [`HEAD_BYTES`], or all it has.
    pub head: &'a [u8],
}

impl Sight<'_> {
    pub fn identity(&self) -> Identity {
        Identity { device: self.device, inode: self.inode, head: Fingerprint::of(self.head) }
    }

    /// Whether the file still goes on from what was read up to `offset`: if not, it was truncated or
    /// written anew, and is read from its start.
    pub fn continues(&self, head: &Fingerprint, offset: u64) -> bool {
        offset <= self.size && head.matches(self.head)
    }
}

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    At(Mark),
    /// After the last whole line.
    AtEnd,
}

/// Decides where to start in a file that is not open yet. `known` is what is remembered of its device and inode.
pub fn begin(known: Option<&Checkpoint>, sight: &Sight<'_>, start_at: StartAt) -> Begin {
    match (known, start_at) {
        (Some(known), _) if sight.continues(&known.identity.head, known.mark.offset()) => {
            Begin::At(known.mark)
        }
        // Truncated, or its inode was given to a new file: either way written since.
        (Some(_), _) | (None, StartAt::Beginning) => Begin::At(Mark::at(0)),
        (None, StartAt::End) => Begin::AtEnd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROTATED: &[u8] = b"first line\nsecond line\n";

    fn sight(inode: u64, content: &[u8]) -> Sight<'_> {
        Sight { device: 7, inode, size: content.len() as u64, head: content }
    }

    #[track_caller]
    fn check(known: Option<(&[u8], u64)>, now: &[u8], start_at: StartAt, expected: Begin) {
        let known = known.map(|(content, offset)| Checkpoint {
            path: String::new(),
            identity: sight(1, content).identity(),
            mark: Mark::at(offset),
        });
        assert_eq!(begin(known.as_ref(), &sight(1, now), start_at), expected);
    }

    #[test]
    fn a_known_file_goes_on_where_it_was_left() {
        check(Some((b"first line\n", 11)), ROTATED, StartAt::End, Begin::At(Mark::at(11)));
    }

    #[test]
    fn a_truncated_file_starts_over() {
        check(Some((ROTATED, 23)), b"first line\n", StartAt::End, Begin::At(Mark::at(0)));
        check(Some((ROTATED, 23)), b"", StartAt::End, Begin::At(Mark::at(0)));
    }

    #[test]
    fn another_file_on_the_same_inode_starts_at_its_beginning() {
        let other = b"third line, and it is longer than the first two were\n";
        check(Some((ROTATED, 23)), other, StartAt::End, Begin::At(Mark::at(0)));
    }

    #[test]
    fn a_file_without_checkpoint_starts_where_the_pipeline_says() {
        check(None, ROTATED, StartAt::Beginning, Begin::At(Mark::at(0)));
        check(None, ROTATED, StartAt::End, Begin::AtEnd);
    }

    #[test]
    fn a_fingerprint_holds_while_the_file_grows() {
        let content = [7; 3 * HEAD_BYTES];
        for bytes in [0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, content.len()] {
            let print = Fingerprint::of(&content[..bytes]);
            assert!(print.matches(&content), "{bytes}");
            assert!(bytes == 0 || !print.matches(&content[..bytes.min(HEAD_BYTES) - 1]), "{bytes}");
            assert!(bytes == 0 || !print.matches(&[8; HEAD_BYTES]), "{bytes}");
        }
    }
}
