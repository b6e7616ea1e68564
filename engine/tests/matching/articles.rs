//! The queries of the articles that this project answers: each parses, and finds what it is about.

use super::{Span, Value, check, span, text, with};

const SECOND: u64 = 1_000_000_000;

#[test]
fn slow_spans() {
    check("{ duration > 1s }", &Span { duration_ns: SECOND + 1, ..span() }, true);
    check("{ duration > 1s }", &Span { duration_ns: SECOND, ..span() }, false);
}

#[test]
fn errors() {
    check("{ status = error }", &Span { status: 2, ..span() }, true);
    check("{ status = error }", &Span { status: 1, ..span() }, false);
}

#[test]
fn a_service_without_its_scope() {
    check(r#"{ service.name = "api-gateway" }"#, &span(), true);
    check(r#"{ service.name = "order-service" }"#, &span(), false);
    // Of the resource, not of the span.
    let claimed = Span { resource: Vec::new(), ..with(&[("service.name", text("api-gateway"))]) };
    check(r#"{ service.name = "api-gateway" }"#, &claimed, false);
}

#[test]
fn an_http_status_by_its_old_name() {
    let filter = "{ span.http.status_code = 500 }";
    check(filter, &with(&[("http.status_code", Value::Int(500))]), true);
    check(filter, &with(&[("http.response.status_code", Value::Int(500))]), true);
    check(filter, &with(&[("http.status_code", Value::Int(503))]), false);
    check(filter, &with(&[("http.status_code", text("500"))]), false);
}

#[test]
fn several_conditions_over_several_lines() {
    let filter = r#"{
  service.name = "order-service" &&
  duration > 500ms &&
  span.http.method = "POST"
}"#;
    let resource = vec![("service.name".to_owned(), text("order-service"))];
    for method in ["http.method", "http.request.method"] {
        let post = with(&[(method, text("POST"))]);
        let slow = Span { duration_ns: SECOND, resource: resource.clone(), ..post };
        check(filter, &slow, true);
        check(filter, &Span { duration_ns: SECOND / 2, ..slow.clone() }, false);
        check(filter, &Span { resource: span().resource, ..slow.clone() }, false);
        check(filter, &Span { attributes: Vec::new(), ..slow }, false);
    }
}

#[test]
fn a_slow_page_by_its_target() {
    let filter = r#"{
  span.http.target = "/api/dashboard" &&
  duration > 2s
}"#;
    // The target was split: a path is what the query means.
    for target in ["http.target", "url.path"] {
        let page = with(&[(target, text("/api/dashboard"))]);
        check(filter, &Span { duration_ns: 3 * SECOND, ..page.clone() }, true);
        check(filter, &page, false);
    }
}

#[test]
fn an_http_status_of_a_service() {
    let filter = r#"{
  span.http.status_code = 500 &&
  service.name = "api-gateway"
}"#;
    let failed = with(&[("http.status_code", Value::Int(500))]);
    check(filter, &failed, true);
    check(filter, &Span { resource: Vec::new(), ..failed }, false);
}
