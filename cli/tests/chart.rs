//! The chart's copies of what is made elsewhere.

use std::fs;
use std::path::Path;

#[test]
fn the_chart_holds_the_generated_definitions() {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/sluice/files/crds");
    let generated = sluice_crds::generated().into_iter();
    let mut expected: Vec<(String, String)> = generated
        .filter_map(|(path, text)| Some((path.strip_prefix("crds/yaml/")?.to_owned(), text)))
        .collect();
    expected.sort();
    let mut found: Vec<(String, String)> = fs::read_dir(chart)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    assert!(found == expected, "run cargo xtask generate");
}
