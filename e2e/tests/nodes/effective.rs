//! What we compute that a container gets is what containerd gave it, and what its process has.

use std::fs;

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{self as core, Pod};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use podfence_e2e::{
    eventually,
    harness::{Shared, skipped},
    lab::{Image, Node},
};
use podfence_seccomp::{
    Capabilities, Container, EffectiveProfile, KernelVersion, Node as KnownNode, Profile,
};
use podfence_workload::{
    CapabilityMask, Defaulting, KNOWN_CAPABILITIES, Kind as ObjectKind, decode,
};
use serde_json::{Value, json};

use crate::{
    kinds::{Kind, LOCAL, kinds, with_own_users},
    nodes::{Nodes, PATIENCE},
    rules::{Rules, architecture},
};

/// Pods that start side by side; more only fight for two cores.
const AT_ONCE: usize = 16;
/// Fewer kinds than this prove too little.
const LEAST_KINDS: usize = 30;
/// Taken for their names alone: they allow everything, and are told from every other profile.
const LOCAL_PROFILE: &str = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [] }"#;

/// What is known of a node without looking at its containers.
struct Known<'a> {
    node: &'a Node,
    seccomp_default: bool,
    /// Of the runtime that the Node says.
    profile: Profile,
    kernel: KernelVersion,
}

pub(crate) async fn profiles_and_capabilities_are_what_containers_have(
    shared: Shared<Nodes>,
) -> anyhow::Result<()> {
    let kinds = kinds();
    ensure!(kinds.len() >= LEAST_KINDS, "{} kinds", kinds.len());
    let nodes = shared.get().await?;
    compare_all(&nodes, "effective", &kinds).await
}

pub(crate) async fn profiles_and_capabilities_are_so_among_own_users_too(
    shared: Shared<Nodes>,
) -> anyhow::Result<()> {
    let nodes = shared.get().await?;
    for node in [&nodes.on, &nodes.off] {
        if !has_own_users(&nodes, node).await? {
            return Err(skipped("the node says that it has no user namespaces"));
        }
    }
    compare_all(&nodes, "effective-own-users", &with_own_users()).await
}

async fn has_own_users(nodes: &Nodes, node: &Node) -> anyhow::Result<bool> {
    let objects: Api<core::Node> = Api::all(nodes.lab.client());
    let status = objects
        .get(node.name())
        .await?
        .status
        .context("no status")?;
    let handlers = status.runtime_handlers.unwrap_or_default();
    let features = handlers.into_iter().filter_map(|handler| handler.features);
    Ok(features
        .into_iter()
        .any(|features| features.user_namespaces == Some(true)))
}

/// Holds what we compute for every container of these pods, on either node, against what is.
async fn compare_all(nodes: &Nodes, namespace: &str, kinds: &[Kind]) -> anyhow::Result<()> {
    nodes.namespace(namespace).await?;
    let known = [
        Known::of(nodes, &nodes.on, true).await?,
        Known::of(nodes, &nodes.off, false).await?,
    ];
    for known in &known {
        let file = known.node.seccomp_folder()?.join(LOCAL);
        fs::create_dir_all(file.parent().context("no folder")?)?;
        fs::write(file, LOCAL_PROFILE)?;
    }
    let mut looks = Vec::new();
    for kind in kinds {
        for known in &known {
            looks.push(compare(nodes, namespace, kind, known));
        }
    }
    let looked_at: Vec<usize> = stream::iter(looks)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let wanted: usize = kinds.iter().map(|kind| kind.running.len()).sum();
    assert_eq!(looked_at.iter().sum::<usize>(), 2 * wanted);
    Ok(())
}

impl<'a> Known<'a> {
    async fn of(nodes: &Nodes, node: &'a Node, seccomp_default: bool) -> anyhow::Result<Self> {
        let objects: Api<core::Node> = Api::all(nodes.lab.client());
        let status = objects
            .get(node.name())
            .await?
            .status
            .context("no status")?;
        let facts = status.node_info.context("no facts")?;
        let profile: Profile = facts.container_runtime_version.parse()?;
        ensure!(profile.assumed.is_none(), "{profile:?} is not in our data");
        Ok(Self {
            node,
            seccomp_default,
            profile,
            kernel: facts.kernel_version.parse()?,
        })
    }
}

/// Runs a pod of the kind, looks at its containers, and returns how many there were.
async fn compare(
    nodes: &Nodes,
    namespace: &str,
    kind: &Kind,
    known: &Known<'_>,
) -> anyhow::Result<usize> {
    let compared = async {
        let served = run(nodes, namespace, kind, known.node).await?;
        look_at(&served, kind, known)
    };
    let compared = compared.await;
    compared.with_context(|| format!("{} on {}", kind.name, known.node.name()))?;
    Ok(kind.running.len())
}

/// Runs a pod of the kind and returns it as it is served, for that is what is decoded.
async fn run(nodes: &Nodes, namespace: &str, kind: &Kind, node: &Node) -> anyhow::Result<String> {
    let manifest = kind.manifest(namespace, node.name(), Image::busybox().name());
    nodes.create(&manifest).await?;
    let pods: Api<Pod> = Api::namespaced(nodes.lab.client(), namespace);
    let name = manifest["metadata"]["name"].as_str().context("no name")?;
    if let Some(container) = &kind.ephemeral {
        let mut container = container.clone();
        container["image"] = json!(Image::busybox().name());
        let patch = Patch::Strategic(json!({ "spec": { "ephemeralContainers": [container] } }));
        pods.patch_ephemeral_containers(name, &PatchParams::default(), &patch)
            .await?;
    }
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    eventually(PATIENCE, async || {
        let request = http::Request::get(&path).body(Vec::new())?;
        let text = nodes.lab.client().request_text(request).await?;
        let pod: Value = serde_json::from_str(&text)?;
        for container in kind.running {
            ensure!(
                running(&pod, container).is_some(),
                "{container}: {}",
                pod["status"]
            );
        }
        Ok(text)
    })
    .await
}

fn look_at(served: &str, kind: &Kind, known: &Known<'_>) -> anyhow::Result<()> {
    let object = decode(ObjectKind::Pod, served.as_bytes(), Defaulting::AsServed)?;
    let template = object.template.context("a pod without a specification")?;
    let pod: Value = serde_json::from_str(served)?;
    for name in kind.running {
        let container = template
            .containers
            .iter()
            .find(|container| *container.name == **name);
        let container = container.with_context(|| format!("no container {name}"))?;
        let computed = KnownNode {
            seccomp_default: Some(known.seccomp_default),
            runtime: Some(known.profile.runtime),
            handler: None,
        };
        let computed = EffectiveProfile::of(&template, container, computed);
        let capabilities = Capabilities::of(known.profile.runtime, &template, container)?;
        let capabilities = capabilities.context("no capabilities")?;
        let id = running(&pod, name).context("it has ended")?;
        let configuration = known.node.oci_configuration(id)?;
        let process = fs::read_to_string(format!("/proc/{}/status", known.node.process_of(id)?))?;
        profile_is(known, &computed, capabilities, &configuration)
            .and_then(|()| capabilities_are(capabilities, &configuration["process"]))
            .and_then(|()| process_has(&computed, capabilities, &process))
            .with_context(|| format!("container {name}"))?;
    }
    Ok(())
}

/// The id of a container that runs.
fn running<'a>(pod: &'a Value, container: &str) -> Option<&'a str> {
    let lists = [
        "initContainerStatuses",
        "containerStatuses",
        "ephemeralContainerStatuses",
    ];
    let mut statuses = lists
        .iter()
        .flat_map(|list| pod["status"][*list].as_array().into_iter().flatten());
    let status = statuses.find(|status| status["name"] == container)?;
    status["state"].get("running")?;
    status["containerID"].as_str()
}

/// What the runtime was told about the filter is what we say.
fn profile_is(
    known: &Known<'_>,
    computed: &EffectiveProfile,
    capabilities: Capabilities,
    configuration: &Value,
) -> anyhow::Result<()> {
    let given = &configuration["linux"]["seccomp"];
    match computed {
        EffectiveProfile::Unconfined => {
            ensure!(given.is_null(), "we say Unconfined, the node {given}");
        }
        EffectiveProfile::Localhost(file) => {
            ensure!(**file == *LOCAL, "we say {file}");
            let ours: Value = serde_json::from_str(LOCAL_PROFILE)?;
            ensure!(
                given["defaultAction"] == ours["defaultAction"],
                "the node says {given}"
            );
        }
        EffectiveProfile::RuntimeDefault => {
            let container = Container {
                architecture: architecture()?,
                bounding: had_here(capabilities.bounding)?,
                kernel: known.kernel,
            };
            let ours = Rules::of_release(&known.profile.rules, container);
            ours.must_equal(&Rules::of_configuration(given)?)?;
        }
        other => bail!("we say {other}, the node {given}"),
    }
    Ok(())
}

/// The capabilities that the runtime was told are what we say.
fn capabilities_are(computed: Capabilities, process: &Value) -> anyhow::Result<()> {
    let given = |set: &str| {
        let names = process["capabilities"][set]
            .as_array()
            .into_iter()
            .flatten();
        let names = names.filter_map(Value::as_str);
        // What is no capability of Linux has no effect: runc leaves it out.
        names
            .filter_map(|name| CapabilityMask::named(name.strip_prefix("CAP_")?))
            .fold(CapabilityMask::default(), CapabilityMask::union)
    };
    let Capabilities {
        bounding, of_root, ..
    } = computed;
    let none = CapabilityMask::default();
    for (set, ours) in [
        ("bounding", had_here(bounding)?),
        ("permitted", had_here(of_root)?),
        ("effective", had_here(of_root)?),
        ("ambient", none),
        ("inheritable", none),
    ] {
        same(set, ours, given(set))?;
    }
    Ok(())
}

/// The kernel has it for the process as we say.
fn process_has(
    profile: &EffectiveProfile,
    computed: Capabilities,
    status: &str,
) -> anyhow::Result<()> {
    let field = |name: &str| {
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        value.with_context(|| format!("no {name} in {status}"))
    };
    let set = |name: &str| anyhow::Ok(mask(u64::from_str_radix(field(name)?, 16)?));
    same("CapBnd", had_here(computed.bounding)?, set("CapBnd")?)?;
    same("CapAmb", CapabilityMask::default(), set("CapAmb")?)?;
    if let Some(effective) = computed.effective {
        same("CapEff", had_here(effective)?, set("CapEff")?)?;
        same("CapPrm", had_here(effective)?, set("CapPrm")?)?;
    }
    // 2 is a filter.
    let filtered = field("Seccomp")? == "2";
    ensure!(
        filtered == (*profile != EffectiveProfile::Unconfined),
        "{profile}: {filtered}"
    );
    Ok(())
}

fn same(set: &str, ours: CapabilityMask, given: CapabilityMask) -> anyhow::Result<()> {
    let names = |mask: CapabilityMask| mask.names().collect::<Vec<_>>();
    ensure!(
        ours == given,
        "{set}: we say {:?}, the node {:?}",
        names(ours),
        names(given)
    );
    Ok(())
}

/// Those that root has on this machine at all: a runtime can give no other.
fn had_here(wanted: CapabilityMask) -> anyhow::Result<CapabilityMask> {
    let status = fs::read_to_string("/proc/self/status")?;
    let own = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:\t"));
    let own = mask(u64::from_str_radix(own.context("no bounding set")?, 16)?);
    Ok(wanted.difference(CapabilityMask::ALL.difference(own)))
}

/// The kernel's set of capabilities by number.
fn mask(bits: u64) -> CapabilityMask {
    let names = KNOWN_CAPABILITIES.iter().enumerate();
    let names: Vec<&str> = names
        .filter(|(number, _)| bits & (1 << number) != 0)
        .map(|(_, name)| *name)
        .collect();
    CapabilityMask::of(&names)
}
