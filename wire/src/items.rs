//! A copy of a request with some of its items: what is around them stays, unknown fields included.

use crate::protobuf::{Value, located, put_message};
use crate::schema::Message;

/// Copies `payload`, a `message`, and leaves each item to `write`: called with the item's whole
/// field and its payload, it writes the field (or another) and says so, or leaves it out.
/// A message that loses all that leads to items goes too; returns whether an item was written.
pub(crate) fn rewrite<W>(
    message: &Message,
    payload: &[u8],
    out: &mut Vec<u8>,
    write: &mut W,
) -> bool
where
    W: FnMut(&[u8], &[u8], &mut Vec<u8>) -> bool,
{
    let mut written = false;
    for (field, at) in located(payload) {
        let whole = &payload[at];
        let Value::Bytes(inner) = field.value else {
            out.extend_from_slice(whole);
            continue;
        };
        if let Some(child) = message.way_to_items(field.number) {
            let start = out.len();
            let guess = inner.len();
            if put_message(out, field.number, guess, |out| rewrite(child, inner, out, write)) {
                written = true;
            } else {
                out.truncate(start);
            }
        } else if message.holds_items(field.number) {
            written |= write(whole, inner, out);
        } else {
            out.extend_from_slice(whole);
        }
    }
    written
}

/// The items in a message that was surveyed.
pub(crate) fn count(message: &Message, payload: &[u8]) -> u32 {
    let mut items = 0;
    for (field, _) in located(payload) {
        if let Value::Bytes(inner) = field.value {
            if let Some(child) = message.way_to_items(field.number) {
                items += count(child, inner);
            } else if message.holds_items(field.number) {
                items += 1;
            }
        }
    }
    items
}
