//! What people see while the operator lacks a right. Makes requests, reads the operator's log.

use std::time::Duration;

use anyhow::ensure;
use kube::Api;
use podfence_crd::{ConditionType, NamespacePolicy, Phase, PolicyProfile, Reason};
use podfence_e2e::{
    eventually,
    lab::{AuditEvent, AuditMark},
    story::{Cluster, OPERATOR_USER, Operator, PATIENCE, Passes, Story, everything_is_told},
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{ENFORCED, SEEN, roles::Right};

/// Long enough for an operator of this machine to get a Lease that nobody holds, several times.
const TO_LEAD: Duration = Duration::from_secs(3);
/// A watch that is refused counts as lost after a minute, as one that is interrupted.
const WATCH_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symptom {
    /// Nothing is labelled and no status is written; the log says what may not be read.
    Blind,
    /// Nothing tightens, and `ReportComplete` names the resource.
    Unseen,
    /// `ReportComplete` names the resource, nobody is called ready for SeccompDefault, and labels wait
    /// for none of it.
    UnseenBeside,
    /// The log says that the report of a node is not there, or not written.
    NoReport,
    /// As a watch that is lost: the log says so at once, and after a minute `ReportComplete` does.
    Unwatched,
    /// Ready is False, for writing failed.
    CannotLabel,
    /// A policy that is to remove its labels gets no finalizer, and the log says why.
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

impl Symptom {
    /// Of the loss of a right; `None` of one that nobody has explained here.
    pub(super) fn of(right: &Right) -> Option<Self> {
        Some(match (right.resource.as_str(), right.verb.as_str()) {
            ("namespaces" | "policyprofiles" | "namespacepolicies", "list") => Self::Blind,
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
            ) => Self::Unseen,
            ("nodes" | "nodereports" | "syscallrecords", "list") => Self::UnseenBeside,
            ("nodereports", "create" | "patch") | ("nodereports/status", "patch") => Self::NoReport,
            (_, "watch") => Self::Unwatched,
            ("namespaces", "patch") => Self::CannotLabel,
            ("namespacepolicies", "patch") => Self::NoFinalizer,
            ("policyprofiles/status", "patch") => Self::NoStatus,
            ("namespacepolicies/status", "patch") => Self::Mute,
            ("customresourcedefinitions", "get") => Self::KeepsLabels,
            ("events", "create" | "patch") => Self::EventsRefused,
            ("leases", "create" | "get") => Self::NeverLeads,
            ("leases", "update") => Self::LosesTheLease,
            _ => return None,
        })
    }
}

/// An operator that was started without a right, and the story that it is to work on.
pub(super) struct Deprived<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) story: &'a Story,
    pub(super) operator: &'a Operator,
    pub(super) missing: &'a Right,
}

impl Deprived<'_> {
    /// Waits until the symptom shows.
    pub(super) async fn shows(&self, symptom: Symptom) -> anyhow::Result<()> {
        match symptom {
            Symptom::Blind => self.is_blind().await,
            Symptom::Unseen => self.says_what_is_unseen().await,
            Symptom::UnseenBeside => self.labels_and_says_what_is_unseen().await,
            Symptom::NoReport => self.says_what_becomes_of_reports().await,
            Symptom::Unwatched => self.says_what_is_unwatched().await,
            Symptom::CannotLabel => self.says_that_writing_failed().await,
            Symptom::NoFinalizer => self.sets_no_finalizer().await,
            Symptom::NoStatus => self.leaves_the_profile_silent().await,
            Symptom::Mute => self.is_mute().await,
            Symptom::KeepsLabels => self.keeps_labels().await,
            Symptom::EventsRefused => self.is_refused_events().await,
            Symptom::NeverLeads => self.never_leads().await,
            Symptom::LosesTheLease => self.loses_the_lease().await,
        }
    }

    async fn is_blind(&self) -> anyhow::Result<()> {
        self.logged(&self.missing.resource).await?;
        self.has_written_nothing().await
    }

    async fn says_what_is_unseen(&self) -> anyhow::Result<()> {
        self.reports_the_resource().await?;
        self.story.sees_labels("clean", SEEN).await?;
        self.story
            .sees_phase("apps", "clean", Phase::Unknown, Reason::Forbidden)
            .await?;
        Ok(())
    }

    async fn labels_and_says_what_is_unseen(&self) -> anyhow::Result<()> {
        self.story.sees_labels("clean", ENFORCED).await?;
        self.reports_the_resource().await?;
        let kind = ConditionType::SeccompDefaultReady;
        self.story
            .sees_condition("apps", kind, "Unknown", Reason::Forbidden)
            .await
            .map(drop)
    }

    async fn says_what_becomes_of_reports(&self) -> anyhow::Result<()> {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "bare" } });
        let lab = self.cluster.lab();
        lab.kubectl_with_input(&["apply", "-f", "-"], &node.to_string())
            .await?;
        self.logged("nodereports").await?;
        self.story.sees_labels("clean", ENFORCED).await?;
        lab.kubectl(&["delete", "node", "bare"]).await?;
        lab.kubectl(&["delete", "nodereports", "--all"])
            .await
            .map(drop)
    }

    async fn says_what_is_unwatched(&self) -> anyhow::Result<()> {
        self.logged(&self.missing.resource).await?;
        // A minute for one of them shows as much as a quarter of an hour for all.
        if self.missing.resource == "pods" || everything_is_told() {
            sleep(WATCH_PATIENCE).await;
            self.reports_the_resource().await?;
        }
        Ok(())
    }

    async fn says_that_writing_failed(&self) -> anyhow::Result<()> {
        let kind = ConditionType::Ready;
        self.story
            .sees_condition("apps", kind, "False", Reason::ApplyFailed)
            .await?;
        Ok(())
    }

    async fn sets_no_finalizer(&self) -> anyhow::Result<()> {
        self.logged("namespacepolicies").await?;
        let finalizers = self.story.get_policy("apps").await?.metadata.finalizers;
        ensure!(finalizers.is_none(), "{finalizers:?}");
        Ok(())
    }

    async fn leaves_the_profile_silent(&self) -> anyhow::Result<()> {
        self.story.sees_labels("clean", ENFORCED).await?;
        self.logged("policyprofiles").await?;
        ensure!(is_profile_silent(self.story).await?, "there is a status");
        Ok(())
    }

    async fn is_mute(&self) -> anyhow::Result<()> {
        self.logged("namespacepolicies").await?;
        let policy = self.story.get_policy("apps").await?;
        ensure!(is_silent(&policy), "{policy:?}");
        self.story.sees_labels("clean", "").await
    }

    async fn keeps_labels(&self) -> anyhow::Result<()> {
        sees_finalizer(self.story).await?;
        self.story.sees_labels("clean", ENFORCED).await?;
        self.story.deletes("NamespacePolicy", "apps").await?;
        let labels = self.story.labels("clean").await?;
        ensure!(labels == ENFORCED, "{labels}");
        Ok(())
    }

    async fn is_refused_events(&self) -> anyhow::Result<()> {
        let before = refused_events(self.cluster).await?;
        self.story.sees_labels("clean", ENFORCED).await?;
        if self.missing.verb == "patch" {
            provoke_a_repeated_event(self.story).await?;
        }
        eventually(PATIENCE, async || {
            ensure!(
                refused_events(self.cluster).await? > before,
                "no event was refused"
            );
            Ok(())
        })
        .await
    }

    async fn never_leads(&self) -> anyhow::Result<()> {
        let led = timeout(TO_LEAD, self.operator.leads()).await;
        ensure!(!matches!(led, Ok(Ok(()))), "it leads without the right");
        self.logged("lease").await?;
        self.has_written_nothing().await
    }

    async fn loses_the_lease(&self) -> anyhow::Result<()> {
        let ended = self.operator.ended().await?;
        ensure!(!ended.success(), "it ended with {ended}");
        self.logged("lease").await
    }

    async fn reports_the_resource(&self) -> anyhow::Result<()> {
        let kind = ConditionType::ReportComplete;
        let message = self
            .story
            .sees_condition("apps", kind, "False", Reason::Forbidden)
            .await?;
        ensure!(message.contains(&self.missing.resource), "{message}");
        Ok(())
    }

    async fn has_written_nothing(&self) -> anyhow::Result<()> {
        let requests = self.story.requests().await?;
        ensure!(requests.is_empty(), "{requests:#?}");
        let policy = self.story.get_policy("apps").await?;
        ensure!(is_silent(&policy), "{policy:?}");
        Ok(())
    }

    /// The log says that something was forbidden, and what.
    async fn logged(&self, resource: &str) -> anyhow::Result<()> {
        eventually(PATIENCE, async || {
            let log = std::fs::read_to_string(self.operator.process().log())?.to_lowercase();
            let says = |line: &str| line.contains("forbidden") && line.contains(resource);
            ensure!(
                log.lines().any(says),
                "nothing is said about {resource}:\n{log}"
            );
            Ok(())
        })
        .await
    }
}

/// Whether the operator has never written this policy's status.
fn is_silent(policy: &NamespacePolicy) -> bool {
    policy
        .status
        .as_ref()
        .is_none_or(|status| status.conditions.is_empty())
}

pub(super) async fn is_profile_silent(story: &Story) -> anyhow::Result<bool> {
    let profiles: Api<PolicyProfile> = Api::all(story.client());
    let profile = profiles.get(&story.full("restricted")).await?;
    Ok(profile
        .status
        .is_none_or(|status| status.conditions.is_empty()))
}

pub(super) async fn sees_finalizer(story: &Story) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let finalizers = story.get_policy("apps").await?.metadata.finalizers;
        ensure!(finalizers.is_some(), "no finalizer");
        Ok(())
    })
    .await
}

/// The same transition twice: the second time it is a repetition of the first event.
pub(super) async fn provoke_a_repeated_event(story: &Story) -> anyhow::Result<()> {
    story
        .namespace_with("flapping", json!({ "flapping": "true" }))
        .await?;
    let labels = json!({ "podfence-story": story.label(), "flapping": "true" });
    let spec = json!({
        "namespaceSelector": { "matchLabels": labels },
        "rollout": { "soak": "1h", "whileViolating": "Hold" },
    });
    story.policy("flapping", "restricted", spec).await?;
    for _ in 0..2 {
        story.deploys("flapping", "web", Passes::Baseline).await?;
        let violating = Reason::ViolatingWorkloads;
        story
            .sees_phase("flapping", "flapping", Phase::Held, violating)
            .await?;
        story.deploys("flapping", "web", Passes::Restricted).await?;
        story
            .sees_phase("flapping", "flapping", Phase::Soaking, Reason::Soaking)
            .await?;
    }
    Ok(())
}

/// How many events the API server has refused the operator, ever.
pub(super) async fn refused_events(cluster: &Cluster) -> anyhow::Result<usize> {
    let events = cluster.lab().audit().since(AuditMark::START).await?;
    let refused = |event: &&AuditEvent| {
        event.user.username == OPERATOR_USER
            && event.object_ref.resource == "events"
            && event.response_status.code == 403
    };
    Ok(events.iter().filter(refused).count())
}
