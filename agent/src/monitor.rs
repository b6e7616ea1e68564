//! `/metrics`, `/healthz` and `/readyz` on a port of their own.

use crate::flow::Flow;
use crate::metrics;
use crate::pod_logs::Counts;
use crate::pods::PodTable;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

const CONNECTIONS_MAX: usize = 16;
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);

/// Bound before there is a config, so that a waiting collector can say what it waits for.
#[derive(Clone)]
pub struct Monitor {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    flow: OnceLock<Arc<Flow>>,
    pods: OnceLock<PodTable>,
    pod_logs: OnceLock<Arc<Counts>>,
    /// Why the collector is not ready; `None` when it is.
    unready: Mutex<Option<String>>,
}

impl Monitor {
    /// Serves on the current runtime until that ends.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn bind(address: IpAddr, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((address, port)).await?;
        let shared = Arc::new(Shared {
            flow: OnceLock::new(),
            pods: OnceLock::new(),
            pod_logs: OnceLock::new(),
            unready: Mutex::new(Some("no configuration yet".to_owned())),
        });
        let monitor = Self { address: listener.local_addr()?, shared: Arc::clone(&shared) };
        tokio::spawn(serve(listener, shared));
        Ok(monitor)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn show(&self, flow: Arc<Flow>, pods: Option<PodTable>) {
        // A monitor serves one collector; a second one is not shown.
        let _ = self.shared.flow.set(flow);
        if let Some(pods) = pods {
            let _ = self.shared.pods.set(pods);
        }
        self.set_unready(None);
    }

    pub(crate) fn show_pod_logs(&self, counts: Arc<Counts>) {
        // As for the collector.
        let _ = self.shared.pod_logs.set(counts);
    }

    /// `None`: ready.
    pub(crate) fn set_unready(&self, reason: Option<&str>) {
        let mut unready = self.shared.unready.lock().unwrap_or_else(PoisonError::into_inner);
        *unready = reason.map(str::to_owned);
    }
}

impl Shared {
    fn metrics(&self, flow: &Flow) -> prometheus::Result<String> {
        metrics::text(flow, self.pods.get(), self.pod_logs.get().map(Arc::as_ref))
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = respond(&request, &shared);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            // Errors are the peer's: there is nobody to tell.
            let _ = tokio::time::timeout(CONNECTION_TIME_MAX, connection).await;
            drop(place);
        });
    }
}

fn respond(request: &Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => {
            let unready = shared.unready.lock().unwrap_or_else(PoisonError::into_inner);
            match &*unready {
                None => (StatusCode::OK, "ok\n".to_owned()),
                Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
            }
        }
        "/metrics" => match shared.flow.get().map(|flow| shared.metrics(flow)) {
            Some(Ok(text)) => (StatusCode::OK, text),
            Some(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            None => (StatusCode::OK, String::new()),
        },
        _ => (StatusCode::NOT_FOUND, "/metrics, /healthz or /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
