//! What rules cost for each span: fifty policies against one, all of them in scope.

#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

#[path = "../../wire/tests/otlp/random.rs"]
mod random;
#[path = "../../wire/tests/otlp/realistic.rs"]
mod realistic;

use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use sluice_engine::config::sampling::{
    AttributeMatch, AttributeOperator, Match, RareOperation, SlowerThan, SpanStatus,
};
use sluice_engine::matching::{Matcher, ResourceMatch, Scratch};
use sluice_wire::Limits;
use sluice_wire::spans::{Probes, ScopeView, SpanView, read_spans};
use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

const SPANS: usize = 13 * 40;
const ROUNDS: usize = 400;

/// The rules that teams write, with numbers of their own.
fn policy(team: usize) -> [Match; 10] {
    let filter = |text: String| Match { trace_ql: Some(text), ..Match::default() };
    let slower = SlowerThan { percentile_ppm: 990_000, window_ms: 600_000, samples_min: 1000 };
    let rare = RareOperation { below_ppm: 10_000, window_ms: 3_600_000, per_second_max: 10 };
    let vip = AttributeMatch {
        key: format!("team-{team}.customer.tier"),
        operator: AttributeOperator::In,
        values: vec!["gold".to_owned(), "platinum".to_owned()],
    };
    let path = if team.is_multiple_of(2) { "/api" } else { ".*" };
    [
        Match { status: Some(SpanStatus::Error), ..Match::default() },
        Match { http_status: vec![(500, 599)], ..Match::default() },
        Match {
            trace_duration_min_ns: Some(1_000_000_000 + team as u64 * 1_000_000),
            ..Match::default()
        },
        Match { slower_than: Some(slower), ..Match::default() },
        Match { rare_operation: Some(rare), ..Match::default() },
        Match { attributes: vec![vip], ..Match::default() },
        Match {
            operations: vec![format!("GET /health{team}*"), "*/readyz".to_owned()],
            ..Match::default()
        },
        filter(format!(
            "{{ span.http.route = \"/api/v{team}/orders\" && duration > {}ms }}",
            100 + team
        )),
        filter(format!(
            "{{ service.name = \"service-{team}\" && (status = error || duration > 500ms) }}"
        )),
        filter(format!(
            "{{ span.url.path =~ \"{path}/v{team}/.*\" && span.http.method != \"GET\" && kind = server }}"
        )),
    ]
}

fn matcher(policies: Range<usize>) -> Matcher {
    let rules: Vec<Match> = policies.flat_map(policy).collect();
    Matcher::new(&rules).unwrap()
}

/// A request walked, each span with the number of its resource.
struct Walked<'b> {
    resources: Vec<ResourceMatch>,
    spans: Vec<(usize, SpanView<'b>)>,
}

fn walk<'b>(matcher: &Matcher, body: &'b [u8]) -> Walked<'b> {
    let mut walked = Walked { resources: Vec::new(), spans: Vec::new() };
    let probes = (matcher.resource_probes(), matcher.span_probes());
    let survey = read_spans(body, &Limits::default(), probes, |scope, span| {
        if walked.resources.len() == scope.number as usize {
            let resource = matcher.resource(scope.attributes, &|_| None, &|_| true);
            walked.resources.push(resource);
        }
        walked.spans.push((scope.number as usize, span.clone()));
    });
    survey.unwrap();
    walked
}

fn match_all(matcher: &Matcher, walked: &Walked<'_>, scratch: &mut Scratch, bits: &mut [u64]) {
    for (at, (resource, span)) in walked.spans.iter().enumerate() {
        if at.is_multiple_of(13) {
            bits.fill(0);
        }
        let mut is_tracked = |number: usize| black_box(number) == usize::MAX;
        let resource = &walked.resources[*resource];
        matcher.span(resource, black_box(span), scratch, &mut is_tracked, bits);
    }
}

fn walk_all(of_resource: &Probes, of_span: &Probes, body: &[u8]) -> usize {
    let mut found = 0;
    let see = |_: &ScopeView<'_>, span: &SpanView<'_>| found += span.attributes.len();
    read_spans(black_box(body), &Limits::default(), (of_resource, of_span), see).unwrap();
    found
}

/// The quickest of some rounds, in nanoseconds a span.
fn ns_per_span(mut round: impl FnMut()) -> f64 {
    let wall = WallTime;
    let times = (0..ROUNDS).map(|_| {
        let start = wall.start();
        round();
        wall.end(start)
    });
    let quickest: Duration = times.min().unwrap();
    quickest.as_nanos() as f64 / SPANS as f64
}

/// Nanoseconds to match a span, and to match it and walk to it.
fn costs(policies: Range<usize>, body: &[u8]) -> [f64; 2] {
    let matcher = matcher(policies.clone());
    let walked = walk(&matcher, body);
    let (mut scratch, mut bits) = (matcher.scratch(), vec![0; matcher.words()]);
    let matching = ns_per_span(|| match_all(&matcher, &walked, &mut scratch, &mut bits));
    let walking = ns_per_span(|| {
        black_box(walk_all(matcher.resource_probes(), matcher.span_probes(), body));
    });
    eprintln!(
        "policies {policies:?}: {matching:.0} ns to match a span, {walking:.0} ns to walk to it, \
         {} words a trace",
        matcher.words()
    );
    [matching, matching + walking]
}

fn compare(body: &[u8]) {
    // Two kinds of teams.
    let (even, odd) = (costs(0..1, body), costs(1..2, body));
    let fifty = costs(0..50, body);
    let ratio = |at: usize| fifty[at] * 2.0 / (even[at] + odd[at]);
    let (matching, walked) = (ratio(0), ratio(1));
    eprintln!("fifty policies cost {matching:.2} times what one does, {walked:.2} with the walk");
}

fn bench(criterion: &mut Criterion) {
    let body = realistic::request(1, SPANS).encode_to_vec();
    compare(&body);
    let mut group = criterion.benchmark_group("match");
    group.throughput(Throughput::Elements(SPANS as u64));
    for policies in [0..1, 0..50] {
        let matcher = matcher(policies.clone());
        let walked = walk(&matcher, &body);
        let (mut scratch, mut bits) = (matcher.scratch(), vec![0; matcher.words()]);
        group.bench_function(format!("policies {policies:?}"), |bencher| {
            bencher.iter(|| match_all(&matcher, &walked, &mut scratch, &mut bits));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
