//! The API server and the files it reads: admission configuration and audit policy. Starts a
//! process.

use std::path::{Path, PathBuf};

use kube::Client;
use serde_json::{Value, json};

use super::{
    builder::PodSecurityConfiguration,
    credentials::Credentials,
    folder::Folder,
    health,
    ports::Port,
    process::{Process, Program},
};

/// The issuer of service account tokens; nothing resolves it.
const TOKEN_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Verbs that change something; reads are not audited.
const WRITE_VERBS: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// One API server, as it is started first and again after a stop.
pub(super) struct ApiServer {
    port: Port,
    client: Client,
    program: Program,
    log: PathBuf,
    audit_log: PathBuf,
}

/// What an API server is made from.
pub(super) struct Parts<'a> {
    pub(super) executable: &'a Path,
    pub(super) folder: &'a Folder,
    pub(super) etcd_url: &'a str,
    pub(super) credentials: &'a Credentials,
    pub(super) pod_security: &'a PodSecurityConfiguration,
    pub(super) audited_users: &'a [String],
    pub(super) extra_arguments: &'a [String],
}

impl ApiServer {
    /// Reserves the port and writes the files.
    pub(super) fn plan(parts: &Parts<'_>) -> anyhow::Result<Self> {
        let port = Port::reserve()?;
        let Parts {
            folder,
            credentials,
            ..
        } = *parts;
        let admission = admission_configuration(parts.pod_security);
        let admission = folder.write("admission.json", &format!("{admission:#}\n"))?;
        let audit = audit_policy(parts.audited_users);
        let audit = folder.write("audit-policy.json", &format!("{audit:#}\n"))?;
        let audit_log = folder.path().join("audit.jsonl");
        let program = Program::new("kube-apiserver", parts.executable)
            .flag("etcd-servers", parts.etcd_url)
            .flag("bind-address", "127.0.0.1")
            .flag("secure-port", port.number().to_string())
            .flag("tls-cert-file", credentials.server_certificate())
            .flag("tls-private-key-file", credentials.server_key())
            .flag("client-ca-file", credentials.authority_certificate())
            // An aggregation layer that nobody uses, but without which the controller manager
            // complains for ever.
            .flag(
                "requestheader-client-ca-file",
                credentials.authority_certificate(),
            )
            .flag("requestheader-allowed-names", "front-proxy")
            .flag("requestheader-username-headers", "X-Remote-User")
            .flag("requestheader-group-headers", "X-Remote-Group")
            .flag("requestheader-extra-headers-prefix", "X-Remote-Extra-")
            // For the logs of containers and commands in them, where there are nodes.
            .flag(
                "kubelet-certificate-authority",
                credentials.authority_certificate(),
            )
            .flag(
                "kubelet-client-certificate",
                credentials.to_kubelets_certificate(),
            )
            .flag("kubelet-client-key", credentials.to_kubelets_key())
            .flag("kubelet-preferred-address-types", "InternalIP")
            .flag("service-account-issuer", TOKEN_ISSUER)
            .flag("service-account-key-file", credentials.token_public_key())
            .flag(
                "service-account-signing-key-file",
                credentials.token_private_key(),
            )
            .flag("authorization-mode", "Node,RBAC")
            .flag("allow-privileged", "true")
            .flag("service-cluster-ip-range", "10.0.0.0/24")
            // Its own address is a loopback address, which an Endpoints object refuses.
            .flag("endpoint-reconciler-type", "none")
            .flag("admission-control-config-file", admission)
            .flag("audit-policy-file", audit)
            .flag("audit-log-path", &audit_log)
            .flag("audit-log-format", "json")
            // Megabytes, more than any run writes: tests read one file, so it must never be rotated
            // away.
            .flag("audit-log-maxsize", "1000000")
            .arguments(parts.extra_arguments);
        Ok(Self {
            client: credentials.anonymous_client(&port.url("https"))?,
            port,
            program,
            log: folder.path().join("kube-apiserver.log"),
            audit_log,
        })
    }

    pub(super) fn url(&self) -> String {
        self.port.url("https")
    }

    pub(super) fn audit_log(&self) -> &Path {
        &self.audit_log
    }

    /// Starts the process and returns when it is ready.
    pub(super) async fn start(&self) -> anyhow::Result<Process> {
        let process = self.program.start(&self.log).await?;
        health::until_healthy(&process, &self.client, "/readyz").await?;
        Ok(process)
    }
}

/// Source:
/// <https://kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-admission-controller/>.
fn admission_configuration(pod_security: &PodSecurityConfiguration) -> Value {
    let PodSecurityConfiguration {
        enforce,
        audit,
        warn,
        exemptions,
    } = pod_security;
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{
            "name": "PodSecurity",
            "configuration": {
                "apiVersion": "pod-security.admission.config.k8s.io/v1",
                "kind": "PodSecurityConfiguration",
                "defaults": {
                    "enforce": enforce.level, "enforce-version": enforce.version,
                    "audit": audit.level, "audit-version": audit.version,
                    "warn": warn.level, "warn-version": warn.version,
                },
                "exemptions": {
                    "usernames": exemptions.usernames,
                    "runtimeClasses": exemptions.runtime_classes,
                    "namespaces": exemptions.namespaces,
                },
            },
        }],
    })
}

/// Whole requests and answers of the users under test, the bare fact of everybody else's writes.
fn audit_policy(audited_users: &[String]) -> Value {
    let mut rules = Vec::new();
    // A rule without users would hold for everybody.
    if !audited_users.is_empty() {
        rules.push(json!({
            "level": "RequestResponse", "verbs": WRITE_VERBS, "users": audited_users,
        }));
    }
    rules.push(json!({ "level": "Metadata", "verbs": WRITE_VERBS }));
    rules.push(json!({ "level": "None" }));
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        // The end of a request tells all that its beginning does.
        "omitStages": ["RequestReceived"],
        "rules": rules,
    })
}
