//! Files below the logs folder, opened by handle: no link is followed, only regular files are read.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What stands under a name.
#[derive(Debug)]
pub(super) enum Found<T> {
    Here(T),
    /// Went away since its name was read.
    Gone,
    /// A link, pipe, device or the like, or nothing that this user may read.
    Ignored,
}

/// Opens the root; the way to it may hold links, since the administrator wrote it.
pub(super) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
}

pub(super) fn open_folder(at: impl AsFd, name: &str) -> io::Result<Found<OwnedFd>> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    found(openat(at, name, flags, Mode::empty()))
}

/// Does not wait for a pipe's writer, and gives a pipe back.
pub(super) fn open_file(at: impl AsFd, name: &str) -> io::Result<Found<File>> {
    let flags = OFlag::O_RDONLY
        | OFlag::O_CLOEXEC
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY;
    let file = match found(openat(at, name, flags, Mode::empty()))? {
        Found::Here(handle) => File::from(handle),
        Found::Gone => return Ok(Found::Gone),
        Found::Ignored => return Ok(Found::Ignored),
    };
    let regular = file.metadata()?.is_file();
    Ok(if regular { Found::Here(file) } else { Found::Ignored })
}

/// Device, inode and size of a regular file.
pub(super) fn look(at: impl AsFd, name: &str) -> io::Result<Found<FileStat>> {
    match found(fstatat(at, name, AtFlags::AT_SYMLINK_NOFOLLOW))? {
        Found::Here(stat)
            if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG =>
        {
            Ok(Found::Ignored)
        }
        other => Ok(other),
    }
}

/// Names in a folder, sorted; those that are no UTF-8 are left out and counted.
pub(super) fn names(folder: impl AsFd) -> io::Result<(Vec<String>, u64)> {
    let again = openat(folder, ".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    let mut strange = 0;
    for entry in Dir::from_fd(again)?.iter() {
        match entry?.file_name().to_str() {
            Ok("." | "..") => (),
            Ok(name) => names.push(name.to_owned()),
            Err(_) => strange += 1,
        }
    }
    names.sort_unstable();
    Ok((names, strange))
}

fn found<T>(result: nix::Result<T>) -> io::Result<Found<T>> {
    match result {
        Ok(here) => Ok(Found::Here(here)),
        Err(Errno::ENOENT) => Ok(Found::Gone),
        // What O_NOFOLLOW and O_DIRECTORY answer, sockets and devices without a driver, no permission.
        Err(
            Errno::ELOOP
            | Errno::ENOTDIR
            | Errno::ENXIO
            | Errno::ENODEV
            | Errno::EACCES
            | Errno::EPERM,
        ) => Ok(Found::Ignored),
        Err(error) => Err(error.into()),
    }
}
