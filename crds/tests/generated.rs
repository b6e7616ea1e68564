//! What is committed is what the code makes.

use sluice_crds::generated;
use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "a test of files")]
fn generated_files_are_committed_as_the_code_makes_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (path, text) in generated() {
        let committed = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
        assert!(committed == text, "{path} is stale: run `cargo xtask generate`");
    }
}
