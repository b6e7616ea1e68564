//! The config as ConfigMaps, gzip'd and split: one set that always holds the newest, which nobody
//! mounts, and one for new pods, rewritten rarely since every kubelet watches it.

use super::{AGENT, Source, agent_name, metadata};
use crate::observed::Fleet;
use crate::problem::Problem;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use sluice_engine::config::{Config, hash};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// Of one ConfigMap's data; the API server takes 1 MiB with everything.
const PART_BYTES_MAX: usize = 900 << 10;
/// A pod mounts so many parts, whether they exist or not.
pub(super) const PARTS_MAX: usize = 4;
/// A stored config that inflates to more is not one of ours.
const CONFIG_BYTES_MAX: u64 = 256 << 20;
const HASH: &str = "sluice.dev/config-hash";
const WRITTEN_AT: &str = "sluice.dev/written-at";

/// Which of the two sets.
#[derive(Clone, Copy)]
enum Set {
    /// What was published last; a new leader begins with it.
    Newest,
    Mounted,
}

impl Set {
    fn name(self, fleet: &str, part: usize) -> String {
        let set = match self {
            Self::Newest => "config",
            Self::Mounted => "boot",
        };
        format!("{}-{set}-{part}", agent_name(fleet))
    }
}

/// Name of a mounted part.
pub(super) fn mounted_name(fleet: &str, part: usize) -> String {
    Set::Mounted.name(fleet, part)
}

/// The key of a part's data, and its file name: the parts in this order are one gzip file.
pub(super) fn key(part: usize) -> String {
    match part {
        0 => "config.json.gz".to_owned(),
        _ => format!("config.json.gz.{part}"),
    }
}

pub(super) fn config_maps(source: &Source<'_>) -> Result<Vec<ConfigMap>, Problem> {
    let packed = pack(&source.config.bytes);
    if packed.len() > PARTS_MAX * PART_BYTES_MAX {
        return Err(Problem::invalid(
            "",
            "the configuration of all pipelines together is too large",
            "spread the pipelines over several Collectors by spec.collectorRef",
        ));
    }
    let parts: Vec<_> = packed.chunks(PART_BYTES_MAX).collect();
    let mut maps = write(source, Set::Newest, &parts, None);
    let mounted = Stored::read(source.fleet, source.name, Set::Mounted);
    let written_at = mounted.as_ref().and_then(|stored| stored.written_at);
    maps.extend(match mounted {
        Some(stored) if stored.hash == source.config.hash => {
            write(source, Set::Mounted, &parts, Some(written_at.unwrap_or(source.now)))
        }
        Some(stored) if stored.is_young(source) && stored.bytes().is_some() => stored.keep(source),
        _ => write(source, Set::Mounted, &parts, Some(source.now)),
    });
    Ok(maps)
}

/// The newest config that was published for a fleet, out of its ConfigMaps.
pub(crate) fn stored_config(fleet: &Fleet, name: &str) -> Option<Config> {
    let newest = Stored::read(fleet, name, Set::Newest).and_then(|stored| stored.config());
    newest.or_else(|| Stored::read(fleet, name, Set::Mounted)?.config())
}

/// Deterministic: no time, no name.
fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::fast());
    #[expect(clippy::expect_used, reason = "writing to memory does not fail")]
    gzip.write_all(bytes).and_then(|()| gzip.finish()).expect("memory takes all bytes")
}

fn write(
    source: &Source<'_>,
    set: Set,
    parts: &[&[u8]],
    written_at: Option<Timestamp>,
) -> Vec<ConfigMap> {
    let mut annotations = BTreeMap::from([(HASH.to_owned(), source.config.hash.clone())]);
    if let Some(written_at) = written_at {
        annotations.insert(WRITTEN_AT.to_owned(), written_at.to_string());
    }
    let map = |(i, part): (usize, &&[u8])| {
        part_of(source, set, i, annotations.clone(), ByteString(part.to_vec()))
    };
    parts.iter().enumerate().map(map).collect()
}

fn part_of(
    source: &Source<'_>,
    set: Set,
    part: usize,
    annotations: BTreeMap<String, String>,
    data: ByteString,
) -> ConfigMap {
    let mut metadata = metadata(source, AGENT, set.name(source.name, part));
    metadata.annotations = Some(annotations);
    let binary_data = Some(BTreeMap::from([(key(part), data)]));
    ConfigMap { metadata, binary_data, ..ConfigMap::default() }
}

/// A set as it is found.
struct Stored<'a> {
    set: Set,
    hash: &'a str,
    written_at: Option<Timestamp>,
    parts: Vec<&'a ByteString>,
}

impl<'a> Stored<'a> {
    fn read(fleet: &'a Fleet, name: &str, set: Set) -> Option<Self> {
        let first = fleet.config_maps.get(&set.name(name, 0))?;
        let annotations = first.metadata.annotations.as_ref()?;
        let parts = (0..PARTS_MAX).map_while(|i| {
            let map = fleet.config_maps.get(&set.name(name, i))?;
            map.binary_data.as_ref()?.get(&key(i))
        });
        Some(Self {
            set,
            hash: annotations.get(HASH)?,
            written_at: annotations.get(WRITTEN_AT).and_then(|time| time.parse().ok()),
            parts: parts.collect(),
        })
    }

    fn config(&self) -> Option<Config> {
        Config::from_bytes(&self.bytes()?).ok()
    }

    /// `None` when what is stored is not what its hash says: edited by hand, or half replaced.
    fn bytes(&self) -> Option<Vec<u8>> {
        let packed = self.parts.iter().flat_map(|part| &part.0).copied().collect::<Vec<_>>();
        let mut bytes = Vec::new();
        GzDecoder::new(&*packed).take(CONFIG_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        (hash(&bytes) == self.hash).then_some(bytes)
    }

    fn is_young(&self, source: &Source<'_>) -> bool {
        let interval = source.settings.boot_strap_interval;
        self.written_at
            .is_some_and(|at| at <= source.now && source.now.duration_since(at) < interval)
    }

    /// The same objects again.
    fn keep(&self, source: &Source<'_>) -> Vec<ConfigMap> {
        let mut annotations = BTreeMap::from([(HASH.to_owned(), self.hash.to_owned())]);
        if let Some(written_at) = self.written_at {
            annotations.insert(WRITTEN_AT.to_owned(), written_at.to_string());
        }
        let map = |(i, data): (usize, &&ByteString)| {
            part_of(source, self.set, i, annotations.clone(), (*data).clone())
        };
        self.parts.iter().enumerate().map(map).collect()
    }
}
