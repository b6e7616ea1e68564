//! The control stream between the operator and its collectors: client, server and messages.
//!
//! Generated from `proto/`, a file for each package; `UPDATE=1 cargo test -p sluice-wire` makes it
//! anew.

#![allow(clippy::all, unreachable_pub, reason = "generated code")]

include!("control/sluice.control.v1.rs");

pub mod gateway {
    include!("control/sluice.control.v1.gateway.rs");
}

pub mod report {
    include!("control/sluice.control.v1.report.rs");
}

pub mod sampling {
    include!("control/sluice.control.v1.sampling.rs");
}

pub use report::{Adoption, DestinationBook, MemoryPressure, PipelineBook, Report};
