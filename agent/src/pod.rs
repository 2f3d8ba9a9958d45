//! A pod of the node: what it asks for and what of it runs. Pure.

use std::sync::Arc;

use podfence_seccomp::{Affected, EffectiveProfile, Node, Runtime};
use podfence_workload::{DecodeError, Defaulting, Kind, Template, decode};
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
    /// What it asks for; none in an object without a specification.
    pub template: Option<Arc<Template>>,
    /// The containers that run.
    pub running: Vec<Running>,
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
    #[serde(default)]
    state: State,
}

#[derive(Default, Deserialize)]
struct State {
    running: Option<serde::de::IgnoredAny>,
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
        Ok(Self {
            namespace: object.meta.namespace,
            name: object.meta.name,
            uid: static_uid.unwrap_or(&metadata.uid).as_str().into(),
            template: object.template,
            running: all.filter_map(running).collect(),
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

fn running(status: ContainerStatus) -> Option<Running> {
    let ContainerStatus {
        name,
        container_id,
        state,
    } = status;
    let (_, id) = container_id.split_once("://")?;
    state.running.map(|_| Running {
        container: name.into(),
        id: id.into(),
    })
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
