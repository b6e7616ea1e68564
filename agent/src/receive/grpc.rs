//! Unary calls over gRPC: HTTP/2 by `h2`, the five bytes before each message by us.
//!
//! A request can so be refused before anything of it is inflated or decoded.

use super::inflate::Encoding;
use super::{
    BODY_PROGRESS_MAX, BODY_TIME_MAX, CONNECTION_WINDOW_BYTES, DATA_FRAME_BUDGET_BYTES,
    FRAME_BYTES_MAX, GRACE, HANDSHAKE_MAX, HEADER_BYTES_MAX, Method, PREFIX_BYTES,
    RESET_STREAMS_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX, Session, answer, timed_out, too_large,
};
use crate::flow::short_of_memory;
use crate::intake::Refusal;
use crate::meter::Permit;
use ::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use ::http::{Request, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Bytes, BytesMut};
use h2::server::{Connection, SendResponse};
use h2::{RecvStream, server};
use sluice_engine::books::Refused;
use sluice_wire::response::Status;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Serves one connection until the peer closes it, or it is old, or the collector stops.
pub(super) async fn serve<Stream: AsyncRead + AsyncWrite + Unpin>(
    stream: Stream,
    session: Arc<Session>,
    age_max: Duration,
    mut closing: watch::Receiver<bool>,
) {
    let Ok(Ok(mut connection)) = timeout(HANDSHAKE_MAX, handshake(stream)).await else { return };
    let mut requests = JoinSet::new();
    let old = Instant::now() + age_max;
    let mut end = None;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    requests.spawn(exchange(request, respond, Arc::clone(&session)));
                }
                Some(Err(_)) | None => break,
            },
            Some(_) = requests.join_next() => (),
            () = sleep_until(old), if end.is_none() => end = Some(say_goodbye(&mut connection)),
            _ = closing.wait_for(|closing| *closing), if end.is_none() => {
                end = Some(say_goodbye(&mut connection));
            }
            () = until(end) => break,
        }
    }
}

async fn handshake<Stream: AsyncRead + AsyncWrite + Unpin>(
    stream: Stream,
) -> Result<Connection<Stream, Bytes>, h2::Error> {
    server::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(Some(RESET_STREAMS_MAX))
        .reset_stream_duration(Duration::from_secs(1))
        .data_frame_budget(DATA_FRAME_BUDGET_BYTES)
        .max_send_buffer_size(64 * 1024)
        .handshake(stream)
        .await
}

/// The peer opens no new streams and goes elsewhere; what it has begun may end within the grace.
fn say_goodbye<Stream: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<Stream, Bytes>,
) -> Instant {
    connection.graceful_shutdown();
    Instant::now() + GRACE
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

async fn exchange(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    session: Arc<Session>,
) {
    let (head, body) = request.into_parts();
    let content_type = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if head.method != ::http::Method::POST || !content_type.starts_with(b"application/grpc") {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        // Fails when the peer is gone.
        let _ = respond.send_response(response, true);
        return;
    }
    let path = head.uri.path();
    let Some(method) = session.method(path) else {
        let message = format!("unknown method; {}", session.offer());
        fail(&mut respond, &Status { code: 12, message, retry_delay: None });
        return;
    };
    match receive(method, &head.headers, body, &session).await {
        Ok(message) => accept(&mut respond, &message),
        Err(Gone::Refused(refusal)) => fail(&mut respond, &answer::status(&refusal)),
        Err(Gone::Peer) => (),
    }
}

/// Why a request ends early.
enum Gone {
    Refused(Refusal),
    /// Nobody is there to be answered.
    Peer,
}

async fn receive(
    method: Method,
    headers: &HeaderMap,
    body: RecvStream,
    session: &Session,
) -> Result<Vec<u8>, Gone> {
    let refused = |refusal| Gone::Refused(session.refuse(method, refusal));
    let authorization = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    session.check(authorization).await.map_err(refused)?;
    let encoding = headers.get("grpc-encoding").map_or(&b""[..], HeaderValue::as_bytes);
    let encoding = Encoding::parse(encoding).map_err(refused)?;
    let mut permit = session.permit();
    let message = match read(body, session.bytes_max, &mut permit).await {
        Ok(message) => message,
        Err(Gone::Refused(refusal)) => return Err(refused(refusal)),
        Err(Gone::Peer) => {
            // Counted, since a part of it came.
            let cut = Refusal::for_good(Refused::Malformed, "the peer went away");
            session.refuse(method, cut);
            return Err(Gone::Peer);
        }
    };
    let encoding = if message.compressed { encoding } else { Encoding::Identity };
    let body = session.unpack(encoding, message.payload, &mut permit).map_err(refused)?;
    session.submit(method, body).map_err(Gone::Refused)
}

struct Message {
    compressed: bool,
    payload: Bytes,
}

/// The one message of a unary call.
async fn read(
    mut body: RecvStream,
    bytes_max: usize,
    permit: &mut Permit,
) -> Result<Message, Gone> {
    let deadline = Instant::now() + BODY_TIME_MAX;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let progress = deadline.min(Instant::now() + BODY_PROGRESS_MAX);
        let data = match timeout_at(progress, body.data()).await {
            Err(_) => return Err(Gone::Refused(timed_out())),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Gone::Peer),
            Ok(Some(Ok(data))) => data,
        };
        // Fails when the stream is gone, which the next read tells.
        let _ = body.flow_control().release_capacity(data.len());
        if !permit.grow(data.len() as u64) {
            return Err(Gone::Refused(short_of_memory()));
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.reserve(expected(&first, bytes_max)?.max(first.len() + data.len()));
                rest.extend_from_slice(&first);
                first.clear();
            }
            rest.extend_from_slice(&data);
        }
        let head = if rest.is_empty() { &first[..] } else { &rest[..] };
        if expected(head, bytes_max)? < head.len() {
            return Err(broken());
        }
    }
    let whole = if rest.is_empty() { first } else { rest.freeze() };
    if whole.len() < PREFIX_BYTES || whole.len() != expected(&whole, bytes_max)? {
        return Err(broken());
    }
    match whole[0] {
        flag @ (0 | 1) => {
            Ok(Message { compressed: flag == 1, payload: whole.slice(PREFIX_BYTES..) })
        }
        _ => Err(broken()),
    }
}

/// Length of prefix and message, as far as it is known; refused when it is too large.
fn expected(head: &[u8], bytes_max: usize) -> Result<usize, Gone> {
    let Some([_, length @ ..]) = head.first_chunk::<PREFIX_BYTES>() else {
        return Ok(PREFIX_BYTES);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if bytes_max < length {
        return Err(Gone::Refused(too_large(bytes_max)));
    }
    Ok(PREFIX_BYTES + length)
}

fn broken() -> Gone {
    let message = "the body is not one gRPC message";
    Gone::Refused(Refusal::for_good(Refused::Malformed, message))
}

/// Errors here mean that the peer is gone: the items are queued, and it will send them again.
fn accept(respond: &mut SendResponse<Bytes>, message: &[u8]) {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let Ok(mut stream) = respond.send_response(response, false) else { return };
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let framed = [&[0], &length[..], message].concat();
    if stream.send_data(Bytes::from(framed), false).is_ok() {
        let _ = stream.send_trailers(trailers);
    }
}

/// Headers only: no message goes with an error.
fn fail(respond: &mut SendResponse<Bytes>, status: &Status) {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(status.code));
    let text = |value: String| HeaderValue::try_from(value).ok();
    // Our messages are plain ASCII: nothing in them needs percent signs.
    if let Some(message) = text(status.message.replace('%', "%25")) {
        headers.insert("grpc-message", message);
    }
    if let Some(details) = text(STANDARD_NO_PAD.encode(status.to_protobuf())) {
        headers.insert("grpc-status-details-bin", details);
    }
    if status.code == 12 {
        headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip,zstd"));
    }
    // Fails when the peer is gone.
    let _ = respond.send_response(response, true);
}
