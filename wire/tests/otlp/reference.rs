//! The same requests through opentelemetry-proto: decoded whole, compared as values.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::{DecodeError, Message};
use sluice_wire::Signal;
use std::fmt::Debug;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

impl Request {
    pub(crate) fn decode(signal: Signal, body: &[u8]) -> Result<Self, DecodeError> {
        Ok(match signal {
            Signal::Traces => Self::Traces(Message::decode(body)?),
            Signal::Metrics => Self::Metrics(Message::decode(body)?),
            Signal::Logs => Self::Logs(Message::decode(body)?),
        })
    }

    pub(crate) fn from_json(signal: Signal, json: &[u8]) -> serde_json::Result<Self> {
        Ok(match signal {
            Signal::Traces => Self::Traces(serde_json::from_slice(json)?),
            Signal::Metrics => Self::Metrics(serde_json::from_slice(json)?),
            Signal::Logs => Self::Logs(serde_json::from_slice(json)?),
        })
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        match self {
            Self::Traces(request) => serde_json::to_vec(request),
            Self::Metrics(request) => serde_json::to_vec(request),
            Self::Logs(request) => serde_json::to_vec(request),
        }
        .unwrap()
    }

    /// One for each block.
    pub(crate) fn resources(&mut self) -> Vec<&mut Option<Resource>> {
        match self {
            Self::Traces(request) => {
                request.resource_spans.iter_mut().map(|block| &mut block.resource).collect()
            }
            Self::Metrics(request) => {
                request.resource_metrics.iter_mut().map(|block| &mut block.resource).collect()
            }
            Self::Logs(request) => {
                request.resource_logs.iter_mut().map(|block| &mut block.resource).collect()
            }
        }
    }

    /// Every item with all that is above it, as text.
    pub(crate) fn items(&self) -> Vec<String> {
        let mut items = Vec::new();
        match self {
            Self::Traces(request) => {
                for block in &request.resource_spans {
                    for scope in &block.scope_spans {
                        let above = (&block.resource, &block.schema_url, &scope.scope);
                        list(&mut items, (above, &scope.schema_url), &scope.spans);
                    }
                }
            }
            Self::Logs(request) => {
                for block in &request.resource_logs {
                    for scope in &block.scope_logs {
                        let above = (&block.resource, &block.schema_url, &scope.scope);
                        list(&mut items, (above, &scope.schema_url), &scope.log_records);
                    }
                }
            }
            Self::Metrics(request) => {
                for block in &request.resource_metrics {
                    for scope in &block.scope_metrics {
                        let above = (&block.resource, &block.schema_url, &scope.scope);
                        let above = (above, &scope.schema_url);
                        scope.metrics.iter().for_each(|metric| points(&mut items, above, metric));
                    }
                }
            }
        }
        items
    }
}

fn points(items: &mut Vec<String>, above: impl Debug, metric: &Metric) {
    let mut empty = metric.clone();
    match &mut empty.data {
        Some(Data::Gauge(data)) => data.data_points.clear(),
        Some(Data::Sum(data)) => data.data_points.clear(),
        Some(Data::Histogram(data)) => data.data_points.clear(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.clear(),
        Some(Data::Summary(data)) => data.data_points.clear(),
        None => {}
    }
    match &metric.data {
        Some(Data::Gauge(data)) => list(items, (above, empty), &data.data_points),
        Some(Data::Sum(data)) => list(items, (above, empty), &data.data_points),
        Some(Data::Histogram(data)) => list(items, (above, empty), &data.data_points),
        Some(Data::ExponentialHistogram(data)) => list(items, (above, empty), &data.data_points),
        Some(Data::Summary(data)) => list(items, (above, empty), &data.data_points),
        None => {}
    }
}

fn list(items: &mut Vec<String>, above: impl Debug, below: &[impl Debug]) {
    let above = format!("{above:?}");
    items.extend(below.iter().map(|item| format!("{above} {item:?}")));
}

/// What an edit means: every occurrence of the keys goes, then the attributes come.
pub(crate) fn edit(resource: &mut Option<Resource>, attributes: &[(&str, &str)], removed: &[&str]) {
    let resource = resource.get_or_insert_default();
    resource.attributes.retain(|attribute| {
        let is_set = attributes.iter().any(|(key, _)| *key == attribute.key);
        !is_set && !removed.contains(&attribute.key.as_str())
    });
    resource.attributes.extend(attributes.iter().map(|(key, value)| text(key, value)));
}

/// The value of a resource attribute, if the last one of that key is a string.
pub(crate) fn attribute<'r>(resource: &'r Option<Resource>, key: &str) -> Option<&'r str> {
    let attributes = &resource.as_ref()?.attributes;
    let last = attributes.iter().rfind(|attribute| attribute.key == key)?;
    match last.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

/// A span as it is shown, but for its `tracestate`.
pub(crate) fn without_state(item: &str) -> String {
    let (before, after) = item.split_once("trace_state: \"").unwrap();
    let (_, after) = after.split_once('"').unwrap();
    format!("{before}{after}")
}
