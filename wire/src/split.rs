//! A request that is too large, cut between its items.

use crate::Signal;
use crate::items::{count, rewrite};
use crate::schema::{self, Message};

/// Cuts a surveyed request into requests of at most `bytes_max`, each with its count of items.
/// Resource, scope and metric are repeated in each. A part is larger only where a single item is,
/// or where most of it is what would be repeated. Parents without items are left out of the parts.
pub fn split(signal: Signal, body: &[u8], bytes_max: usize) -> Vec<(Vec<u8>, u32)> {
    let message = schema::request(signal);
    let mut parts = Vec::new();
    halve(message, body.to_vec(), count(message, body), bytes_max, &mut parts);
    parts
}

fn halve(
    message: &Message,
    body: Vec<u8>,
    items: u32,
    bytes_max: usize,
    parts: &mut Vec<(Vec<u8>, u32)>,
) {
    if body.len() <= bytes_max || items <= 1 {
        parts.push((body, items));
        return;
    }
    let half = items / 2;
    let left = select(message, &body, 0, half);
    let right = select(message, &body, half, items);
    // Each cut repeats the parents: where they are most of it, cutting on would only multiply them.
    if (left.len() + right.len()) / 3 > body.len() / 2 {
        parts.push((body, items));
        return;
    }
    drop(body);
    halve(message, left, half, bytes_max, parts);
    halve(message, right, items - half, bytes_max, parts);
}

/// The items from `start` to before `end`, with all that is around them.
fn select(message: &Message, body: &[u8], start: u32, end: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    rewrite(message, body, &mut out, &mut |whole, _, out| {
        let selected = start <= at && at < end;
        at += 1;
        if selected {
            out.extend_from_slice(whole);
        }
        selected
    });
    out
}
