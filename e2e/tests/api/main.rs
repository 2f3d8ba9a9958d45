//! The API in a real API server: wrong objects refused by name, fields explained, defaults filled
//! in, and nothing that makes GitOps tools see drift. Starts labs, makes requests.

// A story that panics has failed, and says where.
#![allow(clippy::indexing_slicing)]

mod wrong_objects;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use podfence_crd::{NamespacePolicy, PolicyProfile};
use podfence_e2e::{
    eventually,
    harness::{Case, Shared, Stage, tell},
    lab::{KubernetesVersion, Lab},
};
use serde_json::{Value, json};

use crate::wrong_objects::{Change, changed, set};

/// The API server serves a new kind in a second, on a busy machine later.
const ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(60);
/// Until the controllers have said all that they have to say of new workloads.
const SETTLED: Duration = Duration::from_secs(60);
/// kubectl spends its time waiting; more at once than this only fights for two cores.
const KUBECTLS: usize = 6;
/// The name under which Flux applies.
const GITOPS: &str = "--field-manager=kustomize-controller";

fn config(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../config")
        .join(path)
}

fn as_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// Installs both kinds, and fails on any warning of the API server.
async fn install(lab: &Lab) -> anyhow::Result<()> {
    let folder = config("crd");
    let output = lab
        .kubectl(&["apply", "--server-side", "-k", as_text(&folder)?])
        .await?;
    ensure!(
        output.stderr.is_empty(),
        "kubectl printed {}",
        output.stderr
    );
    // Served, and known to discovery, which kubectl asks.
    eventually(ESTABLISHED_TIMEOUT, async || {
        lab.kubectl(&["get", "policyprofiles,namespacepolicies"])
            .await?;
        lab.kubectl(&["explain", "namespacepolicy.spec"]).await
    })
    .await?;
    Ok(())
}

/// A lab with both kinds.
struct Api(Lab);

impl Stage for Api {
    async fn build() -> anyhow::Result<Self> {
        let lab = Lab::builder().without_scheduler().start().await?;
        install(&lab).await?;
        Ok(Self(lab))
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.0.stop().await
    }
}

/// A policy that says everything that there is to say.
fn policy() -> Value {
    json!({
        "apiVersion": "podfence.dev/v1alpha1",
        "kind": "NamespacePolicy",
        "metadata": { "name": "everything" },
        "spec": {
            "profileRef": { "name": "everything" },
            "namespaceSelector": {
                "matchLabels": { "tier": "apps" },
                "matchExpressions": [
                    { "key": "example.com/env", "operator": "In", "values": ["prod", "dev"] },
                    { "key": "team", "operator": "Exists" },
                ],
            },
            "excludedNamespaces": ["legacy-*", "a*b", "*", "shop"],
            "includeSystemNamespaces": true,
            "priority": -5,
            "suspend": true,
            "rollout": {
                "strategy": "Immediate",
                "soak": "1h30m",
                "whileViolating": "Hold",
                "loosening": "Always",
            },
            "conflictPolicy": "TakeOver",
            "deletionPolicy": "Remove",
            "exceptions": [{
                "name": "node-exporter",
                "workloadSelector": { "matchLabels": { "app": "node-exporter" } },
                "namespaceSelector": { "matchLabels": { "team": "platform" } },
                "checks": ["hostPathVolumes", "hostNamespaces"],
                "reason": "node metrics, moves out in Q3 (SEC-1234)",
                "expiresAt": "2027-03-01T00:00:00Z",
            }],
        },
    })
}

fn profile() -> Value {
    json!({
        "apiVersion": "podfence.dev/v1alpha1",
        "kind": "PolicyProfile",
        "metadata": { "name": "everything" },
        "spec": {
            "podSecurity": {
                "enforce": { "level": "baseline", "version": "v1.34" },
                "audit": { "level": "restricted", "version": "latest" },
                "warn": { "level": "privileged" },
            },
        },
    })
}

/// The path of every field below a schema, as `kubectl explain` takes it, with its description.
fn fields(path: &str, schema: &Value, found: &mut Vec<(String, String)>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let description = field["description"].as_str().unwrap_or_default().to_owned();
        fields(&path, field, found);
        fields(&path, &field["items"], found);
        found.push((path, description));
    }
}

/// Text without its line breaks: kubectl makes its own.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn every_field_is_explained(api: Shared<Api>) -> anyhow::Result<()> {
    let Api(lab) = &*api.get().await?;
    let mut found = Vec::new();
    for kind in ["policyprofile", "namespacepolicy"] {
        let file = config(&format!("crd/{}.yaml", plural(kind)));
        let definition: Value = serde_saphyr::from_str(&fs::read_to_string(file)?)?;
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        fields(kind, schema, &mut found);
    }
    ensure!(found.len() > 60, "only {} fields", found.len());
    stream::iter(found)
        .map(|(path, description)| async move {
            let output = lab.kubectl(&["explain", &path]).await?;
            let explained = words(&output.stdout);
            ensure!(
                !description.is_empty() && explained.contains(&words(&description)),
                "{path}: want {description:?} in {explained}"
            );
            Ok(())
        })
        .buffer_unordered(KUBECTLS)
        .try_collect()
        .await
}

fn plural(kind: &str) -> &'static str {
    match kind {
        "policyprofile" => "policyprofiles",
        _ => "namespacepolicies",
    }
}

/// The objects of `input` as they are stored, with who owns which field.
async fn stored(lab: &Lab, input: &str) -> anyhow::Result<Value> {
    let get = ["get", "-o", "json", "--show-managed-fields", "-f", "-"];
    Ok(serde_json::from_str(
        &lab.kubectl_with_input(&get, input).await?.stdout,
    )?)
}

/// Takes out every resourceVersion: what a write changes even if it changes nothing else.
fn without_versions(mut objects: Value) -> Value {
    let items = match objects.get_mut("items") {
        Some(Value::Array(items)) => items.iter_mut().collect(),
        _ => vec![&mut objects],
    };
    for item in items {
        item["metadata"]["resourceVersion"].take();
    }
    objects
}

/// Applies `input` again and again as Flux does. Nothing may change, and a comparison of what would
/// be applied with what is there finds nothing.
async fn applies_without_drift(lab: &Lab, name: &str, input: &str) -> anyhow::Result<()> {
    let apply = ["apply", "--server-side", GITOPS, "-f", "-"];
    lab.kubectl_with_input(&apply, input)
        .await
        .context(name.to_owned())?;
    let created = stored(lab, input).await?;
    // Exits with 1 and prints the difference when there is one.
    let diff = ["diff", "--server-side", GITOPS, "-f", "-"];
    lab.kubectl_with_input(&diff, input)
        .await
        .with_context(|| format!("{name} drifts"))?;

    lab.kubectl_with_input(&apply, input).await?;
    let second = stored(lab, input).await?;
    // A creation stores no status, so the next write stores its default, which was shown all the
    // time: a write that nobody can see but by its version, unless Podfence's own came first.
    let (want, got) = (without_versions(created), without_versions(second.clone()));
    ensure!(want == got, "{name}: {want} became {got}");

    lab.kubectl_with_input(&apply, input).await?;
    let third = stored(lab, input).await?;
    ensure!(second == third, "{name}: {second} became {third}");
    Ok(())
}

/// The samples, the fullest and the shortest objects, and one whose lists come in another order.
async fn nothing_drifts(api: Shared<Api>) -> anyhow::Result<()> {
    let Api(lab) = &*api.get().await?;
    for file in ["podfence/profiles.yaml", "podfence/policies.yaml"] {
        let text = fs::read_to_string(config("samples").join(file))?;
        applies_without_drift(lab, file, &text).await?;
    }
    applies_without_drift(lab, "the fullest profile", &profile().to_string()).await?;
    applies_without_drift(lab, "the fullest policy", &policy().to_string()).await?;
    applies_without_drift(lab, "the shortest policy", &shortest_policy().to_string()).await?;
    let empty_rollout = changed(shortest_policy(), "/spec/rollout", &set(json!({})))?;
    applies_without_drift(lab, "an empty rollout", &empty_rollout.to_string()).await
}

/// The whole of the samples, workloads included, as `kubectl apply -k` and Flux take it.
async fn samples_are_taken_without_a_warning(api: Shared<Api>) -> anyhow::Result<()> {
    let Api(lab) = &*api.get().await?;
    let folder = config("samples");
    let samples = ["--server-side", GITOPS, "-k", as_text(&folder)?];
    let output = lab.kubectl(&[&["apply"], &samples[..]].concat()).await?;
    ensure!(
        output.stderr.is_empty(),
        "kubectl printed {}",
        output.stderr
    );
    // The controllers still write statuses, and what changes while kubectl compares looks like a drift.
    eventually(SETTLED, async || {
        let diff = lab.kubectl(&[&["diff"], &samples[..]].concat()).await;
        diff.map(drop).context("the samples drift")
    })
    .await
}

fn shortest_policy() -> Value {
    json!({
        "apiVersion": "podfence.dev/v1alpha1",
        "kind": "NamespacePolicy",
        "metadata": { "name": "shortest" },
        "spec": { "profileRef": { "name": "everything" }, "namespaceSelector": {} },
    })
}

/// Whatever the API server accepts, our types read: otherwise a policy would be stored that
/// Podfence can only call malformed.
async fn odd_values_that_are_accepted_are_read(api: Shared<Api>) -> anyhow::Result<()> {
    let Api(lab) = &*api.get().await?;
    let rows: [(&str, &[&str]); 3] = [
        (
            "/spec/rollout/soak",
            &[
                "0",
                "00s",
                ".5h",
                "1.h",
                "1ns",
                "1\u{b5}s",
                "1\u{3bc}s",
                "8760h",
            ],
        ),
        ("/spec/excludedNamespaces/-", &["**", "1", "a--b"]),
        (
            "/spec/exceptions/0/expiresAt",
            &[
                "0000-01-01T00:00:00Z",
                "2027-03-01T00:00:00.123456789Z",
                "2027-03-01T00:00:00+14:00",
                "2099-12-31T23:59:59Z",
            ],
        ),
    ];
    for (pointer, values) in rows {
        for value in values {
            let object = changed(policy(), pointer, &set(*value))?;
            let read = async {
                let stored = serde_json::to_value(lab.accepts(&object).await?)?;
                Ok::<NamespacePolicy, anyhow::Error>(serde_json::from_value(stored)?)
            };
            read.await.with_context(|| format!("{pointer} {value:?}"))?;
        }
    }
    for version in ["v1.0", "v1.99", "v1.99999999999999999"] {
        let object = changed(profile(), "/spec/podSecurity/warn/version", &set(version))?;
        let stored = serde_json::to_value(lab.accepts(&object).await.context(version)?)?;
        serde_json::from_value::<PolicyProfile>(stored).context(version)?;
    }
    Ok(())
}

/// What the API server adds to an object that says as little as possible.
async fn defaults_are_filled_in(api: Shared<Api>) -> anyhow::Result<()> {
    let Api(lab) = &*api.get().await?;
    let stored = lab.accepts(&shortest_policy()).await?;
    let want = json!({
        "profileRef": { "name": "everything" },
        "namespaceSelector": {},
        "includeSystemNamespaces": false,
        "priority": 0,
        "suspend": false,
        "rollout": {
            "strategy": "Guarded",
            "soak": "24h",
            "whileViolating": "StrictestPassing",
            "loosening": "OwnOnly",
        },
        "conflictPolicy": "Yield",
        "deletionPolicy": "Retain",
    });
    ensure!(
        stored.data["spec"] == want,
        "spec is {}",
        stored.data["spec"]
    );
    let unseen = json!({ "observedGeneration": -1 });
    ensure!(
        stored.data["status"] == unseen,
        "status is {}",
        stored.data["status"]
    );

    let stored = lab.accepts(&profile()).await?;
    let warn = &stored.data["spec"]["podSecurity"]["warn"];
    ensure!(
        *warn == json!({ "level": "privileged", "version": "latest" }),
        "warn is {warn}"
    );
    ensure!(
        stored.data["status"] == unseen,
        "status is {}",
        stored.data["status"]
    );

    let one_mode = changed(profile(), "/spec/podSecurity/enforce", &Change::Remove)?;
    let stored = lab.accepts(&one_mode).await?;
    let pod_security = &stored.data["spec"]["podSecurity"];
    ensure!(
        pod_security.get("enforce").is_none(),
        "enforce came back in {pod_security}"
    );
    Ok(())
}

/// What a person types and reads.
async fn kubectl_shows_the_columns(api: Shared<Api>) -> anyhow::Result<()> {
    let Api(lab) = &*api.get().await?;
    let named = changed(profile(), "/metadata/name", &set("columns"))?;
    lab.kubectl_with_input(&["apply", "-f", "-"], &named.to_string())
        .await?;
    let naming = changed(shortest_policy(), "/metadata/name", &set("columns"))?;
    let naming = changed(naming, "/spec/profileRef/name", &set("columns"))?;
    lab.kubectl_with_input(&["apply", "-f", "-"], &naming.to_string())
        .await?;

    let header = async |arguments: &[&str]| {
        let output = lab.kubectl(&[&["get"], arguments].concat()).await?;
        Ok::<_, anyhow::Error>(words(output.stdout.lines().next().unwrap_or_default()))
    };
    let columns = header(&["nspol"]).await?;
    ensure!(
        columns == "NAME PROFILE READY MATCHED ENFORCED HELD VIOLATING WOULD-FAIL AGE",
        "{columns}"
    );
    let wide = header(&["nspol", "-o", "wide"]).await?;
    ensure!(
        wide == format!("{columns} AT-RISK STRATEGY SUSPENDED MESSAGE"),
        "{wide}"
    );
    let columns = header(&["policyprofiles"]).await?;
    ensure!(
        columns == "NAME ENFORCE AUDIT WARN READY USED-BY AGE",
        "{columns}"
    );

    let columns = header(&["nodereports", "--ignore-not-found"]).await?;
    ensure!(columns.is_empty(), "there are no nodes: {columns}");

    let both = lab
        .kubectl(&["get", "podfence", "-o", "name"])
        .await?
        .stdout;
    ensure!(
        both.contains("policyprofile.podfence.dev/")
            && both.contains("namespacepolicy.podfence.dev/"),
        "the category has {both}"
    );
    let selector = "--field-selector=spec.profileRef.name=columns";
    let selected = lab
        .kubectl(&["get", "nspol", selector, "-o", "name"])
        .await?
        .stdout;
    ensure!(
        words(&selected) == "namespacepolicy.podfence.dev/columns",
        "selected {selected}"
    );
    Ok(())
}

/// The rules cost an older server no more than it allows.
async fn an_older_server_takes_the_definitions(_: Shared<Api>) -> anyhow::Result<()> {
    let older = Lab::builder()
        .kubernetes(KubernetesVersion::V1_34)
        .without_scheduler();
    let lab = older.start().await?;
    install(&lab).await?;
    lab.accepts(&policy()).await?;
    lab.accepts(&profile()).await?;
    lab.stop().await
}

fn main() -> ExitCode {
    tell(vec![
        Case::new(wrong_objects::profiles_are_refused_by_field),
        Case::new(wrong_objects::policies_are_refused_by_field),
        Case::new(wrong_objects::rollouts_are_refused_by_field),
        Case::new(wrong_objects::selectors_are_refused_by_field),
        Case::new(wrong_objects::exceptions_are_refused_by_field),
        Case::new(defaults_are_filled_in),
        Case::new(every_field_is_explained),
        Case::new(odd_values_that_are_accepted_are_read),
        Case::new(nothing_drifts),
        Case::new(samples_are_taken_without_a_warning),
        Case::new(kubectl_shows_the_columns),
        Case::new(an_older_server_takes_the_definitions),
    ])
}
