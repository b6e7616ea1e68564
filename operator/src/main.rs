//! `sluice-operator`: reads its settings and runs.

use clap::Parser;
use sluice_operator::{LogFormat, Settings, run};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Wrong settings, as for flags that do not parse.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let settings = Settings::parse();
    let filter = settings
        .check()
        .and_then(|()| EnvFilter::try_new(&settings.log).map_err(|error| format!("--log {error}")));
    let filter = match filter {
        Ok(filter) => filter,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(USAGE);
        }
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
    // Fails only when a provider was chosen before; then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(settings)).map_err(|error| error.to_string()),
        Err(error) => Err(format!("cannot start the runtime: {error}")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "ended");
            ExitCode::FAILURE
        }
    }
}
