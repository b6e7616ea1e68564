//! Connections to one destination: kept, checked, and made anew when they are gone.

use super::encode::Pieces;
use super::failure::{Failure, FailureReason};
use super::target::Target;
use super::tls;
use crate::secrets::{SecretProblem, Secrets, tls_keys_of};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sluice_engine::config::{Protocol, Tls};
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Response headers and trailers of a peer, in bytes.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const IDLE_MAX: usize = 4;

pub(super) struct Pool {
    target: Target,
    protocol: Protocol,
    tls: Tls,
    secrets: Secrets,
    idle: Mutex<Vec<Connection>>,
    /// With what it was made from.
    tls_config: Mutex<Option<(Contents, Arc<ClientConfig>)>>,
}

/// Of the keys of Secrets that connections are made from.
type Contents = Vec<Result<Vec<u8>, SecretProblem>>;

/// HTTP/2 carries many requests at once, HTTP/1.1 one after the other.
pub(super) enum Connection {
    Http1(http1::SendRequest<Pieces>),
    Http2(http2::SendRequest<Pieces>),
}

/// A connection that can take a request now, and whether it was used before.
pub(super) struct Ready {
    pub(super) connection: Connection,
    pub(super) reused: bool,
}

impl Pool {
    pub(super) fn new(target: Target, protocol: Protocol, tls: Tls, secrets: Secrets) -> Self {
        let (idle, tls_config) = (Mutex::default(), Mutex::default());
        Self { target, protocol, tls, secrets, idle, tls_config }
    }

    /// A kept connection if one is alive, else a new one.
    pub(super) async fn get(&self) -> Result<Ready, Failure> {
        if self.target.tls {
            // Lets go of connections that were made from other Secrets.
            self.tls_config()?;
        }
        while let Some(mut connection) = self.take() {
            if connection.is_alive().await {
                return Ok(Ready { connection, reused: true });
            }
        }
        self.get_new().await
    }

    pub(super) async fn get_new(&self) -> Result<Ready, Failure> {
        let connection = self.connect().await?;
        if let Connection::Http2(shared) = &connection {
            self.put(Connection::Http2(shared.clone()));
        }
        Ok(Ready { connection, reused: false })
    }

    /// Keeps an HTTP/1.1 connection whose response was read to its end.
    pub(super) fn put_back(&self, connection: Connection) {
        if matches!(connection, Connection::Http1(_)) {
            self.put(connection);
        }
    }

    fn put(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    /// HTTP/1.1 leaves the pool while it is used; of HTTP/2 another handle is given out.
    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_closed());
        if let Some(Connection::Http2(shared)) = idle.last() {
            return Some(Connection::Http2(shared.clone()));
        }
        idle.pop()
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let Target { host, port, .. } = &self.target;
        let addresses = tokio::net::lookup_host((host.as_str(), *port)).await.map_err(|error| {
            Failure::for_now(FailureReason::DnsFailed, format!("{host}: {error}"))
        })?;
        let addresses: Vec<_> = addresses.collect();
        let stream = dial(&addresses).await?;
        if !self.target.tls {
            return shake(TokioIo::new(stream), self.protocol == Protocol::Grpc).await;
        }
        let config = self.tls_config()?;
        let name = match self.tls.server_name.as_str() {
            "" => host.clone(),
            name => name.to_owned(),
        };
        let name = ServerName::try_from(name)
            .map_err(|_| Failure::for_now(FailureReason::HostnameMismatch, "not a server name"))?;
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|error| tls::handshake_failure(&error))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        shake(TokioIo::new(stream), http2 || self.protocol == Protocol::Grpc).await
    }

    fn tls_config(&self) -> Result<Arc<ClientConfig>, Failure> {
        let keys = tls_keys_of(&self.tls);
        let contents: Contents = keys.iter().map(|key| self.secrets.get(key)).collect();
        let mut kept = self.tls_config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_from, config)) = &*kept
            && *made_from == contents
        {
            return Ok(Arc::clone(config));
        }
        let protocols: &[&[u8]] = match self.protocol {
            Protocol::Grpc => &[b"h2"],
            Protocol::Http => &[b"h2", b"http/1.1"],
        };
        let config = tls::client_config(&self.tls, &self.secrets, protocols)?;
        *kept = Some((contents, Arc::clone(&config)));
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(config)
    }
}

impl Connection {
    pub(super) async fn send(
        &mut self,
        mut request: Request<Pieces>,
    ) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(connection) => {
                // RFC 9112, 3.2.1: the path alone; the host is in its header.
                let path = request.uri().path_and_query().cloned();
                *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
                connection.send_request(request).await
            }
            Self::Http2(connection) => connection.send_request(request).await,
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_closed(),
            Self::Http2(connection) => connection.is_closed(),
        }
    }

    async fn is_alive(&mut self) -> bool {
        match self {
            Self::Http1(connection) => connection.ready().await.is_ok(),
            Self::Http2(connection) => connection.ready().await.is_ok(),
        }
    }
}

/// The first address that answers. The delivery's timeout bounds all of it.
async fn dial(addresses: &[std::net::SocketAddr]) -> Result<TcpStream, Failure> {
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Only latency is at stake.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = Some((address, error)),
        }
    }
    Err(match last {
        Some((address, error)) => {
            Failure::for_now(FailureReason::ConnectionRefused, format!("{address}: {error}"))
        }
        None => Failure::for_now(FailureReason::DnsFailed, "the name has no address"),
    })
}

async fn shake<T>(io: T, http2: bool) -> Result<Connection, Failure>
where
    T: Read + Write + Unpin + Send + 'static,
{
    if !http2 {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(64 * 1024)
            .max_headers(64)
            .handshake(io)
            .await
            .map_err(|error| lost(&error))?;
        // Ends with the connection, which ends when no sender is left.
        tokio::spawn(connection);
        return Ok(Connection::Http1(sender));
    }
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_reset_streams(16)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(Duration::from_secs(10))
        .handshake(io)
        .await
        .map_err(|error| lost(&error))?;
    tokio::spawn(connection);
    Ok(Connection::Http2(sender))
}

/// Of a connection that was there: over TLS 1.3 a server refuses a client's certificate only then.
pub(super) fn lost(error: &hyper::Error) -> Failure {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let broken = cause.downcast_ref().and_then(h2::Error::get_io).or_else(|| cause.downcast_ref());
    match broken {
        // So says the TLS library, and nothing else here.
        Some(broken) if broken.kind() == io::ErrorKind::InvalidData => {
            Failure::for_now(FailureReason::TlsFailed, broken.to_string())
        }
        Some(broken) => Failure::for_now(FailureReason::ConnectionLost, broken.to_string()),
        // Not its cause: a peer's GOAWAY can repeat a credential.
        None => Failure::for_now(FailureReason::ConnectionLost, error.to_string()),
    }
}
