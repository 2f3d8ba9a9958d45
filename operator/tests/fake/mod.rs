//! An API server in memory, reached through a real client: lists, watches, applies, Leases. No I/O.
//!
//! It holds what the operator's own machinery is tested against: versions, uids, watches that break.
//! Whatever Kubernetes itself decides is tested against Kubernetes, in the stories.
// Each test file uses a part of it, and a test that panics has failed, which is its job.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate)]
#![allow(clippy::needless_pass_by_value)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Frame};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tower::Layer;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

pub const NAMESPACES: &str = "/api/v1/namespaces";
pub const PODS: &str = "/api/v1/pods";
pub const POLICIES: &str = "/apis/podfence.dev/v1alpha1/namespacepolicies";
pub const PROFILES: &str = "/apis/podfence.dev/v1alpha1/policyprofiles";
/// The path of reports of nodes.
const REPORTS: &str = "/apis/podfence.dev/v1alpha1/nodereports";
/// The path of records.
const RECORDS: &str = "/apis/podfence.dev/v1alpha1/syscallrecords";
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/podfence-system/leases";
pub const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub body: Value,
}

impl Asked {
    pub fn is_watch(&self) -> bool {
        self.query
            .split('&')
            .any(|parameter| parameter == "watch=true")
    }

    pub fn is_dry_run(&self) -> bool {
        self.query
            .split('&')
            .any(|parameter| parameter == "dryRun=All")
    }

    /// Writes that change something, Leases and events apart.
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
            && !self.is_dry_run()
            && !self.path.starts_with(LEASES)
            && !self.path.contains("/events")
    }
}

/// What a request gets in place of what the server would do.
pub enum Interception {
    /// This status, with this body.
    Answer(u16, Value),
    /// This answer, after the server has done what was asked.
    DoneBut(u16, Value),
    /// No answer, ever.
    Silence,
    /// The server's own answer, with these Warning headers.
    Warn(Vec<String>),
    /// The server's own answer, later.
    Late(Duration),
}

type Hook = Box<dyn Fn(&Asked) -> Option<Interception> + Send>;

#[derive(Default)]
struct State {
    revision: u64,
    /// Collection, then `namespace/name`.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    watches: Vec<(String, mpsc::UnboundedSender<Bytes>)>,
    absent: BTreeSet<String>,
    asked: Vec<(Instant, Asked)>,
    hook: Option<Hook>,
}

/// The server. Clones are the same server.
#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics inside")
    }

    /// A client of this server.
    pub fn client(&self) -> Client {
        self.client_with(&tower::layer::util::Identity::new())
    }

    /// A client with a layer, as the operator's own.
    pub fn client_with<L>(&self, layer: &L) -> Client
    where
        L: Layer<FakeService>,
        L::Service: tower::Service<Request<Body>, Response = Answer> + Send + 'static,
        <L::Service as tower::Service<Request<Body>>>::Future: Send,
        <L::Service as tower::Service<Request<Body>>>::Error: Into<tower::BoxError>,
    {
        Client::new(layer.layer(FakeService(self.clone())), "default")
    }

    /// Puts an object there, as somebody else would, and tells the watches.
    pub fn put(&self, collection: &str, mut object: Value) -> Value {
        let mut state = self.state();
        let key = key_of(&object);
        let known = state
            .objects
            .get(collection)
            .and_then(|them| them.get(&key))
            .cloned();
        if let Some(known) = &known {
            for kept in ["uid", "creationTimestamp"] {
                object["metadata"][kept] = known["metadata"][kept].clone();
            }
        }
        state.store(collection, object)
    }

    /// Takes an object away.
    pub fn remove(&self, collection: &str, key: &str) {
        let mut state = self.state();
        let objects = state.objects.entry(collection.to_owned()).or_default();
        let mut object = objects.remove(key).expect("it was there");
        state.revision += 1;
        object["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        state.tell(collection, "DELETED", &object);
    }

    pub fn get(&self, collection: &str, key: &str) -> Option<Value> {
        self.state().objects.get(collection)?.get(key).cloned()
    }

    /// Makes a resource unknown, as before its definition is installed, or known again.
    pub fn set_absent(&self, collection: &str, absent: bool) {
        let mut state = self.state();
        if absent {
            state.absent.insert(collection.to_owned());
        } else {
            state.absent.remove(collection);
        }
    }

    /// Ends every watch of a resource, with a last word if there is one.
    pub fn break_watches(&self, collection: &str, error: Option<&Value>) {
        let mut state = self.state();
        if let Some(error) = error {
            state.tell(collection, "ERROR", error);
        }
        state.watches.retain(|(watched, _)| watched != collection);
    }

    /// How many watches of a resource are open.
    pub fn watches(&self, collection: &str) -> usize {
        let state = self.state();
        state
            .watches
            .iter()
            .filter(|(watched, tell)| watched == collection && !tell.is_closed())
            .count()
    }

    /// Intercepts requests from now on.
    pub fn intercept(&self, hook: impl Fn(&Asked) -> Option<Interception> + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    pub fn intercept_nothing(&self) {
        self.state().hook = None;
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state()
            .asked
            .iter()
            .map(|(_, asked)| asked.clone())
            .collect()
    }

    /// All writes so far, each with its instant.
    pub fn writes(&self) -> Vec<(Instant, Asked)> {
        let state = self.state();
        state
            .asked
            .iter()
            .filter(|(_, asked)| asked.is_write())
            .cloned()
            .collect()
    }

    async fn answer(self, request: Request<Body>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.expect("a body");
        let asked = Asked {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let intercepted = {
            let mut state = self.state();
            state.asked.push((Instant::now(), asked.clone()));
            state.hook.as_ref().and_then(|hook| hook(&asked))
        };
        match intercepted {
            None => self.state().respond(&asked),
            Some(Interception::Answer(code, body)) => answer(code, &body),
            Some(Interception::DoneBut(code, body)) => {
                let _ = self.state().respond(&asked);
                answer(code, &body)
            }
            Some(Interception::Silence) => std::future::pending().await,
            Some(Interception::Late(after)) => {
                sleep(after).await;
                self.state().respond(&asked)
            }
            Some(Interception::Warn(texts)) => {
                let mut response = self.state().respond(&asked);
                for text in texts {
                    let line = format!("299 - {}", Value::from(text));
                    let line = line.parse().expect("a header value");
                    response.headers_mut().append(http::header::WARNING, line);
                }
                response
            }
        }
    }
}

impl State {
    fn respond(&mut self, asked: &Asked) -> Answer {
        let Asked {
            method, path, body, ..
        } = asked;
        if path == "/version" {
            return answer(
                200,
                &json!({"major": "1", "minor": "37", "gitVersion": "v1.37.2"}),
            );
        }
        if self.absent.iter().any(|absent| path.starts_with(absent)) {
            return plain(404, "404 page not found\n");
        }
        if asked.is_watch() {
            return self.watch(asked);
        }
        let (path, is_status) = match path.strip_suffix("/status") {
            Some(path) => (path, true),
            None => (path.as_str(), false),
        };
        let (parent, name) = path.rsplit_once('/').expect("a path");
        match *method {
            Method::GET if is_collection(path) => self.list(path),
            Method::GET => match self.objects.get(parent).and_then(|them| them.get(name)) {
                Some(object) => answer(200, object),
                None => refusal(404, "NotFound", "not found"),
            },
            Method::POST => self.create(path, body.clone()),
            Method::PUT => self.replace(parent, name, body.clone()),
            Method::PATCH => self.patch(parent, name, is_status, asked),
            _ => refusal(405, "MethodNotAllowed", "not here"),
        }
    }

    fn list(&self, collection: &str) -> Answer {
        let items: Vec<&Value> = self
            .objects
            .get(collection)
            .into_iter()
            .flat_map(BTreeMap::values)
            .collect();
        answer(
            200,
            &json!({
                "apiVersion": "v1", "kind": "List",
                "metadata": {"resourceVersion": self.revision.to_string()},
                "items": items,
            }),
        )
    }

    fn watch(&mut self, asked: &Asked) -> Answer {
        let from: u64 = asked
            .query
            .split('&')
            .find_map(|parameter| parameter.strip_prefix("resourceVersion="))
            .and_then(|version| version.parse().ok())
            .unwrap_or_default();
        let (tell, lines) = mpsc::unbounded_channel();
        // What changed since the list; deletions in between are a test's business.
        for object in self
            .objects
            .get(&asked.path)
            .into_iter()
            .flat_map(BTreeMap::values)
        {
            if version_of(object) > from {
                let line = json!({"type": "MODIFIED", "object": object});
                tell.send(Bytes::from(format!("{line}\n")))
                    .expect("it is open");
            }
        }
        self.watches.push((asked.path.clone(), tell));
        let frames = futures::stream::unfold(lines, |mut lines| async {
            lines
                .recv()
                .await
                .map(|line| (Ok(Frame::data(line)), lines))
        });
        let body = UnsyncBoxBody::new(StreamBody::new(frames.boxed()));
        Response::builder()
            .status(200)
            .body(body)
            .expect("a response")
    }

    fn create(&mut self, collection: &str, object: Value) -> Answer {
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if self
            .objects
            .get(collection)
            .is_some_and(|them| them.contains_key(&name))
        {
            return refusal(409, "AlreadyExists", "already exists");
        }
        let object = self.store(collection, object);
        answer(201, &object)
    }

    fn replace(&mut self, collection: &str, name: &str, object: Value) -> Answer {
        let Some(known) = self.objects.get(collection).and_then(|them| them.get(name)) else {
            return refusal(404, "NotFound", "not found");
        };
        if object["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"] {
            return refusal(409, "Conflict", "the object has been modified");
        }
        let object = self.store(collection, object);
        answer(200, &object)
    }

    fn patch(&mut self, collection: &str, name: &str, is_status: bool, asked: &Asked) -> Answer {
        let metadata = &asked.body["metadata"];
        let Some(known) = self
            .objects
            .get(collection)
            .and_then(|them| them.get(name))
            .cloned()
        else {
            return refusal(
                403,
                "Forbidden",
                "User \"podfence\" cannot create resource \"namespaces\"",
            );
        };
        for (field, code) in [("uid", 422), ("resourceVersion", 409)] {
            if !metadata[field].is_null() && metadata[field] != known["metadata"][field] {
                let mut refused = status(code, "Conflict", "the object has been modified");
                if code == 422 {
                    refused["details"] = json!({"causes": [{"field": "metadata.uid"}]});
                }
                return answer(code, &refused);
            }
        }
        let mut object = known.clone();
        if is_status {
            object["status"] = asked.body["status"].clone();
        } else if let Some(finalizers) = metadata.get("finalizers") {
            object["metadata"]["finalizers"] = finalizers.clone();
        } else {
            own(&mut object, "labels", &metadata["labels"]);
            own(&mut object, "annotations", &metadata["annotations"]);
            object["metadata"]["managedFields"] = managed_fields(metadata);
        }
        if asked.is_dry_run() || object == known {
            return answer(200, &object);
        }
        let object = self.store(collection, object);
        answer(200, &object)
    }

    fn store(&mut self, collection: &str, mut object: Value) -> Value {
        self.revision += 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(self.revision.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{}", self.revision));
        }
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = json!("2026-11-20T10:00:00Z");
        }
        let objects = self.objects.entry(collection.to_owned()).or_default();
        let is_new = objects.insert(key_of(&object), object.clone()).is_none();
        self.tell(
            collection,
            if is_new { "ADDED" } else { "MODIFIED" },
            &object,
        );
        object
    }

    fn tell(&mut self, collection: &str, what: &str, object: &Value) {
        let bytes = line_of(what, object);
        self.watches
            .retain(|(watched, tell)| watched != collection || tell.send(bytes.clone()).is_ok());
    }
}

/// Replaces what an earlier apply of ours set, and leaves the rest alone.
fn own(object: &mut Value, field: &str, applied: &Value) {
    let ours = ["pod-security.kubernetes.io/", "state.podfence.dev/"];
    let mut kept: serde_json::Map<String, Value> = object["metadata"][field]
        .as_object()
        .cloned()
        .unwrap_or_default();
    kept.retain(|key, _| !ours.iter().any(|prefix| key.starts_with(prefix)));
    kept.extend(applied.as_object().cloned().unwrap_or_default());
    object["metadata"][field] = Value::Object(kept);
}

fn managed_fields(applied: &Value) -> Value {
    let fields = |map: &Value| -> Value {
        let keys = map.as_object().into_iter().flat_map(serde_json::Map::keys);
        keys.map(|key| (format!("f:{key}"), json!({})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!([{
        "manager": "podfence", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {
            "f:labels": fields(&applied["labels"]),
            "f:annotations": fields(&applied["annotations"]),
        }},
    }])
}

/// A line of a watch, in the order in which the API server writes it: a decoder that reads an object
/// as it comes must know before what it is.
fn line_of(what: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{{\"type\":\"{what}\",\"object\":{object}}}\n"))
}

/// The service behind the client.
#[derive(Clone)]
pub struct FakeService(Fake);

impl tower::Service<Request<Body>> for FakeService {
    type Response = Answer;
    type Error = Infallible;
    type Future = futures::future::BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fake = self.0.clone();
        Box::pin(async move { Ok(fake.answer(request).await) })
    }
}

fn is_collection(path: &str) -> bool {
    [NAMESPACES, POLICIES, PROFILES, REPORTS, RECORDS].contains(&path)
        || !path.contains("/namespaces/")
            && !path.starts_with(NAMESPACES)
            && !path.starts_with(CRDS)
            && !path.contains("podfence.dev")
}

fn key_of(object: &Value) -> String {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    match metadata["namespace"].as_str() {
        // A Lease's namespace is in its collection.
        Some(namespace) if object["kind"] != "Lease" => format!("{namespace}/{name}"),
        _ => name.to_owned(),
    }
}

fn version_of(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

/// A refusal as the API server words it.
pub fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})
}

fn refusal(code: u16, reason: &str, message: &str) -> Answer {
    answer(code, &status(code, reason, message))
}

fn answer(code: u16, body: &Value) -> Answer {
    plain(code, &body.to_string())
}

fn plain(code: u16, body: &str) -> Answer {
    let frame: Result<_, Infallible> = Ok(Frame::data(Bytes::from(body.to_owned())));
    let body = StreamBody::new(futures::stream::iter([frame]).boxed());
    Response::builder()
        .status(StatusCode::from_u16(code).expect("a status"))
        .body(UnsyncBoxBody::new(body))
        .expect("a response")
}

/// Waits, on the paused clock, until something is so.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(
            began.elapsed() < Duration::from_secs(3_600),
            "never: {what}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// A namespace with labels.
pub fn namespace(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A profile that asks for restricted everywhere.
pub fn profile(name: &str) -> Value {
    let level = json!({"level": "restricted", "version": "v1.34"});
    json!({
        "apiVersion": "podfence.dev/v1alpha1", "kind": "PolicyProfile",
        "metadata": {"name": name, "generation": 1},
        "spec": {"podSecurity": {"enforce": level, "audit": level, "warn": level}},
    })
}

/// A policy over the namespaces labelled `tier: NAME`.
pub fn policy(name: &str, rollout: Value) -> Value {
    json!({
        "apiVersion": "podfence.dev/v1alpha1", "kind": "NamespacePolicy",
        "metadata": {"name": name, "generation": 1},
        "spec": {
            "profileRef": {"name": "restricted"},
            "namespaceSelector": {"matchLabels": {"tier": name}},
            "rollout": rollout,
        },
    })
}

/// A pod that violates every level but privileged.
pub fn privileged_pod(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name},
        "spec": {"containers": [{"name": "app", "image": "app", "securityContext": {"privileged": true}}]},
        "status": {"phase": "Running"},
    })
}
