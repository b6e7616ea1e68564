//! OTLP over HTTP: protobuf and JSON on `/v1/traces`, `/v1/metrics` and `/v1/logs`.

use super::inflate::Encoding;
use super::{
    BODY_PROGRESS_MAX, BODY_TIME_MAX, CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, GRACE,
    HANDSHAKE_MAX, HEADER_BYTES_MAX, RESET_STREAMS_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX, Session,
    Way, answer, remote_sampling, timed_out, too_large,
};
use crate::flow::short_of_memory;
use crate::intake::Refusal;
use crate::meter::Permit;
use ::http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use ::http::request::Parts;
use ::http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use sluice_engine::books::Refused;
use sluice_wire::{Signal, json, response};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

/// For the rest of a refused body to come.
const DISCARD_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

/// Serves one connection (HTTP/1.1, or HTTP/2 by prior knowledge) until it ends, is old, or the
/// collector stops.
pub(super) async fn serve(
    stream: TcpStream,
    session: Arc<Session>,
    age_max: Duration,
    mut closing: watch::Receiver<bool>,
) {
    let builder = builder();
    let service = service_fn(move |request| {
        let session = Arc::clone(&session);
        async move { Ok::<_, Infallible>(exchange(request, &session).await) }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // Errors are the peer's: there is nobody to tell.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = sleep(age_max) => (),
        _ = closing.wait_for(|closing| *closing) => (),
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GRACE, connection).await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_MAX)
        .max_headers(64)
        .max_buf_size(256 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(RESET_STREAMS_MAX)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(HANDSHAKE_MAX);
    builder
}

async fn exchange(request: Request<Incoming>, session: &Session) -> Response<Full<Bytes>> {
    if let Way::RemoteSampling(sender) = &session.way {
        return remote_sampling::exchange(session.intake.flow(), sender, &request);
    }
    let (head, mut body) = request.into_parts();
    let response = export(&head, &mut body, session).await;
    if head.version < Version::HTTP_2 {
        discard(&mut body, session.bytes_max).await;
    }
    response
}

async fn export(head: &Parts, body: &mut Incoming, session: &Session) -> Response<Full<Bytes>> {
    let path = head.uri.path();
    let named = |signal: &Signal| path.strip_prefix("/v1/") == Some(signal.as_str());
    let Some(signal) = Signal::ALL.into_iter().find(named) else {
        return plain(StatusCode::NOT_FOUND, "OTLP is served on /v1/traces, /v1/metrics, /v1/logs");
    };
    if head.method != Method::POST {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "OTLP is sent by POST");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let format = match format(&head.headers) {
        Ok(format) => format,
        Err(refusal) => {
            return refuse(
                Format::Protobuf,
                &session.refuse(super::Method::Export(signal), refusal),
            );
        }
    };
    match receive(signal, format, &head.headers, body, session).await {
        Ok(()) => {
            let body = match format {
                Format::Protobuf => response::export(None),
                Format::Json => response::export_json(signal, None),
            };
            respond(StatusCode::OK, format, body)
        }
        Err(refusal) => refuse(format, &refusal),
    }
}

async fn receive(
    signal: Signal,
    format: Format,
    headers: &HeaderMap,
    body: &mut Incoming,
    session: &Session,
) -> Result<(), Refusal> {
    let refused = |refusal| session.refuse(super::Method::Export(signal), refusal);
    let encoding = headers.get(CONTENT_ENCODING);
    let encoding = encoding.map_or(&b""[..], HeaderValue::as_bytes);
    let encoding = Encoding::parse(encoding).map_err(refused)?;
    let mut permit = session.permit();
    let body = read(body, session.bytes_max, &mut permit).await.map_err(refused)?;
    let body = session.unpack(encoding, body, &mut permit).map_err(refused)?;
    let body = match format {
        Format::Protobuf => body,
        Format::Json => transcode(signal, &body, &mut permit).map_err(refused)?,
    };
    session.submit(super::Method::Export(signal), body).map(drop)
}

fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    match essence.to_ascii_lowercase().as_slice() {
        b"application/x-protobuf" => Ok(Format::Protobuf),
        b"application/json" => Ok(Format::Json),
        _ => Err(Refusal::for_good(
            Refused::Unsupported,
            "content type is application/x-protobuf or application/json",
        )),
    }
}

async fn read(
    body: &mut Incoming,
    bytes_max: usize,
    permit: &mut Permit,
) -> Result<Bytes, Refusal> {
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if bytes_max < told {
        return Err(too_large(bytes_max));
    }
    let deadline = Instant::now() + BODY_TIME_MAX;
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    loop {
        let progress = deadline.min(Instant::now() + BODY_PROGRESS_MAX);
        let frame = match timeout_at(progress, body.frame()).await {
            Err(_) => return Err(timed_out()),
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                return Err(Refusal::for_good(Refused::Malformed, "the body was cut short"));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if bytes_max < first.len() + rest.len() + data.len() {
            return Err(too_large(bytes_max));
        }
        if !permit.grow(data.len() as u64) {
            return Err(short_of_memory());
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(told.max(first.len() + data.len()));
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Reads what is left of a refused body, up to `bytes_max`: a connection that is closed before all
/// that was sent is read is reset, and the sender never sees its answer (RFC 9112, section 9.6).
async fn discard(body: &mut Incoming, bytes_max: usize) {
    let deadline = Instant::now() + DISCARD_MAX;
    let mut left = bytes_max;
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// A JSON body takes several times its size while it is read.
fn transcode(signal: Signal, body: &Bytes, permit: &mut Permit) -> Result<Bytes, Refusal> {
    let received = body.len() as u64;
    if !permit.grow(received.saturating_mul(4)) {
        return Err(short_of_memory());
    }
    let transcoded = json::to_protobuf(signal, body)
        .map_err(|problem| Refusal::for_good(Refused::Malformed, problem.to_string()))?;
    permit.shrink_to(received + transcoded.len() as u64);
    Ok(Bytes::from(transcoded))
}

fn refuse(format: Format, refusal: &Refusal) -> Response<Full<Bytes>> {
    let status = answer::status(refusal);
    let body = match format {
        Format::Protobuf => status.to_protobuf(),
        Format::Json => status.to_json(),
    };
    let mut response = respond(answer::http_status(refusal), format, body);
    if let Some(delay) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
    }
    response
}

fn respond(status: StatusCode, format: Format, body: Vec<u8>) -> Response<Full<Bytes>> {
    let content_type = match format {
        Format::Protobuf => "application/x-protobuf",
        Format::Json => "application/json",
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
