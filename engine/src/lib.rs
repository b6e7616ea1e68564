//! What a collector runs: stages, queues and books. No clock, no socket, no Kubernetes.

pub mod books;
pub mod compiled;
pub mod config;
pub mod enrich;
pub mod failure;
pub mod forward;
pub mod handover;
pub mod lane;
pub mod limiter;
pub mod matching;
pub mod queue;
pub mod remote_sampling;
pub mod ring;
pub mod selector;
pub mod sender;
pub mod tail;
pub mod tick;

pub use sluice_wire::Signal;

pub mod cri;
pub mod pod_logs;
