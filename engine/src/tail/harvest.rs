//! What leaves a shard: spans of kept traces, to be cut out of their frames without its lock, and
//! counts of what is lost.

use super::decided::Kept;
use super::frames::{Frame, Frames, Piece, Reader, Run};
use super::hash::ByAddress;
use super::ledger::Ledger;
use super::origin::{Origin, Target};
use super::rules::Rules;
use super::shard::Moving;
use crate::books::{Dropped, SampledOut};
use bytes::Bytes;
use sluice_wire::sampling::Threshold;
use sluice_wire::spans::{SpanEdit, write_request, write_span};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Set on spans of kept traces by policies that ask for it.
pub const RULE: &str = "sampling.rule";
pub const PROBABILITY: &str = "sampling.probability";

/// Why spans are not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    SampledOut(SampledOut),
    Dropped(Dropped),
}

/// In one part of what leaves: all at once would need room of its own.
const PART_BYTES: usize = 1 << 20;

/// To so many times more at once: growing copies what is there.
const GROWTH: usize = 3;

/// By the address of the origin.
type Lost = ByAddress<(usize, Loss), (Arc<Origin>, u64)>;

/// Spans of a kept trace that are still in their frame.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    pub(super) run: Run,
    pub(super) trace: u128,
    pub(super) kept: Kept,
}

/// Gathered between two ticks.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    /// In the frames that stay, and in those that do not.
    keepers: [Vec<Keeper>; 2],
    /// By the address of the origin.
    outgoing: ByAddress<usize, Outgoing>,
    lost: Lost,
    /// Rules under which no trace is open any more.
    pub(super) ended: Vec<(Arc<Rules>, Ledger)>,
    late: u64,
    late_bytes: usize,
}

/// What leaves a shard, part by part: taken off it, so that no lock is needed.
pub struct Sheaf {
    frames: std::vec::IntoIter<(Frame, Vec<Keeper>)>,
    outgoing: ByAddress<usize, Outgoing>,
    lost: Lost,
    reader: Reader,
}

/// Spans of one origin that leave together.
#[derive(Debug)]
pub struct Outgoing {
    pub origin: Arc<Origin>,
    /// Spans in it.
    pub items: u64,
    spans: Vec<u8>,
}

/// What became of spans since the last time.
#[derive(Debug, Default)]
pub struct Decisions {
    pub kept: Vec<Outgoing>,
    pub lost: Vec<(Arc<Origin>, Loss, u64)>,
}

/// Spans of open traces on their way to other gateways.
#[derive(Debug, Default)]
pub struct Departure {
    /// With the index of the gateway among the ring's members.
    pub leaving: Vec<(usize, Outgoing)>,
    pub lost: Vec<(Arc<Origin>, Loss, u64)>,
}

impl Harvest {
    pub(super) fn keep(&mut self, keeper: Keeper, is_brief: bool) {
        self.keepers[usize::from(is_brief)].push(keeper);
    }

    /// A span of a trace that was kept before it came.
    pub(super) fn late(&mut self, origin: &Arc<Origin>, message: &[u8], kept: Kept) {
        self.late += 1;
        self.late_bytes += message.len();
        put(&mut self.outgoing, origin, (&[], message), &mut Edits::default(), &kept);
    }

    /// A span of a trace that is kept while its frame still takes spans.
    pub(super) fn pass(
        &mut self,
        origin: &Arc<Origin>,
        (trace, piece): (u128, Piece<'_>),
        kept: &Kept,
    ) {
        let (mut head, mut edits) = ([0; _], Edits::default());
        let parts = piece.parts(trace, &mut head);
        self.late_bytes += parts.1.len();
        put(&mut self.outgoing, origin, parts, &mut edits, kept);
    }

    pub(super) fn lose(&mut self, origin: &Arc<Origin>, loss: Loss, items: u64) {
        let key = (Arc::as_ptr(origin).addr(), loss);
        self.lost.entry(key).or_insert_with(|| (Arc::clone(origin), 0)).1 += items;
    }

    /// Spans that came after their trace was kept, so far.
    pub(super) fn late_spans(&self) -> u64 {
        self.late
    }

    pub(super) fn bytes(&self) -> usize {
        let keepers: usize = self.keepers.iter().map(Vec::capacity).sum();
        self.late_bytes + keepers * size_of::<Keeper>()
    }

    /// Takes what was gathered, and lets go of its spans in the frames.
    pub(super) fn take(&mut self, frames: &mut [Frames; 2]) -> Sheaf {
        self.late_bytes = 0;
        let keepers = std::mem::take(&mut self.keepers).into_iter();
        let taken = frames.iter_mut().zip(keepers);
        let frames = taken.flat_map(|(own, items)| own.take(items, |item| item.run));
        Sheaf {
            frames: frames.collect::<Vec<_>>().into_iter(),
            outgoing: std::mem::take(&mut self.outgoing),
            lost: std::mem::take(&mut self.lost),
            reader: Reader::default(),
        }
    }
}

impl Iterator for Sheaf {
    type Item = Decisions;

    /// Cuts kept spans out of their frames, until there are enough for one part.
    fn next(&mut self) -> Option<Decisions> {
        let (mut edits, mut bytes) = (Edits::default(), 0);
        while bytes < PART_BYTES
            && let Some((frame, keepers)) = self.frames.next()
        {
            bytes += self.cut(&frame, &keepers, &mut edits);
        }
        if self.outgoing.is_empty() && self.lost.is_empty() {
            return None;
        }
        let kept = std::mem::take(&mut self.outgoing).into_values().collect();
        Some(Decisions { kept, lost: listed(std::mem::take(&mut self.lost)) })
    }
}

impl Sheaf {
    /// Returns how many bytes.
    fn cut(&mut self, frame: &Frame, keepers: &[Keeper], edits: &mut Edits) -> usize {
        let (raw, mut head, mut bytes) = (self.reader.raw(frame), [0; _], 0);
        for Keeper { run, trace, kept } in keepers {
            let origin = &frame.origins[usize::from(run.origin)];
            let Some(raw) = &raw else {
                lose(&mut self.lost, origin, Loss::Dropped(Dropped::Unreadable), *run);
                continue;
            };
            for piece in raw.pieces(*run) {
                let parts = piece.parts(*trace, &mut head);
                bytes += parts.1.len();
                put(&mut self.outgoing, origin, parts, edits, kept);
            }
        }
        bytes
    }
}

/// Cuts the spans of traces that leave out of their frames.
pub(super) fn depart(frames: Vec<(Frame, Vec<Moving>)>) -> Departure {
    let mut outgoing: BTreeMap<u16, ByAddress<usize, Outgoing>> = BTreeMap::new();
    let (mut lost, mut reader) = (Lost::default(), Reader::default());
    let mut head = [0; _];
    for (frame, moving) in frames {
        let raw = reader.raw(&frame);
        for Moving { run, trace, kept, to } in &moving {
            let origin = &frame.origins[usize::from(run.origin)];
            let Some(raw) = &raw else {
                lose(&mut lost, origin, Loss::Dropped(Dropped::Unreadable), *run);
                continue;
            };
            let outgoing = outgoing.entry(*to).or_default();
            for piece in raw.pieces(*run) {
                let parts = piece.parts(*trace, &mut head);
                put(outgoing, origin, parts, &mut Edits::default(), kept);
            }
        }
    }
    let to = |(to, outgoing): (u16, ByAddress<usize, Outgoing>)| {
        outgoing.into_values().map(move |outgoing| (usize::from(to), outgoing))
    };
    Departure { leaving: outgoing.into_iter().flat_map(to).collect(), lost: listed(lost) }
}

fn lose(lost: &mut Lost, origin: &Arc<Origin>, loss: Loss, run: Run) {
    let key = (Arc::as_ptr(origin).addr(), loss);
    lost.entry(key).or_insert_with(|| (Arc::clone(origin), 0)).1 += u64::from(run.spans());
}

fn listed(lost: Lost) -> Vec<(Arc<Origin>, Loss, u64)> {
    lost.into_iter().map(|((_, loss), (origin, items))| (origin, loss, items)).collect()
}

fn put(
    outgoing: &mut ByAddress<usize, Outgoing>,
    origin: &Arc<Origin>,
    (head, message): (&[u8], &[u8]),
    edits: &mut Edits,
    kept: &Kept,
) {
    let outgoing = outgoing.entry(Arc::as_ptr(origin).addr()).or_insert_with(|| Outgoing {
        origin: Arc::clone(origin),
        items: 0,
        spans: Vec::new(),
    });
    outgoing.items += 1;
    let edit = SpanEdit { threshold: kept.threshold, attributes: edits.of(kept), head };
    let (length, likely) = (outgoing.spans.len(), 2 * message.len());
    if outgoing.spans.capacity() < length + likely {
        outgoing.spans.reserve(likely + GROWTH * length);
    }
    write_span(message, edit, &mut outgoing.spans);
}

/// The attributes of the last decision: many spans after one another share theirs.
#[derive(Default)]
struct Edits {
    made_for: Option<(Arc<str>, Threshold)>,
    attributes: Vec<u8>,
}

impl Edits {
    fn of(&mut self, kept: &Kept) -> &[u8] {
        let Some(label) = &kept.label else { return &[] };
        let is_same =
            |(own, threshold): &(Arc<str>, Threshold)| *threshold == kept.threshold && own == label;
        if !self.made_for.as_ref().is_some_and(is_same) {
            let probability = kept.threshold.probability();
            self.attributes = SpanEdit::attributes(&[(RULE, label)], &[(PROBABILITY, probability)]);
            self.made_for = Some((Arc::clone(label), kept.threshold));
        }
        &self.attributes
    }
}

impl Outgoing {
    /// The request that one of its origin's targets gets.
    pub fn request(&self, target: &Target) -> Bytes {
        let mut out = Vec::with_capacity(self.spans.len() + target.around_scopes.len() + 256);
        write_request(&target.around_scopes, &self.origin.around_spans, &self.spans, &mut out);
        Bytes::from(out)
    }

    /// The request as it came, for another gateway.
    pub fn as_it_came(&self) -> Bytes {
        let Self { origin, spans, .. } = self;
        let mut out = Vec::with_capacity(spans.len() + origin.around_scopes.len() + 256);
        write_request(&origin.around_scopes, &origin.around_spans, spans, &mut out);
        Bytes::from(out)
    }
}
