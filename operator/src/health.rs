//! `/healthz`, `/readyz` and `/metrics`. Ready means: everything that is watched has been listed,
//! and the control server can show a certificate; what is missing is named in the answer.

use crate::metrics::Metrics;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

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

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, health: Health, metrics: Metrics) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: give the others time to close theirs.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (health, metrics) = (health.clone(), metrics.clone());
        tokio::spawn(async move {
            serve_connection(stream, health, metrics).await;
            drop(permit);
        });
    }
}

async fn serve_connection(stream: TcpStream, health: Health, metrics: Metrics) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &health, &metrics);
        async move { Ok::<_, Infallible>(response) }
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
