//! What a collector shows of itself: `/metrics`, `/healthz` and `/readyz` on a port of their own, and
//! to who asks from the same machine what became of a trace.

use crate::decisions::{self, Answer, DECISIONS, parse_trace_id};
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

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
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

    /// What became of a trace; `None`: nothing runs yet.
    pub(crate) fn decision(&self, trace: u128) -> Option<Answer> {
        self.shared.decision(trace)
    }

    /// `None`: ready.
    pub(crate) fn set_unready(&self, reason: Option<&str>) {
        let mut unready = self.shared.unready.lock().unwrap_or_else(PoisonError::into_inner);
        *unready = reason.map(str::to_owned);
    }
}

impl Shared {
    fn decision(&self, trace: u128) -> Option<Answer> {
        self.flow.get().map(|flow| decisions::answer(flow, trace))
    }

    fn metrics(&self, flow: &Flow) -> prometheus::Result<String> {
        metrics::text(flow, self.pods.get(), self.pod_logs.get().map(Arc::as_ref))
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = respond(&request, peer.ip(), &shared);
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

fn respond(request: &Request<Incoming>, peer: IpAddr, shared: &Shared) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    match path {
        "/healthz" => response(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => {
            let unready = shared.unready.lock().unwrap_or_else(PoisonError::into_inner);
            match &*unready {
                None => response(StatusCode::OK, TEXT, "ok\n"),
                Some(reason) => {
                    response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n"))
                }
            }
        }
        "/metrics" => match shared.flow.get().map(|flow| shared.metrics(flow)) {
            Some(Ok(text)) => response(StatusCode::OK, TEXT, text),
            Some(Err(error)) => {
                response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string())
            }
            None => response(StatusCode::OK, TEXT, ""),
        },
        _ => match path.strip_prefix(DECISIONS) {
            Some(trace) => decision(trace, peer, shared),
            None => response(StatusCode::NOT_FOUND, TEXT, "/metrics, /healthz or /readyz\n"),
        },
    }
}

/// Rules are named after namespaces, whose pods reach this port too: only the same machine is told,
/// which a port-forward is.
fn decision(trace: &str, peer: IpAddr, shared: &Shared) -> Response<Full<Bytes>> {
    if !peer.to_canonical().is_loopback() {
        return response(StatusCode::FORBIDDEN, TEXT, "only the same machine is told\n");
    }
    let trace = match parse_trace_id(trace) {
        Ok(trace) => trace,
        Err(problem) => return response(StatusCode::BAD_REQUEST, TEXT, format!("{problem}\n")),
    };
    let Some(answer) = shared.decision(trace) else {
        return response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "no configuration yet\n");
    };
    match serde_json::to_vec(&answer) {
        Ok(json) => response(StatusCode::OK, JSON, json),
        Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
    }
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
