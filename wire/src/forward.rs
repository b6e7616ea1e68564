//! What agents send to gateways, and gateways to each other: requests for traces, each with who sent
//! it, and what a gateway knew of traces that another one owns now.
//!
//! ```text
//! message Forward { repeated Frame frames = 1; repeated Handover handovers = 2; }
//! message Frame { bytes sender = 1; bytes body = 2; uint64 epoch = 3; fixed64 id = 4;
//!                 bool handed_over = 5; }
//! message Handover { string from = 1; uint64 epoch = 2; repeated Kept kept = 3;
//!                    bytes dropped = 4; bool done = 5; repeated Missing missing = 6; }
//! message Kept { bytes trace_id = 1; fixed64 threshold = 2; string label = 3; }
//! message Missing { string from = 1; uint64 epoch = 2; }
//! message Answer { uint64 taken = 1; }
//! ```
//!
//! Forwards put one after the other are a forward, as with export requests. A gateway takes frames
//! and hand-overs in their order, and may take the first of them only.

use crate::protobuf::{
    VARINT, Value, fields, located, put_bytes, put_fixed64, put_message, put_start, put_tag,
    put_varint,
};
use crate::walk::Malformed;

/// The path of the method that takes them, over gRPC.
pub const PATH: &str = "/sluice.forward.v1.Forward/Push";

/// Of a frame's head without its sender: six tags, four varints, an id and a bit.
const HEAD_BYTES_MAX: usize = 6 + 4 * 10 + 8 + 1;

/// One request for traces and its sender, whose form is the engine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame<'b> {
    pub sender: &'b [u8],
    /// An export request.
    pub body: &'b [u8],
    /// Of the ring by which its owner was found.
    pub epoch: u64,
    /// Tells frames apart: one that is sent again has the same.
    pub id: u64,
    /// Its spans are of open traces that another gateway had.
    pub handed_over: bool,
}

/// What a gateway decided of traces that another one owns now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handover<'b> {
    /// The gateway that had them.
    pub from: &'b str,
    /// Of the ring by which they are the other's.
    pub epoch: u64,
    pub kept: Vec<Kept<'b>>,
    /// Dropped traces by their marks, whose form is the engine's.
    pub dropped: Vec<u64>,
    /// All that there was has come.
    pub done: bool,
    /// With `done`: gateways, and the epochs by which they were to hand over traces to `from` that
    /// are the other's by now.
    pub missing: Vec<(&'b str, u64)>,
}

/// A trace that was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept<'b> {
    pub trace: u128,
    pub threshold: u64,
    /// The rule that its spans name; empty: none.
    pub label: &'b str,
}

/// What a forward consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'b> {
    Frame(Frame<'b>),
    Handover(Handover<'b>),
}

impl Frame<'_> {
    /// Bytes that stand before its body in a forward, at the most.
    pub fn room(&self) -> usize {
        self.sender.len() + HEAD_BYTES_MAX
    }
}

/// Appends a frame to a forward.
pub fn write_frame(frame: &Frame<'_>, out: &mut Vec<u8>) {
    out.reserve(frame.room() + frame.body.len());
    put_head(frame, frame.body.len(), out);
    out.extend_from_slice(frame.body);
}

/// All of a frame but its body, which comes last.
pub(crate) fn put_head(frame: &Frame<'_>, body_bytes: usize, out: &mut Vec<u8>) {
    let mut head = Vec::with_capacity(frame.room());
    put_bytes(&mut head, 1, frame.sender);
    put_number(&mut head, 3, frame.epoch);
    put_fixed64(&mut head, 4, frame.id);
    put_number(&mut head, 5, u64::from(frame.handed_over));
    put_start(&mut head, 2, body_bytes);
    put_start(out, 1, head.len() + body_bytes);
    out.extend_from_slice(&head);
}

/// Appends a hand-over to a forward.
pub fn write_handover(handover: &Handover<'_>, out: &mut Vec<u8>) {
    let Handover { from, epoch, kept, dropped, done, missing } = handover;
    let length = from.len() + kept.len() * 32 + dropped.len() * 8 + 32;
    put_message(out, 2, length, |out| {
        put_bytes(out, 1, from.as_bytes());
        put_number(out, 2, *epoch);
        for kept in kept {
            put_message(out, 3, 32 + kept.label.len(), |out| {
                put_bytes(out, 1, &kept.trace.to_be_bytes());
                put_fixed64(out, 2, kept.threshold);
                put_bytes(out, 3, kept.label.as_bytes());
            });
        }
        let dropped: Vec<u8> = dropped.iter().flat_map(|mark| mark.to_le_bytes()).collect();
        put_bytes(out, 4, &dropped);
        put_number(out, 5, u64::from(*done));
        for (from, epoch) in missing {
            put_message(out, 6, from.len() + 16, |out| {
                put_bytes(out, 1, from.as_bytes());
                put_number(out, 2, *epoch);
            });
        }
    });
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, VARINT);
    put_varint(out, value);
}

/// Reads a forward.
///
/// # Errors
/// When it is none.
pub fn read(forward: &[u8]) -> Result<Vec<Part<'_>>, Malformed> {
    let mut end = 0;
    let mut found = Vec::new();
    for (field, at) in located(forward) {
        end = at.end;
        match (field.number, field.value) {
            (1, Value::Bytes(bytes)) => found.push(Part::Frame(frame(bytes)?)),
            (2, Value::Bytes(bytes)) => found.push(Part::Handover(handover(bytes)?)),
            (1 | 2, _) => return Err(Malformed::WireType),
            _ => {}
        }
    }
    if end == forward.len() { Ok(found) } else { Err(Malformed::Truncated) }
}

/// The frames of a forward; of one that cannot be read, none.
pub fn frames(forward: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    read(forward).unwrap_or_default().into_iter().filter_map(|part| match part {
        Part::Frame(frame) => Some(frame),
        Part::Handover(_) => None,
    })
}

/// What a gateway answers that took only the first parts of a forward, at least one. Where it took
/// all of them its answer is empty.
pub fn write_answer(taken: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, 1, taken as u64);
    out
}

/// How many parts of a forward a gateway took by its answer; `None`: all.
pub fn read_answer(answer: &[u8]) -> Option<usize> {
    let taken = fields(answer).find_map(|field| match (field.number, field.value) {
        (1, Value::Varint(taken)) => Some(taken),
        _ => None,
    });
    taken.and_then(|taken| usize::try_from(taken).ok()).filter(|taken| 0 < *taken)
}

fn frame(bytes: &[u8]) -> Result<Frame<'_>, Malformed> {
    let mut frame = Frame::default();
    for field in fields(bytes) {
        match (field.number, field.value) {
            (1, Value::Bytes(sender)) => frame.sender = sender,
            (2, Value::Bytes(body)) => frame.body = body,
            (3, Value::Varint(epoch)) => frame.epoch = epoch,
            (4, Value::Fixed64(id)) => frame.id = u64::from_le_bytes(id),
            (5, Value::Varint(is)) => frame.handed_over = is != 0,
            (1..=5, _) => return Err(Malformed::WireType),
            _ => {}
        }
    }
    Ok(frame)
}

fn handover(bytes: &[u8]) -> Result<Handover<'_>, Malformed> {
    let mut handover = Handover::default();
    for field in fields(bytes) {
        match (field.number, field.value) {
            (1, Value::Bytes(from)) => handover.from = text(from)?,
            (2, Value::Varint(epoch)) => handover.epoch = epoch,
            (3, Value::Bytes(bytes)) => handover.kept.push(kept(bytes)?),
            (4, Value::Bytes(bytes)) => {
                let (marks, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(Malformed::Truncated);
                }
                handover.dropped.extend(marks.iter().map(|mark| u64::from_le_bytes(*mark)));
            }
            (5, Value::Varint(is)) => handover.done = is != 0,
            (6, Value::Bytes(bytes)) => handover.missing.push(missing(bytes)?),
            (1..=6, _) => return Err(Malformed::WireType),
            _ => {}
        }
    }
    Ok(handover)
}

fn kept(bytes: &[u8]) -> Result<Kept<'_>, Malformed> {
    let mut kept = Kept::default();
    for field in fields(bytes) {
        match (field.number, field.value) {
            (1, Value::Bytes(id)) => {
                let id = id.try_into().map_err(|_| Malformed::Truncated)?;
                kept.trace = u128::from_be_bytes(id);
            }
            (2, Value::Fixed64(threshold)) => kept.threshold = u64::from_le_bytes(threshold),
            (3, Value::Bytes(label)) => kept.label = text(label)?,
            (1..=3, _) => return Err(Malformed::WireType),
            _ => {}
        }
    }
    Ok(kept)
}

fn missing(bytes: &[u8]) -> Result<(&str, u64), Malformed> {
    let mut missing = ("", 0);
    for field in fields(bytes) {
        match (field.number, field.value) {
            (1, Value::Bytes(from)) => missing.0 = text(from)?,
            (2, Value::Varint(epoch)) => missing.1 = epoch,
            (1 | 2, _) => return Err(Malformed::WireType),
            _ => {}
        }
    }
    Ok(missing)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Utf8)
}
