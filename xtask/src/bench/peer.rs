//! How the OpenTelemetry Collector is started: its committed configuration takes what differs
//! between runs from the environment.

use crate::contest::message::Codec;
use crate::contest::programs::{Place, Programs};
use std::process::Command;

/// `configuration` is below the root of the work tree.
pub(super) fn command(
    programs: &Programs,
    configuration: &str,
    codec: Codec,
    place: &Place,
) -> Command {
    let compression = match codec {
        Codec::Plain => "none",
        Codec::Gzip => "gzip",
        Codec::Zstd => "zstd",
    };
    let mut command = Command::new(&programs.otelcol);
    command
        .arg("--config")
        .arg(crate::root().join(configuration))
        .env("BENCH_GRPC_PORT", place.grpc.to_string())
        .env("BENCH_METRICS_PORT", place.metrics.to_string())
        .env("BENCH_DESTINATION_PORT", place.destination.port().to_string())
        .env("BENCH_COMPRESSION", compression);
    command
}
