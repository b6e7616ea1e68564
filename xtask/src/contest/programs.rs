//! The two programs that are compared, how they are built, and where one of them runs.

use super::process::Process;
use crate::{commands, image, programs};
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Sluice,
    Otelcol,
}

impl Contender {
    pub(crate) const BOTH: [Self; 2] = [Self::Sluice, Self::Otelcol];
}

/// What is run, built before anything is measured.
pub(crate) struct Programs {
    pub(crate) agent: PathBuf,
    /// The command line, which runs agent and gateway in one process.
    pub(crate) sluice: PathBuf,
    pub(crate) otelcol: PathBuf,
}

/// A folder and ports of its own for one run of one program, and where it sends.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) grpc: u16,
    pub(crate) http: u16,
    pub(crate) metrics: u16,
    /// Where Sluice tells rates, by gRPC and by HTTP; `None`: nowhere.
    pub(crate) sampling: Option<[u16; 2]>,
    pub(crate) destination: SocketAddr,
}

/// Runs until it is stopped or dropped.
pub(crate) struct Running {
    pub(crate) process: Process,
    /// Where it takes OTLP/gRPC.
    pub(crate) address: SocketAddr,
    /// Its configuration and its state.
    _folder: TempDir,
}

impl Programs {
    pub(crate) fn build() -> Result<Self> {
        // The image's own programs: what is measured is what is shipped.
        let built = image::release_programs(image::PACKAGES)?;
        Ok(Self {
            agent: named("sluice-agent", &built)?,
            sluice: named("sluice", &built)?,
            otelcol: otelcol()?,
        })
    }
}

/// The command line alone, for who does not measure.
pub(crate) fn sluice() -> Result<PathBuf> {
    named("sluice", &image::release_programs(&["sluice-cli"])?)
}

/// The agent alone, which is the gateway too.
pub(crate) fn agent() -> Result<PathBuf> {
    named("sluice-agent", &image::release_programs(&["sluice-agent"])?)
}

fn named(name: &str, built: &[PathBuf]) -> Result<PathBuf> {
    let program = built.iter().find(|program| program.ends_with(name)).cloned();
    program.with_context(|| format!("the release build made no {name}"))
}

/// Built first if this version is not in the cache.
pub(crate) fn otelcol() -> Result<PathBuf> {
    Ok(programs::ensure("otelcol")?.join("otelcol"))
}

/// As the program says it: `name version number`.
pub(crate) fn version(program: &Path) -> Result<String> {
    let said = commands::output(Command::new(program).arg("--version"))?;
    Ok(said.split_whitespace().last().unwrap_or_default().to_owned())
}

impl Place {
    pub(crate) fn new(destination: SocketAddr) -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir().context("make a folder for the program")?,
            grpc: free_port()?,
            http: free_port()?,
            metrics: free_port()?,
            sampling: None,
            destination,
        })
    }

    pub(crate) fn with_sampling(self) -> Result<Self> {
        Ok(Self { sampling: Some([free_port()?, free_port()?]), ..self })
    }

    /// Returns once the program listens.
    pub(crate) async fn start(self, command: &mut Command) -> Result<Running> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.grpc));
        let mut process = Process::start(command, self.folder.path())?;
        process.listens(address).await?;
        Ok(Running { process, address, _folder: self.folder })
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}
