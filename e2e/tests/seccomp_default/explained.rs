//! What `kubectl podfence explain` says of a program that fails, beside what the operator says. Runs
//! programs.

use anyhow::{Context as _, ensure};
use podfence_e2e::{build_program, eventually, lab::Lab, on_nodes::PATIENCE, story::Story};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::rollout::{NODE_LABEL, Rollout, SETTLING};

/// What was printed, and the exit code.
struct Told {
    code: Option<i32>,
    said: String,
    complained: String,
}

async fn explain(lab: &Lab, arguments: &[&str]) -> anyhow::Result<Told> {
    let output = Command::new(build_program("kubectl-podfence").await?)
        .arg("explain")
        .args(arguments)
        .args(["--seccomp-default-node-label", NODE_LABEL])
        .args(["--settling-time", &format!("{}s", SETTLING.as_secs())])
        .env("KUBECONFIG", lab.kubeconfig())
        .kill_on_drop(true)
        .output()
        .await?;
    Ok(Told {
        code: output.status.code(),
        said: String::from_utf8(output.stdout)?,
        complained: String::from_utf8(output.stderr)?,
    })
}

/// Whether it names both nodes of a Deployment that fails on one of them, and agrees with the
/// operator.
pub(crate) async fn says_why(rollout: &Rollout, story: &Story, name: &str) -> anyhow::Result<()> {
    let lab = rollout.cluster.lab();
    let (on, off) = (rollout.on.name(), rollout.off.name());
    let namespace = story.full(name);
    let deployment = format!("deployment/{name}");
    // The operator has seen its pods in every state, and this looks once.
    let words = [&*deployment, "-n", &*namespace, "-o", "json"];
    let said = eventually(PATIENCE, async || {
        let told = explain(lab, &words).await?;
        ensure!(told.code == Some(1), "{}{}", told.said, told.complained);
        anyhow::Ok(serde_json::from_str::<Value>(&told.said)?)
    })
    .await?;
    ensure!(said["verdict"] == "Failing", "{said:#}");
    let main = &said["places"][0]["containers"][0];
    ensure!(main["verdict"] == "Failing", "{said:#}");
    ensure!(main["basis"] == "Inferred", "{said:#}");
    ensure!(main["failingOn"] == json!([on]), "{said:#}");
    ensure!(main["healthyTwinOn"] == json!([off]), "{said:#}");
    ensure!(said["operator"]["differs"] == false, "{said:#}");
    ensure!(
        said["operator"]["source"] == format!("policy/{namespace}"),
        "{said:#}"
    );
    let pods = said["pods"].as_array().context("no pods")?;
    for (node, under, fares) in [(on, "RuntimeDefault", "Badly"), (off, "Unconfined", "Well")] {
        let is_there = pods.iter().any(|pod| {
            let container = &pod["containers"][0];
            pod["node"] == node && container["under"] == under && container["fares"] == fares
        });
        ensure!(is_there, "{node}: {said:#}");
    }

    // For people, and of a pod the Deployment.
    let pod = pods[0]["name"].as_str().context("no name")?;
    let pod = format!("po/{pod}");
    for object in [&deployment, &pod] {
        let told = explain(lab, &[object, "-n", &namespace]).await?;
        let head = format!("Deployment/{name} in {namespace}: Failing\n");
        ensure!(told.said.starts_with(&head), "{}", told.said);
        ensure!(told.complained.is_empty(), "{}", told.complained);
    }
    of_places(rollout, &namespace).await?;

    let told = explain(lab, &["deployment/missing", "-n", &namespace]).await?;
    ensure!(
        told.code == Some(2) && told.said.is_empty(),
        "{}",
        told.said
    );
    ensure!(told.complained.contains("daemonset"), "{}", told.complained);
    Ok(())
}

/// What is said of the node on which it fails, and of its namespace.
async fn of_places(rollout: &Rollout, namespace: &str) -> anyhow::Result<()> {
    let lab = rollout.cluster.lab();
    let node = format!("node/{}", rollout.on.name());
    let told = explain(lab, &[&node]).await?;
    ensure!(told.code == Some(1), "{}{}", told.said, told.complained);
    // The story of profile files has agents on these nodes for a while.
    let label = format!("Enabled, says the label {NODE_LABEL}");
    let without = [&*label, "no agent is at work here"];
    let with = ["Enabled, says the agent, from Configz", "AsKnown"];
    let says = |words: [&str; 2]| words.iter().all(|word| told.said.contains(word));
    ensure!(says(without) != says(with), "{}", told.said);
    ensure!(told.said.contains("SeccompDefaultReady"), "{}", told.said);
    let told = explain(lab, &[&format!("ns/{namespace}")]).await?;
    ensure!(told.code == Some(1), "{}{}", told.said, told.complained);
    let head = format!("namespace {namespace}: 1 Failing\n");
    ensure!(told.said.starts_with(&head), "{}", told.said);
    Ok(())
}
