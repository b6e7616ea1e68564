//! The walker, its edits and the JSON form against opentelemetry-proto, on seeded requests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod arbitrary;
mod edits;
mod fuzz;
mod json;
mod logs;
mod mark;
mod otep235;
mod random;
mod realistic;
mod reference;
mod response;
mod spans;
mod survey;
mod thin;
