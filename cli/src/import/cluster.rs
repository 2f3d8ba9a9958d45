//! What of an import only the cluster knows: what a pod of the workload runs, and the record that is
//! to be added to. Reads and writes the cluster.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use podfence_crd::{Dropped, RecordStep, SyscallRecord};
use podfence_seccomp::evidence::Fact;
use podfence_seccomp::{Architecture, Capabilities, KernelVersion, Profile, RefusedCapability};
use podfence_workload::{CapabilityMask, Defaulting, Kind, Object};

use super::Subject;
use crate::args::{TargetArguments, digest};
use crate::cluster::{ClusterError, ask, with_client};

/// Several may add to one record at once; more than a few in a row are something else.
const MOST_ATTEMPTS: usize = 5;

/// What the cluster could not say, or did not take.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("{0} is not there")]
    NoWorkload(String),
    #[error("no pod of {workload} runs a container {container:?}")]
    NoPod { workload: String, container: String },
    #[error("pods of {workload} run different images: {images}; say which with --image")]
    Images { workload: String, images: String },
    #[error("node {node:?}: {what} {value:?}: {why}; say which with {flag}")]
    Node {
        node: String,
        what: &'static str,
        value: String,
        why: String,
        flag: &'static str,
    },
    #[error("pod {pod:?}: {why}; say what it adds and drops with --capabilities")]
    Pod { pod: String, why: String },
    #[error("{0} was changed by somebody else {MOST_ATTEMPTS} times; try again")]
    Conflicts(String),
}

/// What a container runs under.
pub(crate) struct Running {
    pub(crate) image: String,
    pub(crate) profile: Profile,
    pub(crate) bounding: CapabilityMask,
    pub(crate) architecture: Architecture,
    pub(crate) kernel: KernelVersion,
    /// Where that was found.
    pub(crate) told: Option<String>,
}

/// What a running pod of the workload says of the container.
///
/// # Errors
///
/// When there is none, or it does not say.
pub(crate) fn running(target: &TargetArguments) -> Result<Running, AskError> {
    with_client(target.context.as_deref(), async |client| {
        let workload = workload(&client, target).await?;
        let pods = pods(&client, target, &workload).await?;
        let (pod, image) = chosen(target, &pods)?;
        let spec = pod.spec.clone().unwrap_or_default();
        let node_name = spec.node_name.unwrap_or_default();
        let nodes: Api<Node> = Api::all(client.clone());
        let node = ask(format!("get node {node_name:?}"), nodes.get(&node_name)).await?;
        of_pod(target, pod, image, &node_name, &node)
    })
}

fn workload_name(target: &TargetArguments) -> String {
    let kind = target.workload.kind.as_str().to_ascii_lowercase();
    format!("{kind}/{} in {}", target.workload.name, target.namespace)
}

/// The workload itself, by what every object has.
async fn workload(client: &Client, target: &TargetArguments) -> Result<ObjectMeta, AskError> {
    let kind = target.workload.kind;
    let named = GroupVersionKind::gvk(kind.group(), kind.version(), kind.as_str());
    let resource = ApiResource::from_gvk_with_plural(&named, kind.plural());
    let objects: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &target.namespace, &resource);
    let name = workload_name(target);
    let found = ask(
        format!("get {name}"),
        objects.get_opt(&target.workload.name),
    )
    .await?;
    let found = found.ok_or(AskError::NoWorkload(name))?;
    Ok(found.metadata)
}

/// The pods of the workload, by who owns them.
async fn pods(
    client: &Client,
    target: &TargetArguments,
    workload: &ObjectMeta,
) -> Result<Vec<Pod>, AskError> {
    let namespace = &target.namespace;
    let all = ListParams::default();
    let mut owners: BTreeSet<String> = workload.uid.clone().into_iter().collect();
    let between: Vec<ObjectMeta> = match target.workload.kind {
        Kind::Deployment => {
            let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
            let listed = ask("list replica sets", sets.list(&all)).await?;
            listed.items.into_iter().map(|set| set.metadata).collect()
        }
        Kind::CronJob => {
            let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
            let listed = ask("list jobs", jobs.list(&all)).await?;
            listed.items.into_iter().map(|job| job.metadata).collect()
        }
        _ => Vec::new(),
    };
    let owned: Vec<String> = between
        .into_iter()
        .filter(|metadata| is_owned(metadata, &owners))
        .filter_map(|metadata| metadata.uid)
        .collect();
    owners.extend(owned);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let listed = ask("list pods", pods.list(&all)).await?;
    let is_meant = |pod: &Pod| {
        is_owned(&pod.metadata, &owners)
            || pod
                .metadata
                .uid
                .as_ref()
                .is_some_and(|uid| owners.contains(uid))
    };
    Ok(listed.items.into_iter().filter(is_meant).collect())
}

fn is_owned(metadata: &ObjectMeta, owners: &BTreeSet<String>) -> bool {
    let references = metadata.owner_references.iter().flatten();
    references
        .filter(|owner| owner.controller == Some(true))
        .any(|owner| owners.contains(&owner.uid))
}

/// The newest pod that runs the container, with the digest of its image.
fn chosen<'a>(target: &TargetArguments, pods: &'a [Pod]) -> Result<(&'a Pod, String), AskError> {
    let mut running: Vec<(&Pod, String)> = pods
        .iter()
        .filter_map(|pod| {
            let status = container_status(pod, &target.container)?;
            Some((pod, digest(&status.image_id).ok()?))
        })
        .filter(|(_, image)| target.image.as_ref().is_none_or(|wanted| wanted == image))
        .collect();
    running.sort_by_key(|(pod, _)| pod.metadata.creation_timestamp.clone());
    let images: BTreeSet<&str> = running.iter().map(|(_, image)| image.as_str()).collect();
    if images.len() > 1 {
        let images: Vec<&str> = images.into_iter().collect();
        return Err(AskError::Images {
            workload: workload_name(target),
            images: images.join(", "),
        });
    }
    running.pop().ok_or_else(|| AskError::NoPod {
        workload: workload_name(target),
        container: target.container.clone(),
    })
}

fn container_status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let statuses = status.container_statuses.iter().flatten();
    statuses
        .chain(status.init_container_statuses.iter().flatten())
        .find(|status| status.name == container && !status.image_id.is_empty())
}

/// What the pod and its node say, where the arguments do not.
fn of_pod(
    target: &TargetArguments,
    pod: &Pod,
    image: String,
    node_name: &str,
    node: &Node,
) -> Result<Running, AskError> {
    let pod_name = pod.metadata.name.clone().unwrap_or_default();
    let info = node
        .status
        .as_ref()
        .and_then(|status| status.node_info.clone())
        .unwrap_or_default();
    let unclear = |what, value: &str, why: String, flag| AskError::Node {
        node: node_name.to_owned(),
        what,
        value: value.to_owned(),
        why,
        flag,
    };
    let profile = if let Some(profile) = &target.profile {
        profile.clone()
    } else {
        let version = &info.container_runtime_version;
        let read: Result<Profile, _> = version.parse();
        read.map_err(|error| unclear("runtime", version, error.to_string(), "--profile"))?
    };
    let architecture = match target.arch {
        Some(architecture) => architecture,
        None => info.architecture.parse().map_err(|error| {
            let why = podfence_seccomp::UnknownName::to_string(&error);
            unclear("architecture", &info.architecture, why, "--arch")
        })?,
    };
    let kernel = match target.kernel {
        Some(kernel) => kernel,
        None => info.kernel_version.parse().map_err(|error| {
            let why = podfence_seccomp::InvalidKernel::to_string(&error);
            unclear("kernel", &info.kernel_version, why, "--kernel")
        })?,
    };
    let bounding = match &target.capabilities {
        // It is taken from the arguments; what stands here does not count.
        Some(_) => CapabilityMask::default(),
        None => bounding(target, pod, &profile).map_err(|why| AskError::Pod {
            pod: pod_name.clone(),
            why,
        })?,
    };
    let told = format!(
        "taken from pod {pod_name} on node {node_name}: {image}, {profile}, {architecture}, kernel \
         {}.{}",
        kernel.major, kernel.minor
    );
    Ok(Running {
        image,
        profile,
        bounding,
        architecture,
        kernel,
        told: Some(told),
    })
}

/// The container's bounding set, by the pod's specification.
fn bounding(
    target: &TargetArguments,
    pod: &Pod,
    profile: &Profile,
) -> Result<CapabilityMask, String> {
    let bytes = serde_json::to_vec(pod).map_err(|error| error.to_string())?;
    let object: Object = podfence_workload::decode(Kind::Pod, &bytes, Defaulting::EmptyDir)
        .map_err(|error| error.to_string())?;
    let template = object.template.ok_or("it has no specification")?;
    let container = template
        .containers
        .iter()
        .find(|container| *container.name == *target.container)
        .ok_or("the container is not in its specification")?;
    let capabilities = Capabilities::of(profile.runtime, &template, container);
    let capabilities = capabilities.map_err(|error| RefusedCapability::to_string(&error))?;
    let capabilities = capabilities.ok_or("Windows has no seccomp")?;
    Ok(capabilities.bounding)
}

/// Adds facts to the workload's record, which is made where there is none yet, and says so.
///
/// # Errors
///
/// When the cluster refuses, or others change the record all the time.
pub(crate) fn add(
    target: &TargetArguments,
    subject: &Subject,
    facts: &[Fact],
) -> Result<(String, Dropped), AskError> {
    with_client(target.context.as_deref(), async |client| {
        let workload = workload(&client, target).await?;
        let empty = SyscallRecord::of(
            subject.workload(),
            &target.namespace,
            workload.uid.as_deref(),
        );
        let name = empty.metadata.name.clone().unwrap_or_default();
        let records: Api<SyscallRecord> = Api::namespaced(client, &target.namespace);
        for _ in 0..MOST_ATTEMPTS {
            let found = ask(
                format!("get syscallrecord {name:?}"),
                records.get_opt(&name),
            )
            .await?;
            let facts = facts.iter().cloned();
            let (step, dropped) = SyscallRecord::step(
                found,
                || empty.clone(),
                |record| record.add(&target.container, facts),
            );
            let parameters = PostParams::default();
            let (doing, done, written) = match step {
                RecordStep::Leave => {
                    return Ok((format!("syscallrecord/{name} unchanged\n"), dropped));
                }
                // It carries the version that was read, and is refused if another came in between.
                RecordStep::Replace(record) => {
                    let written = records.replace(&name, &parameters, &record).await;
                    ("update", "updated", written)
                }
                RecordStep::Create(record) => {
                    let written = records.create(&parameters, &record).await;
                    ("create", "created", written)
                }
            };
            match written {
                Ok(_) => return Ok((format!("syscallrecord/{name} {done}\n"), dropped)),
                // 409: somebody else has written meanwhile, or has made it.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(source) => {
                    return Err(AskError::Cluster(ClusterError::Request {
                        doing: format!("{doing} syscallrecord {name:?}"),
                        source: Box::new(source),
                    }));
                }
            }
        }
        Err(AskError::Conflicts(format!("syscallrecord {name:?}")))
    })
}
