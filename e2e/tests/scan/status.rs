//! What `kubectl podfence status` reads of a real cluster. Makes requests, runs programs.

use anyhow::ensure;
use podfence_e2e::{harness::Shared, lab::Lab};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::import::install_kinds;
use crate::{Namespaces, executable};

const NAME: &str = "status-story";

async fn status(lab: &Lab, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
    let output = Command::new(executable().await?)
        .arg("status")
        .args(arguments)
        .env("KUBECONFIG", lab.kubeconfig())
        .kill_on_drop(true)
        .output()
        .await?;
    let stdout = String::from_utf8(output.stdout)?;
    let stderr = String::from_utf8(output.stderr)?;
    Ok((output.status.code(), stdout, stderr))
}

async fn patch(lab: &Lab, status: &Value) -> anyhow::Result<()> {
    let patch = json!({ "status": status }).to_string();
    let kind = ["patch", "namespacepolicy", NAME, "--subresource=status"];
    let words = [&kind[..], &["--type=merge", "-p", &patch]].concat();
    lab.kubectl(&words).await?;
    Ok(())
}

fn conditions(enforced: &str) -> Value {
    let conditions = [("Enforced", enforced), ("Ready", "True")].map(|(of, status)| {
        json!({ "type": of, "status": status, "reason": "Soaking", "message": "wait for it",
            "lastTransitionTime": "2026-11-20T10:00:00Z" })
    });
    json!(conditions)
}

pub(crate) async fn status_says_what_is_enforced(shared: Shared<Namespaces>) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    let lab = &stage.0;
    install_kinds(lab).await?;
    let policy = json!({
        "apiVersion": "podfence.dev/v1alpha1", "kind": "NamespacePolicy",
        "metadata": { "name": NAME },
        "spec": { "profileRef": { "name": "none" }, "namespaceSelector": {} },
    });
    lab.kubectl_with_input(&["apply", "-f", "-"], &policy.to_string())
        .await?;

    // No operator runs here, and nobody has said anything yet.
    let (code, said, complained) = status(lab, &[NAME]).await?;
    ensure!(code == Some(1), "{code:?}: {said}{complained}");
    ensure!(said.contains("is it running?"), "{said}");

    let soaking = json!({ "observedGeneration": 1, "conditions": conditions("False"),
        "namespaces": [{ "name": "shop", "phase": "Soaking", "reason": "Soaking" }] });
    patch(lab, &soaking).await?;
    let (code, said, _) = status(lab, &[NAME]).await?;
    ensure!(
        code == Some(1) && said.contains("Soaking: wait for it"),
        "{said}"
    );
    ensure!(said.contains("shop"), "{said}");

    patch(
        lab,
        &json!({ "conditions": conditions("True"), "namespaces": [] }),
    )
    .await?;
    let (code, said, _) = status(lab, &[NAME]).await?;
    ensure!(code == Some(0), "{code:?}: {said}");
    // All policies, and the reports of no node.
    let (code, said, complained) = status(lab, &[]).await?;
    ensure!(
        code == Some(0) && complained.is_empty(),
        "{said}{complained}"
    );

    let (code, said, complained) = status(lab, &["missing"]).await?;
    ensure!(code == Some(2) && said.is_empty(), "{code:?}: {said}");
    ensure!(complained.contains("\"missing\""), "{complained}");
    Ok(())
}
