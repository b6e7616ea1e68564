//! The senders: messages made before, over several connections, back to back, each until accepted.

use super::corpus::Corpus;
use super::message::Codec;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Version};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub(crate) const CONNECTIONS: usize = 4;
pub(crate) const IN_FLIGHT_PER_CONNECTION: usize = 2;
/// No larger, whatever the peer allows: so the common gRPC libraries cut.
const FRAME_BYTES: usize = 16 * 1024;
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// The code of gRPC for "try again".
pub(crate) const UNAVAILABLE: u32 = 14;

pub(crate) const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

pub(crate) struct Senders {
    connections: Vec<SendRequest<Bytes>>,
    _driving: JoinSet<Result<(), h2::Error>>,
}

impl Senders {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let (mut connections, mut driving) = (Vec::new(), JoinSet::new());
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(address).await.context("connect to the collector")?;
            stream.set_nodelay(true).context("set TCP_NODELAY")?;
            let (connection, driver) =
                h2::client::handshake(stream).await.context("shake hands by HTTP/2")?;
            driving.spawn(driver);
            connections.push(connection);
        }
        Ok(Self { connections, _driving: driving })
    }

    /// For who sends in another way. They live as long as this does.
    pub(crate) fn connections(&self) -> &[SendRequest<Bytes>] {
        &self.connections
    }

    /// Sends a part of the corpus; gives how many requests were refused and sent again.
    pub(crate) async fn send(&self, corpus: &Arc<Corpus>, part: Range<usize>) -> Result<u64> {
        let next = Arc::new(AtomicUsize::new(part.start));
        let mut sending = JoinSet::new();
        for connection in &self.connections {
            for _ in 0..IN_FLIGHT_PER_CONNECTION {
                let (corpus, next) = (Arc::clone(corpus), Arc::clone(&next));
                sending.spawn(send_in_turn(connection.clone(), corpus, next, part.end));
            }
        }
        let mut refused = 0;
        while let Some(done) = sending.join_next().await {
            refused += done.context("join a sender")??;
        }
        Ok(refused)
    }
}

async fn send_in_turn(
    mut connection: SendRequest<Bytes>,
    corpus: Arc<Corpus>,
    next: Arc<AtomicUsize>,
    end: usize,
) -> Result<u64> {
    let mut refused = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if end <= number {
            return Ok(refused);
        }
        loop {
            connection = connection.ready().await.context("wait for a stream")?;
            let message = corpus.messages[number].clone();
            match call(&mut connection, PATH, corpus.codec, message).await? {
                0 => break,
                UNAVAILABLE => refused += 1,
                code => bail!("request {number} was answered with gRPC status {code}"),
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
}

/// One request over a connection that is ready; gives the status of the answer.
pub(crate) async fn call(
    connection: &mut SendRequest<Bytes>,
    path: &str,
    codec: Codec,
    mut rest: Bytes,
) -> Result<u32> {
    let mut request = Request::post(format!("http://127.0.0.1{path}"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(encoding) = codec.header() {
        request = request.header("grpc-encoding", encoding);
    }
    let request = request.body(()).context("make a request")?;
    let (response, mut stream) =
        connection.send_request(request, false).context("open a stream")?;
    // Who refuses answers before all has come, and wants no more of it: then the answer tells.
    let mut is_wanted = true;
    while is_wanted && FRAME_BYTES < rest.len() {
        is_wanted = stream.send_data(rest.split_to(FRAME_BYTES), false).is_ok();
    }
    if is_wanted {
        let _ = stream.send_data(rest, true);
    }
    let response = response.await.context("wait for the answer")?;
    if let Some(status) = status(response.headers()) {
        return Ok(status);
    }
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let data = data.context("read the answer")?;
        body.flow_control().release_capacity(data.len()).context("read the answer")?;
    }
    let trailers = body.trailers().await.context("read the trailers")?;
    trailers.as_ref().and_then(status).context("an answer without grpc-status")
}

fn status(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
