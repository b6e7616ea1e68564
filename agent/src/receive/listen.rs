//! Listening sockets: accepts, finds out who connects, and hands the connection to a worker.

use super::{Forwards, HANDSHAKE_MAX, Session, grpc, http};
use crate::intake::Intake;
use crate::settings::Senders;
use crate::workers::Workers;
use sluice_engine::sender::Sender;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Connections of one collector; more are closed at once.
const CONNECTIONS_MAX: usize = 4096;
/// Of one forward, inflated: agents make none that is larger, but for a single huge span.
const FORWARD_BYTES_MAX: u64 = 96 << 20;
/// After an accept that failed, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What is offered on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Offer {
    /// In a gateway: forwards instead.
    OtlpGrpc,
    OtlpHttp,
    SamplingGrpc,
    SamplingHttp,
}

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) intake: Intake,
    pub(crate) senders: Senders,
    pub(crate) workers: Workers,
    /// Turns true at the shutdown: connections finish what they have and close.
    pub(crate) closing: watch::Receiver<bool>,
    /// In a gateway: what is taken there instead of OTLP.
    pub(crate) forwards: Option<Arc<Forwards>>,
    /// Held by each connection: who waits for the other end learns when all are gone.
    pub(crate) open: mpsc::Sender<()>,
}

/// A socket that is listened on. Dropping it ends the listening, not the connections.
pub(crate) struct Listener {
    /// As configured; 0 lets the system choose.
    pub(crate) port: u16,
    pub(crate) address: SocketAddr,
    _listening: mpsc::Sender<()>,
}

/// # Errors
/// When the address is taken or not ours.
pub(crate) async fn bind(
    address: IpAddr,
    port: u16,
    offer: Offer,
    door: Door,
) -> io::Result<Listener> {
    let socket = TcpListener::bind((address, port)).await?;
    let bound = socket.local_addr()?;
    let socket = socket.into_std()?;
    let (listening, ended) = mpsc::channel(1);
    let workers = door.workers.clone();
    workers.run(0, accept(socket, offer, door, ended)).await;
    Ok(Listener { port, address: bound, _listening: listening })
}

async fn accept(
    socket: std::net::TcpListener,
    offer: Offer,
    mut door: Door,
    mut ended: mpsc::Receiver<()>,
) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "cannot listen");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = ended.recv() => return,
            _ = door.closing.wait_for(|closing| *closing) => return,
        };
        match accepted {
            Ok((stream, peer)) => hand_over(stream, peer, offer, &door),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn hand_over(stream: TcpStream, peer: SocketAddr, offer: Offer, door: &Door) {
    if CONNECTIONS_MAX <= door.workers.connections() {
        tracing::warn!(%peer, "too many connections");
        return;
    }
    let Ok(stream) = stream.into_std() else { return };
    let held = door.clone();
    // A worker that is too busy to take it closes it: the peer tries again.
    let _ = door.workers.run_connection(serve(stream, peer, offer, held));
}

async fn serve(stream: std::net::TcpStream, peer: SocketAddr, offer: Offer, door: Door) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    // Only latency is at stake.
    let _ = stream.set_nodelay(true);
    if let Some(forwards) = door.forwards.clone() {
        return serve_agent(stream, forwards, door).await;
    }
    let sender = match &door.senders {
        Senders::Claimed => Sender::Claimed,
        Senders::Pods(table) => table.resolve(peer.ip()).await,
    };
    let receivers = door.intake.config().borrow().receivers.clone();
    let age_max = Duration::from_millis(receivers.grpc_connection_age_max_ms);
    let intake = door.intake.clone();
    let session = match offer {
        Offer::OtlpGrpc => Session::new(intake, sender, receivers.grpc_message_bytes_max),
        Offer::OtlpHttp => Session::new(intake, sender, receivers.http_body_bytes_max),
        Offer::SamplingGrpc | Offer::SamplingHttp => Session::of_remote_sampler(intake, sender),
    };
    let session = Arc::new(session);
    let closing = door.closing.clone();
    match offer {
        Offer::OtlpGrpc | Offer::SamplingGrpc => {
            grpc::serve(stream, session, age_max, closing).await;
        }
        Offer::OtlpHttp | Offer::SamplingHttp => {
            http::serve(stream, session, age_max, closing).await;
        }
    }
}

/// An agent or another gateway: over TLS, where the gateway has anything to guard.
async fn serve_agent(stream: TcpStream, forwards: Arc<Forwards>, door: Door) {
    let receivers = door.intake.config().borrow().receivers.clone();
    let age_max = Duration::from_millis(receivers.grpc_connection_age_max_ms);
    let acceptor = forwards.guard.acceptor();
    let intake = door.intake.clone();
    let session = Session::of_gateway(intake, forwards, FORWARD_BYTES_MAX);
    let session = Arc::new(session);
    match acceptor {
        None => grpc::serve(stream, session, age_max, door.closing.clone()).await,
        // No certificate yet: the agent comes again.
        Some(None) => (),
        Some(Some(acceptor)) => {
            let accepted = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
            let Ok(Ok(stream)) = accepted else { return };
            grpc::serve(stream, session, age_max, door.closing.clone()).await;
        }
    }
}
