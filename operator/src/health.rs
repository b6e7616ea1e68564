//! `/healthz`, `/readyz` and `/metrics`, and what became of a trace. Ready means: everything that is watched has been listed,
//! and the control server can show a certificate; what is missing is named in the answer.

use crate::control::{Lookups, as_json};
use crate::lease::Role;
use crate::metrics::Metrics;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// The path, followed by a trace id in hexadecimal; as collectors have it.
const DECISIONS: &str = "/decisions/";
const CONNECTIONS_MAX: usize = 64;
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(30);

/// What readiness still waits for, by subject. Cheap to clone; all clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Health {
    waiting: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Health {
    /// Not ready until [`Health::ready`] is said of the same subject. Returns whether that is news.
    pub fn waiting(&self, subject: &'static str, reason: impl Into<String>) -> bool {
        let reason = reason.into();
        self.lock().insert(subject, reason.clone()) != Some(reason)
    }

    pub fn ready(&self, subject: &'static str) {
        self.lock().remove(subject);
    }

    /// One line for each subject that is waited for; empty when ready.
    pub fn missing(&self) -> Vec<String> {
        self.lock().iter().map(|(subject, reason)| format!("{subject}: {reason}")).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is served.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) role: watch::Receiver<Role>,
    pub(crate) lookups: Arc<Lookups>,
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, pages: Pages) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of file descriptors: give the others time to close theirs.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let pages = pages.clone();
        tokio::spawn(async move {
            serve_connection(stream, peer.ip(), pages).await;
            drop(permit);
        });
    }
}

async fn serve_connection(stream: TcpStream, peer: IpAddr, pages: Pages) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = pages.clone();
        async move {
            let path = request.uri().path();
            let response = match path.strip_prefix(DECISIONS) {
                Some(trace) => decision(trace, peer, &pages).await,
                None => answer(request.method(), path, &pages.health, &pages.metrics),
            };
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(5))
        .serve_connection(TokioIo::new(stream), service);
    // A probe that gave up is no news.
    let _ = tokio::time::timeout(CONNECTION_AGE_MAX, connection).await;
}

fn answer(
    method: &Method,
    path: &str,
    health: &Health,
    metrics: &Metrics,
) -> Response<Full<Bytes>> {
    if method != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match path {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => {
            let missing = health.missing();
            if missing.is_empty() {
                return text(StatusCode::OK, "ok\n");
            }
            text(StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
        }
        "/metrics" => match metrics.render() {
            Ok(body) => text(StatusCode::OK, body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        _ => text(StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n"),
    }
}

/// Rules are named after namespaces, whose pods reach this port too: only the same machine is told,
/// which a port-forward is.
async fn decision(trace: &str, peer: IpAddr, pages: &Pages) -> Response<Full<Bytes>> {
    if !peer.to_canonical().is_loopback() {
        return text(StatusCode::FORBIDDEN, "only the same machine is told\n");
    }
    let is_hex = trace.len() <= 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some(trace) = u128::from_str_radix(trace, 16).ok().filter(|_| is_hex) else {
        return text(StatusCode::BAD_REQUEST, "a trace id is 32 hexadecimal digits\n");
    };
    if let Role::Follower { leader } = &*pages.role.borrow() {
        let leads = format!("another replica leads: the one at {leader}\n");
        return text(StatusCode::MISDIRECTED_REQUEST, leads);
    }
    match pages.lookups.ask(trace).await {
        Some((gateway, found)) => text(StatusCode::OK, as_json(&gateway, &found).to_string()),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "no gateway is attached\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_missing_until_it_is_there() {
        let (health, metrics) = (Health::default(), Metrics::new().unwrap());
        health.waiting("collectors", "CustomResourceDefinition collectors.sluice.dev is missing");
        let response = answer(&Method::GET, "/readyz", &health, &metrics);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            health.missing(),
            ["collectors: CustomResourceDefinition collectors.sluice.dev is missing"]
        );
        health.ready("collectors");
        assert_eq!(answer(&Method::GET, "/readyz", &health, &metrics).status(), StatusCode::OK);
    }

    #[test]
    fn a_missing_part_does_not_make_the_program_dead() {
        let (health, metrics) = (Health::default(), Metrics::new().unwrap());
        health.waiting("collectors", "not listed yet");
        assert_eq!(answer(&Method::GET, "/healthz", &health, &metrics).status(), StatusCode::OK);
    }
}
