//! Everything of a cluster that a verdict is made from, as the operator takes it in. Makes requests.

use std::collections::BTreeSet;

use kube::Client;
use kube::api::Api;
use kube::core::{ApiResource, Request};
use podfence_crd::{NamespacePolicy, NodeReport, PolicyProfile, SyscallRecord};
use podfence_plan::seccomp_default::{
    AGENT_LABEL, Given, KnownNode, Levels, Look, Node, Nodes, ReadRecord, united, watched_node,
};
use podfence_plan::{Namespace, Policies, Policy, Profile, Servers, Workloads};
use podfence_podsecurity::ServerVersion;
use podfence_seccomp::{Moment, Terms};
use podfence_workload::{Defaulting, Kind, decode};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::WhyError;
use super::list::{Listed, decoded, list, name};
use crate::args::WhyArguments;
use crate::cluster::{ClusterError, ask};

/// The operator's own namespace, as it is installed: no policy matches it unless it asks for it.
const OPERATOR: &str = "podfence-system";

/// A namespace that was looked at.
pub(super) struct SeenNamespace {
    pub(super) name: String,
    pub(super) look: Look,
    pub(super) levels: Levels,
    /// The policy that decides on the namespace.
    pub(super) policy: Option<NamespacePolicy>,
    pub(super) reports: Vec<NodeReport>,
    pub(super) warnings: Vec<String>,
}

/// A node that was looked at.
pub(super) struct SeenNode {
    pub(super) known: KnownNode,
    /// The report, whether it counts or not.
    pub(super) report: Option<NodeReport>,
    /// Whether an agent is at work there.
    pub(super) is_watched: bool,
    pub(super) warnings: Vec<String>,
}

/// Reads a namespace and judges it.
pub(super) async fn namespace(
    client: &Client,
    arguments: &WhyArguments,
    wanted: &str,
    now: Moment,
) -> Result<SeenNamespace, WhyError> {
    let mut warnings = Vec::new();
    let namespace: Namespace = get(client, &plain("Namespace", "namespaces"), wanted).await?;
    let workloads = workloads(client, wanted, &mut warnings).await?;
    let listed = list(client, Listed::of(plain("Node", "nodes"), None)).await?;
    let nodes: Vec<Node> = decoded("Node", &listed, &mut warnings);
    let reports = ours::<NodeReport>(client, None, &mut warnings).await;
    let watched = watched(client, arguments, &mut warnings).await;
    let label = arguments.seccomp_default_node_label.as_deref();
    let nodes = Nodes::new(
        nodes.iter().map(|node| {
            let is_meant = |report: &&NodeReport| {
                report.metadata.name.as_deref() == Some(&*node.name) && watched.contains(&node.name)
            };
            let report = reports.iter().find(is_meant);
            (node, report.map(|report| &report.spec))
        }),
        label,
    );
    warnings.extend(disagreements(nodes.iter(), &reports));
    let records = ours::<SyscallRecord>(client, Some(wanted), &mut warnings).await;
    let records: Vec<ReadRecord> = records.iter().map(ReadRecord::of).collect();
    for record in &records {
        let malformed = record.malformed.iter();
        warnings
            .extend(malformed.map(|why| format!("SyscallRecord of {}: {why}", record.workload)));
    }
    let policies = ours::<NamespacePolicy>(client, None, &mut warnings).await;
    let profiles = ours::<PolicyProfile>(client, None, &mut warnings).await;
    let own = [OPERATOR.to_owned(), arguments.agent_namespace.clone()];
    let winner = winner(&policies, &profiles, &namespace, &own);
    let policy = winner.as_ref().and_then(|winner| {
        let mut policies = policies.into_iter();
        policies.find(|policy| policy.metadata.name.as_deref() == Some(&*winner.name))
    });
    let asked = winner.as_ref().and_then(Policy::minimum_observation);
    let levels = levels(&namespace, policy.as_ref());
    let defaults = Terms::default();
    let look = Look::new(Given {
        namespace: wanted.to_owned(),
        workloads,
        nodes,
        recorded: united(&records),
        terms: Terms {
            minimum_observation: asked.unwrap_or(defaults.minimum_observation),
            settling: arguments.settling_time.length(),
            ..defaults
        },
        now,
        levels,
        servers: servers(client, &mut warnings).await,
    });
    Ok(SeenNamespace {
        name: wanted.to_owned(),
        look,
        levels,
        policy,
        reports,
        warnings,
    })
}

/// Reads a node and its report.
pub(super) async fn node(
    client: &Client,
    arguments: &WhyArguments,
    wanted: &str,
) -> Result<SeenNode, WhyError> {
    let mut warnings = Vec::new();
    let node: Node = get(client, &plain("Node", "nodes"), wanted).await?;
    let reports: Api<NodeReport> = Api::all(client.clone());
    let doing = format!("get nodereport {wanted:?}");
    let report = match ask(doing, reports.get_opt(wanted)).await {
        Ok(report) => report,
        Err(error) => {
            warnings.push(error.to_string());
            None
        }
    };
    let watched = watched(client, arguments, &mut warnings).await;
    let is_watched = watched.contains(wanted);
    let counted = report.as_ref().filter(|_| is_watched);
    let label = arguments.seccomp_default_node_label.as_deref();
    let known = KnownNode::new(node, counted.map(|report| report.spec.clone()), label);
    warnings.extend(disagreements([&known], report.as_slice()));
    Ok(SeenNode {
        known,
        report,
        is_watched,
        warnings,
    })
}

/// Where the operator goes by another setting of the kubelet than is known here.
fn disagreements<'a>(
    nodes: impl IntoIterator<Item = &'a KnownNode>,
    reports: &[NodeReport],
) -> Vec<String> {
    let mut warnings = Vec::new();
    for known in nodes {
        let (name, here) = (&known.node.name, known.seccomp_default);
        let mut reports = reports.iter();
        let report = reports.find(|it| it.metadata.name.as_ref() == Some(name));
        let status = report.and_then(|report| report.status.as_ref());
        if let Some(there) = status.map(|it| it.seccomp_default).filter(|it| *it != here) {
            warnings.push(format!(
                "seccompDefault of node {name} is {here} here and {there} to the operator: give \
                 --seccomp-default-node-label and --agent-namespace as the operator has them"
            ));
        }
    }
    warnings
}

/// A kind of the core group.
fn plain(kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

async fn get<T: DeserializeOwned>(
    client: &Client,
    resource: &ApiResource,
    wanted: &str,
) -> Result<T, WhyError> {
    use kube::core::{DynamicObject, Resource as _};

    let request = Request::new(DynamicObject::url_path(resource, None));
    let kind = &resource.kind;
    let doing = format!("get {} {wanted:?}", kind.to_ascii_lowercase());
    let object: Box<RawValue> = ask(doing, async {
        let request = request.get(wanted, &kube::api::GetParams::default());
        client
            .request(request.map_err(kube::Error::BuildRequest)?)
            .await
    })
    .await?;
    serde_json::from_str(object.get()).map_err(|error| WhyError::Malformed {
        kind: if kind == "Node" { "Node" } else { "Namespace" },
        name: wanted.to_owned(),
        error: error.to_string(),
    })
}

async fn workloads(
    client: &Client,
    namespace: &str,
    warnings: &mut Vec<String>,
) -> Result<Workloads, ClusterError> {
    let mut workloads = Workloads::default();
    for kind in Kind::ALL {
        for object in list(client, Listed::workloads(kind, namespace)).await? {
            match decode(kind, object.get().as_bytes(), Defaulting::AsServed) {
                Ok(object) => {
                    workloads.apply(object);
                }
                Err(error) => warnings.push(format!("{kind} {:?}: {error}", name(&object))),
            }
        }
    }
    Ok(workloads)
}

/// Objects of a kind of ours. It need not be installed, and not everybody may read it; without them
/// less is known, but something.
async fn ours<T>(client: &Client, namespace: Option<&str>, warnings: &mut Vec<String>) -> Vec<T>
where
    T: kube::Resource<DynamicType = ()> + DeserializeOwned,
{
    let resource = ApiResource::erase::<T>(&());
    let kind = resource.kind.clone();
    match list(client, Listed::of(resource, namespace)).await {
        Ok(objects) => return decoded(&kind, &objects, warnings),
        Err(error) if error.is_not_found() => warnings.push(format!(
            "the cluster has no kind {kind}: without Podfence's kinds less is known"
        )),
        Err(error) => warnings.push(error.to_string()),
    }
    Vec::new()
}

/// The nodes on which agents are at work.
async fn watched(
    client: &Client,
    arguments: &WhyArguments,
    warnings: &mut Vec<String>,
) -> BTreeSet<String> {
    let (key, value) = AGENT_LABEL;
    let listed = Listed {
        label: Some(format!("{key}={value}")),
        ..Listed::workloads(Kind::Pod, &arguments.agent_namespace)
    };
    let pods = match list(client, listed).await {
        Ok(pods) => pods,
        Err(error) => {
            warnings.push(format!("{error}; what agents report is left out"));
            return BTreeSet::new();
        }
    };
    let pods = pods
        .iter()
        .filter_map(|pod| decode(Kind::Pod, pod.get().as_bytes(), Defaulting::AsServed).ok());
    pods.filter_map(|pod| watched_node(&pod).map(ToString::to_string))
        .collect()
}

/// The policy that decides on a namespace. `own` are Podfence's namespaces.
fn winner(
    policies: &[NamespacePolicy],
    profiles: &[PolicyProfile],
    namespace: &Namespace,
    own: &[String],
) -> Option<Policy> {
    let compiled = policies.iter().filter_map(|policy| {
        let wanted = Some(&policy.spec.profile_ref.name);
        let profile = profiles
            .iter()
            .find(|profile| profile.metadata.name.as_ref() == wanted);
        let profile = profile.map_or(Profile::Missing, Profile::read);
        // One that cannot be used decides nothing.
        Policy::compile(policy, profile).ok()
    });
    let policies = Policies::new(compiled.collect(), std::collections::BTreeMap::new());
    policies.matching(namespace, own).next().cloned()
}

/// The Pod Security of a namespace: now by its labels, planned by its policy's status.
fn levels(namespace: &Namespace, policy: Option<&NamespacePolicy>) -> Levels {
    let status = policy.and_then(|policy| policy.status.as_ref());
    let mut listed = status.into_iter().flat_map(|status| &status.namespaces);
    let planned = listed
        .find(|listed| listed.name == namespace.name)
        .and_then(|listed| listed.target);
    Levels::of(namespace, planned.map(Into::into))
}

/// The API server that answers. Others of a control plane that is being upgraded may know other rules.
async fn servers(client: &Client, warnings: &mut Vec<String>) -> Option<Servers> {
    let info = match ask("ask for the server's version", client.apiserver_version()).await {
        Ok(info) => info,
        Err(error) => {
            warnings.push(format!("{error}; every fix counts as admitted"));
            return None;
        }
    };
    let emulation = info.emulation_minor.as_deref().unwrap_or_default();
    let Some(server) = ServerVersion::read(&info.minor, emulation) else {
        let minor = &info.minor;
        warnings.push(format!(
            "the server's version has the minor {minor:?} and the emulated one {emulation:?}, which \
             cannot be read; every fix counts as admitted"
        ));
        return None;
    };
    Some(Servers {
        oldest: server,
        newest: server,
    })
}
