//! Spans of open traces, as they came: appended to frames, which are compressed when they are many
//! and freed whole once no open trace has a span in them.

use super::origin::Origin;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// A frame takes no more spans once it holds this many bytes; so spans begin below it.
const FRAME_BYTES: usize = 512 * 1024;
/// Bits of [`Run::place`] that hold the offset; the others count spans.
const OFFSET_BITS: u32 = 20;
const SPANS_MAX: u32 = (1 << (32 - OFFSET_BITS)) - 1;
/// Buffers of frames that are kept for the next ones.
const SPARE_MAX: usize = 4;
const ZSTD_LEVEL: i32 = 1;

/// Spans of one trace that stand one after the other in a frame and share an origin. Packed, since
/// there is one for nearly each span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The frame's number, its lower half: never are 65536 frames alive.
    frame: u16,
    /// Number of the origin in its frame.
    pub(super) origin: u16,
    place: u32,
}

/// The last run of a trace, which grows where the next span follows at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tip {
    pub(super) run: Run,
    frame: u32,
    end: u32,
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
    spare: Vec<Vec<u8>>,
    /// Of sealed frames that are not compressed.
    raw_bytes_max: usize,
}

/// Its tables are made once, at the first use.
#[derive(Default)]
struct Compressor {
    context: Option<zstd::bulk::Compressor<'static>>,
    out: Vec<u8>,
}

#[derive(Debug, Default)]
struct Open {
    bytes: Vec<u8>,
    origins: Vec<Arc<Origin>>,
    /// By the address of an origin.
    places: HashMap<usize, u16>,
    live: u32,
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
    Raw(Arc<Vec<u8>>),
    Compressed { bytes: Bytes, raw_length: usize },
}

impl Frames {
    /// Appends a span's message. True where it follows the tip at once: then that run has grown.
    pub(super) fn push(
        &mut self,
        origin: &Arc<Origin>,
        message: &[u8],
        tip: Option<Tip>,
    ) -> (Tip, bool) {
        if FRAME_BYTES <= self.open.bytes.len() || self.open.origins.len() == usize::from(u16::MAX)
        {
            self.seal();
        }
        let frame = self.open_number();
        let open = &mut self.open;
        let origin = open.place(origin);
        let offset = open.bytes.len() as u32;
        open.bytes.extend_from_slice(&(message.len() as u32).to_le_bytes());
        open.bytes.extend_from_slice(message);
        open.live += 1;
        let end = open.bytes.len() as u32;
        match tip {
            Some(Tip { run, .. })
                if tip.is_some_and(|tip| (tip.frame, tip.end) == (frame, offset))
                    && run.origin == origin
                    && run.spans() < SPANS_MAX =>
            {
                let place = run.place + (1 << OFFSET_BITS);
                (Tip { run: Run { place, ..run }, frame, end }, true)
            }
            _ => {
                let run = Run { frame: frame as u16, origin, place: offset | 1 << OFFSET_BITS };
                (Tip { run, frame, end }, false)
            }
        }
    }

    /// The whole number of a run's frame.
    pub(super) fn number(&self, run: Run) -> u32 {
        self.first + u32::from(run.frame.wrapping_sub(self.first as u16))
    }

    /// The trace of these spans is decided.
    pub(super) fn release(&mut self, run: Run) {
        let number = self.number(run);
        if number == self.open_number() {
            self.open.live -= run.spans();
            return;
        }
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
        if let Content::Raw(raw) = frame.content {
            self.raw_bytes -= frame.bytes;
            self.raw.retain(|own| *own != number);
            self.reuse(raw);
        }
        while let Some(None) = self.sealed.front() {
            self.sealed.pop_front();
            self.first += 1;
        }
    }

    /// The next frame takes the place of one that is gone: fresh memory costs more than spans.
    fn reuse(&mut self, raw: Arc<Vec<u8>>) {
        if self.spare.len() < SPARE_MAX
            && let Ok(mut buffer) = Arc::try_unwrap(raw)
            && FRAME_BYTES <= buffer.capacity()
            && buffer.capacity() <= 2 * FRAME_BYTES
        {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Lets go of spans, grouped by the frames that they are still in.
    pub(super) fn take<T>(
        &mut self,
        mut items: Vec<T>,
        run: impl Fn(&T) -> Run,
    ) -> Vec<(Frame, Vec<T>)> {
        if items.iter().any(|item| self.number(run(item)) == self.open_number()) {
            self.seal();
        }
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
        let number = self.number(run);
        if number == self.open_number() {
            return self.open.origins.get(usize::from(run.origin));
        }
        self.frame(number)?.origins.get(usize::from(run.origin))
    }

    /// A sealed frame.
    pub(super) fn frame(&self, number: u32) -> Option<&Frame> {
        self.sealed.get(number.checked_sub(self.first)? as usize)?.as_ref()
    }

    pub(super) fn open_number(&self) -> u32 {
        self.first + self.sealed.len() as u32
    }

    /// Takes no more spans into the open frame.
    pub(super) fn seal(&mut self) {
        let number = self.open_number();
        let mut open = std::mem::take(&mut self.open);
        self.open.bytes = self.spare.pop().unwrap_or_default();
        if open.bytes.len() < FRAME_BYTES {
            open.bytes.shrink_to_fit();
        }
        if open.live == 0 {
            return self.sealed.push_back(None);
        }
        let bytes = open.bytes.len();
        self.raw.push_back(number);
        self.raw_bytes += bytes;
        self.bytes += bytes;
        let content = Content::Raw(Arc::new(open.bytes));
        self.sealed.push_back(Some(Frame {
            content,
            origins: open.origins.into(),
            live: open.live,
            bytes,
        }));
        self.compress();
    }

    /// From now on the oldest frames are compressed where more bytes than this are not.
    pub(super) fn set_raw_bytes_max(&mut self, bytes: usize) {
        self.raw_bytes_max = bytes;
        self.compress();
    }

    fn compress(&mut self) {
        while self.raw_bytes_max < self.raw_bytes {
            let Some(number) = self.raw.pop_front() else { return };
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
            self.reuse(raw);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.open.bytes.capacity()
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

impl Open {
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
}

/// A frame's bytes as they were pushed.
pub(super) enum Raw {
    Shared(Arc<Vec<u8>>),
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

    /// The messages of a run, in order.
    pub(super) fn messages(&self, run: Run) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes().get(run.offset()..).unwrap_or_default();
        let message = move |_| {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (message, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = after;
            Some(message)
        };
        (0..run.spans()).map_while(message)
    }
}
