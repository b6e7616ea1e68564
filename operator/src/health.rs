//! `/healthz`, `/readyz` and `/metrics`, and what became of a trace. Ready means: everything that is watched has been listed,
//! and the control server can show a certificate; what is missing is named in the answer.

use crate::control::{Lookups, as_json};
use crate::lease::Role;
use crate::metrics::Metrics;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sluice_wire::parse_trace_id;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// The path, followed by a trace id in hexadecimal; as collectors have it.
const DECISIONS: &str = "/decisions/";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
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
            Ok::<_, Infallible>(answer(request.method(), request.uri().path(), peer, &pages).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(5))
        .serve_connection(TokioIo::new(stream), service);
    // A probe that gave up is no news.
    let _ = tokio::time::timeout(CONNECTION_AGE_MAX, connection).await;
}

async fn answer(method: &Method, path: &str, peer: IpAddr, pages: &Pages) -> Response<Full<Bytes>> {
    if method != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match path {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => {
            let missing = pages.health.missing();
            if missing.is_empty() {
                return text(StatusCode::OK, "ok\n");
            }
            text(StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
        }
        "/metrics" => match pages.metrics.render() {
            Ok(body) => text(StatusCode::OK, body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        _ => match path.strip_prefix(DECISIONS) {
            Some(trace) => decision(trace, peer, pages).await,
            None => text(StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n"),
        },
    }
}

/// Rules are named after namespaces, whose pods reach this port too: only the same machine is told,
/// which a port-forward is.
async fn decision(trace: &str, peer: IpAddr, pages: &Pages) -> Response<Full<Bytes>> {
    if !peer.to_canonical().is_loopback() {
        return text(StatusCode::FORBIDDEN, "only the same machine is told\n");
    }
    let trace = match parse_trace_id(trace) {
        Ok(trace) => trace,
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem + "\n"),
    };
    if let Role::Follower { leader } = &*pages.role.borrow() {
        let leads = format!("another replica leads: the one at {leader}\n");
        return text(StatusCode::MISDIRECTED_REQUEST, leads);
    }
    match pages.lookups.ask(trace).await {
        Some((gateway, found)) => {
            response(StatusCode::OK, JSON, as_json(&gateway, &found).to_string())
        }
        None => text(StatusCode::SERVICE_UNAVAILABLE, "no gateway is attached\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, TEXT, body)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ASKED: &str = "/decisions/4bf92f3577b34da6a3ce929d0e0e4736";

    fn pages(role: Role) -> Pages {
        let (_, role) = watch::channel(role);
        let metrics = Metrics::new().unwrap();
        Pages { health: Health::default(), metrics, role, lookups: Arc::default() }
    }

    async fn check(path: &str, peer: IpAddr, pages: &Pages, expected: u16) {
        let found = answer(&Method::GET, path, peer, pages).await;
        assert_eq!(found.status().as_u16(), expected, "{path}");
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing_until_it_is_there() {
        let pages = pages(Role::Leader { epoch: 1 });
        let missing = "CustomResourceDefinition collectors.sluice.dev is missing";
        pages.health.waiting("collectors", missing);
        check("/readyz", HERE, &pages, 503).await;
        assert_eq!(pages.health.missing(), [format!("collectors: {missing}")]);
        pages.health.ready("collectors");
        check("/readyz", HERE, &pages, 200).await;
    }

    #[tokio::test]
    async fn a_missing_part_does_not_make_the_program_dead() {
        let pages = pages(Role::Leader { epoch: 1 });
        pages.health.waiting("collectors", "not listed yet");
        check("/healthz", HERE, &pages, 200).await;
    }

    #[tokio::test]
    async fn what_became_of_a_trace_is_told_on_the_same_machine_by_the_leader() {
        let pod = IpAddr::from([10, 0, 0, 7]);
        let leader = pages(Role::Leader { epoch: 1 });
        check(ASKED, pod, &leader, 403).await;
        check("/decisions/no-hexadecimal", HERE, &leader, 400).await;
        check(ASKED, HERE, &pages(Role::Follower { leader: "operator-2".into() }), 421).await;
        // Nobody to ask.
        check(ASKED, HERE, &leader, 503).await;
    }

    #[tokio::test]
    async fn nothing_is_changed_by_asking() {
        let found = answer(&Method::POST, ASKED, HERE, &pages(Role::Leader { epoch: 1 })).await;
        assert_eq!(found.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
