//! Moves the telemetry: sockets, files, clocks.
//!
//! `receive` → `intake` → `flow` (engine's lanes, queues and books) → `pump` → `send`.

pub mod ack;
pub mod cluster;
pub mod decisions;
mod flow;
pub mod intake;
mod meter;
mod metrics;
mod monitor;
pub mod pod_logs;
pub mod pods;
mod pump;
mod receive;
mod running;
pub mod secrets;
mod send;
mod settings;
mod workers;

pub use monitor::Monitor;
pub use pump::PumpState;
pub use receive::Guard;
pub use running::{AdoptError, Running, StartError, start};
pub use send::{Failure, FailureReason};
pub use settings::{Role, Senders, Settings, Trust, workers_default};

/// Gives back what is no longer used: limits of memory are about all that the process takes. How soon
/// is said at the build, in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
