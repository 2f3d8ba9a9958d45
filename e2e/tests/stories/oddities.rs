//! What clusters have besides the usual: finished pods, labels that mean nothing, namespaces that
//! go and come back.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{
    eventually,
    harness::Shared,
    story::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, PATIENCE, Passes, Running, Story},
};
use serde_json::{Value, json};

const RESTRICTED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";

/// The API server warns about it, as it does about every pod that is there; it runs no more and
/// comes not again.
pub(crate) async fn a_finished_pod_holds_nothing(shared: Shared<Running>) -> anyhow::Result<()> {
    let story = shared.get().await?.story("finished").await?;
    story.restricted().await?;
    story.namespace("jobs").await?;
    story.runs("jobs", "migration", Passes::Privileged).await?;
    let pods: Api<Pod> = Api::namespaced(story.client(), &story.full("jobs"));
    let finished = json!({ "status": { "phase": "Succeeded" } });
    pods.patch_status(
        "migration",
        &PatchParams::default(),
        &Patch::Merge(finished),
    )
    .await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    story.sees_labels("jobs", RESTRICTED).await?;
    story
        .sees_phase("apps", "jobs", Phase::Enforced, Reason::AtTarget)
        .await?;
    story
        .sees("apps", |status| {
            ensure!(
                status.summary.workloads_violating == 0,
                "{:?}",
                status.summary
            );
            Ok(())
        })
        .await?;
    story.end().await
}

/// Through a subresource the API server checks no label; what it cannot read it takes for
/// restricted.
pub(crate) async fn a_label_that_cannot_be_read_is_said(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("nonsense").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    let namespaces: Api<Namespace> = Api::all(story.client());
    let nonsense =
        json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "nonsense" } } });
    let name = story.full("shop");
    namespaces
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(nonsense))
        .await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    story
        .sees("apps", |status| {
            let said = status
                .conditions
                .iter()
                .find(|it| it.message.contains("enforce=nonsense"));
            ensure!(
                said.is_some(),
                "no condition names the label: {:#?}",
                status.conditions
            );
            Ok(())
        })
        .await?;
    ensure!(
        story.labels("shop").await?.starts_with("enforce=nonsense"),
        "it was changed"
    );
    story.end().await
}

pub(crate) async fn a_namespace_created_anew_begins_anew(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("anew").await?;
    story.restricted().await?;
    story.namespace("shop").await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    story.sees_labels("shop", RESTRICTED).await?;
    story.deletes("Namespace", "shop").await?;
    story
        .sees("apps", |status| {
            ensure!(
                status.summary.namespaces_matched == 0,
                "{:?}",
                status.summary
            );
            Ok(())
        })
        .await?;
    story
        .sees_condition(
            "apps",
            ConditionType::Ready,
            "True",
            Reason::NoNamespacesMatched,
        )
        .await?;

    story.namespace("shop").await?;
    story.sees_labels("shop", RESTRICTED).await?;
    let shop = story.get_namespace("shop").await?;
    let (uid, since) = (
        shop.uid(),
        shop.annotations().get("state.podfence.dev/clean-since"),
    );
    let since = since.context("it was not soaked")?;
    ensure!(
        uid.is_some_and(|uid| since.contains(&uid)),
        "the record of another one: {since}"
    );
    let writes = story.writes_to("shop").await?;
    ensure!(
        writes.iter().all(|event| event.verb == "patch"),
        "the operator made it: {writes:#?}"
    );
    story.end().await
}

/// Its pods may take long to go; nothing is written to it meanwhile, and nobody is told that it is
/// not enforced.
pub(crate) async fn a_terminating_namespace_is_left_alone(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("ending").await?;
    story.restricted().await?;
    story.namespace("stays").await?;
    story.namespace("goes").await?;
    story.runs("goes", "slow", Passes::Privileged).await?;
    set_finalizers(&story, json!(["example.com/slow"])).await?;
    story.asks_to_delete("Namespace", "goes").await?;
    story
        .policy("apps", "restricted", json!({ "rollout": { "soak": "0s" } }))
        .await?;
    story
        .sees_phase("apps", "stays", Phase::Enforced, Reason::AtTarget)
        .await?;
    story
        .sees("apps", |status| {
            ensure!(
                status.summary.namespaces_matched == 1,
                "{:?}",
                status.summary
            );
            Ok(())
        })
        .await?;
    ensure!(
        story.labels("goes").await?.is_empty(),
        "{}",
        story.labels("goes").await?
    );
    set_finalizers(&story, Value::Null).await?;
    story.end().await
}

async fn set_finalizers(story: &Story, finalizers: Value) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(story.client(), &story.full("goes"));
    let patch = json!({ "metadata": { "finalizers": finalizers } });
    pods.patch("slow", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

/// Whoever steals the operator's token gets the labels of Pod Security, and nothing else.
pub(crate) async fn the_account_can_do_nothing_else(shared: Shared<Running>) -> anyhow::Result<()> {
    let story = shared.get().await?.story("confined").await?;
    story
        .namespace_with("shop", json!({ "team": "web" }))
        .await?;
    let name = story.full("shop");
    let lab = story.cluster().lab();
    let token = lab
        .service_account_token(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT)
        .await?;
    let namespaces: Api<Namespace> = Api::all(lab.client_as_token(&token).await?);
    let merge = PatchParams::default();
    let label = |key: &str| Patch::Merge(json!({ "metadata": { "labels": { key: "baseline" } } }));
    let own = label("pod-security.kubernetes.io/warn");
    namespaces.patch(&name, &merge, &own).await?;

    let note = Patch::Merge(json!({ "metadata": { "annotations": { "note": "mine" } } }));
    let finalizer = Patch::Merge(json!({ "metadata": { "finalizers": ["podfence.dev/mine"] } }));
    let new = serde_json::from_value(json!({ "metadata": { "name": story.full("new") } }))?;
    // A policy works a moment after it was installed.
    eventually(PATIENCE, async || {
        for (result, want) in [
            (
                namespaces.patch(&name, &merge, &label("team")).await,
                "may only change labels",
            ),
            (
                namespaces.patch(&name, &merge, &note).await,
                "may only change annotations",
            ),
            (
                namespaces.patch(&name, &merge, &finalizer).await,
                "nothing on a namespace but",
            ),
            (
                namespaces.patch_status(&name, &merge, &own).await,
                "cannot patch",
            ),
            (
                namespaces.create(&PostParams::default(), &new).await,
                "cannot create",
            ),
            (
                namespaces
                    .delete(&name, &DeleteParams::default())
                    .await
                    .map(|_| new.clone()),
                "cannot delete",
            ),
            (namespaces.get(&name).await, "cannot get"),
        ] {
            let refused = result
                .err()
                .with_context(|| format!("{want}: it was allowed"))?;
            ensure!(refused.to_string().contains(want), "{want}: {refused}");
        }
        Ok(())
    })
    .await?;
    let shop = story.get_namespace("shop").await?;
    ensure!(
        shop.labels().get("team").is_some_and(|team| team == "web"),
        "{shop:?}"
    );
    // The requests above bear the operator's name and are not its own, so its rules are not held
    // against them.
    Ok(())
}
