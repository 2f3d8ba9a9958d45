//! `kubectl podfence status`: what policies and reports of nodes say of themselves. Makes requests.

pub(crate) mod tables;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use podfence_crd::{ConditionType, NamespacePolicy, NodeReport};

use crate::args::StatusArguments;
use crate::cluster::{ClusterError, ask, with_client};

pub(crate) use tables::tables;

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    policies: Vec<NamespacePolicy>,
    nodes: Vec<NodeReport>,
    pub(crate) warnings: Vec<String>,
}

/// Reads policies and reports, each sorted by name.
///
/// # Errors
///
/// When the cluster does not answer, or has no such policy.
pub(crate) fn read(arguments: &StatusArguments) -> Result<Seen, ClusterError> {
    with_client(arguments.context.as_deref(), async |client: Client| {
        let all = ListParams::default();
        let policies: Api<NamespacePolicy> = Api::all(client.clone());
        if let Some(name) = &arguments.policy {
            let policy = ask(format!("get namespacepolicy {name:?}"), policies.get(name)).await?;
            return Ok(Seen {
                policies: vec![policy],
                ..Seen::default()
            });
        }
        let listed = ask("list namespacepolicies", policies.list(&all)).await?;
        let mut seen = Seen {
            policies: listed.items,
            ..Seen::default()
        };
        let reports: Api<NodeReport> = Api::all(client);
        // Without agents there need be no such kind, and not everybody may read it.
        match ask("list nodereports", reports.list(&all)).await {
            Ok(listed) => seen.nodes = listed.items,
            Err(error) => seen.warnings.push(error.to_string()),
        }
        seen.policies.sort_by_key(ResourceExt::name_any);
        seen.nodes.sort_by_key(ResourceExt::name_any);
        Ok(seen)
    })
}

impl Seen {
    /// Whether every policy is ready and enforced, and nothing fails or would.
    pub(crate) fn is_done(&self) -> bool {
        self.policies.iter().all(|policy| {
            let is = |of| condition(policy, of);
            is(ConditionType::Ready) == "True"
                && is(ConditionType::Enforced) == "True"
                && is(ConditionType::SeccompDefaultReady) != "False"
        })
    }
}

/// What a condition says; Unknown where it is missing or speaks of an older specification.
fn condition(policy: &NamespacePolicy, of: ConditionType) -> &str {
    let Some(status) = policy.status.as_ref().filter(|_| is_current(policy)) else {
        return "Unknown";
    };
    let found = found(&status.conditions, of);
    // SeccompDefault need not be assessed.
    let absent = if of == ConditionType::SeccompDefaultReady {
        "<none>"
    } else {
        "Unknown"
    };
    found.map_or(absent, |condition| condition.status.as_str())
}

fn found(conditions: &[Condition], of: ConditionType) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == of.as_str())
}

fn is_current(policy: &NamespacePolicy) -> bool {
    let seen = policy
        .status
        .as_ref()
        .map(|status| status.observed_generation);
    seen >= policy.metadata.generation
}
