//! What is answered is what peers read, and back.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use sluice_wire::Signal;
use sluice_wire::response::{PartialSuccess, Status, export, export_json, partial_success};
use std::time::Duration;

#[test]
fn a_full_success_is_empty() {
    assert_eq!(export(None), ExportTraceServiceResponse::default().encode_to_vec());
    assert_eq!(export_json(Signal::Logs, None), b"{}");
    assert_eq!(partial_success(b""), None);
}

#[test]
fn a_partial_success_is_read_by_peers() {
    let partial = PartialSuccess { rejected: 300, message: "no pipeline".to_owned() };
    let body = export(Some(&partial));
    let read = ExportTraceServiceResponse::decode(&*body).unwrap().partial_success;
    let error_message = "no pipeline".to_owned();
    assert_eq!(read, Some(ExportTracePartialSuccess { rejected_spans: 300, error_message }));
    assert_eq!(partial_success(&body), Some(partial.clone()));
    for (signal, name) in Signal::ALL.iter().zip(["Spans", "DataPoints", "LogRecords"]) {
        let json: serde_json::Value =
            serde_json::from_slice(&export_json(*signal, Some(&partial))).unwrap();
        assert_eq!(json["partialSuccess"][format!("rejected{name}")], "300");
        assert_eq!(json["partialSuccess"]["errorMessage"], "no pipeline");
    }
}

#[test]
fn a_status_keeps_its_delay() {
    for retry_delay in [None, Some(Duration::ZERO), Some(Duration::from_millis(1500))] {
        let status = Status { code: 14, message: "full".to_owned(), retry_delay };
        assert_eq!(Status::from_protobuf(&status.to_protobuf()), status);
    }
    let status = Status { code: 14, message: String::new(), retry_delay: None };
    assert_eq!(status.to_protobuf(), [0x08, 14]);
}

#[test]
fn a_status_in_json_is_protobufs() {
    let retry_delay = Some(Duration::from_millis(1500));
    let status = Status { code: 14, message: "full".to_owned(), retry_delay };
    let json = String::from_utf8(status.to_json()).unwrap();
    let detail =
        r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500000000s"}"#;
    assert_eq!(json, format!(r#"{{"code":14,"details":[{detail}],"message":"full"}}"#));
}

#[test]
fn a_broken_status_is_read_as_far_as_it_goes() {
    assert_eq!(Status::from_protobuf(b"\x08\x0e\x12\x7f").code, 14);
    let forever = b"\x1a\x36\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x0a\x0a\x08\x08\xff\xff\xff\xff\xff\xff\x7f";
    assert_eq!(Status::from_protobuf(forever).retry_delay, Some(Duration::ZERO));
}
