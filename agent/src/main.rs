//! `sluice-agent`: reads its flags and runs.

use clap::Parser;
use sluice_agent::cluster::{Arguments, LogFormat, Verb, prepare_state, run};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Wrong settings, as for flags that do not parse.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = match EnvFilter::try_new(&arguments.log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("error: --log {error}");
            return ExitCode::from(USAGE);
        }
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
    // Fails only when a provider was chosen before; then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ended = match arguments.verb {
        Verb::PrepareState { path } => prepare_state(&path).map_err(|error| error.to_string()),
        Verb::Run(arguments) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(run(*arguments)).map_err(|error| error.to_string()),
                Err(error) => Err(format!("cannot start the runtime: {error}")),
            }
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "ended");
            ExitCode::FAILURE
        }
    }
}
