//! A config that an earlier version stored still reads: operators find the last good versions of
//! pipelines in it, agents what they ran.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sluice_engine::config::Config;

/// Never edited: a new field has a serde default, or `FORMAT` rises and nothing stored is read.
const STORED: &[u8] = include_bytes!("config-1.json");

#[test]
fn a_stored_config_of_this_format_reads() {
    let config = Config::from_bytes(STORED).unwrap();
    assert_eq!(config.pipelines.len(), 1);
    assert_eq!(config.destinations.len(), 3);
}
