//! One step of a request: a span to be, with the steps that it waits for.

use super::service::{Service, number, text};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

pub(super) struct Call {
    pub(super) service: Service,
    pub(super) kind: SpanKind,
    pub(super) name: String,
    pub(super) attributes: Vec<KeyValue>,
    /// Time of its own, in microseconds; that of `waits_for` comes on top.
    pub(super) own_us: u64,
    pub(super) failure: Option<Failure>,
    /// Of a server: its route and status code, for the metrics and logs.
    pub(super) served: Option<Served>,
    pub(super) waits_for: Vec<Call>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// `error.type` and `exception.type`.
    pub(super) type_: &'static str,
    pub(super) message: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Served {
    pub(super) method: &'static str,
    pub(super) route: &'static str,
    pub(super) code: i64,
}

/// The handling of a request. It fails as the last step it waited for failed, or with `failure`.
pub(super) fn server(
    service: Service,
    (method, route): (&'static str, &'static str),
    own_us: u64,
    failure: Option<Failure>,
    waits_for: Vec<Call>,
) -> Call {
    let failure = failure.or_else(|| waits_for.last().and_then(|call| call.failure));
    let code = if failure.is_some() { 500 } else { 200 };
    let mut attributes = vec![
        text("http.request.method", method),
        text("http.route", route),
        text("url.scheme", "http"),
        text("url.path", route),
        text("server.address", service.name()),
        number("server.port", 8080),
        text("network.protocol.version", "1.1"),
        text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/131.0"),
        number("http.response.status_code", code),
    ];
    attributes.extend(failure.map(|failure| text("error.type", failure.type_)));
    Call {
        service,
        kind: SpanKind::Server,
        name: format!("{method} {route}"),
        attributes,
        own_us,
        failure,
        served: Some(Served { method, route, code }),
        waits_for,
    }
}

/// A request to another service, whose handling is `handled`.
pub(super) fn client(service: Service, own_us: u64, handled: Call) -> Call {
    let served = handled.served.clone();
    let served = served.unwrap_or(Served { method: "GET", route: "/", code: 200 });
    let peer = handled.service.name();
    let mut attributes = vec![
        text("http.request.method", served.method),
        text("url.full", &format!("http://{peer}:8080{}", served.route)),
        text("server.address", peer),
        number("server.port", 8080),
        number("http.response.status_code", served.code),
    ];
    attributes.extend(handled.failure.map(|failure| text("error.type", failure.type_)));
    Call {
        service,
        kind: SpanKind::Client,
        name: served.method.to_owned(),
        attributes,
        own_us,
        failure: handled.failure,
        served: None,
        waits_for: vec![handled],
    }
}

/// A query to a database that tells nothing of itself.
pub(super) fn query(
    service: Service,
    system: &'static str,
    (operation, collection): (&'static str, &'static str),
    statement: &str,
    own_us: u64,
    failure: Option<Failure>,
) -> Call {
    let mut attributes = vec![
        text("db.system.name", system),
        text("db.operation.name", operation),
        text("db.collection.name", collection),
        text("db.query.text", statement),
        text("server.address", system),
    ];
    attributes.extend(failure.map(|failure| text("error.type", failure.type_)));
    Call {
        service,
        kind: SpanKind::Client,
        name: format!("{operation} {collection}"),
        attributes,
        own_us,
        failure,
        served: None,
        waits_for: Vec::new(),
    }
}
