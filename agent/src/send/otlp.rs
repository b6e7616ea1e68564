//! OTLP over gRPC and over HTTP: one request, and what the peer's answer means.
//!
//! <https://opentelemetry.io/docs/specs/otlp/>: which codes are retried, and after what delay.

use super::connect::{self, Pool, Ready};
use super::credentials::Credentials;
use super::encode::{Effort, Pieces, encode};
use super::failure::{Failure, FailureReason};
use super::target::Target;
use crate::ack::AckToken;
use crate::secrets::Secrets;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, TE, USER_AGENT,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode;
use sluice_engine::compiled::Content;
use sluice_engine::config::{Auth, Compression, Destination, Protocol};
use sluice_engine::queue::{Chunk, Outcome};
use sluice_wire::response::{Status, partial_success};
use sluice_wire::{Signal, forward};
use std::time::Duration;

/// More of a peer's answer is not read.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Otlp {
    pool: Pool,
    target: Target,
    protocol: Protocol,
    compression: Compression,
    timeout: Duration,
    /// Those that do not change: literal headers, tenant, content type.
    headers: HeaderMap,
    auth: Auth,
    secrets: Secrets,
    content: Content,
}

/// The parts of an answer that matter.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    trailers: HeaderMap,
    body: Bytes,
}

impl Otlp {
    pub(super) fn new(
        destination: &Destination,
        endpoint: &str,
        protocol: Protocol,
        tenant: &str,
        secrets: &Secrets,
        content: Content,
    ) -> Result<Self, Failure> {
        let target = Target::parse(endpoint, protocol, destination.tls.mode)?;
        let tls = destination.tls.clone();
        let pool = Pool::new(target.clone(), protocol, tls, secrets.clone());
        let mut headers = literal(&destination.headers, tenant)?;
        let (content_type, encoding) = match protocol {
            Protocol::Grpc => ("application/grpc+proto", HeaderName::from_static("grpc-encoding")),
            Protocol::Http => ("application/x-protobuf", CONTENT_ENCODING),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let agent = concat!("sluice/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if protocol == Protocol::Grpc {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        let codec = match destination.compression {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        };
        if let Some(codec) = codec {
            headers.insert(encoding, HeaderValue::from_static(codec));
        }
        Ok(Self {
            pool,
            target,
            protocol,
            compression: destination.compression,
            timeout: Duration::from_millis(destination.timeout_ms),
            headers,
            auth: destination.auth.clone(),
            secrets: secrets.clone(),
            content,
        })
    }

    /// Returns what the peer took.
    pub(super) async fn send(
        &self,
        signal: Signal,
        chunks: &[Chunk<AckToken>],
    ) -> Result<Outcome, Failure> {
        let result = self.try_send(signal, chunks).await;
        let of_a_secret = |failure: &Failure| failure.reason.may_be_of_a_secret();
        if result.as_ref().is_err_and(of_a_secret) {
            self.secrets.ask_for_refresh();
        }
        result
    }

    async fn try_send(
        &self,
        signal: Signal,
        chunks: &[Chunk<AckToken>],
    ) -> Result<Outcome, Failure> {
        let bodies = chunks.iter().map(|chunk| &chunk.body);
        let codec = (self.compression, Effort::of(self.content));
        let body = encode(bodies, codec, self.protocol)
            .map_err(|error| Failure::for_good(FailureReason::Rejected, error.to_string()))?;
        let credentials = Credentials::read(&self.auth, &self.secrets)?;
        let exchange = self.exchange(signal, body, &credentials);
        let exchange = tokio::time::timeout(self.timeout, exchange).await;
        let answer = exchange.unwrap_or_else(|_| {
            let message = format!("no answer within {} ms", self.timeout.as_millis());
            Err(Failure::for_now(FailureReason::Timeout, message))
        })?;
        let message = match self.protocol {
            Protocol::Grpc => judge_grpc(&answer, &credentials)?,
            Protocol::Http => judge_http(&answer, &credentials)?,
        };
        Ok(outcome(self.content, message))
    }

    async fn exchange(
        &self,
        signal: Signal,
        body: Pieces,
        credentials: &Credentials,
    ) -> Result<Answer, Failure> {
        let mut ready = self.pool.get().await?;
        let request = self.request(signal, body.clone(), credentials)?;
        let mut sent = ready.connection.send(request).await;
        if ready.reused && sent.is_err() {
            // The peer had closed a kept connection: nobody's fault, so one more time at once.
            ready = self.pool.get_new().await?;
            sent = ready.connection.send(self.request(signal, body, credentials)?).await;
        }
        let response = sent.map_err(|error| connect::lost(&error))?;
        let lost = |error| Failure::for_now(FailureReason::ConnectionLost, error);
        let answer = read(response).await.map_err(lost)?;
        let Ready { connection, .. } = ready;
        self.pool.put_back(connection);
        Ok(answer)
    }

    fn request(
        &self,
        signal: Signal,
        body: Pieces,
        credentials: &Credentials,
    ) -> Result<Request<Pieces>, Failure> {
        let path = match self.protocol {
            Protocol::Grpc if self.content == Content::Forward => forward::PATH.to_owned(),
            Protocol::Grpc => signal.grpc_path().to_owned(),
            Protocol::Http => format!("{}/v1/{}", self.target.base_path, signal.as_str()),
        };
        let scheme = if self.target.tls { "https" } else { "http" };
        let authority = self.target.authority();
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{scheme}://{authority}{path}").parse().map_err(|_| {
            Failure::for_now(FailureReason::InvalidEndpoint, "the path is not one of a URL")
        })?;
        *request.headers_mut() = self.headers.clone();
        let host = HeaderValue::from_str(&authority).map_err(|_| {
            Failure::for_now(FailureReason::InvalidEndpoint, "the host is not one of a URL")
        })?;
        request.headers_mut().insert(http::header::HOST, host);
        if let Some((name, value)) = &credentials.header {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }
}

fn literal(
    headers: &std::collections::BTreeMap<String, String>,
    tenant: &str,
) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let header = HeaderName::try_from(name.as_str()).map_err(|_| invalid_header(name))?;
        map.insert(header, HeaderValue::try_from(value).map_err(|_| invalid_header(name))?);
    }
    if !tenant.is_empty() {
        let value = HeaderValue::try_from(tenant).map_err(|_| invalid_header("tenant"))?;
        map.insert(HeaderName::from_static("x-scope-orgid"), value);
    }
    Ok(map)
}

fn invalid_header(name: &str) -> Failure {
    Failure::for_now(FailureReason::InvalidEndpoint, format!("header {name} cannot be sent"))
}

async fn read(response: Response<Incoming>) -> Result<Answer, String> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, RESPONSE_BYTES_MAX);
    let collected = body.collect().await.map_err(|error| error.to_string())?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let body = collected.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, trailers, body })
}

/// The message of a success.
fn judge_grpc<'a>(answer: &'a Answer, credentials: &Credentials) -> Result<&'a [u8], Failure> {
    let field = |name: &str| answer.trailers.get(name).or_else(|| answer.headers.get(name));
    let code = field("grpc-status").and_then(|code| code.to_str().ok()?.parse::<i32>().ok());
    let Some(code) = code else { return judge_status(answer, "no grpc-status") };
    if code == 0 {
        // One message: five bytes of prefix, then the response.
        return Ok(answer.body.get(5..).unwrap_or_default());
    }
    let details = field("grpc-status-details-bin").map(|value| {
        let text = value.as_bytes().trim_ascii_end();
        let text = text.iter().rposition(|byte| *byte != b'=').map_or(text, |at| &text[..=at]);
        Status::from_protobuf(&STANDARD_NO_PAD.decode(text).unwrap_or_default())
    });
    let delay = details.and_then(|status| status.retry_delay);
    let message = field("grpc-message").map(HeaderValue::as_bytes).unwrap_or_default();
    let message = percent_decode(message).decode_utf8_lossy();
    let message = format!("gRPC status {code}: {}", credentials.redact(&message));
    let failure = match code {
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        1 | 4 | 10 | 11 | 14 | 15 => Failure::for_now(FailureReason::Unavailable, message),
        8 if delay.is_some() => Failure::for_now(FailureReason::RateLimited, message),
        16 => Failure::for_now(FailureReason::Unauthorized, message),
        _ => Failure::for_good(FailureReason::Rejected, message),
    };
    Err(failure.after(delay))
}

fn judge_http<'a>(answer: &'a Answer, credentials: &Credentials) -> Result<&'a [u8], Failure> {
    if answer.status.is_success() {
        return Ok(&answer.body);
    }
    judge_status(answer, &credentials.redact(&Status::from_protobuf(&answer.body).message))
}

/// For HTTP, and for gRPC peers behind something that speaks only HTTP.
fn judge_status<'a>(answer: &'a Answer, message: &str) -> Result<&'a [u8], Failure> {
    let message = format!("HTTP status {}: {message}", answer.status.as_u16());
    let failure = match answer.status {
        StatusCode::TOO_MANY_REQUESTS => Failure::for_now(FailureReason::RateLimited, message),
        StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::OK => Failure::for_now(FailureReason::Unavailable, message),
        StatusCode::UNAUTHORIZED => Failure::for_now(FailureReason::Unauthorized, message),
        _ => Failure::for_good(FailureReason::Rejected, message),
    };
    // A date instead of seconds is legal and rare: the own back-off serves.
    let seconds =
        answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(failure.after(seconds.map(Duration::from_secs)))
}

fn outcome(content: Content, message: &[u8]) -> Outcome {
    // A part of a forward is a chunk.
    let taken = (content == Content::Forward).then(|| forward::read_answer(message)).flatten();
    match taken {
        Some(chunks) => Outcome::SentFirst { chunks },
        None => Outcome::Sent {
            rejected: partial_success(message).map_or(0, |partial| partial.rejected),
        },
    }
}
