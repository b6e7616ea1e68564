//! A config that an earlier version stored still reads: operators find the last good versions of
//! pipelines in it, agents what they ran.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sluice_engine::config::gateway::Gateway;
use sluice_engine::config::{Compression, Config};
use sluice_engine::forward::{Trust, outlets};
use sluice_engine::ring::{Member, Ring, SLOTS};

/// Never edited: a new field has a serde default, or `FORMAT` rises and nothing stored is read.
const STORED: &[u8] = include_bytes!("config-1.json");

#[test]
fn a_stored_config_of_this_format_reads() {
    let config = Config::from_bytes(STORED).unwrap();
    assert_eq!(config.pipelines.len(), 1);
    assert_eq!(config.destinations.len(), 3);
}

#[test]
fn gateways_are_sent_zstd_unless_a_config_says_otherwise() {
    let mut gateway = serde_json::to_value(Gateway::default()).unwrap();
    gateway.as_object_mut().unwrap().remove("compression").unwrap();
    let silent: Gateway = serde_json::from_value(gateway).unwrap();
    let plain = Gateway { compression: Compression::None, ..silent.clone() };
    let member = Member { name: "g0".to_owned(), address: "127.0.0.1:1".to_owned() };
    let ring = Ring::new(1, vec![member], vec![0; SLOTS]).ok().unwrap();
    for (gateway, expected) in [(silent, Compression::Zstd), (plain, Compression::None)] {
        let config = Config { gateway, ..Config::from_bytes(STORED).unwrap() };
        let outlets = outlets(&config, &ring, Trust::Nothing, None);
        let found: Vec<_> = outlets.values().map(|own| own.destination.compression).collect();
        assert_eq!(found, [expected]);
    }
}
