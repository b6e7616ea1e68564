//! The metrics of the shop: request durations by route, orders, memory. Cumulative, as SDKs send.

use super::call::Served;
use super::random::Random;
use super::service::{Service, number, text};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};
use std::collections::BTreeMap;

/// In seconds; the semantic conventions' advice.
const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

pub(super) struct Meter {
    started_ns: u64,
    durations: BTreeMap<(Service, Served), Durations>,
}

#[derive(Clone, Default)]
struct Durations {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Meter {
    pub(super) fn new(now_ns: u64) -> Self {
        Self { started_ns: now_ns, durations: BTreeMap::new() }
    }

    pub(super) fn record(&mut self, service: Service, served: &Served, length_ns: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a length of seconds, to the microsecond")]
        let seconds = length_ns as f64 / 1e9;
        let durations = self.durations.entry((service, served.clone())).or_default();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        durations.counts[bucket] += 1;
        durations.sum += seconds;
    }

    /// All metrics of a service, as of now.
    pub(super) fn read(&self, service: Service, now_ns: u64, random: &mut Random) -> Vec<Metric> {
        let mut metrics = vec![self.memory(now_ns, random)];
        let of_service = self.durations.iter().filter(|((other, _), _)| *other == service);
        let points: Vec<_> = of_service
            .map(|((_, served), durations)| self.point(served, durations, now_ns))
            .collect();
        if points.is_empty() {
            return metrics;
        }
        if service == Service::Checkout {
            metrics.push(self.orders(&points, now_ns));
        }
        metrics.push(Metric {
            name: "http.server.request.duration".to_owned(),
            description: "Duration of HTTP server requests.".to_owned(),
            unit: "s".to_owned(),
            data: Some(Data::Histogram(Histogram {
                data_points: points,
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            })),
            ..Metric::default()
        });
        metrics
    }

    fn point(&self, served: &Served, durations: &Durations, now_ns: u64) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: vec![
                text("http.request.method", served.method),
                text("http.route", served.route),
                number("http.response.status_code", served.code),
            ],
            start_time_unix_nano: self.started_ns,
            time_unix_nano: now_ns,
            count: durations.counts.iter().sum(),
            sum: Some(durations.sum),
            bucket_counts: durations.counts.to_vec(),
            explicit_bounds: BOUNDS.to_vec(),
            ..HistogramDataPoint::default()
        }
    }

    fn orders(&self, served: &[HistogramDataPoint], now_ns: u64) -> Metric {
        let orders: u64 = served.iter().map(|point| point.count).sum();
        let value = Value::AsInt(i64::try_from(orders).unwrap_or(i64::MAX));
        let point = NumberDataPoint {
            start_time_unix_nano: self.started_ns,
            time_unix_nano: now_ns,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        Metric {
            name: "shop.orders".to_owned(),
            description: "Orders that were placed or refused.".to_owned(),
            unit: "{order}".to_owned(),
            data: Some(Data::Sum(Sum {
                data_points: vec![point],
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            })),
            ..Metric::default()
        }
    }

    fn memory(&self, now_ns: u64, random: &mut Random) -> Metric {
        let bytes = random.between(180 << 20, 220 << 20);
        let point = NumberDataPoint {
            start_time_unix_nano: self.started_ns,
            time_unix_nano: now_ns,
            value: Some(Value::AsInt(i64::try_from(bytes).unwrap_or(i64::MAX))),
            ..NumberDataPoint::default()
        };
        Metric {
            name: "process.memory.usage".to_owned(),
            description: "The amount of physical memory in use.".to_owned(),
            unit: "By".to_owned(),
            data: Some(Data::Gauge(Gauge { data_points: vec![point] })),
            ..Metric::default()
        }
    }
}
