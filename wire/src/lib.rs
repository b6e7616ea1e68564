//! What travels: OTLP over bytes, and the control protocol.
//!
//! A body is walked once ([`survey`], [`spans::read_spans`]), never decoded: what is not edited is passed on as it came.
//! No transport and no clock.

pub mod control;
mod edit;
pub mod forward;
mod items;
pub mod jaeger;
pub mod json;
pub mod logs;
mod mark;
mod partition;
mod protobuf;
pub mod response;
pub mod sampling;
mod schema;
mod signal;
pub mod spans;
mod split;
mod survey;
mod thin;
mod trace_id;
mod tracestate;
mod walk;

pub use edit::{ResourceEdit, write_block};
pub use mark::{Told, mark_traces};
pub use partition::{Portion, partition};
pub use signal::Signal;
pub use split::split;
pub use survey::{Block, Limits, Survey, survey};
pub use thin::{Thinned, thin_blocks, thin_traces};
pub use trace_id::parse_trace_id;
pub use walk::Malformed;
