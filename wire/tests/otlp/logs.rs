//! Written log records are what opentelemetry-proto reads.

use super::reference::text;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use sluice_wire::logs::LogBlock;

#[test]
fn a_log_block_is_a_request() {
    let mut block = LogBlock::new(&[("k8s.pod.name", "web-0")]);
    let long = "x".repeat(300);
    block.push(7, 9, "hello", &[("log.iostream", "stderr")]);
    block.push(0, 9, &long, &[]);
    assert_eq!(block.items(), 2);
    let body = |text: &str| Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
    let log_records = vec![
        LogRecord {
            time_unix_nano: 7,
            observed_time_unix_nano: 9,
            body: body("hello"),
            attributes: vec![text("log.iostream", "stderr")],
            ..Default::default()
        },
        LogRecord { observed_time_unix_nano: 9, body: body(&long), ..Default::default() },
    ];
    let attributes = vec![text("k8s.pod.name", "web-0")];
    let expected = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource { attributes, ..Default::default() }),
            scope_logs: vec![ScopeLogs { log_records, ..Default::default() }],
            ..Default::default()
        }],
    };
    assert_eq!(ExportLogsServiceRequest::decode(&*block.finish()).unwrap(), expected);
}

#[test]
fn a_finished_block_starts_anew() {
    let mut block = LogBlock::new(&[("a", "b")]);
    assert!(block.finish().is_empty());
    block.push(1, 1, "once", &[]);
    let first = block.finish();
    assert_eq!(block.items(), 0);
    block.push(1, 1, "once", &[]);
    assert_eq!(block.finish(), first);
}
