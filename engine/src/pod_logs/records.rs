//! Records of one log file, written as one OTLP logs request.
//!
//! Names by OpenTelemetry's semantic conventions; what was done to a record is marked on it as `sluice.log.*`.

use super::joiner::Record;
use super::path::{LogName, PodFolder};
use super::window::Load;
use sluice_wire::logs::LogBlock;

/// The records of one read of one file.
#[derive(Debug)]
pub struct Batch {
    block: LogBlock,
    resource_bytes: u64,
    tally: Tally,
}

/// What was done to the records of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records whose content was longer than allowed.
    pub cut: u64,
    /// Records with bytes that are no UTF-8, replaced by U+FFFD.
    pub lossy: u64,
    /// Lines that were not CRI, passed on whole.
    pub foreign: u64,
}

impl Batch {
    /// An empty batch for a file of `container`; kept with the file, since its resource stays the same.
    pub fn new(folder: &PodFolder, container: &str, name: LogName, node: &str) -> Self {
        let restarts = name.restarts.to_string();
        let mut attributes = vec![
            ("k8s.namespace.name", &*folder.namespace),
            ("k8s.pod.name", &*folder.pod),
            ("k8s.pod.uid", &*folder.uid),
            ("k8s.container.name", container),
            ("k8s.container.restart_count", &*restarts),
        ];
        if !node.is_empty() {
            attributes.push(("k8s.node.name", node));
        }
        let block = LogBlock::new(&attributes);
        Self { resource_bytes: block.bytes() as u64, block, tally: Tally::default() }
    }

    pub fn push(&mut self, record: Record<'_>, observed_unix_nano: u64) {
        let body = String::from_utf8_lossy(record.content);
        let lossy = matches!(body, std::borrow::Cow::Owned(_));
        let mut attributes = [("log.iostream", record.stream.as_str()); 4];
        let mut count = 1;
        for (done, key, tally) in [
            (record.cut, "sluice.log.cut", &mut self.tally.cut),
            (lossy, "sluice.log.lossy", &mut self.tally.lossy),
            (record.foreign, "sluice.log.foreign", &mut self.tally.foreign),
        ] {
            if done {
                attributes[count] = (key, "true");
                count += 1;
                *tally += 1;
            }
        }
        let attributes = &attributes[..count];
        self.block.push(record.time_unix_nano, observed_unix_nano, &body, attributes);
    }

    pub fn load(&self) -> Load {
        Load {
            items: self.block.items(),
            bytes: (self.block.bytes() as u64).saturating_sub(self.resource_bytes),
        }
    }

    /// The request and what was done to its records; the batch is empty again.
    pub fn take(&mut self) -> (Vec<u8>, Tally) {
        (self.block.finish(), std::mem::take(&mut self.tally))
    }
}
