//! TLS below the control server: handshakes run side by side, each with a time limit, so that one
//! slow peer keeps nobody waiting.

use crate::authority::ServingCertificate;
use futures::Stream;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const HANDSHAKES_MAX: usize = 256;

/// HTTP/2 only, with whatever certificate is the serving one at the moment.
///
/// # Errors
/// When the provider does not support the safe default versions.
pub fn server_config(
    certificate: Arc<ServingCertificate>,
    provider: CryptoProvider,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Connections that have shaken hands. The accepting task ends when the stream is dropped.
pub(super) fn incoming(
    listener: TcpListener,
    config: Arc<ServerConfig>,
) -> impl Stream<Item = Result<TlsStream<TcpStream>, Infallible>> {
    let (shaken, connections) = mpsc::channel(16);
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(listener, TlsAcceptor::from(config), shaken));
    futures::stream::unfold((connections, tasks), |(mut connections, tasks)| async {
        let connection = connections.recv().await?;
        Some((Ok(connection), (connections, tasks)))
    })
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shaken: mpsc::Sender<TlsStream<TcpStream>>,
) {
    let room = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: give the others time to close theirs.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, shaken) = (acceptor.clone(), shaken.clone());
        handshakes.spawn(async move {
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
            match handshake.await {
                Ok(Ok(stream)) => _ = shaken.send(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
                Err(_) => tracing::debug!("handshake took too long"),
            }
            drop(permit);
        });
    }
}
