//! Builds the Go programs that the tests need (Kubernetes, Helm, OTel Collector …) into a cache
//! outside the work tree. A set is a folder of `xtask/go`; its pinned versions are its key.

use crate::commands;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// All sets are built with these, so that a program runs in an image without libraries.
const FLAGS: &[&str] = &["-trimpath", "-buildvcs=false"];

/// The folder that holds the set's programs; built first if this version is not in the cache.
pub(crate) fn ensure(set: &str) -> Result<PathBuf> {
    let source = crate::root().join("xtask/go").join(set);
    let module = fs::read_to_string(source.join("go.mod"))
        .with_context(|| format!("read the go.mod of the program set {set:?}"))?;
    let linker_flags = linker_flags(&module);
    let key = key(&source, &linker_flags)?;
    let target = cache()?.join("programs").join(format!("{set}-{key}"));
    if !target.is_dir() {
        build(set, &source, &linker_flags, &target)?;
    }
    Ok(target)
}

/// The folders of all sets that are already built.
pub(crate) fn present() -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for set in sets()? {
        let source = crate::root().join("xtask/go").join(&set);
        let module = fs::read_to_string(source.join("go.mod")).context("read go.mod")?;
        let key = key(&source, &linker_flags(&module))?;
        let folder = cache()?.join("programs").join(format!("{set}-{key}"));
        if folder.is_dir() {
            folders.push(folder);
        }
    }
    Ok(folders)
}

/// The names of all sets, sorted.
pub(crate) fn sets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(crate::root().join("xtask/go")).context("read xtask/go")? {
        let entry = entry.context("read xtask/go")?;
        if entry.path().join("go.mod").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// `$SLUICE_CACHE`, or `$HOME/.cache/sluice`; what is in it may be deleted at any time.
pub(crate) fn cache() -> Result<PathBuf> {
    let setting = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match (setting("SLUICE_CACHE"), setting("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache/sluice"),
        (None, None) => bail!("neither SLUICE_CACHE nor HOME is set: no place for the cache"),
    };
    std::path::absolute(&folder).with_context(|| format!("resolve {}", folder.display()))
}

/// Strips the symbols and, for Kubernetes, says its version, which plain modules do not know.
fn linker_flags(module: &str) -> String {
    let version = module
        .lines()
        .find_map(|line| {
            line.trim().trim_start_matches("require ").strip_prefix("k8s.io/kubernetes ")
        })
        .and_then(|rest| rest.split_whitespace().next());
    match version {
        Some(version) => format!("-s -w -X k8s.io/component-base/version.gitVersion={version}"),
        None => "-s -w".to_owned(),
    }
}

/// A hash of everything that decides what the programs are: pinned modules, own code and flags.
fn key(source: &Path, linker_flags: &str) -> Result<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(source).with_context(|| format!("read {}", source.display()))? {
        let path = entry.with_context(|| format!("read {}", source.display()))?.path();
        if path.extension().is_some_and(|kind| kind == "go" || kind == "mod" || kind == "sum") {
            files.push(path);
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    hash.update(FLAGS.join(" "));
    hash.update(linker_flags);
    for file in &files {
        hash.update(fs::read(file).with_context(|| format!("read {}", file.display()))?);
    }
    Ok(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

/// Builds beside the target and renames, so that the target is whole or absent. Progress goes to
/// standard error: standard output belongs to the program that is built for.
fn build(set: &str, source: &Path, linker_flags: &str, target: &Path) -> Result<()> {
    let started = Instant::now();
    eprintln!("building the Go programs of {set} (once; kept in {})", target.display());
    let unfinished = target.with_extension(format!("unfinished-{}", std::process::id()));
    fs::create_dir_all(&unfinished).with_context(|| format!("create {}", unfinished.display()))?;
    // A folder with Go code of its own is the program; one without names its tools in go.mod.
    let what = if source.join("main.go").is_file() { "." } else { "tool" };
    let mut output = unfinished.clone().into_os_string();
    output.push("/");
    let mut command = go()?;
    command.arg("build").args(FLAGS).args(["-ldflags", linker_flags, "-o"]).arg(&output).arg(what);
    commands::run(command.current_dir(source))?;
    fs::rename(&unfinished, target)
        .with_context(|| format!("move the programs to {}", target.display()))?;
    eprintln!("built {set} in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn go() -> Result<Command> {
    let Some(program) = found_go() else {
        bail!("no `go` on PATH: the test cluster is built from Go modules (Go 1.26 or newer)");
    };
    let mut command = Command::new(program);
    command.env("CGO_ENABLED", "0").env("GOWORK", "off");
    if std::env::var_os("HOME").is_none_or(|home| home.is_empty()) {
        let cache = cache()?;
        command.env("GOCACHE", cache.join("go-build")).env("GOPATH", cache.join("go"));
    }
    Ok(command)
}

/// Go's program, on PATH or where its archive is commonly unpacked.
pub(crate) fn found_go() -> Option<PathBuf> {
    commands::find("go")
        .or_else(|| Some(PathBuf::from("/usr/local/go/bin/go")).filter(|file| file.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_is_told_its_version() {
        let module = "require (\n\tk8s.io/kubernetes v1.36.3 // indirect\n)\n";
        assert!(linker_flags(module).ends_with("version.gitVersion=v1.36.3"));
        assert_eq!(linker_flags("require helm.sh/helm/v4 v4.3.1\n"), "-s -w");
    }

    #[test]
    fn the_key_changes_with_a_pinned_version_and_with_the_flags() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("go.mod"), "module a\n").unwrap();
        let first = key(folder.path(), "-s").unwrap();
        assert_eq!(key(folder.path(), "-s").unwrap(), first);
        assert_ne!(key(folder.path(), "-w").unwrap(), first);
        fs::write(folder.path().join("go.sum"), "b v1.0.0 h1:=\n").unwrap();
        assert_ne!(key(folder.path(), "-s").unwrap(), first);
    }

    #[test]
    fn every_set_pins_its_modules() {
        for set in sets().unwrap() {
            let source = crate::root().join("xtask/go").join(&set);
            assert!(source.join("go.sum").is_file(), "{set} has no go.sum");
        }
    }
}
