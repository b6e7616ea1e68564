//! The JSON form of OTLP, from and to protobuf, made by the schema: nothing is decoded in between.
//!
//! Its own rules over protobuf's JSON: ids in hexadecimal, enums as numbers, names in
//! lowerCamelCase only, unknown names ignored.
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

mod read;
mod write;

pub use read::{BadJson, to_protobuf};
pub use write::from_protobuf;
