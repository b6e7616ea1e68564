//! The control stream: collectors attach, are told what to run, and report. What to run is the
//! planner's word; what the reports add up to is the planner's arithmetic.

mod lookups;
mod reports;
mod review;
mod session;
mod tls;

pub use lookups::Lookups;
pub(crate) use lookups::as_json;
pub use reports::Reports;
pub(crate) use review::reviewer;
pub use review::{AUDIENCE, Identity, Refusal, Reviewer};
pub use tls::server_config;

use crate::lease::Role;
use crate::metrics::Metrics;
use futures::stream::BoxStream;
use session::Session;
use sluice_wire::control::control_server::{Control, ControlServer};
use sluice_wire::control::{FromCollector, ToCollector};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

/// A report of 2000 pipelines takes less than half of it.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// What one fleet's collectors should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub hash: String,
    /// gzip of the config's bytes.
    pub config: Arc<[u8]>,
    /// `None`: traces go to no gateways, or none was ever ready.
    pub ring: Option<WantedRing>,
}

/// Who owns which traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRing {
    pub epoch: u64,
    /// gzip of its JSON.
    pub ring: Arc<[u8]>,
}

/// Makes a certificate chain, in PEM, of a gateway's signing request, in PEM.
pub type Signer = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// By the name of the Collector.
pub type Assignments = Arc<BTreeMap<String, Wanted>>;

/// The server's view of the rest of the operator.
#[derive(Clone)]
pub struct Desk {
    pub roles: watch::Receiver<Role>,
    pub assignments: watch::Receiver<Assignments>,
    pub reports: Arc<Reports>,
    pub lookups: Arc<Lookups>,
    pub reviewer: Reviewer,
    pub signer: Signer,
    pub metrics: Metrics,
}

/// Serves until `stop` resolves, then ends all streams.
///
/// # Errors
/// When the transport fails.
pub async fn serve(
    desk: Desk,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let service = ControlServer::new(desk)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(16 * 1024)
        .max_concurrent_streams(4)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(512 * 1024)
        .add_service(service)
        .serve_with_incoming_shutdown(tls::incoming(listener, tls), stop)
        .await
}

#[tonic::async_trait]
impl Control for Desk {
    type AttachStream = BoxStream<'static, Result<ToCollector, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<FromCollector>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let token = bearer(request.metadata())?;
        // Who does not lead has nothing to protect but the leader's time.
        if let Role::Follower { leader } = &*self.roles.borrow() {
            let answer = session::not_leader(leader);
            return Ok(Response::new(Box::pin(futures::stream::iter([Ok(answer)]))));
        }
        let identity = (self.reviewer)(token).await.map_err(|refusal| {
            self.metrics.reviews.with_label_values(&[refusal.label()]).inc();
            Status::from(refusal)
        })?;
        self.metrics.reviews.with_label_values(&["accepted"]).inc();
        let session = Session::open(self.clone(), identity, request.into_inner());
        Ok(Response::new(Box::pin(session.messages())))
    }
}

fn bearer(metadata: &tonic::metadata::MetadataMap) -> Result<String, Status> {
    let header = metadata.get("authorization").and_then(|value| value.to_str().ok());
    match header.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) if !token.is_empty() => Ok(token.to_owned()),
        _ => Err(Status::unauthenticated(format!(
            "a bearer token of audience {AUDIENCE} is required"
        ))),
    }
}
