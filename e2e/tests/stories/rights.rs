//! The operator's account has the least rights: each one is there for something, and without it the
//! operator says so.
//!
//! The roles themselves are the table: a right that is added to them without a symptom fails this
//! story.

mod roles;
mod symptom;

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::DeleteParams};
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{
    harness::Shared,
    story::{Cluster, OPERATOR_NAMESPACE, Operator, Passes, Running, Story},
};
use serde_json::json;

use self::{
    roles::Roles,
    symptom::{
        Deprived, Symptom, is_profile_silent, provoke_a_repeated_event, refused_events,
        sees_finalizer,
    },
};

const SEEN: &str = "audit=restricted:latest warn=restricted:latest";
const ENFORCED: &str = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";

pub(crate) async fn are_each_there_for_something(_: Shared<Running>) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let roles = Roles::shipped(&cluster).await?;
    // With all rights every symptom is absent, or it would show nothing below.
    everything_works(&cluster)
        .await
        .context("with all rights")?;
    let mut wrong = BTreeMap::new();
    for (number, right) in roles.rights().into_iter().enumerate() {
        let Some(symptom) = Symptom::of(&right) else {
            wrong.insert(right, "what is it for?".to_owned());
            continue;
        };
        roles.take_away(&right).await?;
        let (story, operator) = begin(&cluster, &format!("right-{number}")).await?;
        let deprived = Deprived {
            cluster: &cluster,
            story: &story,
            operator: &operator,
            missing: &right,
        };
        let shown = deprived.shows(symptom).await;
        operator.kill();
        if let Err(error) = shown {
            wrong.insert(right, format!("{symptom:?}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    cluster.stop().await
}

/// A namespace with a Deployment that passes baseline, one that is clean, and a policy that is to
/// remove its labels. The operator may never lead.
async fn begin(cluster: &Arc<Cluster>, name: &str) -> anyhow::Result<(Story, Operator)> {
    let story = cluster.story(name).await?;
    story.restricted().await?;
    story.namespace("clean").await?;
    story.namespace("dirty").await?;
    story.deploys("dirty", "web", Passes::Baseline).await?;
    let steady = json!({
        "matchLabels": { "podfence-story": story.label() },
        "matchExpressions": [{ "key": "flapping", "operator": "DoesNotExist" }],
    });
    let spec = json!({
        "namespaceSelector": steady,
        "deletionPolicy": "Remove",
        "rollout": { "soak": "0s" },
    });
    story.policy("apps", "restricted", spec).await?;
    // Whoever comes next finds no Lease, and has to make it.
    let leases: Api<Lease> = Api::namespaced(story.client(), OPERATOR_NAMESPACE);
    match leases
        .delete("podfence-operator", &DeleteParams::default())
        .await
    {
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        other => drop(other?),
    }
    let operator = cluster.operator().await?.short_lease();
    Ok((story, operator.start_waiting().await?))
}

async fn everything_works(cluster: &Arc<Cluster>) -> anyhow::Result<()> {
    let (story, operator) = begin(cluster, "all-rights").await?;
    operator.leads().await?;
    story.sees_labels("clean", ENFORCED).await?;
    story
        .sees_labels("dirty", &format!("enforce=baseline:v1.34 {SEEN}"))
        .await?;
    story
        .sees_phase("apps", "clean", Phase::Enforced, Reason::AtTarget)
        .await?;
    story
        .sees_phase("apps", "dirty", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    let complete = ConditionType::ReportComplete;
    story
        .sees_condition("apps", complete, "True", Reason::Complete)
        .await?;
    sees_finalizer(&story).await?;
    ensure!(
        !is_profile_silent(&story).await?,
        "the profile has no status"
    );
    provoke_a_repeated_event(&story).await?;
    ensure!(refused_events(cluster).await? == 0, "events are refused");
    story.asks_to_lower("clean");
    story.asks_to_lower("dirty");
    story.deletes("NamespacePolicy", "apps").await?;
    story.sees_labels("clean", "").await?;
    story.end().await?;
    operator.stop().await
}
