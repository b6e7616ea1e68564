//! The committed code of the control protocol is what its `.proto` files generate. `UPDATE=1`
//! rewrites it.

#![expect(clippy::disallowed_methods, reason = "reads the proto, and rewrites its code on demand")]

use std::fs;
use std::path::Path;

/// It imports the others.
const PROTO: &str = "control.proto";
/// A file for each package.
const GENERATED: [&str; 4] = [
    "sluice.control.v1.rs",
    "sluice.control.v1.gateway.rs",
    "sluice.control.v1.report.rs",
    "sluice.control.v1.sampling.rs",
];

#[test]
fn the_committed_control_code_is_what_the_proto_files_generate() {
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
    for name in GENERATED {
        let generated = fs::read_to_string(out_dir.join(name)).unwrap();
        let generated = with_reasons(&generated);
        let path = Path::new("src/control").join(name);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &generated).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == generated, "{name} is behind: run UPDATE=1 cargo test -p sluice-wire");
    }
}

/// The generator switches lints off without saying why.
fn with_reasons(generated: &str) -> String {
    const REASON: &str = "reason = \"tonic-prost-build writes it so\"";
    const LINTS: [&str; 5] = [
        "unused_variables",
        "dead_code",
        "missing_docs",
        "clippy::wildcard_imports",
        "clippy::let_unit_value",
    ];
    let written: String = LINTS.iter().map(|lint| format!("        {lint},\n")).collect();
    let allowed = LINTS.join(", ");
    generated
        .replace(&format!("(\n{written}    )]"), &format!("({allowed}, {REASON})]"))
        .replace("non_camel_case_types)]", &format!("non_camel_case_types, {REASON})]"))
}
