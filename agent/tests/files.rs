//! What the agent writes to disk: telemetry in files that rotate, and a folder that is its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use prost::Message;
use sluice_agent::cluster::prepare_state;
use sluice_agent::{FailureReason, Running, start};
use sluice_engine::config::{Config, DestinationKind};
use sluice_wire::Signal;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use support::client::{Grpc, frame};
use support::*;

const BYTES_MAX: u64 = 1000;

fn config_of(path: &str, files_max: u32) -> Config {
    let mut destination = file(path);
    let path = path.to_owned();
    destination.kind = DestinationKind::File { path, bytes_max: BYTES_MAX, files_max };
    config_to(&[("shop/archive", destination)])
}

/// A line each: the next is sent when the one before was written.
async fn write(running: &Running, ids: std::ops::Range<u64>) {
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    for id in ids {
        let body = logs(id..id + 1).encode_to_vec();
        let status = grpc.call(Signal::Logs.grpc_path(), &[], frame(false, &body)).await;
        assert_eq!(status.code, 0);
        let held = || running.books().destinations.values().map(|book| book.held).sum::<u64>();
        until("the line is written", || held() == 0).await;
    }
}

/// The ids in each file, the newest file first.
fn read(folder: &Path) -> Vec<Vec<u64>> {
    let mut names: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let numbered = |number| match number {
        0 => folder.join("logs.jsonl"),
        number => folder.join(format!("logs.jsonl.{number}")),
    };
    assert_eq!(names, (0..names.len()).map(numbered).collect::<Vec<_>>());
    names.iter().map(|name| fs::read_to_string(name).unwrap().lines().map(id).collect()).collect()
}

fn id(line: &str) -> u64 {
    let request: serde_json::Value = serde_json::from_str(line).unwrap();
    let record = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    record["body"]["stringValue"].as_str().unwrap().parse().unwrap()
}

/// The files that lines of one size fill, the newest first.
fn expected(ids: std::ops::Range<u64>, lines: u64, files_max: usize) -> Vec<Vec<u64>> {
    let ids: Vec<u64> = ids.collect();
    let lines = usize::try_from(lines).unwrap();
    let mut files: Vec<Vec<u64>> = ids.chunks(lines).map(<[u64]>::to_vec).collect();
    files.reverse();
    files.truncate(files_max);
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn full_files_are_rotated_and_every_line_of_those_that_are_kept_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out/archive");
    let running = start(config_of("out/archive", 3), settings(&folder)).await.unwrap();
    write(&running, 100..101).await;
    let line = fs::metadata(out.join("logs.jsonl")).unwrap().len();
    let lines = BYTES_MAX / line;
    assert!(2 <= lines, "a file holds more than a line");
    for end in 102..100 + 5 * lines {
        write(&running, end - 1..end).await;
        assert_eq!(read(&out), expected(100..end, lines, 3));
    }
    stop(running).await;

    let running = start(config_of("out/archive", 3), settings(&folder)).await.unwrap();
    write(&running, 100 + 5 * lines - 1..100 + 6 * lines).await;
    assert_eq!(read(&out), expected(100..100 + 6 * lines, lines, 3), "after a restart");

    for files_max in [2, 1] {
        running.adopt(config_of("out/archive", files_max)).await.unwrap();
        let end = 100 + (9 - u64::from(files_max)) * lines;
        write(&running, end - lines..end).await;
        let files_max = usize::try_from(files_max).unwrap();
        assert_eq!(read(&out), expected(100..end, lines, files_max), "fewer files are kept");
    }
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_larger_than_a_file_is_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(config_of("out", 2), settings(&folder)).await.unwrap();
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    write(&running, 0..1).await;
    let body = logs(1..100).encode_to_vec();
    let status = grpc.call(Signal::Logs.grpc_path(), &[], frame(false, &body)).await;
    assert_eq!(status.code, 0);
    stop(running).await;
    let newest = fs::read_to_string(folder.path().join("out/logs.jsonl")).unwrap();
    assert!(BYTES_MAX < newest.len() as u64);
    assert_eq!(newest.lines().map(id).collect::<Vec<_>>(), [1]);
    let older = fs::read_to_string(folder.path().join("out/logs.jsonl.1")).unwrap();
    assert_eq!(older.lines().map(id).collect::<Vec<_>>(), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_held_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("out"), "no folder").unwrap();
    for (path, reason) in
        [("../out", FailureReason::InvalidEndpoint), ("out", FailureReason::StorageFailed)]
    {
        let running = start(config_of(path, 2), settings(&folder)).await.unwrap();
        let mut grpc = Grpc::connect(running.grpc_address()).await;
        let body = logs(0..5).encode_to_vec();
        let status = grpc.call(Signal::Logs.grpc_path(), &[], frame(false, &body)).await;
        assert_eq!(status.code, 0);
        let failure = || running.queues().into_values().find_map(|queue| queue.failure);
        until("the failure shows", || failure().is_some()).await;
        assert_eq!(failure().unwrap().reason, reason);
        assert_eq!(running.books().destinations.values().map(|book| book.held).sum::<u64>(), 5);
        if reason == FailureReason::StorageFailed {
            fs::remove_file(folder.path().join("out")).unwrap();
        } else {
            running.adopt(config_of("elsewhere", 2)).await.unwrap();
        }
        stop(running).await;
    }
    assert_eq!(read(&folder.path().join("out")), [[0]]);
    assert_eq!(read(&folder.path().join("elsewhere")), [[0]]);
}

/// Only root, or a member of group 0, can give a folder to that group.
fn is_prepared(path: &Path) {
    match prepare_state(path) {
        Ok(()) => {
            let now = fs::metadata(path).unwrap();
            assert_eq!((now.gid(), now.permissions().mode() & 0o7777), (0, 0o770));
        }
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert_ne!(fs::metadata(path).unwrap().uid(), 0);
        }
    }
}

#[test]
fn the_state_folder_becomes_writable_for_group_0_and_for_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    is_prepared(&folder.path().join("lib/sluice"));

    let existing = folder.path().join("existing");
    fs::create_dir(&existing).unwrap();
    fs::write(existing.join("config.json"), "kept").unwrap();
    fs::set_permissions(&existing, fs::Permissions::from_mode(0o755)).unwrap();
    is_prepared(&existing);
    is_prepared(&existing);
    assert_eq!(fs::read(existing.join("config.json")).unwrap(), b"kept");

    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    if chown(&foreign, Some(65_532), Some(65_532)).is_ok() {
        is_prepared(&foreign);
        assert_eq!(fs::metadata(&foreign).unwrap().uid(), 65_532, "the owner stays");
    }
}

#[test]
fn a_state_folder_that_is_none_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fs::write(&path, "a file").unwrap();
    let before = fs::metadata(&path).unwrap().permissions().mode();
    assert!(prepare_state(&path).is_err());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode(), before);
    assert_eq!(fs::read(&path).unwrap(), b"a file");
}
