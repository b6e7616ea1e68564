//! What one request of 480 spans costs: to walk it, to edit it, and to decode it for comparison.

#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

#[path = "../tests/otlp/random.rs"]
mod random;
#[path = "../tests/otlp/realistic.rs"]
mod realistic;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use sluice_wire::spans::{Probes, ScopeView, SpanView, read_spans};
use sluice_wire::{Limits, ResourceEdit, Signal, partition, survey, thin_traces, write_block};
use std::hint::black_box;

const SPANS: usize = 480;

fn bench(criterion: &mut Criterion) {
    let body = realistic::request(1, SPANS).encode_to_vec();
    let limits = Limits::default();
    let edit = ResourceEdit::new(
        &[
            ("k8s.namespace.name", "shop"),
            ("k8s.pod.name", "frontend-7d9c5b6f4-x2x9z"),
            ("k8s.pod.uid", "0b5a0b0e-6f5c-4f7e-9a3b-0f2f6f0a1c11"),
            ("k8s.node.name", "node-1"),
            ("k8s.deployment.name", "frontend"),
            ("k8s.cluster.name", "prod"),
        ],
        &["k8s.namespace.uid"],
    );
    let mut group = criterion.benchmark_group("request of 480 spans");
    group.throughput(Throughput::Elements(SPANS as u64));
    group.bench_function("survey", |bencher| {
        bencher.iter(|| survey(Signal::Traces, black_box(&body), &limits));
    });
    let mut out = Vec::new();
    group.bench_function("survey and edit", |bencher| {
        bencher.iter(|| {
            out.clear();
            let survey = survey(Signal::Traces, black_box(&body), &limits).unwrap();
            for block in &survey.blocks {
                write_block(&body, block, Some(&edit), &mut out);
            }
            out.len()
        });
    });
    group.bench_function("thin to a quarter", |bencher| {
        bencher.iter(|| {
            out.clear();
            thin_traces(black_box(&body), 3 << 54, &mut out)
        });
    });
    let probes = Probes::new(["service.name", "http.response.status_code", "customer.tier"]);
    group.bench_function("survey and see each span, two attributes", |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            let see = |_: &ScopeView<'_>, span: &SpanView<'_>| bytes += span.payload.len();
            read_spans(black_box(&body), &limits, (&probes, &probes), see).unwrap();
            bytes
        });
    });
    group.bench_function("survey and partition for 4 owners", |bencher| {
        bencher.iter(|| {
            let survey = survey(Signal::Traces, black_box(&body), &limits).unwrap();
            (survey, partition(&body, (4, 64), |id| usize::from(id[0] & 3)))
        });
    });
    group.bench_function("decode (prost)", |bencher| {
        bencher.iter(|| ExportTraceServiceRequest::decode(black_box(&*body)));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
