//! What `config/default` installs: taken without a warning, and its admission policies under real
//! requests of several accounts. Starts labs, makes requests.

use std::{
    fmt,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use http::Method;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::{Api, Client, api::PostParams};
use podfence_e2e::{
    eventually,
    harness::{Case, Shared, Stage, tell},
    lab::{KubernetesVersion, Lab},
};
use serde_json::{Value, json};

/// A policy works in a second after its binding was written, on a busy machine later.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(60);
/// The namespace that every dry run is about.
const LIVED_IN: &str = "lived-in";
/// A namespace with state that nobody looks after.
const ABANDONED: &str = "abandoned";
const NAMESPACE: &str = "/api/v1/namespaces/lived-in";
const NAMESPACES: &str = "/api/v1/namespaces";
const POLICY: &str = "/apis/podfence.dev/v1alpha1/namespacepolicies/apps";
const POLICIES: &str = "/apis/podfence.dev/v1alpha1/namespacepolicies";

/// The finalizer that the operator puts on policies with `deletionPolicy: Remove`.
const FINALIZER: &str = "podfence.dev/remove-labels";
/// Somebody else's finalizer.
const BACKUP: &str = "example.com/backup";

const CONFINE: &str = "podfence-confine-operator";
const CONFINE_POLICIES: &str = "podfence-confine-operator-policies";
const GUARD: &str = "podfence-guard-state";

/// Accounts that tell apart what a policy refuses from what the roles refuse anyway.
const ACCOUNTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: people }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: namespace-admin, namespace: people }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: policy-admin, namespace: people }
---
# The operator's account in an installation whose role somebody widened without bounds.
apiVersion: v1
kind: ServiceAccount
metadata: { name: podfence-operator, namespace: people }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: namespace-admin }
rules:
  - apiGroups: [""]
    resources: [namespaces, namespaces/status, namespaces/finalize]
    verbs: [get, list, watch, create, update, patch, delete]
  # Everything on policies but the one right that lets through.
  - apiGroups: [podfence.dev]
    resources: [namespacepolicies]
    verbs: [get, list, watch, create, update, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: namespace-admins }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: namespace-admin }
subjects:
  - { kind: ServiceAccount, name: namespace-admin, namespace: people }
  - { kind: ServiceAccount, name: policy-admin, namespace: people }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: policy-admins }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: podfence-editor }
subjects:
  - { kind: ServiceAccount, name: policy-admin, namespace: people }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: almighty-operator }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin }
subjects:
  - { kind: ServiceAccount, name: podfence-operator, namespace: people }
---
# The most that Kubernetes' own roles for people give, short of everything.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: tenants }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin }
subjects:
  - { apiGroup: rbac.authorization.k8s.io, kind: User, name: tenant }
"#;

/// A request as it goes to the API server; always a dry run, so that no row depends on another.
struct Request {
    method: Method,
    path: String,
    content_type: &'static str,
    body: Value,
}

/// A row of a table: what is tried, and how.
type Row = (&'static str, Request);

impl Request {
    fn new(method: Method, path: &str, content_type: &'static str, body: Value) -> Self {
        let path = format!(
            "{path}{}dryRun=All",
            if path.contains('?') { '&' } else { '?' }
        );
        Self {
            method,
            path,
            content_type,
            body,
        }
    }
}

fn merge(path: &str, body: Value) -> Request {
    Request::new(Method::PATCH, path, "application/merge-patch+json", body)
}

/// Adds, changes or (null) removes one label.
fn label(path: &str, key: &str, value: impl Into<Value>) -> Request {
    merge(
        path,
        json!({ "metadata": { "labels": { key: value.into() } } }),
    )
}

/// Adds, changes or (null) removes one annotation.
fn annotation(path: &str, key: &str, value: impl Into<Value>) -> Request {
    merge(
        path,
        json!({ "metadata": { "annotations": { key: value.into() } } }),
    )
}

/// Server-side apply of a namespace's metadata by the operator's field manager, forced.
fn apply(path: &str, metadata: &Value) -> Request {
    let path = format!("{path}?fieldManager=podfence&force=true");
    Request::new(
        Method::PATCH,
        &path,
        "application/apply-patch+yaml",
        namespace(metadata),
    )
}

fn create(path: &str, body: Value) -> Request {
    Request::new(Method::POST, path, "application/json", body)
}

fn create_namespace(metadata: &Value) -> Request {
    create(NAMESPACES, namespace(metadata))
}

/// A whole namespace in place of the one that is there, as `kubectl replace` does.
fn replace(path: &str, labels: &Value, annotations: &Value) -> Request {
    let body = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": LIVED_IN, "labels": labels, "annotations": annotations },
        "spec": { "finalizers": ["kubernetes"] },
    });
    Request::new(Method::PUT, path, "application/json", body)
}

fn delete(path: &str) -> Request {
    // With a body, the API server looks nowhere else for options.
    let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"] });
    Request::new(Method::DELETE, path, "application/json", options)
}

fn namespace(metadata: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })
}

/// What became of a request.
#[derive(PartialEq, Eq)]
enum Outcome {
    Allowed,
    /// Refused by an admission policy.
    DeniedBy(&'static str),
    /// Refused in another way, such as by RBAC.
    Other(String),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => write!(formatter, "allowed"),
            Self::DeniedBy(policy) => write!(formatter, "denied by {policy}"),
            Self::Other(message) => write!(formatter, "refused otherwise: {message}"),
        }
    }
}

async fn send(client: &Client, request: &Request) -> anyhow::Result<Outcome> {
    let http = http::Request::builder()
        .method(request.method.clone())
        .uri(&request.path)
        .header(http::header::CONTENT_TYPE, request.content_type)
        .body(serde_json::to_vec(&request.body)?)?;
    match client.request_text(http).await {
        Ok(_) => Ok(Outcome::Allowed),
        Err(kube::Error::Api(status)) => {
            let by = |policy: &&&str| {
                let start = format!(
                    "ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request"
                );
                status.code == 403 && status.message.contains(&start)
            };
            Ok(match [CONFINE, CONFINE_POLICIES, GUARD].iter().find(by) {
                Some(policy) => Outcome::DeniedBy(policy),
                None => Outcome::Other(format!("{} {}", status.code, status.message)),
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends every row and reports all that came out otherwise.
async fn check(client: &Client, who: &str, want: &Outcome, rows: &[Row]) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for (name, request) in rows {
        let got = send(client, request)
            .await
            .with_context(|| format!("{who}: {name}"))?;
        if got != *want {
            wrong.push(format!("{name}: {got:?}"));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{who}, want {want:?}:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

/// Everything that the policies are asked about, in place and working.
async fn install(lab: &Lab, kustomization: &Path) -> anyhow::Result<()> {
    let kustomization = kustomization.to_str().context("a path that is not UTF-8")?;
    let output = lab
        .kubectl(&["apply", "--server-side", "-k", kustomization])
        .await?;
    ensure!(
        output.stderr.is_empty(),
        "kubectl printed {}",
        output.stderr
    );
    Ok(())
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/default")
}

/// Another namespace, by a kustomization around the shipped one, as GitOps tools do it.
fn under_another_namespace(lab: &Lab, namespace: &str) -> anyhow::Result<PathBuf> {
    let folder = lab.folder().join("overlay");
    std::fs::create_dir(&folder)?;
    // Kustomize takes no absolute paths.
    symlink(shipped().canonicalize()?, folder.join("shipped"))?;
    let kustomization = format!("namespace: {namespace}\nresources: [shipped]\n");
    std::fs::write(folder.join("kustomization.yaml"), kustomization)?;
    Ok(folder)
}

async fn client_of(lab: &Lab, namespace: &str, account: &str) -> anyhow::Result<Client> {
    lab.client_as_token(&lab.service_account_token(namespace, account).await?)
        .await
}

/// Waits until all three policies are enforced; the API server reads them anew every now and then.
async fn policies_work(lab: &Lab) -> anyhow::Result<()> {
    let namespace_admin = client_of(lab, "people", "namespace-admin").await?;
    let almighty = client_of(lab, "people", "podfence-operator").await?;
    let probes = [
        (
            &namespace_admin,
            annotation(NAMESPACE, "state.podfence.dev/a", "b"),
            GUARD,
        ),
        (
            &almighty,
            create_namespace(&json!({ "name": "new" })),
            CONFINE,
        ),
        (
            &almighty,
            create(POLICIES, policy("apps")),
            CONFINE_POLICIES,
        ),
    ];
    for (client, request, policy) in probes {
        denies(client, &request, policy).await?;
    }
    Ok(())
}

/// Waits until a policy refuses a request.
async fn denies(client: &Client, request: &Request, policy: &'static str) -> anyhow::Result<()> {
    eventually(ADMISSION_TIMEOUT, async || {
        let outcome = send(client, request).await?;
        ensure!(
            outcome == Outcome::DeniedBy(policy),
            "{outcome:?}, want denied by {policy}"
        );
        Ok(())
    })
    .await
}

fn policy(name: &str) -> Value {
    json!({
        "apiVersion": "podfence.dev/v1alpha1",
        "kind": "NamespacePolicy",
        "metadata": {
            "name": name,
            "labels": { "team": "platform" },
            "finalizers": [FINALIZER, BACKUP],
        },
        "spec": {
            "profileRef": { "name": "restricted" },
            "namespaceSelector": { "matchLabels": { "tier": "apps" } },
        },
    })
}

/// A lab with the installation, the accounts and the objects that the tables speak of.
struct LivedIn(Lab);

impl Stage for LivedIn {
    async fn build() -> anyhow::Result<Self> {
        let lab = Lab::builder().without_scheduler().start().await?;
        for (name, phase) in [(LIVED_IN, "Held"), (ABANDONED, "Enforced")] {
            let lived_in = namespace(&json!({
                "name": name,
                "labels": { "team": "shop", "pod-security.kubernetes.io/enforce": "baseline" },
                "annotations": {
                    "note": "ours",
                    "podfence.dev/wish": "soon",
                    "state.podfence.dev/phase": phase,
                },
            }));
            lab.kubectl_with_input(&["create", "-f", "-"], &lived_in.to_string())
                .await?;
        }
        install(&lab, &shipped()).await?;
        lab.kubectl_with_input(&["apply", "-f", "-"], ACCOUNTS)
            .await?;
        let served = "crd/namespacepolicies.podfence.dev";
        lab.kubectl(&["wait", "--for=condition=Established", served])
            .await?;
        lab.kubectl_with_input(&["create", "-f", "-"], &policy("apps").to_string())
            .await?;
        policies_work(&lab).await?;
        Ok(Self(lab))
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.0.stop().await
    }
}

/// What the operator does on namespaces.
#[rustfmt::skip]
fn operator_on_namespaces() -> Vec<Row> {
    let kept_labels = json!({ "team": "shop", "pod-security.kubernetes.io/enforce": "restricted" });
    let kept_annotations = json!({ "note": "ours", "podfence.dev/wish": "soon" });
    let applied = json!({
        "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        "annotations": { "state.podfence.dev/phase": "Enforced" },
    });
    let reset = json!({ "metadata": { "managedFields": [{}] } });
    vec![
        ("applies labels and state", apply(NAMESPACE, &applied)),
        ("adds its label", label(NAMESPACE, "pod-security.kubernetes.io/audit", "restricted")),
        ("removes its label", label(NAMESPACE, "pod-security.kubernetes.io/enforce", ())),
        ("adds state", annotation(NAMESPACE, "state.podfence.dev/since", "now")),
        ("removes state", annotation(NAMESPACE, "state.podfence.dev/phase", ())),
        ("forgets managed fields", merge(NAMESPACE, reset)),
        ("changes nothing", merge(NAMESPACE, json!({}))),
        ("replaces and keeps the rest", replace(NAMESPACE, &kept_labels, &kept_annotations)),
    ]
}

/// The same, by the one verb that its shipped role has for it.
fn shipped_operator_on_namespaces() -> Vec<Row> {
    let mut rows = operator_on_namespaces();
    rows.retain(|(_, request)| request.method == Method::PATCH);
    rows
}

/// What the operator never does on namespaces, whatever its roles are.
#[rustfmt::skip]
fn denied_to_the_operator_on_namespaces() -> Vec<Row> {
    let status = &format!("{NAMESPACE}/status");
    let finalize = &format!("{NAMESPACE}/finalize");
    let new = "/api/v1/namespaces/new";
    let level = "pod-security.kubernetes.io/enforce";
    let kept_labels = json!({ "team": "shop" });
    let kept_annotations = json!({ "note": "ours", "podfence.dev/wish": "soon" });
    let mixed = json!({ "metadata": { "labels": { level: "restricted", "tier": "apps" } } });
    let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u" });
    let with_owner = json!({ "metadata": { "ownerReferences": [owner] } });
    let finalizer = json!({ "metadata": { "finalizers": [FINALIZER] } });
    vec![
        ("adds a label", label(NAMESPACE, "tier", "apps")),
        ("changes a label", label(NAMESPACE, "team", "other")),
        ("removes a label", label(NAMESPACE, "team", ())),
        ("applies a label", apply(NAMESPACE, &json!({ "labels": { "tier": "apps" } }))),
        ("adds a label beside its own", merge(NAMESPACE, mixed)),
        ("replaces without a label", replace(NAMESPACE, &json!({}), &kept_annotations)),
        ("begins like its label", label(NAMESPACE, "pod-security.kubernetes.io.a/enforce", "x")),
        ("ends like its label", label(NAMESPACE, "a.pod-security.kubernetes.io/enforce", "x")),
        ("adds an annotation", annotation(NAMESPACE, "a", "b")),
        ("changes an annotation", annotation(NAMESPACE, "note", "mine")),
        ("removes an annotation", annotation(NAMESPACE, "note", ())),
        ("replaces without annotations", replace(NAMESPACE, &kept_labels, &json!({}))),
        ("writes what people write", annotation(NAMESPACE, "podfence.dev/wish", "never")),
        ("ends like its annotation", annotation(NAMESPACE, "a.state.podfence.dev/phase", "x")),
        ("state as a label", label(NAMESPACE, "state.podfence.dev/phase", "Held")),
        ("a level as an annotation", annotation(NAMESPACE, level, "restricted")),
        ("adds a finalizer", merge(NAMESPACE, finalizer)),
        ("adds an owner", merge(NAMESPACE, with_owner)),
        ("its label through status", label(status, level, "privileged")),
        ("its state through status", annotation(status, "state.podfence.dev/phase", "Enforced")),
        ("writes the status", merge(status, json!({ "status": { "phase": "Active" } }))),
        ("its label through finalize", replace(finalize, &json!({}), &json!({}))),
        ("creates", create_namespace(&json!({ "name": "new" }))),
        ("creates with a generated name", create_namespace(&json!({ "generateName": "new-" }))),
        ("creates by apply", apply(new, &json!({ "name": "new" }))),
        ("deletes", delete(NAMESPACE)),
    ]
}

fn finalizers(finalizers: &[&str]) -> Request {
    merge(POLICY, json!({ "metadata": { "finalizers": finalizers } }))
}

/// What the operator does on policies.
#[rustfmt::skip]
fn operator_on_policies() -> Vec<Row> {
    let status = &format!("{POLICY}/status");
    vec![
        ("removes its finalizer", finalizers(&[BACKUP])),
        ("adds a finalizer", finalizers(&[FINALIZER, "podfence.dev/more", BACKUP])),
        ("writes the status", merge(status, json!({ "status": { "observedGeneration": 1 } }))),
        ("changes nothing", merge(POLICY, json!({}))),
    ]
}

/// What the operator never does on policies, whatever its roles are.
#[rustfmt::skip]
fn denied_to_the_operator_on_policies() -> Vec<Row> {
    let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u" });
    vec![
        ("removes another finalizer", finalizers(&[FINALIZER])),
        ("adds another finalizer", finalizers(&[FINALIZER, BACKUP, "example.com/b"])),
        ("removes all finalizers", finalizers(&[])),
        ("changes the spec", merge(POLICY, json!({ "spec": { "suspend": true } }))),
        ("adds a label", label(POLICY, "a", "b")),
        ("removes a label", label(POLICY, "team", ())),
        ("adds an annotation", annotation(POLICY, "a", "b")),
        ("adds an owner", merge(POLICY, json!({ "metadata": { "ownerReferences": [owner] } }))),
        ("creates", create(POLICIES, policy("another"))),
        ("deletes", delete(POLICY)),
    ]
}

/// What everybody who may write namespaces may do as ever.
#[rustfmt::skip]
fn ordinary_requests() -> Vec<Row> {
    let status = &format!("{NAMESPACE}/status");
    let finalize = &format!("{NAMESPACE}/finalize");
    let level = "pod-security.kubernetes.io/enforce";
    let kept = json!({ "state.podfence.dev/phase": "Held" });
    let finalizer = json!({ "metadata": { "finalizers": [BACKUP] } });
    vec![
        ("creates", create_namespace(&json!({ "name": "new", "labels": { "team": "shop" } }))),
        ("creates with a generated name", create_namespace(&json!({ "generateName": "new-" }))),
        ("creates by apply", apply("/api/v1/namespaces/new", &json!({ "name": "new" }))),
        ("adds a label", label(NAMESPACE, "tier", "apps")),
        ("removes a label", label(NAMESPACE, "team", ())),
        ("sets a level", label(NAMESPACE, level, "restricted")),
        ("removes all labels", merge(NAMESPACE, json!({ "metadata": { "labels": null } }))),
        ("adds an annotation", annotation(NAMESPACE, "other", "x")),
        ("removes an annotation", annotation(NAMESPACE, "note", ())),
        ("writes what people write", annotation(NAMESPACE, "podfence.dev/wish", "never")),
        ("ends like state", annotation(NAMESPACE, "a.state.podfence.dev/phase", "Enforced")),
        ("a label like state", label(NAMESPACE, "state.podfence.dev/phase", "Enforced")),
        ("writes the state that is", annotation(NAMESPACE, "state.podfence.dev/phase", "Held")),
        ("replaces and keeps the state", replace(NAMESPACE, &json!({}), &kept)),
        ("adds a finalizer", merge(NAMESPACE, finalizer)),
        ("writes the status", merge(status, json!({ "status": { "phase": "Active" } }))),
        ("a label through status", label(status, "tier", "apps")),
        ("finalizes and keeps the state", replace(finalize, &json!({}), &kept)),
        ("deletes", delete(NAMESPACE)),
    ]
}

/// What adds, changes or removes state.
#[rustfmt::skip]
fn requests_on_state() -> Vec<Row> {
    let status = &format!("{NAMESPACE}/status");
    let finalize = &format!("{NAMESPACE}/finalize");
    let new = "/api/v1/namespaces/new";
    let (added, there) = ("state.podfence.dev/author", "state.podfence.dev/phase");
    let changed = json!({ there: "Enforced" });
    let named = json!({ "name": "new", "annotations": { added: "apps" } });
    let generated = json!({ "generateName": "new-", "annotations": { added: "apps" } });
    let mixed = json!({ "metadata": { "annotations": { "note": "x", added: "apps" } } });
    let none = json!({ "metadata": { "annotations": null } });
    vec![
        ("adds", annotation(NAMESPACE, added, "apps")),
        ("adds an empty one", annotation(NAMESPACE, added, "")),
        ("changes", annotation(NAMESPACE, there, "Enforced")),
        ("removes", annotation(NAMESPACE, there, ())),
        ("removes all annotations", merge(NAMESPACE, none)),
        ("adds among others", merge(NAMESPACE, mixed)),
        ("applies", apply(NAMESPACE, &json!({ "annotations": changed }))),
        ("replaces without it", replace(NAMESPACE, &json!({}), &json!({}))),
        ("adds through status", annotation(status, added, "apps")),
        ("changes through status", annotation(status, there, "Enforced")),
        ("removes through status", annotation(status, there, ())),
        ("changes through finalize", replace(finalize, &json!({}), &changed)),
        ("removes through finalize", replace(finalize, &json!({}), &json!({}))),
        ("creates with it", create_namespace(&named)),
        ("creates with it and a generated name", create_namespace(&generated)),
        ("creates with it by apply", apply(new, &named)),
    ]
}

async fn the_operator_is_confined_whatever_its_roles(
    shared: Shared<LivedIn>,
) -> anyhow::Result<()> {
    use Outcome::{Allowed, DeniedBy};
    let stage = shared.get().await?;
    let who = "the operator's account, bound to cluster-admin";
    let almighty = client_of(&stage.0, "people", "podfence-operator").await?;
    check(&almighty, who, &Allowed, &operator_on_namespaces()).await?;
    check(
        &almighty,
        who,
        &DeniedBy(CONFINE),
        &denied_to_the_operator_on_namespaces(),
    )
    .await?;
    check(&almighty, who, &Allowed, &operator_on_policies()).await?;
    check(
        &almighty,
        who,
        &DeniedBy(CONFINE_POLICIES),
        &denied_to_the_operator_on_policies(),
    )
    .await
}

async fn the_operator_as_shipped_may_do_its_work(shared: Shared<LivedIn>) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    let who = "the operator as shipped";
    let operator = client_of(&stage.0, "podfence-system", "podfence-operator").await?;
    check(
        &operator,
        who,
        &Outcome::Allowed,
        &shipped_operator_on_namespaces(),
    )
    .await?;
    check(&operator, who, &Outcome::Allowed, &operator_on_policies()).await?;
    let foreign = [("changes a label", label(NAMESPACE, "team", "other"))];
    check(&operator, who, &Outcome::DeniedBy(CONFINE), &foreign).await
}

async fn state_is_kept_from_who_may_write_namespaces(
    shared: Shared<LivedIn>,
) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    let who = "who may write namespaces and policies";
    let namespace_admin = client_of(&stage.0, "people", "namespace-admin").await?;
    check(
        &namespace_admin,
        who,
        &Outcome::Allowed,
        &ordinary_requests(),
    )
    .await?;
    check(
        &namespace_admin,
        who,
        &Outcome::DeniedBy(GUARD),
        &requests_on_state(),
    )
    .await
}

async fn state_is_open_to_who_may_delete_policies(shared: Shared<LivedIn>) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    let who = "who may delete policies as well";
    let policy_admin = client_of(&stage.0, "people", "policy-admin").await?;
    check(&policy_admin, who, &Outcome::Allowed, &ordinary_requests()).await?;
    check(&policy_admin, who, &Outcome::Allowed, &requests_on_state()).await
}

async fn an_administrator_works_while_the_operator_is_away(
    shared: Shared<LivedIn>,
) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    let token = stage
        .0
        .service_account_token("people", "namespace-admin")
        .await?;
    let token = format!("--token={token}");
    let level = "pod-security.kubernetes.io/warn=baseline";
    let commands: [&[&str]; 5] = [
        &["create", "namespace", "shop"],
        &["label", "namespace", "shop", "team=shop", level],
        &["annotate", "namespace", "shop", "note=ours"],
        // The namespace controller finishes what a deletion begins, and kubectl waits for it.
        &["delete", "namespace", "shop", "--timeout=60s"],
        &["delete", "namespace", ABANDONED, "--timeout=60s"],
    ];
    for command in commands {
        stage
            .0
            .kubectl(&[&[token.as_str()], command].concat())
            .await?;
    }
    Ok(())
}

async fn the_installation_is_taken_without_a_warning(
    shared: Shared<LivedIn>,
) -> anyhow::Result<()> {
    // Building the stage fails on a warning; the API server's type checks come later.
    let stage = shared.get().await?;
    type_checks_pass(&stage.0).await
}

async fn an_older_server_takes_the_installation(_: Shared<LivedIn>) -> anyhow::Result<()> {
    let lab = Lab::builder()
        .kubernetes(KubernetesVersion::V1_34)
        .start()
        .await?;
    install(&lab, &shipped()).await?;
    lab.stop().await
}

async fn the_image_is_of_this_version(shared: Shared<LivedIn>) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    let path = "jsonpath={.spec.template.spec.containers[*].image}";
    let command = [
        "get",
        "deployment",
        "podfence-operator",
        "-n",
        "podfence-system",
        "-o",
        path,
    ];
    let image = stage.0.kubectl(&command).await?.stdout;
    let want = concat!("podfence-operator:", env!("CARGO_PKG_VERSION"));
    ensure!(image == want, "the image is {image:?}, want {want:?}");
    Ok(())
}

async fn only_reading_is_aggregated(shared: Shared<LivedIn>) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    for resource in ["policyprofiles", "namespacepolicies"] {
        // The controllers aggregate; what came with the same roles is there at the same time.
        eventually(ADMISSION_TIMEOUT, async || {
            ensure!(
                tenant_may(&stage.0, "list", resource).await?,
                "may not list {resource}"
            );
            Ok(())
        })
        .await?;
        for verb in ["create", "update", "patch", "delete", "deletecollection"] {
            ensure!(
                !tenant_may(&stage.0, verb, resource).await?,
                "may {verb} {resource}"
            );
        }
    }
    Ok(())
}

/// What the authorizer says of who has the cluster role `admin`.
async fn tenant_may(lab: &Lab, verb: &str, resource: &str) -> anyhow::Result<bool> {
    let attributes = json!({ "group": "podfence.dev", "resource": resource, "verb": verb });
    let review: SubjectAccessReview = serde_json::from_value(json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": { "user": "tenant", "resourceAttributes": attributes },
    }))?;
    let reviews: Api<SubjectAccessReview> = Api::all(lab.client());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.context("a review without an answer")?.allowed)
}

async fn the_installation_works_under_another_namespace(_: Shared<LivedIn>) -> anyhow::Result<()> {
    let lab = Lab::builder().without_scheduler().start().await?;
    install(&lab, &under_another_namespace(&lab, "fences")?).await?;
    let shipped = ["get", "namespace", "podfence-system", "--ignore-not-found"];
    let there = lab.kubectl(&shipped).await?.stdout;
    ensure!(
        there.is_empty(),
        "the shipped namespace is there as well: {there}"
    );

    // Its pods pass the level that the namespace enforces, so the ReplicaSet gets both.
    eventually(ADMISSION_TIMEOUT, async || {
        let pods = lab
            .kubectl(&["get", "pods", "-n", "fences", "-o", "name"])
            .await?
            .stdout;
        ensure!(pods.lines().count() == 2, "pods: {pods:?}");
        Ok(())
    })
    .await?;

    lab.kubectl(&["create", "namespace", LIVED_IN]).await?;
    let operator = client_of(&lab, "fences", "podfence-operator").await?;
    denies(&operator, &label(NAMESPACE, "team", "other"), CONFINE).await?;
    let who = "the operator in another namespace";
    check(
        &operator,
        who,
        &Outcome::Allowed,
        &shipped_operator_on_namespaces(),
    )
    .await?;
    lab.stop().await
}

/// The controllers check the expressions against the schemas after the policies were taken,
/// and say in their status what they found.
async fn type_checks_pass(lab: &Lab) -> anyhow::Result<()> {
    for policy in [CONFINE, CONFINE_POLICIES, GUARD] {
        let path = "jsonpath={.status}";
        eventually(ADMISSION_TIMEOUT, async || {
            let output = lab
                .kubectl(&["get", "validatingadmissionpolicy", policy, "-o", path])
                .await?;
            let status: Value = serde_json::from_str(&output.stdout).context(output.stdout)?;
            ensure!(
                status.get("typeChecking") == Some(&json!({})),
                "{policy}: {status}"
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}

fn main() -> ExitCode {
    tell(vec![
        Case::new(the_operator_is_confined_whatever_its_roles),
        Case::new(the_operator_as_shipped_may_do_its_work),
        Case::new(state_is_kept_from_who_may_write_namespaces),
        Case::new(state_is_open_to_who_may_delete_policies),
        Case::new(an_administrator_works_while_the_operator_is_away),
        Case::new(the_image_is_of_this_version),
        Case::new(only_reading_is_aggregated),
        Case::new(the_installation_is_taken_without_a_warning),
        Case::new(an_older_server_takes_the_installation),
        Case::new(the_installation_works_under_another_namespace),
    ])
}
