//! Container images without a container engine: Sluice's own, and those that tests need.

mod contents;
mod layout;

use crate::{cluster, commands, programs};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use layout::{Entry, Image};

/// The image's name, as the tests give it to the chart.
const NAME: &str = concat!("sluice.dev/sluice:", env!("CARGO_PKG_VERSION"));
pub(crate) const PACKAGES: &[&str] = &["sluice-operator", "sluice-agent", "sluice-cli"];
/// What the packages build and the image holds in `/usr/bin`.
const PROGRAMS: &[&str] = &["sluice", "sluice-agent", "sluice-operator"];
/// A promise to users: what a node has to pull.
const BYTES_MAX: u64 = 60_000_000;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Makes an image of this program of the machine instead of Sluice's.
    #[arg(long, requires = "name")]
    program: Option<PathBuf>,
    /// The name with tag of that image.
    #[arg(long, requires = "program")]
    name: Option<String>,
}

/// Builds an image and, when the cluster is up, puts it on the node.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (name, archive) = match (&arguments.program, &arguments.name) {
        (Some(program), Some(name)) => (name.as_str(), of_program(program, name)?),
        _ => (NAME, build()?),
    };
    if let Ok(cluster) = cluster::running() {
        cluster.import(&archive)?;
        println!("imported {name} into the cluster");
    }
    Ok(())
}

/// The image of one program of this machine, which is its entry point; gives the archive.
pub(crate) fn of_program(program: &Path, name: &str) -> Result<PathBuf> {
    let file = program.file_name().context("name the program")?.to_string_lossy();
    let folder = programs::cache()?.join("images");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let archive = folder.join(format!("{file}.tar"));
    let bytes = write(name, &[program.to_owned()], &format!("/usr/bin/{file}"), &archive)?;
    println!("{name}: {:.1} MB in {}", bytes as f64 / 1e6, archive.display());
    Ok(archive)
}

/// Sluice's image from a release build; gives the archive, which is written anew.
pub(crate) fn build() -> Result<PathBuf> {
    let programs = release_programs(PACKAGES)?;
    for name in PROGRAMS {
        if !programs.iter().any(|program| program.ends_with(name)) {
            bail!("the release build made no {name}");
        }
    }
    let archive = programs
        .first()
        .and_then(|program| program.parent())
        .context("find the folder of the release build")?
        .join("sluice-image.tar");
    let bytes = write(NAME, &programs, "/usr/bin/sluice", &archive)?;
    println!("{NAME}: {:.1} MB in {}", bytes as f64 / 1e6, archive.display());
    if bytes > BYTES_MAX {
        bail!("the image is larger than {} MB", BYTES_MAX / 1_000_000);
    }
    Ok(archive)
}

/// Writes an image of programs of this machine, which land in `/usr/bin`. Gives its size in bytes.
pub(crate) fn write(
    name: &str,
    programs: &[PathBuf],
    entrypoint: &str,
    archive: &Path,
) -> Result<u64> {
    let entries = contents::of(programs)?;
    put(&Image { name: name.into(), entrypoint: vec![entrypoint.into()], entries }, archive)
}

/// Writes the image that holds each pod's namespaces, compiled from a few lines of C.
pub(crate) fn pause(archive: &Path) -> Result<()> {
    let source = crate::root().join("xtask/src/image/pause.c");
    let program = archive.with_extension("program");
    contents::compile_static(&source, &program)?;
    let bytes = fs::read(&program).with_context(|| format!("read {}", program.display()))?;
    let image = Image {
        name: cluster::PAUSE_IMAGE.into(),
        entrypoint: vec!["/pause".into()],
        entries: BTreeMap::from([("/pause".into(), Entry::File { mode: 0o755, bytes })]),
    };
    put(&image, archive).map(drop)
}

fn put(image: &Image, archive: &Path) -> Result<u64> {
    let bytes = layout::archive(image)?;
    fs::write(archive, &bytes).with_context(|| format!("write {}", archive.display()))?;
    Ok(bytes.len() as u64)
}

/// Builds packages in release mode; gives their programs, as cargo names them.
pub(crate) fn release_programs(packages: &[&str]) -> Result<Vec<PathBuf>> {
    let build = ["build", "--release", "--bins", "--message-format=json-render-diagnostics"];
    let mut command = commands::cargo(&build);
    command
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .stderr(Stdio::inherit());
    let output = command.output().context("start cargo")?;
    if !output.status.success() {
        bail!("the release build failed");
    }
    Ok(programs_in(&String::from_utf8_lossy(&output.stdout)))
}

/// The programs among cargo's messages, one JSON object a line.
fn programs_in(messages: &str) -> Vec<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_among_cargo_s_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/sluice\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(programs_in(messages), [PathBuf::from("/t/sluice")]);
    }

    #[test]
    fn an_image_of_a_program_holds_its_libraries_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("1.tar"), folder.path().join("2.tar"));
        let program = [std::env::current_exe().unwrap()];
        for archive in [&first, &second] {
            write("sluice.dev/test:1", &program, "/usr/bin/test", archive).unwrap();
        }
        assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    }
}
