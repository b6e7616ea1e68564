//! Spans of open traces: appended to frames, which are compressed when they are many and freed
//! whole once no open trace has a span in them.

mod buffer;
mod open;

pub(super) use open::Piece;

use super::origin::Origin;
use buffer::{Buffer, Spare};
use bytes::Bytes;
use open::{Open, Sealed};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// A frame takes no more spans once it holds this many bytes.
const FRAME_BYTES: usize = 512 * 1024;
/// Bits of [`Run::place`] that hold the offset; the others count spans.
const OFFSET_BITS: u32 = 20;
const SPANS_MAX: u32 = (1 << (32 - OFFSET_BITS)) - 1;
/// Buffers of frames that are kept for the next ones, if these need them: so many, or this part of
/// what uncompressed frames may take.
const SPARE_MAX: usize = 4;
const SPARE_SHARE: usize = 8;
const ZSTD_LEVEL: i32 = 1;

/// Spans of one trace that stand one after the other in a frame and share an origin. Packed, since
/// there are several for each trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The frame's number, its lower half: never are 65536 frames alive.
    frame: u16,
    /// Number of the origin in its frame.
    pub(super) origin: u16,
    place: u32,
}

/// Where the last span of a trace is while its frame takes spans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tip {
    frame: u32,
    number: u32,
}

impl Tip {
    /// Of a trace without spans.
    pub(super) const NOWHERE: Self = Self { frame: u32::MAX, number: u32::MAX };
}

impl Run {
    pub(super) fn offset(self) -> usize {
        (self.place & ((1 << OFFSET_BITS) - 1)) as usize
    }

    pub(super) fn spans(self) -> u32 {
        self.place >> OFFSET_BITS
    }
}

#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Number of the first of `sealed`.
    first: u32,
    sealed: VecDeque<Option<Frame>>,
    open: Open,
    /// Sealed frames that are not compressed, oldest first.
    raw: VecDeque<u32>,
    raw_bytes: usize,
    bytes: usize,
    compressor: Compressor,
    spare: Spare,
    /// Of sealed frames that are not compressed.
    raw_bytes_max: usize,
}

/// Its tables are made once, at the first use.
#[derive(Default)]
struct Compressor {
    context: Option<zstd::bulk::Compressor<'static>>,
    out: Vec<u8>,
}

/// No more spans are added to it.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    content: Content,
    pub(super) origins: Arc<[Arc<Origin>]>,
    /// Spans of open traces.
    live: u32,
    bytes: usize,
}

#[derive(Clone, Debug)]
enum Content {
    Raw(Arc<Buffer>),
    Compressed { bytes: Bytes, raw_length: usize },
}

impl Frames {
    /// A full frame is to be sealed before more is pushed.
    pub(super) fn is_full(&self) -> bool {
        self.open.is_full(FRAME_BYTES)
    }

    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.open.is_empty()
    }

    /// Appends a span of a trace, by its id and by its place in the shard.
    pub(super) fn push(
        &mut self,
        (id, trace): (u128, u32),
        origin: &Arc<Origin>,
        message: &[u8],
        tip: Tip,
    ) -> Tip {
        let frame = self.open_number();
        let before = (tip.frame == frame).then_some(tip.number);
        Tip { frame, number: self.open.push(trace, origin, Piece::of(id, message), before) }
    }

    /// Lets go of those spans of a trace that are in the open frame.
    pub(super) fn release_open(&mut self, tip: Tip, see: impl FnMut(&Arc<Origin>, Piece<'_>)) {
        if tip.frame == self.open_number() {
            self.open.release(tip.number, see);
        }
    }

    /// The whole number of a run's frame.
    pub(super) fn number(&self, run: Run) -> u32 {
        self.first + u32::from(run.frame.wrapping_sub(self.first as u16))
    }

    /// The trace of these spans is decided.
    pub(super) fn release(&mut self, run: Run) {
        let number = self.number(run);
        let at = (number - self.first) as usize;
        let Some(Some(frame)) = self.sealed.get_mut(at) else { return };
        frame.live -= run.spans();
        if frame.live == 0 {
            self.free(number);
        }
    }

    fn free(&mut self, number: u32) {
        let at = (number - self.first) as usize;
        let Some(frame) = self.sealed.get_mut(at).and_then(Option::take) else { return };
        self.bytes -= frame.bytes;
        if let Content::Raw(_) = frame.content {
            self.raw_bytes -= frame.bytes;
            if let Ok(at) = self.raw.binary_search(&number) {
                self.raw.remove(at);
            }
        }
        while let Some(None) = self.sealed.front() {
            self.sealed.pop_front();
            self.first += 1;
        }
    }

    /// Lets go of spans, grouped by the frames that they are still in.
    pub(super) fn take<T>(
        &mut self,
        mut items: Vec<T>,
        run: impl Fn(&T) -> Run,
    ) -> Vec<(Frame, Vec<T>)> {
        items.sort_by_key(|item| (self.number(run(item)), run(item).offset()));
        let mut taken = Vec::new();
        let mut items = items.into_iter().peekable();
        while let Some(first) = items.next() {
            let number = self.number(run(&first));
            let mut of_frame = vec![first];
            while let Some(next) = items.next_if(|next| self.number(run(next)) == number) {
                of_frame.push(next);
            }
            let Some(frame) = self.frame(number).cloned() else { continue };
            of_frame.iter().for_each(|item| self.release(run(item)));
            taken.push((frame, of_frame));
        }
        taken
    }

    pub(super) fn origin(&self, run: Run) -> Option<&Arc<Origin>> {
        self.frame(self.number(run))?.origins.get(usize::from(run.origin))
    }

    /// A sealed frame.
    pub(super) fn frame(&self, number: u32) -> Option<&Frame> {
        self.sealed.get(number.checked_sub(self.first)? as usize)?.as_ref()
    }

    pub(super) fn open_number(&self) -> u32 {
        self.first + self.sealed.len() as u32
    }

    /// Takes no more spans into the open frame. `see` gets its runs, each with its trace.
    pub(super) fn seal(&mut self, see: impl FnMut(u32, Run)) {
        if self.open.is_empty() {
            return self.open.clear();
        }
        let number = self.open_number();
        let length = self.open.length();
        let buffer = self.spare.take(length);
        let Sealed { bytes: raw, origins, live } = self.open.seal(buffer, number as u16, see);
        let bytes = raw.len();
        self.raw.push_back(number);
        self.raw_bytes += bytes;
        self.bytes += bytes;
        let content = Content::Raw(Arc::new(raw));
        self.sealed.push_back(Some(Frame { content, origins: origins.into(), live, bytes }));
        self.compress();
    }

    /// From now on frames are compressed where more bytes than this are not: the newest, since the
    /// oldest are gone soonest.
    pub(super) fn set_raw_bytes_max(&mut self, bytes: usize) {
        self.raw_bytes_max = bytes;
        self.compress();
        self.spare.trim(SPARE_MAX.max(bytes / SPARE_SHARE / FRAME_BYTES));
    }

    fn compress(&mut self) {
        while self.raw_bytes_max < self.raw_bytes {
            let Some(number) = self.raw.pop_back() else { return };
            let at = (number - self.first) as usize;
            let Some(Some(frame)) = self.sealed.get_mut(at) else { continue };
            let Content::Raw(raw) = &frame.content else { continue };
            let (raw, raw_length) = (Arc::clone(raw), raw.len());
            self.raw_bytes -= frame.bytes;
            let Some(packed) = self.compressor.compress(&raw) else { continue };
            self.bytes -= frame.bytes;
            frame.bytes = packed.len();
            self.bytes += frame.bytes;
            frame.content = Content::Compressed { bytes: packed, raw_length };
        }
    }

    /// Of sealed frames that are not compressed.
    pub(super) fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.open.bytes()
    }
}

impl Compressor {
    fn compress(&mut self, raw: &[u8]) -> Option<Bytes> {
        if self.context.is_none() {
            self.context = Some(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok()?);
        }
        self.out.clear();
        self.out.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        self.context.as_mut()?.compress_to_buffer(raw, &mut self.out).ok()?;
        Some(Bytes::copy_from_slice(&self.out))
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Compressor")
    }
}

/// A frame's bytes as they were sealed.
pub(super) enum Raw {
    Shared(Arc<Buffer>),
    Own(Vec<u8>),
}

/// Reads frames back, one after the other.
#[derive(Default)]
pub(super) struct Reader {
    context: Option<zstd::bulk::Decompressor<'static>>,
}

impl Reader {
    /// `None` when the frame cannot be read back.
    pub(super) fn raw(&mut self, frame: &Frame) -> Option<Raw> {
        match &frame.content {
            Content::Raw(bytes) => Some(Raw::Shared(Arc::clone(bytes))),
            Content::Compressed { bytes, raw_length } => {
                if self.context.is_none() {
                    self.context = Some(zstd::bulk::Decompressor::new().ok()?);
                }
                self.context.as_mut()?.decompress(bytes, *raw_length).ok().map(Raw::Own)
            }
        }
    }
}

impl Raw {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }

    /// The spans of a run, in order.
    pub(super) fn pieces(&self, run: Run) -> impl Iterator<Item = Piece<'_>> {
        let mut rest = self.bytes().get(run.offset()..).unwrap_or_default();
        let piece = move |_| {
            let (piece, after) = Piece::read(rest)?;
            rest = after;
            Some(piece)
        };
        (0..run.spans()).map_while(piece)
    }
}
