//! The committed code of the control protocol is what its `.proto` generates. `UPDATE=1` rewrites it.

#![expect(clippy::disallowed_methods, reason = "reads the proto, and rewrites its code on demand")]

use std::fs;
use std::path::Path;

const PROTO: &str = "proto/control.proto";
const GENERATED: &str = "src/control/sluice.control.v1.rs";

#[test]
fn the_committed_control_code_is_what_the_proto_generates() {
    let out_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("control");
    fs::create_dir_all(&out_dir).unwrap();
    let descriptors = protox::compile([PROTO], ["proto"]).unwrap();
    tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .btree_map(".")
        .out_dir(&out_dir)
        .compile_fds(descriptors)
        .unwrap();
    let generated = fs::read_to_string(out_dir.join("sluice.control.v1.rs")).unwrap();
    let generated = with_reasons(&generated);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(GENERATED, &generated).unwrap();
    }
    let committed = fs::read_to_string(GENERATED).unwrap();
    assert!(committed == generated, "{PROTO} changed: run UPDATE=1 cargo test -p sluice-wire");
}

/// The generator switches lints off without saying why.
fn with_reasons(generated: &str) -> String {
    const REASON: &str = "reason = \"tonic-prost-build writes it so\"";
    generated
        .replace("clippy::let_unit_value,\n", &format!("clippy::let_unit_value, {REASON},\n"))
        .replace("non_camel_case_types)]", &format!("non_camel_case_types, {REASON})]"))
}
