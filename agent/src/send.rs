//! The way out: one transport a queue, made from its destination's settings.

mod connect;
mod credentials;
mod encode;
mod failure;
mod file;
mod otlp;
mod target;
mod tls;

pub use failure::{Failure, FailureReason};
pub(crate) use file::Files;

use crate::ack::AckToken;
use crate::secrets::Secrets;
use file::FileEnd;
use otlp::Otlp;
use sluice_engine::compiled::Outlet;
use sluice_engine::config::{Destination, DestinationKind};
use sluice_engine::queue::{Chunk, Outcome};
use sluice_wire::Signal;

/// What transports of one collector share.
#[derive(Clone)]
pub(crate) struct Ends {
    pub(crate) secrets: Secrets,
    pub(crate) files: Files,
}

pub(crate) struct Transport {
    destination: Destination,
    end: End,
}

enum End {
    Otlp(Box<Otlp>),
    File(FileEnd),
    Debug {
        detailed: bool,
    },
    /// The settings cannot be used; each delivery says why.
    Unusable(Failure),
}

impl Transport {
    pub(crate) fn new(outlet: &Outlet, ends: &Ends) -> Self {
        let Outlet { destination, content, .. } = outlet;
        let end = match &destination.kind {
            DestinationKind::Otlp { endpoint, protocol, tenant } => {
                match Otlp::new(destination, endpoint, *protocol, tenant, &ends.secrets, *content) {
                    Ok(otlp) => End::Otlp(Box::new(otlp)),
                    Err(problem) => End::Unusable(problem),
                }
            }
            DestinationKind::File { path, bytes_max, files_max } => {
                End::File(ends.files.open(path, *bytes_max, *files_max))
            }
            DestinationKind::Debug { detailed } => End::Debug { detailed: *detailed },
        };
        Self { destination: destination.clone(), end }
    }

    pub(crate) fn is_for(&self, destination: &Destination) -> bool {
        self.destination == *destination
    }

    /// Delivers chunks as one request; returns what of them the peer took.
    pub(crate) async fn send(
        &self,
        signal: Signal,
        chunks: &[Chunk<AckToken>],
    ) -> Result<Outcome, Failure> {
        match &self.end {
            End::Otlp(otlp) => otlp.send(signal, chunks).await,
            End::File(file) => {
                file.send(signal, chunks).await.map(|rejected| Outcome::Sent { rejected })
            }
            End::Debug { detailed } => {
                show(*detailed, signal, chunks);
                Ok(Outcome::Sent { rejected: 0 })
            }
            End::Unusable(problem) => Err(problem.clone()),
        }
    }
}

fn show(detailed: bool, signal: Signal, chunks: &[Chunk<AckToken>]) {
    let items: u64 = chunks.iter().map(|chunk| chunk.items).sum();
    let bytes: usize = chunks.iter().map(|chunk| chunk.body.len()).sum();
    tracing::info!(signal = signal.as_str(), items, bytes, "debug destination");
    if detailed {
        for chunk in chunks {
            let line = file::json_line(signal, &chunk.body);
            let line = String::from_utf8_lossy(&line);
            tracing::info!(signal = signal.as_str(), request = %line, "debug destination");
        }
    }
}
