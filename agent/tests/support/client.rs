//! Clients without a library's opinion: they send what a test tells them, right or wrong.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::request::Builder;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use sluice_wire::response::Status;
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One HTTP/1.1 POST on a connection of its own.
pub async fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    call(address, Request::post(path), headers, body.into()).await
}

/// One HTTP/1.1 GET on a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    call(address, Request::get(path), &[], Bytes::new()).await
}

async fn call(
    address: SocketAddr,
    request: Builder,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = request.header("host", "collector");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// A connection that many calls can share.
pub struct Grpc(h2::client::SendRequest<Bytes>);

impl Grpc {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends `body` as it is; the status comes from trailers or headers.
    pub async fn call(&mut self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Status {
        self.try_call(path, headers, body).await.unwrap()
    }

    /// [`Grpc::call`], of a connection that the collector may have closed.
    pub async fn try_call(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Status, h2::Error> {
        let mut request = Request::post(format!("http://collector{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.0.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request.body(()).unwrap(), false)?;
        // The collector may answer, and reset, before it has read everything.
        let _ = stream.send_data(body, true);
        let (parts, mut body) = response.await?.into_parts();
        if parts.headers.contains_key("grpc-status") {
            return Ok(read(&parts.headers));
        }
        while let Some(data) = body.data().await {
            let length = data?.len();
            body.flow_control().release_capacity(length)?;
        }
        Ok(read(&body.trailers().await?.unwrap()))
    }
}

fn read(headers: &HeaderMap) -> Status {
    let code = headers["grpc-status"].to_str().unwrap().parse().unwrap();
    match headers.get("grpc-status-details-bin") {
        Some(details) => {
            let status = Status::from_protobuf(&STANDARD_NO_PAD.decode(details).unwrap());
            assert_eq!(status.code, code);
            status
        }
        None => Status { code, message: String::new(), retry_delay: None },
    }
}

/// The five bytes before a message, and the message.
pub fn frame(compressed: bool, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[u8::from(compressed)], &length[..], message].concat().into()
}
