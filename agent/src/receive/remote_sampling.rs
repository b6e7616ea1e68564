//! Where SDKs ask which share of their traces to keep: Jaeger's remote sampling, over HTTP on the
//! paths of Jaeger's agent and collector, over gRPC in the frames of [`super::grpc`].

use super::http::plain;
use crate::flow::Flow;
use crate::intake::Refusal;
use ::http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use ::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use sluice_engine::books::Refused;
use sluice_engine::remote_sampling::NAME_BYTES_MAX;
use sluice_engine::sender::Sender;
use sluice_wire::jaeger::{self, Dialect};

/// Of a gRPC message: a service's name.
pub(super) const REQUEST_BYTES_MAX: usize = 4096;
const NAME_MISSING: &str = "name the service once, in at most 256 bytes of UTF-8: ?service=NAME\n";

/// Answers `GET …?service=NAME`.
pub(super) fn exchange<Body>(
    flow: &Flow,
    sender: &Sender,
    request: &Request<Body>,
) -> Response<Full<Bytes>> {
    let dialect = match request.uri().path() {
        "/sampling" | "/api/sampling" => Dialect::Word,
        "/" => Dialect::Number,
        _ => return plain(StatusCode::NOT_FOUND, "rates are told on /sampling?service=NAME\n"),
    };
    if request.method() != Method::GET {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "a rate is asked for by GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    let service = service(request.uri().query().unwrap_or_default());
    let Some(service) = service.filter(|service| is_name(service)) else {
        return plain(StatusCode::BAD_REQUEST, NAME_MISSING);
    };
    let rate = flow.tell(sender, &service).probability();
    let mut response = Response::new(Full::new(jaeger::strategy_json(rate, dialect).into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers a `SamplingStrategyParameters`.
pub(super) fn answer(flow: &Flow, sender: &Sender, message: &[u8]) -> Result<Vec<u8>, Refusal> {
    let Some(service) = jaeger::service(message).filter(|service| is_name(service)) else {
        let advice = "name the service in serviceName, in at most 256 bytes of UTF-8";
        return Err(Refusal::for_good(Refused::Malformed, advice));
    };
    Ok(jaeger::strategy(flow.tell(sender, service).probability()))
}

fn is_name(service: &str) -> bool {
    !service.is_empty() && service.len() <= NAME_BYTES_MAX
}

/// The parameter `service` of a query; `None` where it is not there just once.
fn service(query: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(name, _)| *name == "service").map(|(_, value)| value);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    // As forms encode a space.
    let value = value.replace('+', " ");
    percent_decode_str(&value).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::service;

    #[track_caller]
    fn check(query: &str, expected: Option<&str>) {
        assert_eq!(service(query).as_deref(), expected, "{query}");
    }

    #[test]
    fn the_service_is_named_once() {
        check("service=cart", Some("cart"));
        check("a=b&service=cart+no.%201", Some("cart no. 1"));
        check("service=a%2Bb%2Fc", Some("a+b/c"));
        check("", None);
        check("services=cart", None);
        check("service=cart&service=shop", None);
        check("service=%ff", None);
    }
}
