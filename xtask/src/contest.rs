//! What the benches and the oracle share: Sluice and the OpenTelemetry Collector as programs, the
//! spans that both are sent, and the destination where they meet again.

pub(crate) mod corpus;
pub(crate) mod destination;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod objects;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod random;
pub(crate) mod spread;
pub(crate) mod threshold;
pub(crate) mod trace;
