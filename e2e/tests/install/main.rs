//! What `config/default` installs: taken without a warning, and its admission policies under real
//! requests of several accounts. Starts labs, makes requests.

mod request;
mod tables;

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::{Api, Client, api::PostParams};
use podfence_e2e::{
    eventually,
    harness::{Case, Shared, Stage, tell},
    lab::{KubernetesVersion, Lab},
};
use serde_json::{Value, json};

use request::{
    Outcome, Request, annotation, check, create, create_namespace, label, namespace, send,
};
use tables::{
    denied_to_the_operator_on_namespaces, denied_to_the_operator_on_policies,
    operator_on_namespaces, operator_on_policies, ordinary_requests, requests_on_state,
    shipped_operator_on_namespaces,
};

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
