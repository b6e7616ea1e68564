//! Examples for the rules of Destination.

use crate::{Case, object};
use serde_json::{Value, json};

const KIND: &str = "Destination";

/// Destinations of type OTLP that differ in `part` only.
fn case(at: &'static str, message: &'static str, right: Value, wrong: Value) -> Case {
    let object = |part: Value| {
        let mut spec = json!({"type": "OTLP", "otlp": {"endpoint": "otel:4317"}});
        for (name, value) in part.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        object(KIND, &spec)
    };
    Case { kind: KIND, at, message, old: None, right: object(right), wrong: object(wrong) }
}

pub(super) fn cases() -> Vec<Case> {
    [members(), endpoints(), security(), headers()].into_iter().flatten().collect()
}

fn members() -> Vec<Case> {
    let exactly_one =
        "set exactly the member named by type: otlp, tempo, file or debug (debug: {} will do)";
    let network = "tls, auth, headers, compression and timeout go with types OTLP and Tempo";
    let debug = object(KIND, &json!({"type": "Debug", "debug": {}}));
    let own = |spec: Value, message| Case {
        kind: KIND,
        at: "spec",
        message,
        old: None,
        right: debug.clone(),
        wrong: object(KIND, &spec),
    };
    vec![
        own(json!({"type": "Debug"}), exactly_one),
        own(json!({"type": "Debug", "file": {"path": "a"}}), exactly_one),
        own(json!({"type": "Debug", "debug": {}, "file": {"path": "a"}}), exactly_one),
        own(json!({"type": "File", "file": {"path": "a"}, "compression": "Zstd"}), network),
        own(json!({"type": "Debug", "debug": {}, "timeout": "5s"}), network),
        Case {
            kind: KIND,
            at: "spec.type",
            message: "must not change: create another Destination and point pipelines to it",
            old: Some(debug.clone()),
            right: object(KIND, &json!({"type": "Debug", "debug": {"verbosity": "Detailed"}})),
            wrong: object(KIND, &json!({"type": "File", "file": {"path": "a"}})),
        },
    ]
}

fn endpoints() -> Vec<Case> {
    let http = |endpoint: &str, mode: &str| {
        let otlp = json!({"endpoint": endpoint, "protocol": "HTTP"});
        json!({"otlp": otlp, "tls": {"mode": mode}})
    };
    let tempo = |endpoint: &str, protocol: &str| {
        let tempo = json!({"endpoint": endpoint, "protocol": protocol});
        object(KIND, &json!({"type": "Tempo", "tempo": tempo}))
    };
    let grpc = "with protocol GRPC the endpoint is host:port, without scheme and path";
    let port = "must have a port, such as tempo.obs:4317";
    let of_tempo =
        |at, message, right, wrong| Case { kind: KIND, at, message, old: None, right, wrong };
    vec![
        case(
            "spec",
            "an http:// endpoint needs tls.mode Plaintext; write https:// for TLS",
            http("http://otel:4318", "Plaintext"),
            http("http://otel:4318", "Verify"),
        ),
        case(
            "spec",
            "an https:// endpoint excludes tls.mode Plaintext; write http:// for plain text",
            http("https://otel:4318/base", "Verify"),
            http("https://otel:4318", "Plaintext"),
        ),
        case(
            "spec.otlp",
            grpc,
            json!({"otlp": {"endpoint": "otel:4317"}}),
            json!({"otlp": {"endpoint": "https://otel:4317"}}),
        ),
        case(
            "spec.otlp.endpoint",
            port,
            json!({"otlp": {"endpoint": "otel:4318/base", "protocol": "HTTP"}}),
            json!({"otlp": {"endpoint": "otel"}}),
        ),
        of_tempo("spec.tempo", grpc, tempo("[::1]:4317", "GRPC"), tempo("tempo:4317/a", "GRPC")),
        of_tempo(
            "spec.tempo.endpoint",
            port,
            tempo("https://tempo", "HTTP"),
            tempo("tempo", "GRPC"),
        ),
    ]
}

fn security() -> Vec<Case> {
    let tls = |tls: Value| json!({"tls": tls});
    let auth = |auth: Value| json!({"auth": auth});
    let ca = json!({"name": "tempo-ca", "key": "ca.crt"});
    let token = json!({"name": "tempo-token", "key": "token"});
    vec![
        case(
            "spec.tls",
            "caSecretRef needs mode Verify",
            tls(json!({"caSecretRef": ca})),
            tls(json!({"caSecretRef": ca, "mode": "InsecureSkipVerify"})),
        ),
        case(
            "spec.tls",
            "clientSecretRef does nothing with mode Plaintext: remove one of them",
            tls(json!({"clientSecretRef": {"name": "a"}})),
            tls(json!({"clientSecretRef": {"name": "a"}, "mode": "Plaintext"})),
        ),
        case(
            "spec.tls",
            "serverName does nothing with mode Plaintext: remove one of them",
            tls(json!({"serverName": "tempo"})),
            tls(json!({"serverName": "tempo", "mode": "Plaintext"})),
        ),
        case(
            "spec.auth",
            "secretRef is needed with types Basic, Bearer and Header, and only there",
            auth(json!({"type": "Basic", "secretRef": {"name": "a"}})),
            auth(json!({"secretRef": {"name": "a"}})),
        ),
        case(
            "spec.auth",
            "secretRef.key is needed with types Bearer and Header; Basic reads the keys username \
             and password",
            auth(json!({"type": "Bearer", "secretRef": token})),
            auth(json!({"type": "Basic", "secretRef": token})),
        ),
        case(
            "spec.auth",
            "header, the name of the header, is needed with type Header, and only there",
            auth(json!({"type": "Header", "header": "x-api-key", "secretRef": token})),
            auth(json!({"type": "Header", "secretRef": token})),
        ),
    ]
}

fn headers() -> Vec<Case> {
    let headers = |name: &str| json!({"headers": {name: "value"}});
    vec![
        case(
            "spec.headers",
            "names have 1 to 64 letters, digits, - and _",
            headers("x-team"),
            headers("x team"),
        ),
        case(
            "spec.headers",
            "a secret does not belong in headers: put it in a Secret and use auth",
            headers("x-region"),
            headers("Authorization"),
        ),
        case(
            "spec.headers",
            "must not set what the protocol sets (the tenant has a field of its own)",
            headers("x-host"),
            headers("X-Scope-OrgID"),
        ),
    ]
}
