//! A request for traces, cut apart by whose trace each span is of.

use crate::forward::{Frame, put_head};
use crate::protobuf::{delimited, payloads, put_start, varint_len};
use crate::spans::apart;

const SCOPE_SPANS: u32 = 2;
const SPAN: u32 = 2;
const TRACE_ID_TAG: u8 = 0x0a;

/// What one owner gets of a request: a request itself, and its spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// The request, after room for what may be put before it.
    bytes: Vec<u8>,
    room: usize,
    pub spans: u32,
}

/// Cuts a surveyed request into one for each of `owners`, which may be empty, with `room` for the head
/// of a frame before it; `owner` is told the trace id of each span. Resource and scope are repeated
/// where spans of theirs have several owners.
pub fn partition(
    body: &[u8],
    (owners, room): (usize, usize),
    mut owner: impl FnMut(&[u8]) -> usize,
) -> Vec<Portion> {
    let mut portions = vec![Portion::default(); owners];
    let share = body.len() / owners.max(1);
    let bytes_expected = room + share + share / 8;
    let mut picked: Vec<Vec<&[u8]>> = vec![Vec::new(); owners];
    let (mut scopes, mut spans) = (Vec::new(), Vec::new());
    for block in payloads(body, 1) {
        let around_scopes = apart(block, SCOPE_SPANS, &mut scopes);
        for scope in &scopes {
            let around_spans = apart(scope, SPAN, &mut spans);
            for span in &spans {
                picked[owner(trace_id(span))].push(span);
            }
            for (picked, portion) in picked.iter_mut().zip(&mut portions) {
                if picked.is_empty() {
                    continue;
                }
                if portion.bytes.is_empty() {
                    portion.bytes.reserve(bytes_expected);
                    portion.bytes.resize(room, 0);
                    portion.room = room;
                }
                portion.spans += picked.len() as u32;
                write(&around_scopes, &around_spans, picked, &mut portion.bytes);
                picked.clear();
            }
        }
    }
    portions
}

impl Portion {
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.room..]
    }

    /// A forward of one frame, with this body in place of its own. It is what the bytes hold from the
    /// returned place on: the body stays where it was written.
    pub fn into_forward(mut self, frame: &Frame<'_>) -> (Vec<u8>, usize) {
        let mut head = Vec::with_capacity(frame.room());
        put_head(frame, self.body().len(), &mut head);
        let start = self.room.saturating_sub(head.len());
        self.bytes.splice(start..self.room, head);
        (self.bytes, start)
    }
}

/// Nearly always the first field. (A span that repeats its id, which is legal protobuf and no sender
/// does, goes where the first one sends it.)
fn trace_id(span: &[u8]) -> &[u8] {
    match span {
        [TRACE_ID_TAG, rest @ ..] => delimited(rest).map_or(&[], |(id, _)| id),
        _ => payloads(span, 1).next().unwrap_or_default(),
    }
}

/// All lengths are known before, so that nothing is moved.
fn write(around_scopes: &[u8], around_spans: &[u8], spans: &[&[u8]], out: &mut Vec<u8>) {
    let field = |length: usize| 1 + varint_len(length) + length;
    let scope = around_spans.len() + spans.iter().map(|span| field(span.len())).sum::<usize>();
    let block = around_scopes.len() + field(scope);
    out.reserve(field(block));
    put_start(out, 1, block);
    out.extend_from_slice(around_scopes);
    put_start(out, SCOPE_SPANS, scope);
    out.extend_from_slice(around_spans);
    for span in spans {
        put_start(out, SPAN, span.len());
        out.extend_from_slice(span);
    }
}
