//! The frame that still takes spans, as they come; sealed, the spans of each trace stand together.
//!
//! A span begins with its trace's id nearly always. Who holds it knows the trace: so that is cut
//! off, and put back where the span leaves.

use super::{Buffer, OFFSET_BITS, Run, SPANS_MAX};
use crate::tail::hash::ByAddress;
use crate::tail::origin::Origin;
use std::sync::Arc;

/// Tag and length of a trace's id, in a span.
const ID_TAG: [u8; 2] = [0x0a, 16];
const ID_FIELD_BYTES: usize = 18;
/// Length and cut of a span as it is written.
const HEADER_BYTES: usize = 4;
/// In place of the number of a trace: its span is not held any more.
const GONE: u32 = u32::MAX;
const NONE: u32 = u32::MAX;
/// As many as a sort key tells apart.
const HELD_MAX: usize = 1 << 16;

#[derive(Debug, Default)]
pub(super) struct Open {
    bytes: Vec<u8>,
    origins: Vec<Arc<Origin>>,
    /// By the address of an origin.
    places: ByAddress<usize, u16>,
    held: Vec<Held>,
    live: u32,
}

/// One span of the open frame.
#[derive(Clone, Copy, Debug)]
struct Held {
    offset: u32,
    /// By the place of its trace in the shard.
    trace: u32,
    /// The one before it of the same trace.
    before: u32,
    origin: u16,
}

/// What an open frame became.
pub(super) struct Sealed {
    pub(super) bytes: Buffer,
    pub(super) origins: Vec<Arc<Origin>>,
    pub(super) live: u32,
}

/// A span as it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tail) struct Piece<'b> {
    message: &'b [u8],
    /// Without the id of its trace at the beginning.
    is_cut: bool,
}

impl<'b> Piece<'b> {
    pub(super) fn of(trace: u128, message: &'b [u8]) -> Self {
        let rest = message.strip_prefix(&ID_TAG).and_then(|rest| rest.split_first_chunk());
        match rest {
            Some((id, rest)) if u128::from_be_bytes(*id) == trace => {
                Self { message: rest, is_cut: true }
            }
            _ => Self { message, is_cut: false },
        }
    }

    /// What was cut off, and the rest of the message.
    pub(in crate::tail) fn parts<'a>(
        self,
        trace: u128,
        head: &'a mut [u8; ID_FIELD_BYTES],
    ) -> (&'a [u8], &'b [u8]) {
        if !self.is_cut {
            return (&[], self.message);
        }
        head[..ID_TAG.len()].copy_from_slice(&ID_TAG);
        head[ID_TAG.len()..].copy_from_slice(&trace.to_be_bytes());
        (head, self.message)
    }

    /// The first one as it was written.
    fn written(bytes: &'b [u8]) -> Option<&'b [u8]> {
        let header = u32::from_le_bytes(*bytes.first_chunk()?);
        bytes.get(..HEADER_BYTES + (header >> 1) as usize)
    }

    /// Splits one off.
    pub(super) fn read(bytes: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (header, rest) = bytes.split_first_chunk()?;
        let header = u32::from_le_bytes(*header);
        let (message, rest) = rest.split_at_checked((header >> 1) as usize)?;
        Some((Self { message, is_cut: header & 1 == 1 }, rest))
    }

    fn write(self, out: &mut Vec<u8>) {
        let header = (self.message.len() as u32) << 1 | u32::from(self.is_cut);
        out.extend_from_slice(&header.to_le_bytes());
        out.extend_from_slice(self.message);
    }
}

impl Open {
    pub(super) fn is_full(&self, bytes_max: usize) -> bool {
        bytes_max <= self.bytes.len()
            || self.held.len() == HELD_MAX
            || self.origins.len() == usize::from(u16::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The number of the span in this frame; `before` is that of the last one of its trace.
    pub(super) fn push(
        &mut self,
        trace: u32,
        origin: &Arc<Origin>,
        piece: Piece<'_>,
        before: Option<u32>,
    ) -> u32 {
        let (origin, offset) = (self.place(origin), self.bytes.len() as u32);
        piece.write(&mut self.bytes);
        let before = before.unwrap_or(NONE);
        self.held.push(Held { offset, trace, before, origin });
        self.live += 1;
        (self.held.len() - 1) as u32
    }

    fn place(&mut self, origin: &Arc<Origin>) -> u16 {
        let origins = &mut self.origins;
        if let Some(last) = origins.last()
            && Arc::ptr_eq(last, origin)
        {
            return (origins.len() - 1) as u16;
        }
        *self.places.entry(Arc::as_ptr(origin).addr()).or_insert_with(|| {
            origins.push(Arc::clone(origin));
            (origins.len() - 1) as u16
        })
    }

    /// Lets go of a trace's spans, the last one of which is `last`.
    pub(super) fn release(&mut self, last: u32, mut see: impl FnMut(&Arc<Origin>, Piece<'_>)) {
        let mut at = last;
        while let Some(held) = self.held.get_mut(at as usize) {
            held.trace = GONE;
            self.live -= 1;
            at = held.before;
            let piece = self.bytes.get(held.offset as usize..).and_then(Piece::read);
            if let (Some((piece, _)), Some(origin)) =
                (piece, self.origins.get(usize::from(held.origin)))
            {
                see(origin, piece);
            }
        }
    }

    /// Empties it: what is still held goes into `bytes`, by trace and origin. `run` gets each run
    /// with its trace; `frame` is the lower half of the frame's number.
    pub(super) fn seal(
        &mut self,
        mut bytes: Buffer,
        frame: u16,
        mut see: impl FnMut(u32, Run),
    ) -> Sealed {
        // Runs begin below a bound: a giant, which comes last, stays there.
        let has_giant = 1 << OFFSET_BITS <= self.bytes.len();
        let key = |(at, held): (u64, &Held)| {
            let group = u64::from(held.trace) << 32 | u64::from(held.origin) << 16;
            if has_giant { at } else { group | at }
        };
        let live = (0..).zip(&self.held).filter(|(_, held)| held.trace != GONE);
        let mut order: Vec<u64> = live.map(key).collect();
        order.sort_unstable();
        let mut last = None::<(u32, Run)>;
        for key in order {
            let Held { offset, trace, origin, .. } = self.held[key as usize % HELD_MAX];
            let Some(piece) = self.bytes.get(offset as usize..).and_then(Piece::written) else {
                continue;
            };
            match &mut last {
                Some((own, run))
                    if (*own, run.origin) == (trace, origin) && run.spans() < SPANS_MAX =>
                {
                    run.place += 1 << OFFSET_BITS;
                }
                _ => {
                    let place = bytes.len() as u32 | 1 << OFFSET_BITS;
                    let before = last.replace((trace, Run { frame, origin, place }));
                    before.into_iter().for_each(|(trace, run)| see(trace, run));
                }
            }
            bytes.push(piece);
        }
        last.into_iter().for_each(|(trace, run)| see(trace, run));
        let (origins, live) = (std::mem::take(&mut self.origins), self.live);
        self.clear();
        Sealed { bytes, origins, live }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        // What a giant needed is not kept.
        self.bytes.shrink_to(1 << OFFSET_BITS);
        self.held.clear();
        self.places.clear();
        self.origins.clear();
        self.live = 0;
    }

    /// What a frame takes at most that it becomes.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + self.held.capacity() * size_of::<Held>()
    }
}
