//! The API in a real API server: definitions taken, wrong objects refused by name, fields explained,
//! and nothing that makes GitOps tools see drift. Starts a lab, makes requests.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use podfence_e2e::{
    eventually,
    lab::{KubernetesVersion, Lab},
};
use serde_json::{Value, json};

/// The API server serves a new kind in a second, on a busy machine later.
const ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(60);
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

async fn lab_with_the_api() -> anyhow::Result<Lab> {
    let lab = Lab::builder().without_scheduler().start().await?;
    install(&lab).await?;
    Ok(lab)
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

/// What is done to the field of a valid object to make it invalid.
enum Change {
    Set(Value),
    Remove,
}

/// `object` with the field at `pointer` changed.
fn changed(mut object: Value, pointer: &str, change: &Change) -> anyhow::Result<Value> {
    let (parent, name) = pointer.rsplit_once('/').context("a pointer")?;
    let name = &name.replace("~1", "/");
    let parent = object
        .pointer_mut(parent)
        .with_context(|| format!("no parent of {pointer}"))?;
    match (parent, change) {
        (Value::Object(fields), Change::Set(value)) => {
            fields.insert(name.clone(), value.clone());
        }
        (Value::Object(fields), Change::Remove) => {
            fields
                .remove(name)
                .with_context(|| format!("no {pointer} to remove"))?;
        }
        (Value::Array(items), Change::Set(value)) => items.push(value.clone()),
        (parent, _) => anyhow::bail!("{pointer} is in {parent}"),
    }
    Ok(object)
}

fn set(value: impl Into<Value>) -> Change {
    Change::Set(value.into())
}

/// Where, what is done there, and what the refusal must say: the field, and what is wrong with it.
type Row = (&'static str, Change, &'static [&'static str]);

/// Wrong profiles.
#[rustfmt::skip]
fn wrong_profiles() -> Vec<Row> {
    use Change::Remove;
    vec![
        ("/spec", Remove, &["spec: Required value"]),
        ("/spec", set(json!({})), &["spec.podSecurity: Required value"]),
        ("/spec/podSecurity", set(json!({})), &["spec.podSecurity", "must set at least one of enforce, audit and warn"]),
        ("/spec/podSecurity", set("restricted"), &["spec.podSecurity", "object"]),
        ("/spec/podSecurity/enforce", set(json!({})), &["spec.podSecurity.enforce.level: Required value"]),
        ("/spec/podSecurity/enforce/level", set("Restricted"), &["spec.podSecurity.enforce.level", "\"restricted\""]),
        ("/spec/podSecurity/audit/level", set(""), &["spec.podSecurity.audit.level", "supported values"]),
        ("/spec/podSecurity/warn/level", set(json!(null)), &["spec.podSecurity.warn.level: Required value"]),
        ("/spec/podSecurity/enforce/version", set("1.34"), &["spec.podSecurity.enforce.version", "should match"]),
        ("/spec/podSecurity/enforce/version", set("v1.034"), &["spec.podSecurity.enforce.version", "should match"]),
        ("/spec/podSecurity/enforce/version", set("v1.34.1"), &["spec.podSecurity.enforce.version", "should match"]),
        ("/spec/podSecurity/enforce/version", set("Latest"), &["spec.podSecurity.enforce.version", "should match"]),
        ("/spec/podSecurity/audit/version", set(""), &["spec.podSecurity.audit.version", "should match"]),
        ("/spec/podSecurity/audit/version", set(1.34), &["spec.podSecurity.audit.version", "string"]),
    ]
}

/// Wrong policies, apart from their selectors and exceptions.
#[rustfmt::skip]
fn wrong_policies() -> Vec<Row> {
    use Change::Remove;
    let names = |count: usize| (0..count).map(|index| format!("team-{index}")).collect::<Vec<_>>();
    vec![
        ("/spec", Remove, &["spec: Required value"]),
        ("/spec/profileRef", Remove, &["spec.profileRef: Required value"]),
        ("/spec/profileRef/name", Remove, &["spec.profileRef.name: Required value"]),
        ("/spec/profileRef/name", set(""), &["spec.profileRef.name", "at least 1 chars long"]),
        ("/spec/profileRef/name", set("Restricted!"), &["spec.profileRef.name", "should match"]),
        ("/spec/profileRef/name", set("x".repeat(254)), &["spec.profileRef.name", "253"]),
        ("/spec/namespaceSelector", Remove, &["spec.namespaceSelector: Required value"]),
        ("/spec/excludedNamespaces/-", set(""), &["spec.excludedNamespaces[4]", "at least 1 chars long"]),
        ("/spec/excludedNamespaces/-", set("shop-?"), &["spec.excludedNamespaces[4]", "should match"]),
        ("/spec/excludedNamespaces/-", set("[a-z]"), &["spec.excludedNamespaces[4]", "should match"]),
        ("/spec/excludedNamespaces/-", set("-shop"), &["spec.excludedNamespaces[4]", "should match"]),
        ("/spec/excludedNamespaces/-", set("shop"), &["spec.excludedNamespaces[4]: Duplicate value"]),
        ("/spec/excludedNamespaces/-", set("x".repeat(64)), &["spec.excludedNamespaces[4]", "63"]),
        ("/spec/excludedNamespaces", set(names(257)), &["spec.excludedNamespaces", "256"]),
        ("/spec/includeSystemNamespaces", set("yes"), &["spec.includeSystemNamespaces", "boolean"]),
        ("/spec/priority", set(2_147_483_648_i64), &["spec.priority", "int32"]),
        ("/spec/priority", set(0.5), &["spec.priority", "integer"]),
        ("/spec/suspend", set(1), &["spec.suspend", "boolean"]),
        ("/spec/rollout", set("Guarded"), &["spec.rollout", "object"]),
        ("/spec/rollout/strategy", set("guarded"), &["spec.rollout.strategy", "\"DryRun\", \"Guarded\", \"Immediate\""]),
        ("/spec/rollout/whileViolating", set("Wait"), &["spec.rollout.whileViolating", "\"StrictestPassing\", \"Hold\""]),
        ("/spec/rollout/loosening", set("Never"), &["spec.rollout.loosening", "\"OwnOnly\", \"Always\""]),
        ("/spec/rollout/soak", set(""), &["spec.rollout.soak"]),
        ("/spec/rollout/soak", set("1d"), &["spec.rollout.soak", "should match"]),
        ("/spec/rollout/soak", set("-1h"), &["spec.rollout.soak", "should match"]),
        ("/spec/rollout/soak", set("90"), &["spec.rollout.soak", "should match"]),
        ("/spec/rollout/soak", set(90), &["spec.rollout.soak", "string"]),
        ("/spec/rollout/soak", set("8760h1s"), &["spec.rollout.soak", "must be at most 8760h"]),
        ("/spec/rollout/soak", set("99999999999999999999h"), &["spec.rollout.soak"]),
        ("/spec/rollout/soak", set("1s".repeat(17)), &["spec.rollout.soak", "32"]),
        ("/spec/conflictPolicy", set("Force"), &["spec.conflictPolicy", "\"Yield\", \"TakeOver\""]),
        ("/spec/deletionPolicy", set("Delete"), &["spec.deletionPolicy", "\"Retain\", \"Remove\""]),
    ]
}

/// Wrong selectors.
#[rustfmt::skip]
fn wrong_selectors() -> Vec<Row> {
    use Change::Remove;
    let labels = |count: usize| Value::from_iter((0..count).map(|index| (format!("key-{index}"), json!("value"))));
    let values = |count: usize| json!({ "key": "tier", "operator": "In", "values": (0..count).map(|index| index.to_string()).collect::<Vec<_>>() });
    vec![
        ("/spec/namespaceSelector/matchLabels/a b", set("c"), &["spec.namespaceSelector.matchLabels", "keys must be label keys"]),
        ("/spec/namespaceSelector/matchLabels/", set("c"), &["spec.namespaceSelector.matchLabels", "keys must be label keys"]),
        ("/spec/namespaceSelector/matchLabels/tier", set("a b"), &["spec.namespaceSelector.matchLabels.tier", "should match"]),
        ("/spec/namespaceSelector/matchLabels/tier", set("x".repeat(64)), &["spec.namespaceSelector.matchLabels.tier", "63"]),
        ("/spec/namespaceSelector/matchLabels", set(labels(33)), &["spec.namespaceSelector.matchLabels", "32"]),
        ("/spec/namespaceSelector/matchLabels/pod-security.kubernetes.io~1enforce", set("baseline"), &["spec.namespaceSelector", "must not use pod-security.kubernetes.io/* labels"]),
        ("/spec/namespaceSelector/matchExpressions/-", set(json!({ "key": "pod-security.kubernetes.io/warn", "operator": "Exists" })), &["spec.namespaceSelector", "must not use pod-security.kubernetes.io/* labels"]),
        ("/spec/namespaceSelector/matchExpressions/-", set(json!({ "operator": "Exists" })), &["spec.namespaceSelector.matchExpressions[2].key: Required value"]),
        ("/spec/namespaceSelector/matchExpressions/-", set(json!({ "key": "tier" })), &["spec.namespaceSelector.matchExpressions[2].operator: Required value"]),
        ("/spec/namespaceSelector/matchExpressions/-", set(json!({ "key": "a b", "operator": "Exists" })), &["spec.namespaceSelector.matchExpressions[2].key", "must be a label key"]),
        ("/spec/namespaceSelector/matchExpressions/-", set(json!({ "key": "tier", "operator": "Equals" })), &["spec.namespaceSelector.matchExpressions[2].operator", "\"DoesNotExist\""]),
        ("/spec/namespaceSelector/matchExpressions/-", set(json!({ "key": "tier", "operator": "In" })), &["spec.namespaceSelector.matchExpressions[2]", "values must not be empty with operator In or NotIn"]),
        ("/spec/namespaceSelector/matchExpressions/-", set(json!({ "key": "tier", "operator": "Exists", "values": ["a"] })), &["spec.namespaceSelector.matchExpressions[2]", "left out with Exists or DoesNotExist"]),
        ("/spec/namespaceSelector/matchExpressions/-", set(json!({ "key": "tier", "operator": "In", "values": ["a b"] })), &["spec.namespaceSelector.matchExpressions[2].values[0]", "should match"]),
        ("/spec/namespaceSelector/matchExpressions/-", set(json!({ "key": "tier", "operator": "In", "values": ["a", "a"] })), &["spec.namespaceSelector.matchExpressions[2].values[1]: Duplicate value"]),
        ("/spec/namespaceSelector/matchExpressions/-", set(values(65)), &["spec.namespaceSelector.matchExpressions[2].values", "64"]),
        ("/spec/namespaceSelector/matchExpressions/-", set(json!({ "key": "team", "operator": "Exists" })), &["spec.namespaceSelector.matchExpressions[2]: Duplicate value"]),
        ("/spec/namespaceSelector/matchExpressions/0/values", Remove, &["spec.namespaceSelector.matchExpressions[0]", "values must not be empty"]),
    ]
}

/// Wrong exceptions.
#[rustfmt::skip]
fn wrong_exceptions() -> Vec<Row> {
    use Change::Remove;
    vec![
        ("/spec/exceptions/0/name", Remove, &["spec.exceptions[0].name: Required value"]),
        ("/spec/exceptions/0/name", set("Node Exporter"), &["spec.exceptions[0].name", "should match"]),
        ("/spec/exceptions/0/workloadSelector", Remove, &["spec.exceptions[0].workloadSelector: Required value"]),
        ("/spec/exceptions/0/workloadSelector/matchLabels/app", set("a b"), &["spec.exceptions[0].workloadSelector.matchLabels.app", "should match"]),
        ("/spec/exceptions/0/namespaceSelector/matchLabels/pod-security.kubernetes.io~1enforce", set("baseline"), &["spec.exceptions[0].namespaceSelector", "must not use pod-security"]),
        ("/spec/exceptions/0/checks", Remove, &["spec.exceptions[0].checks: Required value"]),
        ("/spec/exceptions/0/checks", set(json!([])), &["spec.exceptions[0].checks", "at least 1 items"]),
        ("/spec/exceptions/0/checks/-", set("hostPath"), &["spec.exceptions[0].checks[2]", "\"hostPathVolumes\""]),
        ("/spec/exceptions/0/checks/-", set("hostNamespaces"), &["spec.exceptions[0].checks[2]: Duplicate value"]),
        ("/spec/exceptions/0/reason", Remove, &["spec.exceptions[0].reason: Required value"]),
        ("/spec/exceptions/0/reason", set(""), &["spec.exceptions[0].reason", "at least 1 chars long"]),
        ("/spec/exceptions/0/expiresAt", Remove, &["spec.exceptions[0].expiresAt: Required value"]),
        ("/spec/exceptions/0/expiresAt", set("2027-03-01"), &["spec.exceptions[0].expiresAt", "date-time"]),
        ("/spec/exceptions/0/expiresAt", set("never"), &["spec.exceptions[0].expiresAt", "date-time"]),
        ("/spec/exceptions/-", set(json!({
            "name": "node-exporter", "workloadSelector": { "matchLabels": { "a": "b" } },
            "checks": ["hostPorts"], "reason": "twice", "expiresAt": "2027-03-01T00:00:00Z" })), &["spec.exceptions[1]: Duplicate value"]),
        ("/spec/exceptions/-", set(json!({
            "name": "everything", "workloadSelector": {},
            "checks": ["hostPorts"], "reason": "no", "expiresAt": "2027-03-01T00:00:00Z" })), &["spec.exceptions[1]", "workloadSelector must name a label"]),
    ]
}

/// Tries every row on a valid object and returns all that came out otherwise.
async fn not_refused(lab: &Lab, valid: &Value, rows: Vec<Row>) -> anyhow::Result<Vec<String>> {
    lab.accepts(valid).await.context("the valid object")?;
    let mut wrong = Vec::new();
    for (pointer, change, want) in rows {
        let object = changed(valid.clone(), pointer, &change)?;
        match lab.rejects(&object).await {
            Ok(message) if want.iter().all(|part| message.contains(part)) => {}
            Ok(message) => wrong.push(format!("{pointer}: want {want:?} in {message}")),
            Err(error) => wrong.push(format!("{pointer}: {error:#}")),
        }
    }
    Ok(wrong)
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

async fn every_field_is_explained(lab: &Lab) -> anyhow::Result<()> {
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
async fn nothing_drifts(lab: &Lab) -> anyhow::Result<()> {
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

fn shortest_policy() -> Value {
    json!({
        "apiVersion": "podfence.dev/v1alpha1",
        "kind": "NamespacePolicy",
        "metadata": { "name": "shortest" },
        "spec": { "profileRef": { "name": "everything" }, "namespaceSelector": {} },
    })
}

/// What the API server adds to an object that says as little as possible.
async fn defaults_are_filled_in(lab: &Lab) -> anyhow::Result<()> {
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
async fn kubectl_shows_the_columns(lab: &Lab) -> anyhow::Result<()> {
    let header = async |arguments: &[&str]| {
        let output = lab.kubectl(&[&["get"], arguments].concat()).await?;
        Ok::<_, anyhow::Error>(words(output.stdout.lines().next().unwrap_or_default()))
    };
    let columns = header(&["nspol"]).await?;
    ensure!(
        columns == "NAME PROFILE READY MATCHED ENFORCED HELD VIOLATING AGE",
        "{columns}"
    );
    let wide = header(&["nspol", "-o", "wide"]).await?;
    ensure!(
        wide == format!("{columns} STRATEGY SUSPENDED MESSAGE"),
        "{wide}"
    );
    let columns = header(&["policyprofiles"]).await?;
    ensure!(
        columns == "NAME ENFORCE AUDIT WARN READY USED-BY AGE",
        "{columns}"
    );

    let both = lab
        .kubectl(&["get", "podfence", "-o", "name"])
        .await?
        .stdout;
    ensure!(
        both.contains("policyprofile.podfence.dev/")
            && both.contains("namespacepolicy.podfence.dev/"),
        "the category has {both}"
    );
    let selector = "--field-selector=spec.profileRef.name=everything";
    let selected = lab
        .kubectl(&["get", "nspol", selector, "-o", "name"])
        .await?
        .stdout;
    let want = "namespacepolicy.podfence.dev/everything namespacepolicy.podfence.dev/shortest";
    ensure!(words(&selected) == want, "selected {selected}");
    Ok(())
}

#[tokio::test]
async fn wrong_objects_are_refused_with_the_name_of_the_field() -> anyhow::Result<()> {
    let lab = lab_with_the_api().await?;
    let mut wrong = not_refused(&lab, &profile(), wrong_profiles()).await?;
    for rows in [wrong_policies(), wrong_selectors(), wrong_exceptions()] {
        wrong.extend(not_refused(&lab, &policy(), rows).await?);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    defaults_are_filled_in(&lab).await?;
    lab.stop().await
}

#[tokio::test]
async fn people_and_gitops_tools_get_what_they_expect() -> anyhow::Result<()> {
    let lab = lab_with_the_api().await?;
    nothing_drifts(&lab).await?;
    kubectl_shows_the_columns(&lab).await?;
    every_field_is_explained(&lab).await?;
    lab.stop().await
}

/// The rules cost an older server no more than it allows.
#[tokio::test]
async fn an_older_server_takes_the_definitions() -> anyhow::Result<()> {
    let lab = Lab::builder()
        .kubernetes(KubernetesVersion::V1_34)
        .without_scheduler()
        .start()
        .await?;
    install(&lab).await?;
    lab.accepts(&policy()).await?;
    lab.accepts(&profile()).await?;
    lab.stop().await
}
