//! `sluice`: the planner and the engine on a laptop, on the files that a cluster would get.

mod arguments;
mod check;
mod demo;
mod explain;
mod http;
mod load;
mod probe;
mod read;
mod render;
mod run;
mod yaml;

use arguments::{Arguments, Command};
use clap::Parser;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Whether what was asked turned out well. A failure to find out is an error instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Bad,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Render(arguments) => render::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Version => {
            say(concat!("sluice ", env!("CARGO_PKG_VERSION")));
            Ok(Outcome::Good)
        }
    };
    match done {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(1),
        Err(error) => {
            eprintln!("sluice: {error:#}");
            let unreadable = error.downcast_ref::<read::Unreadable>().is_some();
            ExitCode::from(if unreadable { 2 } else { 3 })
        }
    }
}

/// A line on stdout. Who has closed it, as `head` does, wants no more of it: that is no failure.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
