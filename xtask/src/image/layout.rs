//! Files of one layer → an OCI image layout in a tar archive. The same files give the same bytes.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// What stands at a path of the image.
#[derive(Clone)]
pub(crate) enum Entry {
    File { mode: u32, bytes: Vec<u8> },
    Folder { mode: u32 },
}

/// An image of one layer.
pub(crate) struct Image {
    /// Full name with tag: `sluice.dev/sluice:0.1.0`.
    pub(crate) name: String,
    pub(crate) entrypoint: Vec<String>,
    /// By absolute path. Folders above an entry are added with mode 0755.
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// A user that no machine has; what the image runs as unless a pod says otherwise.
pub(crate) const USER: u32 = 65532;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The archive: `ctr images import` and every registry client read it.
pub(crate) fn archive(image: &Image) -> Result<Vec<u8>> {
    let layer = layer(&image.entries).context("write the layer")?;
    let layer_digest = digest(&layer);
    let config = config(image, &layer_digest).to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": format!("sha256:{layer_digest}"),
            "size": layer.len(),
        }],
    });
    let manifest = manifest.to_string().into_bytes();
    let index = json!({"schemaVersion": 2, "manifests": [named(&image.name, &manifest)]});

    let blob = |digest: &str| format!("/blobs/sha256/{digest}");
    let file = |bytes: Vec<u8>| Entry::File { mode: 0o644, bytes };
    let entries = BTreeMap::from([
        ("/oci-layout".into(), file(br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())),
        ("/index.json".into(), file(index.to_string().into_bytes())),
        (blob(&digest(&manifest)), file(manifest)),
        (blob(&digest(&config)), file(config)),
        (blob(&layer_digest), file(layer)),
    ]);
    self::layer(&entries).context("write the archive")
}

fn named(name: &str, manifest: &[u8]) -> Value {
    let mut descriptor = descriptor(MANIFEST, manifest);
    let tag = Path::new(name).file_name().and_then(|last| last.to_str()?.split_once(':'));
    descriptor["annotations"] = json!({
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": tag.map_or("latest", |(_, tag)| tag),
    });
    descriptor
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": format!("sha256:{}", digest(bytes)),
        "size": bytes.len(),
    })
}

fn config(image: &Image, layer_digest: &str) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": image.entrypoint,
            "Env": ["PATH=/usr/bin"],
            "User": format!("{USER}:{USER}"),
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    })
}

/// OCI names architectures as Go does.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A tar archive of the entries in the order of their paths: owner 0, time 0.
fn layer(entries: &BTreeMap<String, Entry>) -> std::io::Result<Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in entries.keys() {
        for folder in Path::new(path).ancestors().skip(1) {
            let folder = folder.to_string_lossy();
            if folder != "/" {
                all.insert(folder.into_owned(), Entry::Folder { mode: 0o755 });
            }
        }
    }
    all.extend(entries.iter().map(|(path, entry)| (path.clone(), entry.clone())));

    let mut archive = tar::Builder::new(Vec::new());
    for (path, entry) in &all {
        let mut header = tar::Header::new_ustar();
        let (kind, mode, bytes) = match entry {
            Entry::File { mode, bytes } => (tar::EntryType::Regular, *mode, bytes.as_slice()),
            Entry::Folder { mode } => (tar::EntryType::Directory, *mode, [].as_slice()),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path.trim_start_matches('/'), bytes)?;
    }
    archive.into_inner()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn image() -> Image {
        let bytes = b"content".to_vec();
        Image {
            name: "sluice.dev/test:1".into(),
            entrypoint: vec!["/usr/bin/test".into()],
            entries: BTreeMap::from([
                ("/usr/bin/test".into(), Entry::File { mode: 0o755, bytes }),
                ("/tmp".into(), Entry::Folder { mode: 0o1777 }),
            ]),
        }
    }

    /// The archive's files by path, with their modes.
    fn read(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(path, (entry.header().mode().unwrap(), bytes));
        }
        files
    }

    /// The blob that a descriptor names; its bytes must have the digest and size it says.
    fn follow(files: &BTreeMap<String, (u32, Vec<u8>)>, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let (_, bytes) = &files[&format!("blobs/sha256/{digest}")];
        assert_eq!(super::digest(bytes), digest);
        assert_eq!(descriptor["size"], bytes.len());
        bytes.clone()
    }

    #[test]
    fn every_descriptor_leads_to_the_blob_it_describes() {
        let files = read(&archive(&image()).unwrap());
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let index = parse(&files["index.json"].1);
        let manifest = parse(&follow(&files, &index["manifests"][0]));
        let config = parse(&follow(&files, &manifest["config"]));
        let layer = follow(&files, &manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        let files = read(&layer);
        assert_eq!(files["usr/bin/test"], (0o755, b"content".to_vec()));
        assert_eq!(files["tmp"].0, 0o1777);
        assert_eq!(files["usr"].0, 0o755);
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        assert_eq!(archive(&image()).unwrap(), archive(&image()).unwrap());
    }

    #[test]
    fn the_archive_carries_the_image_name() {
        let files = read(&archive(&image()).unwrap());
        let index: Value = serde_json::from_slice(&files["index.json"].1).unwrap();
        let annotations = &index["manifests"][0]["annotations"];
        assert_eq!(annotations["io.containerd.image.name"], "sluice.dev/test:1");
        assert_eq!(annotations["org.opencontainers.image.ref.name"], "1");
    }
}
