//! A request for traces, cut apart by whose trace each span is of.

use crate::protobuf::{LENGTH, delimited, payloads, put_tag, put_varint, varint_len};
use crate::spans::apart;

const SCOPE_SPANS: u32 = 2;
const SPAN: u32 = 2;
const TRACE_ID_TAG: u8 = 0x0a;

/// What one owner gets of a request: a request itself, and its spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    pub body: Vec<u8>,
    pub spans: u32,
}

/// Cuts a surveyed request into one for each of `owners`, which may be empty; `owner` is told the
/// trace id of each span. Resource and scope are repeated where spans of theirs have several owners.
pub fn partition(
    body: &[u8],
    owners: usize,
    mut owner: impl FnMut(&[u8]) -> usize,
) -> Vec<Portion> {
    let mut portions = vec![Portion::default(); owners];
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
                if !picked.is_empty() {
                    portion.spans += picked.len() as u32;
                    write(&around_scopes, &around_spans, picked, &mut portion.body);
                    picked.clear();
                }
            }
        }
    }
    portions
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
    put_head(out, 1, block);
    out.extend_from_slice(around_scopes);
    put_head(out, SCOPE_SPANS, scope);
    out.extend_from_slice(around_spans);
    for span in spans {
        put_head(out, SPAN, span.len());
        out.extend_from_slice(span);
    }
}

fn put_head(out: &mut Vec<u8>, number: u32, length: usize) {
    put_tag(out, number, LENGTH);
    put_varint(out, length as u64);
}
