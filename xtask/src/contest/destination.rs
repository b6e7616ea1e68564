//! Where both collectors send: takes every OTLP/gRPC request, counts its bytes and keeps it, to be
//! read when nothing is measured.

use super::corpus::{self, Id};
use super::load::PATH;
use super::message::{self, Codec};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Longer than the batch timeout of both collectors.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Destination {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Received>>,
    /// Ends with the destination.
    _serving: JoinSet<()>,
    arrived: Vec<Arrival>,
}

/// A span that came.
pub(crate) struct Arrival {
    pub(crate) id: Id,
    pub(crate) trace_state: String,
}

#[derive(Default)]
struct Received {
    /// Not yet read.
    messages: Vec<Message>,
    /// As they came: compressed, with the prefix of gRPC.
    bytes: u64,
    requests: u64,
}

struct Message {
    codec: Codec,
    pieces: Vec<Bytes>,
}

/// What came so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
}

impl Destination {
    pub(crate) async fn start() -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("bind the destination")?;
        let address = listener.local_addr().context("name the destination")?;
        let received = Arc::<Mutex<Received>>::default();
        let mut serving = JoinSet::new();
        serving.spawn(listen(listener, Arc::clone(&received)));
        Ok(Self { address, received, _serving: serving, arrived: Vec::new() })
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let received = lock(&self.received);
        Traffic { bytes: received.bytes, requests: received.requests }
    }

    /// Waits until `spans` have arrived since the start, the doubled ones included.
    pub(crate) async fn wait_for(&mut self, spans: usize) -> Result<()> {
        let started = Instant::now();
        loop {
            self.read()?;
            if spans <= self.arrived.len() {
                return Ok(());
            }
            if ARRIVAL_MAX < started.elapsed() {
                bail!("{} of {spans} spans arrived within {ARRIVAL_MAX:?}", self.arrived.len());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// All spans since the start.
    pub(crate) fn into_arrived(mut self) -> Result<Vec<Arrival>> {
        self.read()?;
        Ok(self.arrived)
    }

    /// Spans that came since the last time.
    pub(crate) fn take(&mut self) -> Result<Vec<Arrival>> {
        self.read()?;
        Ok(std::mem::take(&mut self.arrived))
    }

    /// The ids of all spans since the start.
    pub(crate) fn into_ids(self) -> Result<Vec<Id>> {
        Ok(self.into_arrived()?.into_iter().map(|span| span.id).collect())
    }

    fn read(&mut self) -> Result<()> {
        let messages = std::mem::take(&mut lock(&self.received).messages);
        for message in messages {
            let request = message::read(&message.pieces.concat(), message.codec)?;
            self.arrived.extend(corpus::spans(&request).map(|span| Arrival {
                id: corpus::id(span),
                trace_state: span.trace_state.clone(),
            }));
        }
        Ok(())
    }
}

async fn listen(listener: TcpListener, received: Arc<Mutex<Received>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, Arc::clone(&received)));
            },
            Some(_) = connections.join_next() => (),
        }
    }
}

async fn serve(stream: TcpStream, received: Arc<Mutex<Received>>) {
    let handshake = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(stream);
    let Ok(mut connection) = handshake.await else { return };
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    requests.spawn(take(request, respond, Arc::clone(&received)));
                }
                Some(Err(_)) | None => return,
            },
            Some(_) = requests.join_next() => (),
        }
    }
}

/// A peer that goes away sends the request again: what is not whole is not kept.
async fn take(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    received: Arc<Mutex<Received>>,
) {
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    if request.uri().path() != PATH {
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("12"));
        // Fails when the peer is gone.
        let _ = respond.send_response(response, true);
        return;
    }
    let codec = codec(request.headers());
    let Ok(pieces) = read(request.into_body()).await else { return };
    {
        let mut received = lock(&received);
        received.bytes += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        received.requests += 1;
        received.messages.push(Message { codec, pieces });
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let Ok(mut stream) = respond.send_response(response, false) else { return };
    if stream.send_data(Bytes::from_static(&[0; 5]), false).is_ok() {
        let _ = stream.send_trailers(trailers);
    }
}

async fn read(mut body: RecvStream) -> Result<Vec<Bytes>, h2::Error> {
    let mut pieces = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        pieces.push(data);
    }
    Ok(pieces)
}

fn codec(headers: &HeaderMap) -> Codec {
    let name = headers.get("grpc-encoding").and_then(|value| value.to_str().ok());
    Codec::ALL.into_iter().find(|codec| codec.header() == name).unwrap_or(Codec::Plain)
}

fn lock(received: &Mutex<Received>) -> std::sync::MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::corpus::{Arrived, Corpus, compare};
    use super::super::load::Senders;
    use super::super::spread::test_traces;
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn everything_that_is_sent_arrives_once() {
        for codec in Codec::ALL {
            let corpus = Arc::new(Corpus::new(test_traces(3, 300), codec).unwrap());
            let mut destination = Destination::start().await.unwrap();
            let senders = Senders::connect(destination.address).await.unwrap();
            assert_eq!(senders.send(&corpus, 0..corpus.messages.len()).await.unwrap(), 0);
            destination.wait_for(corpus.spans()).await.unwrap();
            let sent: usize = corpus.messages.iter().map(Bytes::len).sum();
            assert_eq!(destination.traffic().bytes, sent as u64);
            assert_eq!(compare(&corpus.ids, destination.into_ids().unwrap()), Arrived::default());
        }
    }
}
