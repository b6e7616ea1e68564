//! Memory of a sealed frame, mapped for it alone: freed, it is the system's again at once, whatever
//! an allocator keeps.

use super::FRAME_BYTES;
use memmap2::MmapMut;
use std::alloc::{Layout, handle_alloc_error};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of a frame that no giant span is in.
const USUAL_BYTES: usize = FRAME_BYTES + FRAME_BYTES / 4;

/// Goes back to the spare ones when it is dropped, by whoever read it last.
#[derive(Debug)]
pub(in crate::tail) struct Buffer {
    /// `None` only while it is dropped.
    map: Option<MmapMut>,
    length: usize,
    spare: Spare,
}

/// Buffers of frames that are gone, for the next ones: fresh pages cost more than spans.
#[derive(Clone, Debug, Default)]
pub(super) struct Spare(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    maps: Vec<MmapMut>,
    most: usize,
    /// The fewest there were since the last trim: nobody needed these.
    least: usize,
}

impl Spare {
    /// An empty buffer with room for so many bytes at least.
    pub(super) fn take(&self, bytes: usize) -> Buffer {
        let map = if bytes <= USUAL_BYTES { self.held().pop() } else { None };
        let map = map.unwrap_or_else(|| map_pages(bytes));
        Buffer { map: Some(map), length: 0, spare: self.clone() }
    }

    /// Keeps no more than so many, and none that nobody needed since the last time.
    pub(super) fn trim(&self, most: usize) {
        let gone = {
            let mut held = self.held();
            let stay = most.min(held.maps.len() - held.least);
            (held.most, held.least) = (most, stay);
            held.maps.split_off(stay)
        };
        drop(gone);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn pop(&mut self) -> Option<MmapMut> {
        let map = self.maps.pop();
        self.least = self.least.min(self.maps.len());
        map
    }
}

fn map_pages(bytes: usize) -> MmapMut {
    let capacity = bytes.max(USUAL_BYTES);
    // Fails where any allocation would.
    let Ok(map) = MmapMut::map_anon(capacity) else {
        handle_alloc_error(Layout::array::<u8>(capacity).unwrap_or(Layout::new::<u8>()));
    };
    // All pages at once cost less than a fault for each; without it they still come.
    #[cfg(target_os = "linux")]
    let _ = map.advise_range(memmap2::Advice::PopulateWrite, 0, bytes);
    map
}

impl Buffer {
    /// # Panics
    /// Without room for them.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let map = self.map.as_deref_mut().unwrap_or_default();
        map[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map.as_deref().unwrap_or_default()[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut held = self.spare.held();
        if held.maps.len() < held.most {
            held.maps.extend(self.map.take().filter(|map| map.len() == USUAL_BYTES));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(spare: &Spare) -> usize {
        spare.held().maps.len()
    }

    #[test]
    fn a_giant_has_room_and_is_not_kept_for_the_next_frame() {
        for (bytes, is_usual) in [(0, true), (FRAME_BYTES, true), (3 * FRAME_BYTES + 1, false)] {
            let spare = Spare::default();
            spare.trim(9);
            let mut buffer = spare.take(bytes);
            buffer.push(&vec![7; bytes]);
            assert!(buffer.iter().all(|byte| *byte == 7) && buffer.len() == bytes);
            drop(buffer);
            assert_eq!(kept(&spare), usize::from(is_usual));
            let mut buffer = spare.take(0);
            assert_eq!(kept(&spare), 0);
            buffer.push(b"next");
            assert_eq!(*buffer, *b"next");
        }
    }

    #[test]
    fn spare_ones_are_kept_as_far_as_they_are_needed() {
        let spare = Spare::default();
        spare.trim(8);
        drop([(); 10].map(|()| spare.take(1)));
        assert_eq!(kept(&spare), 8);
        drop([(); 5].map(|()| spare.take(1)));
        spare.trim(8);
        assert_eq!(kept(&spare), 8, "before there were none");
        drop([(); 5].map(|()| spare.take(1)));
        spare.trim(8);
        assert_eq!(kept(&spare), 5, "three were there all the time");
        spare.trim(2);
        assert_eq!(kept(&spare), 0, "and nobody took one since");
    }
}
