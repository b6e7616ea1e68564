//! What agents send to gateways: requests for traces, each with who sent it.
//!
//! `message Forward { repeated Frame frames = 1; }`,
//! `message Frame { bytes sender = 1; bytes body = 2; uint32 spans = 3; fixed64 id = 4; }`.
//! Forwards put one after the other are a forward, as with export requests.

use crate::protobuf::{
    VARINT, Value, fields, located, put_bytes, put_fixed64, put_message, put_tag, put_varint,
};
use crate::walk::Malformed;

/// The path of the method that takes them, over gRPC.
pub const PATH: &str = "/sluice.forward.v1.Forward/Push";

/// One request for traces and its sender, whose form is the engine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame<'b> {
    pub sender: &'b [u8],
    /// An export request.
    pub body: &'b [u8],
    pub spans: u32,
    /// Tells frames apart: one that is sent again has the same.
    pub id: u64,
}

/// Appends a frame to a forward.
pub fn write_frame(frame: &Frame<'_>, out: &mut Vec<u8>) {
    let length = frame.sender.len() + frame.body.len() + 24;
    put_message(out, 1, length, |out| {
        put_bytes(out, 1, frame.sender);
        put_bytes(out, 2, frame.body);
        put_tag(out, 3, VARINT);
        put_varint(out, u64::from(frame.spans));
        put_fixed64(out, 4, frame.id);
    });
}

/// The frames of a forward, in order.
///
/// # Errors
/// When it is none.
pub fn frames(forward: &[u8]) -> Result<Vec<Frame<'_>>, Malformed> {
    let mut read = 0;
    let mut frames = Vec::new();
    for (field, at) in located(forward) {
        read = at.end;
        match (field.number, field.value) {
            (1, Value::Bytes(bytes)) => frames.push(frame(bytes)?),
            (1, _) => return Err(Malformed::WireType),
            _ => {}
        }
    }
    if read == forward.len() { Ok(frames) } else { Err(Malformed::Truncated) }
}

fn frame(bytes: &[u8]) -> Result<Frame<'_>, Malformed> {
    let mut frame = Frame::default();
    for field in fields(bytes) {
        match (field.number, field.value) {
            (1, Value::Bytes(sender)) => frame.sender = sender,
            (2, Value::Bytes(body)) => frame.body = body,
            (3, Value::Varint(spans)) => frame.spans = u32::try_from(spans).unwrap_or(u32::MAX),
            (4, Value::Fixed64(id)) => frame.id = u64::from_le_bytes(id),
            (1..=4, _) => return Err(Malformed::WireType),
            _ => {}
        }
    }
    Ok(frame)
}
