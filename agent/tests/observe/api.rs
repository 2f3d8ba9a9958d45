//! An API server as far as records and owners go: objects by path, versions, and what a test wants it
//! to answer instead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// What a test answers in place of the server; none where the server is to answer.
type Hook = Box<dyn FnMut(&Asked, &mut Objects) -> Option<(u16, Value)> + Send>;

/// The objects by path.
pub(crate) type Objects = BTreeMap<String, Value>;

#[derive(Default)]
struct State {
    version: u64,
    objects: Objects,
    asked: Vec<Asked>,
    hook: Option<Hook>,
}

/// The server.
#[derive(Clone, Default)]
pub(crate) struct Api(Arc<Mutex<State>>);

pub(crate) const RECORDS: &str = "/apis/podfence.dev/v1alpha1/namespaces/shop/syscallrecords";

impl Api {
    pub(crate) fn with(objects: &[(&str, Value)]) -> Self {
        let api = Self::default();
        let objects = objects.iter().cloned();
        let objects = objects.map(|(path, object)| (path.to_owned(), object));
        api.0.lock().expect("no panic").objects = objects.collect();
        api
    }

    pub(crate) fn answering(
        self,
        hook: impl FnMut(&Asked, &mut Objects) -> Option<(u16, Value)> + Send + 'static,
    ) -> Self {
        self.0.lock().expect("no panic").hook = Some(Box::new(hook));
        self
    }

    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                let asked = Asked {
                    method: head.method,
                    path: head.uri.path().to_owned(),
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                };
                let (code, answer) = api.answer(&asked);
                let answer = Full::new(Bytes::from(answer.to_string()));
                Response::builder().status(code).body(answer)
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, asked: &Asked) -> (u16, Value) {
        let mut state = self.0.lock().expect("no panic");
        state.asked.push(asked.clone());
        if let Some(mut hook) = state.hook.take() {
            let answer = hook(asked, &mut state.objects);
            state.hook = Some(hook);
            if let Some((code, answer)) = answer {
                return (code, answer);
            }
        }
        let State {
            version, objects, ..
        } = &mut *state;
        let named = asked.body["metadata"]["name"].as_str();
        let path = match (&asked.method, named) {
            (&Method::POST, Some(name)) => format!("{}/{name}", asked.path),
            _ => asked.path.clone(),
        };
        let known = objects.get(&path);
        let read = &asked.body["metadata"]["resourceVersion"];
        match (&asked.method, known) {
            (&Method::GET, Some(known)) => return (200, known.clone()),
            (&Method::GET | &Method::PUT, None) => return refusal(404, "not found"),
            (&Method::POST, Some(_)) => return refusal(409, "it exists"),
            (&Method::PUT, Some(known)) if known["metadata"]["resourceVersion"] != *read => {
                return refusal(409, "it was changed");
            }
            _ => {}
        }
        *version += 1;
        let mut object = asked.body.clone();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        objects.insert(path, object.clone());
        (200, object)
    }

    /// Every request but reads, as method and path.
    pub(crate) fn writes(&self) -> Vec<String> {
        let state = self.0.lock().expect("no panic");
        let writes = state
            .asked
            .iter()
            .filter(|asked| asked.method != Method::GET);
        writes
            .map(|asked| format!("{} {}", asked.method, asked.path))
            .collect()
    }

    pub(crate) fn reads(&self) -> usize {
        let state = self.0.lock().expect("no panic");
        let reads = state.asked.iter();
        reads.filter(|asked| asked.method == Method::GET).count()
    }

    pub(crate) fn record(&self, name: &str) -> Option<Value> {
        let state = self.0.lock().expect("no panic");
        state.objects.get(&format!("{RECORDS}/{name}")).cloned()
    }
}

/// A Status as the API server answers it.
pub(crate) fn refusal(code: u16, message: &str) -> (u16, Value) {
    // By its reason kube tells an object that is not there from a kind that is not.
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "",
    };
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message,
        "reason": reason, "code": code,
    });
    (code, status)
}
