//! The operator's account has the least rights: each one is there for something, and without it the
//! operator says so.
//!
//! The roles themselves are the table: a right that is added to them without a symptom here fails
//! this story.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    coordination::v1::Lease,
    rbac::v1::{ClusterRole, PolicyRule, Role},
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use podfence_crd::{ConditionType, NamespacePolicy, Phase, PolicyProfile, Reason};
use podfence_e2e::{
    eventually,
    harness::Shared,
    lab::{AuditEvent, AuditMark},
    story::{
        Cluster, OPERATOR_NAMESPACE, OPERATOR_USER, Operator, PATIENCE, Passes, Running, Story,
        pod_security_labels,
    },
};
use serde_json::json;

/// Long enough for an operator of this machine to get a Lease that nobody holds, several times.
const TO_LEAD: Duration = Duration::from_secs(3);

/// A watch that is refused counts as lost after a minute, as one that is interrupted.
const WATCH_PATIENCE: Duration = Duration::from_secs(60);

/// One right of the shipped roles.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    group: String,
    resource: String,
    verb: String,
}

/// What people see while a right is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symptom {
    /// Nothing is labelled and no status is written; the log says what may not be read.
    Blind,
    /// Nothing tightens, and `ReportComplete` names the resource.
    Unseen,
    /// As a watch that is lost: the log says so at once, and after a minute `ReportComplete` does.
    Unwatched,
    /// Ready is False, for writing failed.
    CannotLabel,
    /// A policy that is to remove its labels gets no finalizer, and does not say that all is well.
    NoFinalizer,
    /// Everything is done, and the profile's status says nothing of it.
    NoStatus,
    /// Nothing is labelled and no status is written: the shipped policy that guards state
    /// annotations knows the operator by this right.
    Mute,
    /// A policy that is to remove its labels leaves them.
    KeepsLabels,
    /// Everything is done, and the API server refuses the events that tell of it.
    EventsRefused,
    /// Nobody ever leads.
    NeverLeads,
    /// It takes a Lease that it cannot renew, and ends.
    LosesTheLease,
}

fn symptom(right: &Right) -> Option<Symptom> {
    let symptom = match (right.resource.as_str(), right.verb.as_str()) {
        ("namespaces" | "policyprofiles" | "namespacepolicies", "list") => Symptom::Blind,
        ("namespaces", "patch") => Symptom::CannotLabel,
        (
            "pods"
            | "podtemplates"
            | "replicationcontrollers"
            | "daemonsets"
            | "deployments"
            | "replicasets"
            | "statefulsets"
            | "cronjobs"
            | "jobs",
            "list",
        ) => Symptom::Unseen,
        (_, "watch") => Symptom::Unwatched,
        ("namespacepolicies", "patch") => Symptom::NoFinalizer,
        ("policyprofiles/status", "patch") => Symptom::NoStatus,
        ("namespacepolicies/status", "patch") => Symptom::Mute,
        ("customresourcedefinitions", "get") => Symptom::KeepsLabels,
        ("events", "create" | "patch") => Symptom::EventsRefused,
        ("leases", "create" | "get") => Symptom::NeverLeads,
        ("leases", "update") => Symptom::LosesTheLease,
        _ => return None,
    };
    Some(symptom)
}

/// Every right that the rules give, one by one.
fn rights_of(rules: &[PolicyRule]) -> Vec<Right> {
    let mut rights = Vec::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    let (group, resource, verb) = (group.clone(), resource.clone(), verb.clone());
                    rights.push(Right {
                        group,
                        resource,
                        verb,
                    });
                }
            }
        }
    }
    rights.sort();
    rights
}

/// The same rules, one right each, without one of them.
fn without(rules: &[PolicyRule], missing: &Right) -> Vec<PolicyRule> {
    let single = |rule: &PolicyRule, right: Right| PolicyRule {
        api_groups: Some(vec![right.group]),
        resources: Some(vec![right.resource]),
        verbs: vec![right.verb],
        ..rule.clone()
    };
    rules
        .iter()
        .flat_map(|rule| {
            let rights = rights_of(std::slice::from_ref(rule));
            rights
                .into_iter()
                .filter(|right| right != missing)
                .map(|right| single(rule, right))
        })
        .collect()
}

/// The two roles of the operator, as shipped and as they are now.
struct Roles {
    cluster: Api<ClusterRole>,
    elector: Api<Role>,
    shipped: (Vec<PolicyRule>, Vec<PolicyRule>),
}

impl Roles {
    async fn shipped(cluster: &Cluster) -> anyhow::Result<Self> {
        let client = cluster.lab().client();
        let elector: Api<Role> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        let cluster: Api<ClusterRole> = Api::all(client);
        let shipped = (
            cluster
                .get("podfence-operator")
                .await?
                .rules
                .unwrap_or_default(),
            elector
                .get("podfence-leader-election")
                .await?
                .rules
                .unwrap_or_default(),
        );
        Ok(Self {
            cluster,
            elector,
            shipped,
        })
    }

    fn rights(&self) -> Vec<Right> {
        let mut rights = [rights_of(&self.shipped.0), rights_of(&self.shipped.1)].concat();
        rights.dedup();
        rights
    }

    async fn take_away(&self, missing: &Right) -> anyhow::Result<()> {
        let mut role = self.cluster.get("podfence-operator").await?;
        role.rules = Some(without(&self.shipped.0, missing));
        self.cluster
            .replace("podfence-operator", &PostParams::default(), &role)
            .await?;
        let mut role = self.elector.get("podfence-leader-election").await?;
        role.rules = Some(without(&self.shipped.1, missing));
        self.elector
            .replace("podfence-leader-election", &PostParams::default(), &role)
            .await?;
        Ok(())
    }
}

pub(crate) async fn are_each_there_for_something(_: Shared<Running>) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let roles = Roles::shipped(&cluster).await?;
    let unexplained: Vec<_> = roles
        .rights()
        .into_iter()
        .filter(|right| symptom(right).is_none())
        .collect();
    ensure!(
        unexplained.is_empty(),
        "what are these for? {unexplained:?}"
    );

    // With all rights every symptom is absent, or it would show nothing below.
    everything_works(&cluster)
        .await
        .context("with all rights")?;
    let mut wrong = BTreeMap::new();
    for (number, right) in roles.rights().into_iter().enumerate() {
        let Some(symptom) = symptom(&right) else {
            continue;
        };
        roles.take_away(&right).await?;
        if let Err(error) = shows(&cluster, number, &right, symptom).await {
            wrong.insert(right, format!("{symptom:?}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    cluster.stop().await
}

/// A namespace with a Deployment that passes baseline, one that is clean, and a policy that is to
/// remove its labels.
async fn begin(cluster: &Arc<Cluster>, name: &str) -> anyhow::Result<(Story, Operator)> {
    let story = cluster.story(name).await?;
    story.restricted().await?;
    story.namespace("clean").await?;
    story.namespace("dirty").await?;
    story.deploys("dirty", "web", Passes::Baseline).await?;
    let others = json!({
        "matchLabels": { "podfence-story": story.label() },
        "matchExpressions": [{ "key": "flapping", "operator": "DoesNotExist" }],
    });
    let spec = json!({
        "namespaceSelector": others,
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
    let operator = cluster
        .operator()
        .await?
        .short_lease()
        .start_waiting()
        .await?;
    Ok((story, operator))
}

const SEEN: &str = "audit=restricted:latest warn=restricted:latest";

async fn everything_works(cluster: &Arc<Cluster>) -> anyhow::Result<()> {
    let (story, operator) = begin(cluster, "all-rights").await?;
    operator.leads().await?;
    story
        .sees_labels("clean", &format!("enforce=restricted:v1.34 {SEEN}"))
        .await?;
    story
        .sees_labels("dirty", &format!("enforce=baseline:v1.34 {SEEN}"))
        .await?;
    story
        .sees_phase("apps", "clean", Phase::Enforced, Reason::AtTarget)
        .await?;
    story
        .sees_phase("apps", "dirty", Phase::Held, Reason::ViolatingWorkloads)
        .await?;
    story
        .sees_condition(
            "apps",
            ConditionType::ReportComplete,
            "True",
            Reason::Complete,
        )
        .await?;
    sees_finalizer(&story).await?;
    ensure!(
        !profile_is_silent(&story).await?,
        "the profile has no status"
    );
    provoke_a_repeated_event(&story).await?;
    ensure!(
        refused_events(cluster).await? == 0,
        "events are refused with all rights"
    );
    story.asks_to_lower("clean");
    story.asks_to_lower("dirty");
    story.deletes("NamespacePolicy", "apps").await?;
    story.sees_labels("clean", "").await?;
    story.end().await?;
    operator.stop().await
}

async fn shows(
    cluster: &Arc<Cluster>,
    number: usize,
    missing: &Right,
    symptom: Symptom,
) -> anyhow::Result<()> {
    let (story, operator) = begin(cluster, &format!("right-{number}")).await?;
    match symptom {
        Symptom::Blind => {
            logged(&operator, &missing.resource).await?;
            ensure!(
                story.requests().await?.is_empty(),
                "{:?}",
                story.requests().await?
            );
            let policy = story.get_policy("apps").await?;
            ensure!(is_silent(&policy), "{policy:?}");
        }
        Symptom::Unseen => {
            let kind = ConditionType::ReportComplete;
            let message = story
                .sees_condition("apps", kind, "False", Reason::Forbidden)
                .await?;
            ensure!(message.contains(&missing.resource), "{message}");
            story.sees_labels("clean", SEEN).await?;
            story
                .sees_phase("apps", "clean", Phase::Unknown, Reason::Forbidden)
                .await?;
        }
        Symptom::Unwatched => {
            logged(&operator, &missing.resource).await?;
            // A minute for one of them shows as much as a quarter of an hour for all.
            if missing.resource == "pods" || everything_is_told() {
                tokio::time::sleep(WATCH_PATIENCE).await;
                let kind = ConditionType::ReportComplete;
                let message = story
                    .sees_condition("apps", kind, "False", Reason::Forbidden)
                    .await?;
                ensure!(message.contains(&missing.resource), "{message}");
            }
        }
        Symptom::CannotLabel => {
            let kind = ConditionType::Ready;
            story
                .sees_condition("apps", kind, "False", Reason::ApplyFailed)
                .await?;
        }
        Symptom::NoFinalizer => {
            logged(&operator, "namespacepolicies").await?;
            let finalizers = story.get_policy("apps").await?.metadata.finalizers;
            ensure!(finalizers.is_none(), "{finalizers:?}");
        }
        Symptom::NoStatus => {
            story
                .sees_labels("clean", &format!("enforce=restricted:v1.34 {SEEN}"))
                .await?;
            logged(&operator, "policyprofiles").await?;
            ensure!(profile_is_silent(&story).await?, "there is a status");
        }
        Symptom::Mute => {
            logged(&operator, "namespacepolicies").await?;
            let policy = story.get_policy("apps").await?;
            ensure!(is_silent(&policy), "{policy:?}");
            story.sees_labels("clean", "").await?;
        }
        Symptom::KeepsLabels => {
            sees_finalizer(&story).await?;
            story
                .sees_labels("clean", &format!("enforce=restricted:v1.34 {SEEN}"))
                .await?;
            story.deletes("NamespacePolicy", "apps").await?;
            let labels = story
                .get_namespace("clean")
                .await?
                .metadata
                .labels
                .unwrap_or_default();
            let labels = pod_security_labels(&labels);
            ensure!(
                labels == format!("enforce=restricted:v1.34 {SEEN}"),
                "{labels}"
            );
        }
        Symptom::EventsRefused => {
            let before = refused_events(cluster).await?;
            story
                .sees_labels("clean", &format!("enforce=restricted:v1.34 {SEEN}"))
                .await?;
            if missing.verb == "patch" {
                provoke_a_repeated_event(&story).await?;
            }
            eventually(PATIENCE, async || {
                ensure!(
                    refused_events(cluster).await? > before,
                    "no event was refused"
                );
                Ok(())
            })
            .await?;
        }
        Symptom::NeverLeads => {
            let led = tokio::time::timeout(TO_LEAD, operator.leads()).await;
            ensure!(!matches!(led, Ok(Ok(()))), "it leads without the right");
            logged(&operator, "lease").await?;
            ensure!(
                story.requests().await?.is_empty(),
                "it writes without leading"
            );
        }
        Symptom::LosesTheLease => {
            let ended = operator.ended().await?;
            ensure!(!ended.success(), "it ended with {ended}");
            logged(&operator, "lease").await?;
        }
    }
    operator.kill();
    Ok(())
}

fn everything_is_told() -> bool {
    std::env::var("PODFENCE_STORIES").is_ok_and(|stories| stories == "all")
}

/// Whether the operator has never written this policy's status.
fn is_silent(policy: &NamespacePolicy) -> bool {
    policy
        .status
        .as_ref()
        .is_none_or(|status| status.conditions.is_empty())
}

async fn profile_is_silent(story: &Story) -> anyhow::Result<bool> {
    let profile: PolicyProfile = Api::all(story.client())
        .get(&story.full("restricted"))
        .await?;
    Ok(profile
        .status
        .is_none_or(|status| status.conditions.is_empty()))
}

async fn sees_finalizer(story: &Story) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let finalizers = story.get_policy("apps").await?.metadata.finalizers;
        ensure!(finalizers.is_some(), "no finalizer");
        Ok(())
    })
    .await
}

/// The log says that something was forbidden, and what.
async fn logged(operator: &Operator, resource: &str) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let log = std::fs::read_to_string(operator.process().log())?.to_lowercase();
        let said = log
            .lines()
            .any(|line| line.contains("forbidden") && line.contains(resource));
        ensure!(said, "nothing is said about {resource}:\n{log}");
        Ok(())
    })
    .await
}

/// The same transition twice: the second time it is a repetition of the first event.
async fn provoke_a_repeated_event(story: &Story) -> anyhow::Result<()> {
    story
        .namespace_with("flapping", json!({ "flapping": "true" }))
        .await?;
    let spec = json!({
        "priority": 1,
        "namespaceSelector": { "matchLabels": { "podfence-story": story.label(), "flapping": "true" } },
        "rollout": { "soak": "1h", "whileViolating": "Hold" },
    });
    story.policy("flapping", "restricted", spec).await?;
    for _ in 0..2 {
        story.deploys("flapping", "web", Passes::Baseline).await?;
        story
            .sees_phase(
                "flapping",
                "flapping",
                Phase::Held,
                Reason::ViolatingWorkloads,
            )
            .await?;
        story.deploys("flapping", "web", Passes::Restricted).await?;
        story
            .sees_phase("flapping", "flapping", Phase::Soaking, Reason::Soaking)
            .await?;
    }
    Ok(())
}

/// How many events the API server has refused the operator, ever.
async fn refused_events(cluster: &Cluster) -> anyhow::Result<usize> {
    let events = cluster.lab().audit().since(AuditMark::START).await?;
    let refused = |event: &&AuditEvent| {
        event.user.username == OPERATOR_USER
            && event.object_ref.resource == "events"
            && event.response_status.code == 403
    };
    Ok(events.iter().filter(refused).count())
}
