//! The JSON form, against opentelemetry-proto's and by the specification's own rules.

use super::arbitrary;
use super::random::Random;
use super::reference::Request;
use sluice_wire::{Limits, Signal, json, survey};

#[test]
fn the_json_form_loses_nothing() {
    for seed in 0..500 {
        for signal in Signal::ALL {
            let body = arbitrary::body(signal, &mut Random(seed));
            let expected = Request::decode(signal, &body).unwrap();
            let mut line = Vec::new();
            json::from_protobuf(signal, &body, &mut line);
            let text = String::from_utf8(line).unwrap();
            let back = json::to_protobuf(signal, text.as_bytes()).unwrap();
            survey(signal, &back, &Limits::default()).unwrap();
            let found = Request::decode(signal, &back).unwrap();
            assert_eq!(found, expected, "seed {seed} of {signal}: {text}");
            assert!(!text.contains('\n'), "one line");
        }
    }
}

#[test]
fn our_json_is_read_by_others_and_theirs_by_us() {
    let mut compared = 0;
    for seed in 0..500 {
        for signal in Signal::ALL {
            let body = arbitrary::body(signal, &mut Random(seed));
            let expected = Request::decode(signal, &body).unwrap();
            // opentelemetry-proto 0.33 knows no infinity, wants every key, even an empty one,
            // and leaves out the data of a metric that it cannot read.
            if format!("{expected:?}").contains("inf") {
                continue;
            }
            let back = json::to_protobuf(signal, &expected.to_json()).unwrap();
            let found = Request::decode(signal, &back).unwrap();
            assert_eq!(found, expected, "seed {seed} of {signal}");
            let mut line = Vec::new();
            json::from_protobuf(signal, &body, &mut line);
            if let (Ok(theirs), false) =
                (Request::from_json(signal, &line), signal == Signal::Metrics)
            {
                assert_eq!(theirs, expected, "seed {seed} of {signal}");
                compared += 1;
            }
        }
    }
    assert!(compared > 50, "only {compared} requests were compared");
}

fn span(fields: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#)
}

/// A span of these fields, in JSON, as it is written again.
#[track_caller]
fn check(fields: &str, expected: &str) {
    let body = json::to_protobuf(Signal::Traces, span(fields).as_bytes()).unwrap();
    survey(Signal::Traces, &body, &Limits::default()).unwrap();
    let mut line = Vec::new();
    json::from_protobuf(Signal::Traces, &body, &mut line);
    assert_eq!(String::from_utf8(line).unwrap(), span(expected));
}

#[test]
fn ids_are_hexadecimal_in_either_case() {
    check(
        r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174""#,
        r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174""#,
    );
}

#[test]
fn large_integers_are_strings_and_may_come_as_numbers() {
    check(
        r#""startTimeUnixNano":1544712660000000000,"endTimeUnixNano":"18446744073709551615""#,
        r#""startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"18446744073709551615""#,
    );
    check(r#""kind":2.0,"droppedEventsCount":"7""#, r#""kind":2,"droppedEventsCount":7"#);
}

#[test]
fn unknown_names_and_nulls_are_passed_over() {
    check(
        r#""name":"a","trace_state":"x","new":{"deep":[1,{"b":null}]},"events":null,"status":null"#,
        r#""name":"a""#,
    );
}

#[test]
fn values_of_every_kind_come_back() {
    let attribute = |value: &str| format!(r#""attributes":[{{"key":"k","value":{value}}}]"#);
    for value in [
        r#"{"stringValue":"\"\\\n€"}"#,
        r#"{"boolValue":false}"#,
        r#"{"intValue":"-9223372036854775808"}"#,
        r#"{"doubleValue":0.1}"#,
        r#"{"doubleValue":"NaN"}"#,
        r#"{"doubleValue":"-Infinity"}"#,
        r#"{"bytesValue":"AP/+"}"#,
        r#"{"arrayValue":{"values":[{"intValue":"0"},{}]}}"#,
        r#"{"kvlistValue":{"values":[{"key":"a","value":{"stringValue":""}}]}}"#,
        "{}",
    ] {
        check(&attribute(value), &attribute(value));
    }
    let url_safe = attribute(r#"{"bytesValue":"AP_-"}"#);
    check(&url_safe, &attribute(r#"{"bytesValue":"AP/+"}"#));
    check(&attribute(r#"{"doubleValue":3}"#), &attribute(r#"{"doubleValue":3.0}"#));
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    for fields in [
        r#""traceId":"xyz""#,
        r#""traceId":5"#,
        r#""kind":"SPAN_KIND_SERVER""#,
        r#""kind":3000000000"#,
        r#""startTimeUnixNano":"soon""#,
        r#""startTimeUnixNano":-1"#,
        r#""startTimeUnixNano":1.5"#,
        r#""name":7"#,
        r#""events":{}"#,
        r#""name":["a"]"#,
        r#""status":"bad""#,
    ] {
        let problem = json::to_protobuf(Signal::Traces, span(fields).as_bytes()).unwrap_err();
        assert!(problem.to_string().contains("at line 1 column"), "{fields}: {problem}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for text in ["", "[]", "{", "{}x", "7", "\u{feff}{}", &"[".repeat(100_000)] {
        assert!(json::to_protobuf(Signal::Logs, text.as_bytes()).is_err(), "{text:.20}");
    }
    let deep = r#"{"kvlistValue":{"values":[{"value":"#.repeat(40);
    let deep = span(&format!(r#""attributes":[{{"value":{deep}"#));
    assert!(
        json::to_protobuf(Signal::Traces, deep.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("recursion limit")
    );
}

#[test]
fn repeated_parts_of_a_message_merge() {
    // A span with two statuses: code 2, then a message; and a name twice.
    let span = b"\x7a\x02\x18\x02\x7a\x03\x12\x01m\x2a\x01a\x2a\x01b";
    let body = [b"\x0a\x13\x12\x11\x12\x0f".as_slice(), span].concat();
    survey(Signal::Traces, &body, &Limits::default()).unwrap();
    let mut line = Vec::new();
    json::from_protobuf(Signal::Traces, &body, &mut line);
    let expected = self::span(r#""name":"b","status":{"message":"m","code":2}"#);
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}
