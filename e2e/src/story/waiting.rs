//! What a story sees, each as a wait: labels, phases, conditions. Makes requests.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Api, Resource as _};
use podfence_crd::{NamespacePolicy, NamespacePolicyStatus, NamespaceStatus, Phase, Reason};

use super::{Story, pod_security_labels};
use crate::eventually;

/// How long a story waits for anything: what takes longer than this on a busy machine does not
/// happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Story {
    /// Waits until a namespace's Pod Security labels are exactly these; see
    /// [`pod_security_labels`].
    ///
    /// # Errors
    ///
    /// When they stay others.
    pub async fn sees_labels(&self, namespace: &str, want: &str) -> anyhow::Result<()> {
        eventually(PATIENCE, async || {
            let labels = self.labels(namespace).await?;
            ensure!(labels == want, "the labels are {labels:?}, want {want:?}");
            Ok(())
        })
        .await
        .with_context(|| format!("namespace {}", self.full(namespace)))
    }

    /// A namespace's Pod Security labels as they are now.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be read.
    pub async fn labels(&self, namespace: &str) -> anyhow::Result<String> {
        let namespace = self.get_namespace(namespace).await?;
        Ok(pod_security_labels(
            &namespace.metadata.labels.unwrap_or_default(),
        ))
    }

    /// Waits until a namespace carries no annotation of ours any more.
    ///
    /// # Errors
    ///
    /// When one stays.
    pub async fn sees_no_state(&self, namespace: &str) -> anyhow::Result<()> {
        eventually(PATIENCE, async || {
            let annotations = self.get_namespace(namespace).await?.metadata.annotations;
            let state = annotations.unwrap_or_default();
            let ours = state
                .keys()
                .find(|key| key.starts_with("state.podfence.dev/"));
            ensure!(ours.is_none(), "{state:?}");
            Ok(())
        })
        .await
        .with_context(|| format!("namespace {}", self.full(namespace)))
    }

    /// A namespace as it is now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn get_namespace(&self, namespace: &str) -> anyhow::Result<Namespace> {
        Ok(Api::all(self.client()).get(&self.full(namespace)).await?)
    }

    /// Waits until a policy's status says this of a namespace, and returns it.
    ///
    /// # Errors
    ///
    /// When it says something else.
    pub async fn sees_phase(
        &self,
        policy: &str,
        namespace: &str,
        phase: Phase,
        reason: Reason,
    ) -> anyhow::Result<NamespaceStatus> {
        let name = self.full(namespace);
        self.sees(policy, |status| {
            let found = status.namespaces.iter().find(|entry| entry.name == name);
            let entry = found.with_context(|| format!("{name} is not in {status:?}"))?;
            ensure!((entry.phase, entry.reason) == (phase, reason), "{entry:?}");
            Ok(entry.clone())
        })
        .await
    }

    /// Waits until a policy's condition is so, and returns its message.
    ///
    /// # Errors
    ///
    /// When it stays otherwise.
    pub async fn sees_condition(
        &self,
        policy: &str,
        kind: podfence_crd::ConditionType,
        status: &str,
        reason: Reason,
    ) -> anyhow::Result<String> {
        self.sees(policy, |seen| {
            let condition = condition(&seen.conditions, kind.as_str())?;
            let is = (condition.status.as_str(), condition.reason.as_str());
            ensure!(is == (status, reason.as_str()), "{condition:?}");
            Ok(condition.message.clone())
        })
        .await
    }

    /// Waits until what a policy's status says of its present generation passes a check, and
    /// returns what that gives.
    ///
    /// # Errors
    ///
    /// The last error of the check.
    pub async fn sees<T>(
        &self,
        policy: &str,
        check: impl Fn(&NamespacePolicyStatus) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        eventually(PATIENCE, async || {
            let policy = self.get_policy(policy).await?;
            let status = policy.status.as_ref().context("there is no status")?;
            let generation = policy.meta().generation;
            ensure!(
                Some(status.observed_generation) == generation,
                "generation {} is observed, and {generation:?} is there",
                status.observed_generation
            );
            check(status)
        })
        .await
        .with_context(|| format!("policy {}", self.full(policy)))
    }

    /// A policy as it is now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn get_policy(&self, policy: &str) -> anyhow::Result<NamespacePolicy> {
        Ok(Api::all(self.client()).get(&self.full(policy)).await?)
    }
}

fn condition<'a>(conditions: &'a [Condition], kind: &str) -> anyhow::Result<&'a Condition> {
    let found = conditions.iter().find(|condition| condition.type_ == kind);
    found.with_context(|| format!("there is no {kind} in {conditions:?}"))
}
