//! What a collector is told besides its config: where it runs, and whom it believes.

use crate::monitor::Monitor;
use crate::pods::PodTable;
use crate::receive::Guard;
use crate::secrets::Secrets;
pub use sluice_engine::forward::Trust;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Which part of a fleet a collector is.
#[derive(Clone, Debug)]
pub enum Role {
    /// Takes telemetry from those who make it. Traces that policies are about go to the gateways,
    /// or are held here where the config knows none.
    Agent(Trust),
    /// Takes traces from agents and holds them.
    Gateway {
        /// As rings name it.
        name: String,
        guard: Guard,
        /// Towards other gateways.
        trust: Trust,
    },
}

#[derive(Clone)]
pub struct Settings {
    pub role: Role,
    pub bind: IpAddr,
    /// `File` destinations, checkpoints and the last good config.
    pub data_folder: PathBuf,
    pub senders: Senders,
    pub secrets: Secrets,
    /// Threads; at least one.
    pub workers: usize,
    /// Serves `/metrics`, `/healthz` and `/readyz`; `None`: one is bound to the config's port.
    pub monitor: Option<Monitor>,
    /// All memory of the process is the collector's, so that its limits are about all of it.
    pub is_alone: bool,
}

/// Who is believed to be behind a connection.
#[derive(Clone)]
pub enum Senders {
    /// Local mode: `k8s.namespace.name` of each resource is the sender's word.
    Claimed,
    /// The pod whose address the peer has.
    Pods(PodTable),
}

impl Settings {
    /// Local mode on 127.0.0.1: senders are believed, no Secrets.
    pub fn local(data_folder: PathBuf) -> Self {
        Self {
            role: Role::Agent(Trust::Nothing),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            data_folder,
            senders: Senders::Claimed,
            secrets: Secrets::empty(),
            workers: workers_default(),
            monitor: None,
            is_alone: false,
        }
    }
}

/// As many as the cgroup's quota has cores, at most four.
pub fn workers_default() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(4)
}
