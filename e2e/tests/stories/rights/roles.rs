//! The operator's roles in a cluster, as shipped and without one of their rights. Makes requests.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::{Api, api::PostParams};
use podfence_e2e::story::{Cluster, OPERATOR_NAMESPACE};

const CLUSTER_ROLE: &str = "podfence-operator";
const LEADER_ROLE: &str = "podfence-leader-election";

/// One right of the shipped roles.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) verb: String,
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

/// The two roles of the operator.
pub(super) struct Roles {
    cluster: Api<ClusterRole>,
    leader: Api<Role>,
    shipped: (Vec<PolicyRule>, Vec<PolicyRule>),
}

impl Roles {
    /// Reads them from a cluster in which nobody has changed them yet.
    pub(super) async fn shipped(cluster: &Cluster) -> anyhow::Result<Self> {
        let client = cluster.lab().client();
        let leader: Api<Role> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        let cluster: Api<ClusterRole> = Api::all(client);
        let shipped = (
            cluster.get(CLUSTER_ROLE).await?.rules.unwrap_or_default(),
            leader.get(LEADER_ROLE).await?.rules.unwrap_or_default(),
        );
        Ok(Self {
            cluster,
            leader,
            shipped,
        })
    }

    /// Every right that they give.
    pub(super) fn rights(&self) -> Vec<Right> {
        let (cluster, leader) = &self.shipped;
        [rights_of(cluster), rights_of(leader)].concat()
    }

    /// Makes the cluster's roles the shipped ones without one right.
    pub(super) async fn take_away(&self, missing: &Right) -> anyhow::Result<()> {
        let (cluster, leader) = &self.shipped;
        let mut role = self.cluster.get(CLUSTER_ROLE).await?;
        role.rules = Some(without(cluster, missing));
        self.cluster
            .replace(CLUSTER_ROLE, &PostParams::default(), &role)
            .await?;
        let mut role = self.leader.get(LEADER_ROLE).await?;
        role.rules = Some(without(leader, missing));
        self.leader
            .replace(LEADER_ROLE, &PostParams::default(), &role)
            .await?;
        Ok(())
    }
}
