//! A pod of the node: what it asks for and what of it runs. Pure.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use podfence_seccomp::{Affected, EffectiveProfile, Moment, Node, Runtime};
use podfence_workload::{DecodeError, Defaulting, Kind, OwnerReference, Template, decode};
use serde::Deserialize;

/// On a static pod's object, the uid that kubelet and runtime know the pod by.
const STATIC_UID: &str = "kubernetes.io/config.hash";
/// Only a static pod's object has it.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid, as the runtime knows it.
    pub uid: Box<str>,
    /// The uid of its object.
    pub object_uid: Box<str>,
    /// What controls it.
    pub controller: Option<Arc<OwnerReference>>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What it asks for; none in an object without a specification.
    pub template: Option<Arc<Template>>,
    /// The containers that run.
    pub running: Vec<Running>,
    /// Every run of a container that its status still names: of each the current or last one, and the
    /// one before it.
    pub runs: Vec<Run>,
}

/// A run of a container, from a start to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The container's name.
    pub container: Box<str>,
    /// The id of this run, without the runtime's prefix.
    pub id: Box<str>,
    /// The image, as the runtime says it; empty where it does not.
    pub image: Box<str>,
    /// When it was started, as far as the kubelet says.
    pub started: Option<Moment>,
    /// Whether it goes on.
    pub is_running: bool,
    /// Whether it is ready.
    pub ready: bool,
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its name.
    pub container: Box<str>,
    /// Its id, without the runtime's prefix.
    pub id: Box<str>,
}

/// What a container asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// For nothing: the kubelet's setting decides.
    Nothing,
    /// For `RuntimeDefault`, and gets it.
    RuntimeDefault,
    /// For something else, or it cannot be said what it gets.
    Other,
}

/// Pods that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// What decides cannot be read.
    #[error(transparent)]
    Specification(#[from] DecodeError),
    /// What runs cannot be read.
    #[error("status: {0}")]
    Status(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(rename = "initContainerStatuses")]
    init: Vec<ContainerStatus>,
    #[serde(rename = "containerStatuses")]
    regular: Vec<ContainerStatus>,
    #[serde(rename = "ephemeralContainerStatuses")]
    ephemeral: Vec<ContainerStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    #[serde(rename = "containerID", default)]
    container_id: String,
    #[serde(rename = "imageID", default)]
    image_id: String,
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    state: State,
    #[serde(default)]
    last_state: State,
}

#[derive(Default, Deserialize)]
struct State {
    running: Option<Started>,
    terminated: Option<Started>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    /// Only of a run that has ended.
    #[serde(rename = "containerID", default)]
    container_id: String,
    started_at: Option<String>,
}

impl Pod {
    /// Reads a pod as the API server serves it.
    ///
    /// # Errors
    /// When a part of it that counts cannot be read.
    pub fn read(json: &str) -> Result<Self, PodError> {
        let object = decode(Kind::Pod, json.as_bytes(), Defaulting::AsServed)?;
        let Wire { metadata, status } = serde_json::from_str(json)?;
        let is_static = metadata.annotations.contains_key(MIRROR);
        let static_uid = metadata.annotations.get(STATIC_UID).filter(|_| is_static);
        let Status {
            init,
            regular,
            ephemeral,
        } = status;
        let all = init.into_iter().chain(regular).chain(ephemeral);
        let runs: Vec<Run> = all.flat_map(|status| runs(&status)).collect();
        let running = runs.iter().filter(|run| run.is_running);
        Ok(Self {
            namespace: object.meta.namespace,
            name: object.meta.name,
            uid: static_uid.unwrap_or(&metadata.uid).as_str().into(),
            object_uid: metadata.uid.as_str().into(),
            controller: object.meta.controller,
            deleting: object.meta.deleting,
            template: object.template,
            running: running
                .map(|run| Running {
                    container: run.container.clone(),
                    id: run.id.clone(),
                })
                .collect(),
            runs,
        })
    }

    /// What a container asks for, by its name.
    #[must_use]
    pub fn asks(&self, container: &str, runtime: Option<Runtime>) -> Asks {
        let Some(template) = &self.template else {
            return Asks::Other;
        };
        let mut containers = template.containers.iter();
        let Some(container) = containers.find(|known| *known.name == *container) else {
            return Asks::Other;
        };
        // Which handler a runtime class has is not known here: what it gives is nobody's to say.
        let node = Node {
            seccomp_default: None,
            runtime,
            handler: None,
        };
        if Affected::of(template, container, node) == Affected::Yes {
            Asks::Nothing
        } else if EffectiveProfile::of(template, container, node)
            == EffectiveProfile::RuntimeDefault
        {
            Asks::RuntimeDefault
        } else {
            Asks::Other
        }
    }

    /// Whether its sandbox gets `RuntimeDefault`: always, unless a container is privileged.
    ///
    /// (`generatePodSandboxLinuxConfig` in `pkg/kubelet/kuberuntime/kuberuntime_sandbox.go`.)
    #[must_use]
    pub fn confines_sandbox(&self) -> bool {
        self.template.as_ref().is_some_and(|template| {
            let mut containers = template.containers.iter();
            !template.is_windows()
                && template.runtime_class.is_none()
                && !containers.any(|container| container.security.privileged == Some(true))
        })
    }
}

/// The runs that a status names: first the one before, then the current or last one.
fn runs(status: &ContainerStatus) -> impl Iterator<Item = Run> + use<> {
    let ContainerStatus {
        name,
        container_id,
        image_id,
        ready,
        state,
        last_state,
    } = status;
    let run = |id: &str, of: Option<&Started>, is_running: bool| {
        let (_, id) = id.split_once("://")?;
        Some(Run {
            container: name.as_str().into(),
            id: id.into(),
            image: image_id.as_str().into(),
            started: of.and_then(|of| moment(of.started_at.as_deref()?)),
            is_running,
            ready: is_running && *ready,
        })
    };
    let before = last_state.terminated.as_ref();
    let before = before.and_then(|ended| run(&ended.container_id, Some(ended), false));
    let of = state.running.as_ref().or(state.terminated.as_ref());
    let current = run(container_id, of, state.running.is_some());
    // One that waits to be started again is named by the id of its last run.
    let is_new = |current: &Run| before.as_ref().is_none_or(|before| before.id != current.id);
    let current = current.filter(is_new);
    before.into_iter().chain(current)
}

/// The moment of a time; none where it is not one.
fn moment(text: &str) -> Option<Moment> {
    let time: Timestamp = text.parse().ok()?;
    let seconds = u64::try_from(time.as_second()).ok()?;
    Some(Moment::from_unix_seconds(seconds))
}

#[cfg(test)]
mod tests {
    use podfence_seccomp::Runtime;
    use serde_json::{Value, json};

    use super::{Asks, Pod};

    fn pod(spec: &Value, status: &Value, annotations: &Value) -> Pod {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "p", "namespace": "n", "uid": "object", "annotations": annotations },
            "spec": spec, "status": status,
        });
        Pod::read(&pod.to_string()).expect("a pod")
    }

    #[test]
    fn what_is_no_pod_is_said() {
        for text in [
            "",
            "7",
            r#"{"metadata":{"name":"p"},"spec":{"hostPID":"yes"}}"#,
            r#"{"metadata":{"name":"p","namespace":"n"},"spec":{"containers":[]},"status":{"containerStatuses":7}}"#,
        ] {
            assert!(Pod::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_runs_is_listed() {
        let status = json!({
            "initContainerStatuses": [
                { "name": "done", "containerID": "containerd://1", "state": { "terminated": {} } },
                { "name": "sidecar", "containerID": "containerd://2", "state": { "running": {} } },
            ],
            "containerStatuses": [
                { "name": "waiting", "state": { "waiting": {} } },
                { "name": "odd", "containerID": "nonsense", "state": { "running": {} } },
                { "name": "main", "containerID": "cri-o://3", "state": { "running": {} } },
            ],
            "ephemeralContainerStatuses": [
                { "name": "debug", "containerID": "containerd://4", "state": { "running": {} } },
            ],
        });
        let pod = pod(
            &json!({ "containers": [{ "name": "main" }] }),
            &status,
            &json!({}),
        );
        let running: Vec<_> = pod
            .running
            .iter()
            .map(|running| (&*running.container, &*running.id))
            .collect();
        assert_eq!(running, [("sidecar", "2"), ("main", "3"), ("debug", "4")]);
    }

    #[test]
    fn every_run_is_listed_that_its_status_names() {
        let ended = |id: &str| {
            let id = format!("containerd://{id}");
            json!({ "terminated": { "containerID": id, "startedAt": "2026-11-01T00:00:00Z" } })
        };
        let running = json!({ "running": { "startedAt": "2026-11-01T00:00:07Z" } });
        let status = |id: &str, state: &Value, last: &Value| {
            json!({
                "name": "main", "containerID": format!("containerd://{id}"), "ready": true,
                "imageID": "x@sha256:00", "state": state, "lastState": last,
            })
        };
        let start = 1_793_491_200;
        for (name, status, want) in [
            ("nothing", json!({ "name": "main" }), vec![]),
            (
                "its first run",
                status("1", &running, &json!({})),
                vec![("1", Some(start + 7), true)],
            ),
            (
                "its second",
                status("2", &running, &ended("1")),
                vec![("1", Some(start), false), ("2", Some(start + 7), true)],
            ),
            (
                "between two",
                status("1", &json!({ "waiting": {} }), &ended("1")),
                vec![("1", Some(start), false)],
            ),
            (
                "for good",
                status("1", &ended("1"), &json!({})),
                vec![("1", Some(start), false)],
            ),
            (
                "at a time that is none",
                status(
                    "1",
                    &json!({ "running": { "startedAt": "now" } }),
                    &json!({}),
                ),
                vec![("1", None, true)],
            ),
        ] {
            let spec = json!({ "containers": [{ "name": "main" }] });
            let statuses = json!({ "containerStatuses": [status] });
            let pod = pod(&spec, &statuses, &json!({}));
            let runs = pod.runs.iter().map(|run| {
                let started = run.started.map(podfence_seccomp::Moment::unix_seconds);
                assert_eq!(run.ready, run.is_running, "{name}");
                (&*run.id, started, run.is_running)
            });
            assert_eq!(runs.collect::<Vec<_>>(), want, "{name}");
        }
    }

    #[test]
    fn a_static_pod_has_the_uid_that_its_runtime_knows() {
        let spec = json!({ "containers": [{ "name": "main" }] });
        for (name, annotations, uid) in [
            ("none", json!({}), "object"),
            (
                "somebody wrote the one alone",
                json!({ "kubernetes.io/config.hash": "file" }),
                "object",
            ),
            (
                "static",
                json!({ "kubernetes.io/config.hash": "file", "kubernetes.io/config.mirror": "x" }),
                "file",
            ),
        ] {
            assert_eq!(&*pod(&spec, &json!({}), &annotations).uid, uid, "{name}");
        }
    }

    #[test]
    fn what_containers_and_sandboxes_ask_for() {
        let default = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
        let unconfined = json!({ "seccompProfile": { "type": "Unconfined" } });
        let privileged = json!({ "privileged": true });
        for (name, container, of_pod, more, want, sandbox) in [
            (
                "nothing",
                json!({}),
                json!({}),
                json!({}),
                Asks::Nothing,
                true,
            ),
            (
                "its own",
                default.clone(),
                json!({}),
                json!({}),
                Asks::RuntimeDefault,
                true,
            ),
            (
                "its pod's",
                json!({}),
                default.clone(),
                json!({}),
                Asks::RuntimeDefault,
                true,
            ),
            ("none", unconfined, default, json!({}), Asks::Other, true),
            (
                "privileged",
                privileged,
                json!({}),
                json!({}),
                Asks::Other,
                false,
            ),
            (
                "a kernel of its own",
                json!({}),
                json!({}),
                json!({ "runtimeClassName": "gvisor" }),
                Asks::Other,
                false,
            ),
        ] {
            let mut spec = json!({
                "securityContext": of_pod,
                "containers": [{ "name": "main", "securityContext": container }],
            });
            if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
                spec.extend(more.clone());
            }
            let pod = pod(&spec, &json!({}), &json!({}));
            let asks = pod.asks("main", Some(Runtime::Containerd));
            assert_eq!(asks, want, "{name}");
            assert_eq!(pod.asks("other", None), Asks::Other, "{name}");
            assert_eq!(pod.confines_sandbox(), sandbox, "{name}");
        }
    }
}
