//! An API server that keeps objects in memory and fails on demand: the real one cannot be made to
//! conflict, hang or die at the third call. It knows apply, delete and create, no validation.

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers 409 and does nothing.
    Conflicts,
    /// Answers 500 and does nothing.
    Fails,
    /// Does it, and never answers.
    Hangs,
}

#[derive(Clone, Default)]
pub(crate) struct Api {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By path.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Method and path of each call.
    calls: Vec<String>,
    /// The call with this number fails.
    fault: Option<(usize, Fault)>,
    /// Every call to a path that ends so is forbidden.
    forbidden: Option<String>,
}

impl Api {
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "sluice-system")
    }

    /// Lets the call with this number, counted from now, fail.
    pub(crate) fn fail(&self, call: usize, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        let call = state.calls.len() + call;
        state.fault = Some((call, fault));
    }

    pub(crate) fn forbid(&self, path_end: &str) {
        self.state.lock().unwrap().forbidden = Some(path_end.to_owned());
    }

    /// Puts an object there as somebody else would.
    pub(crate) fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state.objects.insert(path.to_owned(), object);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(path);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).cloned()
    }

    /// Everything below `prefix`, by path.
    pub(crate) fn objects(&self, prefix: &str) -> BTreeMap<String, Value> {
        let state = self.state.lock().unwrap();
        let below = state.objects.iter().filter(|(path, _)| path.starts_with(prefix));
        below.map(|(path, object)| (path.clone(), object.clone())).collect()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Full<bytes::Bytes>> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let fault = self.count(&method, &path);
        match fault {
            Some(Fault::Conflicts) => return refuse(StatusCode::CONFLICT),
            Some(Fault::Fails) => return refuse(StatusCode::INTERNAL_SERVER_ERROR),
            Some(Fault::Hangs) | None => {}
        }
        let forbidden = self.state.lock().unwrap().forbidden.clone();
        if forbidden.is_some_and(|end| path.ends_with(&end)) {
            return refuse(StatusCode::FORBIDDEN);
        }
        let answer = self.perform(&method, &path, &body);
        if fault.is_some() {
            std::future::pending::<()>().await;
        }
        answer
    }

    fn count(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        let number = state.calls.len();
        state.calls.push(format!("{method} {path}"));
        state.fault.filter(|(call, _)| *call == number).map(|(_, fault)| fault)
    }

    fn perform(&self, method: &Method, path: &str, body: &[u8]) -> Response<Full<bytes::Bytes>> {
        let mut state = self.state.lock().unwrap();
        let Some(object) = path.strip_suffix("/status") else {
            return match *method {
                Method::PATCH => state.apply(path, serde_json::from_slice(body).unwrap()),
                Method::DELETE => state.delete(path),
                Method::POST => reply(StatusCode::CREATED, &serde_json::from_slice(body).unwrap()),
                _ => state.read(path),
            };
        };
        let Some(known) = state.objects.get(object).cloned() else {
            return refuse(StatusCode::NOT_FOUND);
        };
        let patch: Value = serde_json::from_slice(body).unwrap();
        let mut wanted = known;
        wanted["status"] = patch["status"].clone();
        state.apply(object, wanted)
    }
}

impl State {
    /// As the API server does, an apply that changes nothing keeps the version.
    fn apply(&mut self, path: &str, mut wanted: Value) -> Response<Full<bytes::Bytes>> {
        if let Some(known) = self.objects.get(path) {
            wanted["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"].clone();
            if *known == wanted {
                return reply(StatusCode::OK, known);
            }
        }
        self.version += 1;
        wanted["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), wanted.clone());
        reply(StatusCode::OK, &wanted)
    }

    fn delete(&mut self, path: &str) -> Response<Full<bytes::Bytes>> {
        match self.objects.remove(path) {
            Some(_) => reply(StatusCode::OK, &json!({"kind": "Status", "status": "Success"})),
            None => refuse(StatusCode::NOT_FOUND),
        }
    }

    fn read(&self, path: &str) -> Response<Full<bytes::Bytes>> {
        match self.objects.get(path) {
            Some(object) => reply(StatusCode::OK, object),
            None => refuse(StatusCode::NOT_FOUND),
        }
    }
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<bytes::Bytes>> {
    let body = Full::new(bytes::Bytes::from(serde_json::to_vec(body).unwrap()));
    Response::builder().status(status).body(body).unwrap()
}

fn refuse(status: StatusCode) -> Response<Full<bytes::Bytes>> {
    let reason = status.canonical_reason().unwrap_or_default();
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "reason": reason, "message": reason, "code": status.as_u16(),
    });
    reply(status, &body)
}
