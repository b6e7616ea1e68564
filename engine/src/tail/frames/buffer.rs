//! Memory of a sealed frame, mapped for it alone: freed, it is the system's again at once, whatever
//! an allocator keeps.

use super::FRAME_BYTES;
use memmap2::MmapMut;
use std::alloc::{Layout, handle_alloc_error};
use std::ops::Deref;

/// Of a frame that no giant span is in.
const USUAL_BYTES: usize = FRAME_BYTES + FRAME_BYTES / 4;

#[derive(Debug)]
pub(in crate::tail) struct Buffer {
    map: MmapMut,
    length: usize,
}

impl Buffer {
    /// Empty, with room for so many bytes at least.
    pub(super) fn new(bytes: usize) -> Self {
        let capacity = bytes.max(USUAL_BYTES);
        // Fails where any allocation would.
        let Ok(map) = MmapMut::map_anon(capacity) else {
            handle_alloc_error(Layout::array::<u8>(capacity).unwrap_or(Layout::new::<u8>()));
        };
        // All pages at once cost less than a fault for each; without it they still come.
        #[cfg(target_os = "linux")]
        let _ = map.advise_range(memmap2::Advice::PopulateWrite, 0, bytes);
        Self { map, length: 0 }
    }

    /// Whether the next frame can have it.
    pub(super) fn is_usual(&self) -> bool {
        self.map.len() == USUAL_BYTES
    }

    pub(super) fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.map.len() - self.length
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// # Panics
    /// Without room for them.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.map[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_giant_has_room_and_is_not_kept_for_the_next_frame() {
        for (bytes, is_usual) in [(0, true), (FRAME_BYTES, true), (3 * FRAME_BYTES + 1, false)] {
            let mut buffer = Buffer::new(bytes);
            assert_eq!(buffer.is_usual(), is_usual);
            assert!(buffer.has_room(bytes));
            buffer.push(&vec![7; bytes]);
            assert!(buffer.iter().all(|byte| *byte == 7) && buffer.len() == bytes);
            assert!(!buffer.has_room(USUAL_BYTES.max(bytes) - bytes + 1));
            buffer.clear();
            buffer.push(b"next");
            assert_eq!(*buffer, *b"next");
        }
    }
}
