//! Bytes of container log files that one core turns into OTLP records a second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice_engine::cri;
use sluice_engine::pod_logs::checkpoint::Mark;
use sluice_engine::pod_logs::joiner::Joiner;
use sluice_engine::pod_logs::path::{LogName, PodFolder};
use sluice_engine::pod_logs::records::Batch;
use std::hint::black_box;

/// One read's worth of lines of 240 bytes; each `partial_every`-th is in two parts.
fn file(partial_every: usize) -> Vec<u8> {
    let content = "level=info msg=\"request served\" method=GET path=/api/v1/items ".repeat(3);
    let mut bytes = Vec::new();
    for number in 1.. {
        if 256 * 1024 < bytes.len() {
            break;
        }
        let flag = if number % partial_every == 0 { 'P' } else { 'F' };
        let line = format!("2026-01-02T03:04:05.{number:09}Z stdout {flag} {content}\n");
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes
}

fn bench(criterion: &mut Criterion) {
    let whole = file(usize::MAX);
    let parts = file(4);
    let mut group = criterion.benchmark_group("pod_logs");
    group.throughput(Throughput::Bytes(whole.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let lines = whole.split(|byte| *byte == b'\n');
            lines.filter_map(|line| cri::parse(line).ok()).map(|line| line.time_unix_nano).max()
        });
    });
    group.bench_function("join", |bencher| {
        bencher.iter(|| {
            let mut joiner = Joiner::resume(Mark::at(0), 256 * 1024);
            joiner.push(black_box(&whole), usize::MAX, &mut |record| {
                black_box(record);
            });
        });
    });
    for (name, bytes) in [("batch", &whole), ("batch of parts", &parts)] {
        let mut batch = batch();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut joiner = Joiner::resume(Mark::at(0), 256 * 1024);
                joiner.push(black_box(bytes), usize::MAX, &mut |record| batch.push(record, 1));
                batch.take()
            });
        });
    }
    group.finish();
}

fn batch() -> Batch {
    let known = PodFolder::parse("shop_cart-1_u1").zip(LogName::parse("0.log"));
    let (folder, name) = known.unwrap_or_else(|| unreachable!("both are well-formed"));
    Batch::new(&folder, "app", name, "node-1")
}

criterion_group!(benches, bench);
criterion_main!(benches);
