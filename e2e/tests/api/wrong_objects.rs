//! Wrong objects, one table for each part of the API, and what the API server says of them.

use anyhow::{Context as _, ensure};
use podfence_e2e::harness::Shared;
use serde_json::{Value, json};

use crate::{Api, policy, profile};

/// What is done to the field of a valid object to make it invalid.
pub(crate) enum Change {
    Set(Value),
    Remove,
}

/// `object` with the field at `pointer` changed.
pub(crate) fn changed(mut object: Value, pointer: &str, change: &Change) -> anyhow::Result<Value> {
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

pub(crate) fn set(value: impl Into<Value>) -> Change {
    Change::Set(value.into())
}

/// Where, what is done there, and what the refusal must say: the field, and what is wrong with it.
/// Both paths go on where the table says that they begin.
type Row = (&'static str, Change, &'static str, &'static str);

/// Wrong values for what is below one field of a valid object.
struct Table {
    valid: Value,
    pointer: &'static str,
    field: &'static str,
    rows: Vec<Row>,
}

/// Wrong profiles.
#[rustfmt::skip]
fn wrong_profiles() -> Table {
    use Change::Remove;
    let (required, pattern) = (": Required value", "should match");
    Table { valid: profile(), pointer: "/spec", field: "spec", rows: vec![
        ("", Remove, "", required),
        ("", set(json!({})), ".podSecurity", required),
        ("/podSecurity", set("restricted"), ".podSecurity", "object"),
        ("/podSecurity", set(json!({})), ".podSecurity", "at least one of enforce, audit and warn"),
        ("/podSecurity/enforce", set(json!({})), ".podSecurity.enforce.level", required),
        ("/podSecurity/enforce/level", set("high"), ".podSecurity.enforce.level", "\"restricted\""),
        ("/podSecurity/audit/level", set(""), ".podSecurity.audit.level", "supported values"),
        ("/podSecurity/warn/level", set(json!(null)), ".podSecurity.warn.level", required),
        ("/podSecurity/enforce/version", set("1.34"), ".podSecurity.enforce.version", pattern),
        ("/podSecurity/enforce/version", set("v1.034"), ".podSecurity.enforce.version", pattern),
        ("/podSecurity/enforce/version", set("v1.34.1"), ".podSecurity.enforce.version", pattern),
        ("/podSecurity/enforce/version", set("Latest"), ".podSecurity.enforce.version", pattern),
        ("/podSecurity/audit/version", set(""), ".podSecurity.audit.version", pattern),
        ("/podSecurity/audit/version", set(1.34), ".podSecurity.audit.version", "string"),
    ] }
}

/// Wrong policies, apart from their selectors, rollouts and exceptions.
#[rustfmt::skip]
fn wrong_policies() -> Table {
    use Change::Remove;
    let names = |count: usize| (0..count).map(|index| format!("team-{index}")).collect::<Vec<_>>();
    let (required, pattern) = (": Required value", "should match");
    Table { valid: policy(), pointer: "/spec", field: "spec", rows: vec![
        ("", Remove, "", required),
        ("/profileRef", Remove, ".profileRef", required),
        ("/profileRef/name", Remove, ".profileRef.name", required),
        ("/profileRef/name", set(""), ".profileRef.name", "at least 1 chars long"),
        ("/profileRef/name", set("Restricted!"), ".profileRef.name", pattern),
        ("/profileRef/name", set("x".repeat(254)), ".profileRef.name", "253"),
        ("/namespaceSelector", Remove, ".namespaceSelector", required),
        ("/excludedNamespaces/-", set(""), ".excludedNamespaces[4]", "at least 1 chars long"),
        ("/excludedNamespaces/-", set("shop-?"), ".excludedNamespaces[4]", pattern),
        ("/excludedNamespaces/-", set("[a-z]"), ".excludedNamespaces[4]", pattern),
        ("/excludedNamespaces/-", set("-shop"), ".excludedNamespaces[4]", pattern),
        ("/excludedNamespaces/-", set("shop"), ".excludedNamespaces[4]", ": Duplicate value"),
        ("/excludedNamespaces/-", set("x".repeat(64)), ".excludedNamespaces[4]", "63"),
        ("/excludedNamespaces", set(names(257)), ".excludedNamespaces", "256"),
        ("/includeSystemNamespaces", set("yes"), ".includeSystemNamespaces", "boolean"),
        ("/priority", set(2_147_483_648_i64), ".priority", "int32"),
        ("/priority", set(0.5), ".priority", "integer"),
        ("/suspend", set(1), ".suspend", "boolean"),
        ("/rollout", set("Guarded"), ".rollout", "object"),
        ("/conflictPolicy", set("Force"), ".conflictPolicy", "\"Yield\", \"TakeOver\""),
        ("/deletionPolicy", set("Delete"), ".deletionPolicy", "\"Retain\", \"Remove\""),
    ] }
}

/// Wrong rollouts.
#[rustfmt::skip]
fn wrong_rollouts() -> Table {
    Table { valid: policy(), pointer: "/spec/rollout", field: "spec.rollout", rows: vec![
        ("/strategy", set("guarded"), ".strategy", "\"DryRun\", \"Guarded\", \"Immediate\""),
        ("/whileViolating", set("Wait"), ".whileViolating", "\"StrictestPassing\", \"Hold\""),
        ("/loosening", set("Never"), ".loosening", "\"OwnOnly\", \"Always\""),
        ("/soak", set(""), ".soak", "at least 1 chars long"),
        ("/soak", set("1d"), ".soak", "should match"),
        ("/soak", set("-1h"), ".soak", "should match"),
        ("/soak", set("90"), ".soak", "should match"),
        ("/soak", set(90), ".soak", "string"),
        ("/soak", set("8760h1s"), ".soak", "must be at most 8760h"),
        ("/soak", set("99999999999999999999h"), ".soak", "must be at most 8760h"),
        ("/soak", set("1s".repeat(17)), ".soak", "32"),
    ] }
}

/// Wrong selectors.
#[rustfmt::skip]
fn wrong_selectors() -> Table {
    use Change::Remove;
    const MORE: &str = "/matchExpressions/-";
    let labels = |count: usize| {
        (0..count).map(|index| (format!("key-{index}"), json!("value"))).collect::<Value>()
    };
    let expression = |key: &str, operator: &str| set(json!({ "key": key, "operator": operator }));
    let crowd = |count: usize| {
        let exists = |index| json!({ "key": format!("key-{index}"), "operator": "Exists" });
        (0..count).map(exists).collect::<Value>()
    };
    let with = |operator: &str, values: &[&str]| {
        set(json!({ "key": "tier", "operator": operator, "values": values }))
    };
    let numbers: Vec<_> = (0..65).map(|number| number.to_string()).collect();
    let numbers: Vec<_> = numbers.iter().map(String::as_str).collect();
    let (required, pattern) = (": Required value", "should match");
    let own = "must not use pod-security.kubernetes.io/* labels";
    let field = "spec.namespaceSelector";
    Table { valid: policy(), pointer: "/spec/namespaceSelector", field, rows: vec![
        ("/matchLabels/a b", set("c"), ".matchLabels", "keys must be label keys"),
        ("/matchLabels/", set("c"), ".matchLabels", "keys must be label keys"),
        ("/matchLabels/tier", set("a b"), ".matchLabels.tier", pattern),
        ("/matchLabels/tier", set("x".repeat(64)), ".matchLabels.tier", "63"),
        ("/matchLabels", set(labels(33)), ".matchLabels", "32"),
        ("/matchLabels/pod-security.kubernetes.io~1enforce", set("baseline"), "", own),
        (MORE, expression("pod-security.kubernetes.io/warn", "Exists"), "", own),
        (MORE, set(json!({ "operator": "Exists" })), ".matchExpressions[2].key", required),
        (MORE, set(json!({ "key": "tier" })), ".matchExpressions[2].operator", required),
        (MORE, expression("a b", "Exists"), ".matchExpressions[2].key", "must be a label key"),
        (MORE, expression("tier", "Is"), ".matchExpressions[2].operator", "\"DoesNotExist\""),
        (MORE, expression("team", "Exists"), ".matchExpressions[2]", ": Duplicate value"),
        (MORE, expression("tier", "In"), ".matchExpressions[2]", "values must not be empty"),
        (MORE, with("NotIn", &[]), ".matchExpressions[2]", "values must not be empty"),
        (MORE, with("Exists", &["a"]), ".matchExpressions[2]", "left out with Exists"),
        (MORE, with("In", &["a b"]), ".matchExpressions[2].values[0]", pattern),
        (MORE, with("In", &["a", "a"]), ".matchExpressions[2].values[1]", ": Duplicate value"),
        (MORE, with("In", &numbers), ".matchExpressions[2].values", "64"),
        ("/matchExpressions/0/values", Remove, ".matchExpressions[0]", "values must not be empty"),
        ("/matchExpressions", set(crowd(33)), ".matchExpressions", "32"),
    ] }
}

/// Wrong exceptions.
#[rustfmt::skip]
fn wrong_exceptions() -> Table {
    use Change::Remove;
    let another = |name: &str, workloads: Value| set(json!({
        "name": name, "workloadSelector": workloads, "checks": ["hostPorts"],
        "reason": "no", "expiresAt": "2027-03-01T00:00:00Z",
    }));
    let many: Value = (0..65)
        .map(|number| json!({
            "name": format!("exception-{number}"), "checks": ["hostPorts"], "reason": "no",
            "workloadSelector": { "matchLabels": { "app": "web" } },
            "expiresAt": "2027-03-01T00:00:00Z",
        }))
        .collect();
    let (required, pattern) = (": Required value", "should match");
    let own = "/0/namespaceSelector/matchLabels/pod-security.kubernetes.io~1enforce";
    let labels = json!({ "matchLabels": { "app": "web" } });
    Table { valid: policy(), pointer: "/spec/exceptions", field: "spec.exceptions", rows: vec![
        ("/0/name", Remove, "[0].name", required),
        ("/0/name", set("Node Exporter"), "[0].name", pattern),
        ("/0/workloadSelector", Remove, "[0].workloadSelector", required),
        ("/0/workloadSelector/matchLabels/app", set("a b"), "[0].workloadSelector", pattern),
        (own, set("baseline"), "[0].namespaceSelector", "must not use pod-security"),
        ("/0/checks", Remove, "[0].checks", required),
        ("/0/checks", set(json!([])), "[0].checks", "at least 1 items"),
        ("/0/checks/-", set("hostPath"), "[0].checks[2]", "\"hostPathVolumes\""),
        ("/0/checks/-", set("hostNamespaces"), "[0].checks[2]", ": Duplicate value"),
        ("/0/reason", Remove, "[0].reason", required),
        ("/0/reason", set(""), "[0].reason", "at least 1 chars long"),
        ("/0/reason", set("x".repeat(1025)), "[0].reason", "1024"),
        ("/0/expiresAt", Remove, "[0].expiresAt", required),
        ("/0/expiresAt", set("2027-03-01"), "[0].expiresAt", "date-time"),
        ("/0/expiresAt", set("never"), "[0].expiresAt", "date-time"),
        ("/0/expiresAt", set("2027-02-30T00:00:00Z"), "[0].expiresAt", "date-time"),
        ("/0/expiresAt", set("2027-03-01t00:00:00z"), "[0].expiresAt", "date-time"),
        ("/0/expiresAt", set("2016-12-31T23:59:60Z"), "[0].expiresAt", "date-time"),
        ("/0/expiresAt", set("9999-12-31T23:59:59Z"), "[0].expiresAt", "must be before 2100"),
        ("/-", another("node-exporter", labels), "[1]", ": Duplicate value"),
        ("/-", another("everything", json!({})), "[1]", "workloadSelector must name a label"),
        ("", set(many), "", "64"),
    ] }
}

/// Tries every row and reports all that came out otherwise.
async fn refused(api: Shared<Api>, table: Table) -> anyhow::Result<()> {
    let Api(lab) = &*api.get().await?;
    lab.accepts(&table.valid)
        .await
        .context("the valid object")?;
    let mut wrong = Vec::new();
    for (pointer, change, field, want) in table.rows {
        let pointer = format!("{}{pointer}", table.pointer);
        let field = format!("{}{field}", table.field);
        let object = changed(table.valid.clone(), &pointer, &change)?;
        match lab.rejects(&object).await {
            Ok(message) if message.contains(&field) && message.contains(want) => {}
            Ok(message) => wrong.push(format!("{pointer}: want {field} {want:?} in {message}")),
            Err(error) => wrong.push(format!("{pointer}: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

pub(crate) async fn profiles_are_refused_by_field(api: Shared<Api>) -> anyhow::Result<()> {
    refused(api, wrong_profiles()).await
}

pub(crate) async fn policies_are_refused_by_field(api: Shared<Api>) -> anyhow::Result<()> {
    refused(api, wrong_policies()).await
}

pub(crate) async fn rollouts_are_refused_by_field(api: Shared<Api>) -> anyhow::Result<()> {
    refused(api, wrong_rollouts()).await
}

pub(crate) async fn selectors_are_refused_by_field(api: Shared<Api>) -> anyhow::Result<()> {
    refused(api, wrong_selectors()).await
}

pub(crate) async fn exceptions_are_refused_by_field(api: Shared<Api>) -> anyhow::Result<()> {
    refused(api, wrong_exceptions()).await
}
