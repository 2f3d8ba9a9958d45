//! A node that is an object of the API server and a folder, and the agent that looks at it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, Pod, ServiceAccount},
};
use kube::{Api, api::PostParams};
use podfence_crd::{NodeReport, NodeReportSpec};
use podfence_e2e::{
    build_program, eventually,
    harness::Stage,
    lab::{Credential, Lab, Process, Program},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The account's name, by which the admission policy knows agents in every namespace.
const NAME: &str = "podfence-agent";
/// It has nothing to finish.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// A lab with the agent's installation, and nodes of which nobody hears.
pub(crate) struct Ground {
    pub(crate) lab: Lab,
    executable: PathBuf,
}

/// A node that is recorded in a folder, with an account of its own for its agent.
pub(crate) struct Recorded {
    name: String,
    folder: TempDir,
    kubeconfig: PathBuf,
}

/// A running agent; killed when this value is dropped.
pub(crate) struct Agent<'a> {
    ground: &'a Ground,
    node: String,
    process: Process,
}

impl Stage for Ground {
    async fn build() -> anyhow::Result<Self> {
        Self::installed().await
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.lab.stop().await
    }
}

impl Ground {
    /// A lab in which everything is installed but the DaemonSet.
    pub(crate) async fn installed() -> anyhow::Result<Self> {
        let executable = build_program(NAME).await?;
        // The controllers would evict what they think nobody runs.
        let lab = Lab::builder().without_scheduler().start().await?;
        lab.kubectl(&["apply", "--server-side", "-k", &config("crd")])
            .await?;
        let reports = "crd/nodereports.podfence.dev";
        lab.kubectl(&["wait", "--for=condition=Established", reports])
            .await?;
        let shipped = lab.kubectl(&["kustomize", &config("agent")]).await?.stdout;
        let rest: Vec<&str> = shipped
            .split("\n---\n")
            .filter(|document| !document.lines().any(|line| line == "kind: DaemonSet"))
            .collect();
        let apply = ["apply", "--server-side", "-f", "-"];
        lab.kubectl_with_input(&apply, &rest.join("\n---\n"))
            .await?;
        Ok(Self { lab, executable })
    }

    /// A node, and an account that has the shipped rights without those on some resources.
    pub(crate) async fn node(
        &self,
        name: &str,
        runtime: &str,
        without: &[&str],
    ) -> anyhow::Result<Recorded> {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        self.create(&node).await?;
        // Nobody listens on this port, which only root could take.
        let status = json!({ "status": {
            "nodeInfo": {
                "containerRuntimeVersion": runtime, "architecture": "", "bootID": "",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "",
                "operatingSystem": "linux", "osImage": "", "systemUUID": "",
            },
            "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": 1 } },
        } });
        let status = status.to_string();
        self.lab
            .kubectl(&[
                "patch",
                "node",
                name,
                "--subresource=status",
                "--patch",
                &status,
            ])
            .await?;
        self.account(name, without).await?;
        let token = self.token(name).await?;
        let kubeconfig = self
            .lab
            .kubeconfig_for(&self.lab.url(), &Credential::Token(&token))?;
        let recorded = Recorded {
            name: name.to_owned(),
            folder: tempfile::tempdir()?,
            kubeconfig,
        };
        recorded.write("token", &token)?;
        Ok(recorded)
    }

    /// The agent's account for one node, in a namespace of the node's name.
    async fn account(&self, namespace: &str, without: &[&str]) -> anyhow::Result<()> {
        let object = json!({ "metadata": { "name": namespace } });
        let object: Namespace = serde_json::from_value(object)?;
        self.lab.create_namespace(&object).await?;
        let role = ["get", "clusterrole", NAME, "--output=json"];
        let mut role: Value = serde_json::from_str(&self.lab.kubectl(&role).await?.stdout)?;
        for rule in role["rules"].as_array_mut().context("no rules")? {
            if let Some(granted) = rule["resources"].as_array_mut() {
                granted.retain(|granted| !without.iter().any(|removed| granted == removed));
                // A rule must be about something.
                if granted.is_empty() {
                    granted.push(json!("nothing"));
                }
            }
        }
        let role_name = format!("agent-{namespace}");
        role["metadata"] = json!({ "name": role_name });
        self.create(&role).await?;
        let rbac = "rbac.authorization.k8s.io";
        self.create(&json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": NAME, "namespace": namespace },
        }))
        .await?;
        self.create(&json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
            "metadata": { "name": role_name },
            "roleRef": { "apiGroup": rbac, "kind": "ClusterRole", "name": role_name },
            "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": namespace }],
        }))
        .await
    }

    /// A token as the kubelet of the node would give it to the agent's pod.
    async fn token(&self, node: &str) -> anyhow::Result<String> {
        let pod = pod(node, NAME, node, &json!({}));
        let pods: Api<Pod> = Api::namespaced(self.lab.client(), node);
        let parameters = PostParams::default();
        let pod = pods
            .create(&parameters, &serde_json::from_value(pod)?)
            .await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.lab.client(), node);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name,
                    uid: pod.metadata.uid,
                }),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(NAME, &parameters, &request)
            .await?;
        Ok(answer.status.context("no token")?.token)
    }

    async fn create(&self, object: &Value) -> anyhow::Result<()> {
        let object = object.to_string();
        self.lab
            .kubectl_with_input(&["create", "-f", "-"], &object)
            .await?;
        Ok(())
    }

    /// A pod on the node whose one container runs, as its kubelet would say. Returns its uid.
    pub(crate) async fn pod(
        &self,
        node: &Recorded,
        name: &str,
        id: &str,
        security: &Value,
    ) -> anyhow::Result<String> {
        let object = pod(&node.name, name, &node.name, security);
        let pods: Api<Pod> = Api::namespaced(self.lab.client(), &node.name);
        let parameters = PostParams::default();
        let created = pods
            .create(&parameters, &serde_json::from_value(object)?)
            .await?;
        let status = json!({ "status": { "phase": "Running", "containerStatuses": [{
            "name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "containerID": format!("cri-o://{id}"), "state": { "running": {} },
        }] } });
        let status = status.to_string();
        let patch = [
            "patch",
            "pod",
            name,
            "--namespace",
            &node.name,
            "--subresource=status",
        ];
        let patch = [&patch[..], &["--type=merge", "--patch", &status]].concat();
        self.lab.kubectl(&patch).await?;
        created.metadata.uid.context("no uid")
    }

    /// Starts the agent of a node, with every function.
    pub(crate) async fn start(&self, node: &Recorded) -> anyhow::Result<Agent<'_>> {
        let program = Program::new(format!("agent-{}", node.name), &self.executable)
            .environment("KUBECONFIG", &node.kubeconfig)
            .arguments(["--kubelet", "--runtime", "--containers"])
            .arguments(["--kernel", "--apparmor", "--seccomp-profiles"])
            .flag("node-name", &node.name)
            .flag("containerd-bundles", node.path("containerd"))
            .flag("cri-o-bundles", node.path("cri-o"))
            .flag("seccomp-folder", node.path("seccomp"))
            .flag("proc", node.path("proc"))
            .flag("sys", node.path("sys"))
            .flag("kubelet-authority", self.lab.folder().join("pki/ca.crt"))
            .flag("kubelet-token", node.path("token"))
            .flag("health-address", "127.0.0.1:0")
            .flag("log-format", "text");
        let log = self.lab.folder().join(format!("agent-{}.log", node.name));
        Ok(Agent {
            ground: self,
            node: node.name.clone(),
            process: program.start(&log).await?,
        })
    }
}

fn config(folder: &str) -> String {
    format!("{}/../config/{folder}", env!("CARGO_MANIFEST_DIR"))
}

fn pod(namespace: &str, name: &str, node: &str, security: &Value) -> Value {
    json!({
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "nodeName": node,
            "serviceAccountName": if name == NAME { NAME } else { "default" },
            "containers": [{ "name": "main", "image": "none", "securityContext": security }],
        },
    })
}

impl Recorded {
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// How the audit log calls its agent.
    pub(crate) fn user(&self) -> String {
        format!("system:serviceaccount:{}:{NAME}", self.name)
    }

    /// Writes a file as a node would have it: there at once, with all of its content.
    pub(crate) fn write(&self, relative: &str, content: &str) -> anyhow::Result<()> {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap_or_else(|| Path::new("/")))?;
        let new = self.path("new");
        fs::write(&new, content)?;
        Ok(fs::rename(new, path)?)
    }
}

impl Agent<'_> {
    /// Waits until the report is as described and the agent is ready, and returns it.
    pub(crate) async fn sees(
        &self,
        patience: Duration,
        is_so: impl Fn(&NodeReportSpec) -> anyhow::Result<()>,
    ) -> anyhow::Result<NodeReportSpec> {
        let reports: Api<NodeReport> = Api::all(self.ground.lab.client());
        let seen = eventually(patience, async || {
            let spec = reports.get(&self.node).await?.spec;
            is_so(&spec)?;
            let ready = self.serves("/readyz").await?;
            ensure!(ready == "ok\n", "{ready}");
            Ok(spec)
        });
        self.still_runs(seen.await)
    }

    /// Waits until the agent lives, is not ready, and says that it is for this.
    pub(crate) async fn waits(&self, patience: Duration, why: &str) -> anyhow::Result<()> {
        let waits = eventually(patience, async || {
            let ready = self.serves("/readyz").await?;
            ensure!(ready.contains(why), "{ready}");
            let alive = self.serves("/healthz").await?;
            ensure!(alive == "ok\n", "{alive}");
            Ok(())
        });
        self.still_runs(waits.await)
    }

    fn still_runs<T>(&self, seen: anyhow::Result<T>) -> anyhow::Result<T> {
        let ended = self.process.exited();
        let seen = seen.with_context(|| self.process.log_tail())?;
        ensure!(ended.is_none(), "the agent ended: {ended:?}");
        Ok(seen)
    }

    /// What it answers, whatever the status.
    async fn serves(&self, path: &str) -> anyhow::Result<String> {
        let log = tokio::fs::read_to_string(self.process.log()).await?;
        let mut words = log.split_whitespace();
        let address = words.find_map(|word| word.strip_prefix("health_at="));
        let address = address.context("it does not serve yet")?;
        let mut config = kube::Config::new(format!("http://{address}").parse()?);
        // That it is not ready is an answer, and no reason to ask again.
        config.default_retry = false;
        let client = kube::Client::try_from(config)?;
        let request = http::Request::get(path).body(kube::client::Body::empty())?;
        let response = client.send(request).await?;
        let body = response.into_body().collect_bytes().await?;
        Ok(String::from_utf8(body.to_vec())?)
    }

    /// Stops it as Kubernetes stops a pod.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        let status = self.process.stop(STOP_GRACE).await?;
        ensure!(status.success(), "{status}\n{}", self.process.log_tail());
        Ok(())
    }
}
