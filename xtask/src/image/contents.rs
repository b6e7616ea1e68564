//! What an image holds: programs with the shared libraries they link, and the few files that
//! programs expect of a system.

use super::layout::{Entry, USER};
use crate::commands;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Programs of this machine, in `/usr/bin`, with their libraries and the system's files.
pub(super) fn of(programs: &[PathBuf]) -> Result<BTreeMap<String, Entry>> {
    let mut entries = system()?;
    for program in programs {
        let name = program.file_name().context("name a program")?.to_string_lossy();
        entries.insert(format!("/usr/bin/{name}"), file(program, 0o755)?);
        for library in libraries(program)? {
            entries.insert(library.clone(), file(Path::new(&library), 0o755)?);
        }
    }
    Ok(entries)
}

fn file(path: &Path, mode: u32) -> Result<Entry> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(Entry::File { mode, bytes })
}

fn system() -> Result<BTreeMap<String, Entry>> {
    if !Path::new(AUTHORITIES).is_file() {
        bail!("no {AUTHORITIES} on this host: install the package ca-certificates");
    }
    let text = |text: String| Entry::File { mode: 0o644, bytes: text.into_bytes() };
    Ok(BTreeMap::from([
        (AUTHORITIES.into(), file(Path::new(AUTHORITIES), 0o644)?),
        ("/etc/group".into(), text(format!("root:x:0:\nsluice:x:{USER}:\n"))),
        ("/etc/nsswitch.conf".into(), text("hosts: files dns\n".into())),
        (
            "/etc/passwd".into(),
            text(format!(
                "root:x:0:0::/:/sbin/nologin\nsluice:x:{USER}:{USER}::/tmp:/sbin/nologin\n"
            )),
        ),
        ("/tmp".into(), Entry::Folder { mode: 0o1777 }),
    ]))
}

/// The loader and the shared libraries of a program, where the loader looks for them; none for a
/// static program.
fn libraries(program: &Path) -> Result<BTreeSet<String>> {
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").output();
    let output = output.with_context(|| format!("list the libraries of {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !errors.contains("not a dynamic executable") {
        bail!("cannot list the libraries of {}: {}", program.display(), errors.trim());
    }
    libraries_in(&text)
}

/// ldd's lines: `name => path (address)`, or `path (address)` for the loader.
fn libraries_in(text: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let place = line.split_once(" => ").map_or(line, |(_, place)| place).trim();
        if place == "not found" {
            bail!("a library is missing on this host: {}", line.trim());
        }
        let path = place.split(" (").next().unwrap_or(place);
        if path.starts_with('/') {
            found.insert(path.to_owned());
        }
    }
    Ok(found)
}

/// A static program from one C file.
pub(super) fn compile_static(source: &Path, target: &Path) -> Result<()> {
    let mut command = Command::new("gcc");
    command.args(["-static", "-O2", "-s", "-o"]).arg(target).arg(source);
    commands::output(&mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_and_the_libraries_are_found_and_the_kernel_s_page_is_not() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f11)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f22)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(libraries_in(text).unwrap(), expected.map(str::to_owned).into());
    }

    #[test]
    fn a_missing_library_is_named() {
        let error = libraries_in("\tlibodd.so.1 => not found\n").unwrap_err();
        assert!(error.to_string().contains("libodd.so.1"), "{error}");
    }

    #[test]
    fn a_static_program_needs_no_library() {
        assert!(libraries_in("\tstatically linked\n").unwrap().is_empty());
    }
}
