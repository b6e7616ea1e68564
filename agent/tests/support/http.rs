//! OTLP/HTTP before an oracle: traces as protobuf, over HTTP/1.1 or HTTP/2.

use super::oracle::Oracle;
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceService;
use prost::Message;
use std::convert::Infallible;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::{Stream, StreamExt};
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions};

pub fn serve<T>(
    mut connections: impl Stream<Item = io::Result<T>> + Unpin + Send + 'static,
) -> Oracle
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let oracle = Oracle::default();
    let shared = oracle.clone();
    tokio::spawn(async move {
        while let Some(Ok(stream)) = connections.next().await {
            let oracle = shared.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(oracle.clone(), request));
                let server = auto::Builder::new(TokioExecutor::new());
                // Clients come and go.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    oracle
}

async fn answer(
    oracle: Oracle,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    // RFC 9112, 3.2.1: to an origin server a client sends the path alone.
    let is_for_proxies = parts.version == Version::HTTP_11 && parts.uri.authority().is_some();
    if parts.uri.path() != "/v1/traces" || is_for_proxies {
        return Ok(response(404, Bytes::new()));
    }
    let body = body.collect().await.unwrap().to_bytes();
    let message = ExportTraceServiceRequest::decode(body).unwrap();
    let headers = MetadataMap::from_headers(parts.headers);
    let request = tonic::Request::from_parts(headers, Extensions::default(), message);
    Ok(match TraceService::export(&oracle, request).await {
        Ok(answer) => response(200, answer.into_inner().encode_to_vec().into()),
        Err(status) => {
            let code = if status.code() == Code::Unauthenticated { 401 } else { 503 };
            let message = status.message().to_owned();
            let said = sluice_wire::response::Status { code: 2, message, retry_delay: None };
            response(code, said.to_protobuf().into())
        }
    })
}

fn response(status: u16, body: Bytes) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status);
    response.header("content-type", "application/x-protobuf").body(Full::new(body)).unwrap()
}
