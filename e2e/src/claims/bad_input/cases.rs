//! The requests, and what OTLP, HTTP and gRPC say about each. The last of each list is good.

use super::Verdict;
use super::bodies::{self, BYTES_MAX, field, with_span};
use std::io;

const TRACES: &str = "/v1/traces";
const METRICS: &str = "/v1/metrics";
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const GRPC: &str = "application/grpc";

// gRPC's codes.
const OK: u16 = 0;
const INVALID_ARGUMENT: u16 = 3;
const RESOURCE_EXHAUSTED: u16 = 8;
const UNIMPLEMENTED: u16 = 12;

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    /// Empty: not said.
    pub(super) encoding: &'static str,
    pub(super) body: Vec<u8>,
    framing: Framing,
    pub(super) expected: Verdict,
    /// Whether the books must hold it as refused: not where it is unclear which signal it was.
    pub(super) is_counted: bool,
}

/// How HTTP/1.1 is told where the body ends.
enum Framing {
    Length,
    /// A length that is not the body's.
    LengthOf(usize),
    Chunked,
}

/// A POST of traces.
fn case(name: &'static str, content_type: &'static str, body: Vec<u8>, status: u16) -> Case {
    Case {
        name,
        method: "POST",
        path: TRACES,
        content_type,
        encoding: "",
        body,
        framing: Framing::Length,
        expected: Verdict::Http(status),
        is_counted: status != 200,
    }
}

pub(super) fn http() -> io::Result<Vec<Case>> {
    Ok([protobuf(), json(), compressed()?, protocol()].into_iter().flatten().collect())
}

fn protobuf() -> Vec<Case> {
    let wrong = |name, body| case(name, PROTOBUF, body, 400);
    let histogram = field(0x12, &field(0x12, &field(0x4a, &field(0x0a, &field(0x32, &[0; 7])))));
    vec![
        wrong("the last byte is missing", bodies::truncated()),
        wrong("a length beyond the end", vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x07]),
        wrong("a varint of eleven bytes", [&[0x0a], &[0xff; 10][..], &[0x01]].concat()),
        wrong("a message as a number", vec![0x08, 0x01]),
        wrong("a group", vec![0x0b, 0x0c]),
        wrong("field number 0", vec![0x02, 0x00]),
        wrong("a name that is not UTF-8", with_span(&field(0x2a, &[0xff, 0xfe]))),
        wrong("a trace id of 15 bytes", with_span(&field(0x0a, &[7; 15]))),
        wrong("ten thousand attributes", with_span(&field(0x4a, &[]).repeat(10_000))),
        wrong("an attribute nested 5000 times", bodies::nested(5000)),
        Case { path: METRICS, ..wrong("a packed field of seven bytes", field(0x0a, &histogram)) },
        wrong("text", b"GET /cart 200".to_vec()),
    ]
}

fn json() -> Vec<Case> {
    let wrong = |name, body: &[u8]| case(name, JSON, body.to_vec(), 400);
    vec![
        wrong("JSON without its end", br#"{"resourceSpans":["#),
        wrong("a number for a list", br#"{"resourceSpans":7}"#),
        wrong("JSON nested 1000 times", &bodies::nested_json(1000)),
        wrong("protobuf as JSON", &bodies::good()),
    ]
}

fn compressed() -> io::Result<Vec<Case>> {
    let of = |name, encoding, body, status| Case { encoding, ..case(name, PROTOBUF, body, status) };
    let gzip = bodies::gzip(&bodies::good())?;
    Ok(vec![
        of("a gzip bomb", "gzip", bodies::gzip(&bodies::zeros())?, 413),
        of("a gzip bomb that says it is small", "gzip", bodies::gzip_liar()?, 413),
        of("a zstd bomb", "zstd", bodies::zstd(&bodies::zeros())?, 413),
        of("a zstd frame with a window of 128 MiB", "zstd", bodies::zstd_wide()?, 400),
        of("half a gzip body", "gzip", gzip[..gzip.len() / 2].to_vec(), 400),
        of("gzip that is none", "gzip", bodies::good(), 400),
        of("an unknown compression", "br", bodies::good(), 415),
    ])
}

fn protocol() -> Vec<Case> {
    let good = bodies::good;
    let uncounted = |case| Case { is_counted: false, ..case };
    vec![
        Case {
            framing: Framing::LengthOf(BYTES_MAX + 1),
            ..case("a length that is told too large", PROTOBUF, Vec::new(), 413)
        },
        Case {
            framing: Framing::Chunked,
            ..case("chunks without end", PROTOBUF, vec![0; BYTES_MAX + 1], 413)
        },
        case("an unknown content type", "text/plain", good(), 415),
        uncounted(Case { path: "/v1/profiles", ..case("no such signal", PROTOBUF, good(), 404) }),
        uncounted(Case { method: "PUT", ..case("another method", PROTOBUF, good(), 405) }),
        case("a good request", PROTOBUF, good(), 200),
    ]
}

pub(super) fn grpc() -> io::Result<Vec<Case>> {
    let of = |name, body, code| Case {
        path: EXPORT,
        expected: Verdict::Grpc(code),
        is_counted: code != OK,
        ..case(name, GRPC, body, 200)
    };
    let compressed = |encoding, case| Case { encoding, ..case };
    let uncounted = |case| Case { is_counted: false, ..case };
    let good = framed(0, &bodies::good());
    let too_long = (BYTES_MAX as u32 + 1).to_be_bytes();
    let bomb = framed(1, &bodies::gzip(&bodies::zeros())?);
    Ok(vec![
        of("half a prefix", vec![0, 0, 0], INVALID_ARGUMENT),
        of("an unknown flag", framed(7, &bodies::good()), INVALID_ARGUMENT),
        of("a message shorter than told", vec![0, 0, 0, 1, 0, 9], INVALID_ARGUMENT),
        of("two messages", good.repeat(2), INVALID_ARGUMENT),
        of("a length that is told too large", [&[0], &too_long[..]].concat(), RESOURCE_EXHAUSTED),
        of("a truncated message", framed(0, &bodies::truncated()), INVALID_ARGUMENT),
        of("an attribute nested 5000 times", framed(0, &bodies::nested(5000)), INVALID_ARGUMENT),
        compressed("gzip", of("a gzip bomb", bomb, RESOURCE_EXHAUSTED)),
        compressed("gzip", of("gzip that is none", framed(1, &bodies::good()), INVALID_ARGUMENT)),
        compressed("snappy", of("an unknown compression", good.clone(), UNIMPLEMENTED)),
        uncounted(Case {
            path: "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
            ..of("an unknown method", good.clone(), UNIMPLEMENTED)
        }),
        uncounted(Case {
            path: EXPORT,
            ..case("an unknown content type", "application/json", good.clone(), 415)
        }),
        of("a good request", good, OK),
    ])
}

/// A message as gRPC sends it: a flag, four bytes of length, and it.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    [&[flag], &length[..], message].concat()
}

impl Case {
    /// The bytes of the request in HTTP/1.1.
    pub(super) fn http_request(&self) -> Vec<u8> {
        let Self { method, path, content_type, encoding, body, .. } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: agent\r\n");
        head += &format!("Content-Type: {content_type}\r\n");
        if !encoding.is_empty() {
            head += &format!("Content-Encoding: {encoding}\r\n");
        }
        let told = match self.framing {
            Framing::Length => body.len(),
            Framing::LengthOf(length) => length,
            Framing::Chunked => {
                head += &format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
                return [head.as_bytes(), body, b"\r\n"].concat();
            }
        };
        head += &format!("Content-Length: {told}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }
}
