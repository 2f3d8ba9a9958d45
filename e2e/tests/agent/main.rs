//! The node agent as a process beside a real API server, on nodes that are folders: what it makes of
//! runtimes and kernels that this machine does not have, of what is missing, and of rights and
//! servers that are gone. Starts labs and processes.
//!
//! What it does where it is installed is told by `nodes agent::`, which needs root.

// A story that panics has failed, and says where.
#![allow(clippy::indexing_slicing)]

mod node;

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::{Context as _, ensure};
use podfence_crd::{NodeReportSpec, ProfileInForce, Setting, SettingSource};
use podfence_e2e::{
    harness::{Case, Shared, tell},
    lab::Stop,
    on_nodes::PATIENCE,
};
use podfence_seccomp::{Architecture, Container, FlatProfile, Profile, Runtime};
use serde_json::{Value, json};

use node::{Ground, Recorded};

const KERNEL: &str = "6.8.0-45-generic";
const PROFILE: &str = r#"{ "defaultAction": "SCMP_ACT_ALLOW" }"#;

fn main() -> ExitCode {
    tell(vec![
        Case::new(reads_what_cri_o_gave_its_containers),
        Case::new(says_what_it_cannot_see_and_sees_it_when_it_comes),
        Case::new(says_which_right_it_lacks),
        Case::new(goes_on_when_the_api_server_was_gone),
    ])
}

async fn reads_what_cri_o_gave_its_containers(shared: Shared<Ground>) -> anyhow::Result<()> {
    let ground = shared.get().await?;
    let release = Profile::releases(Runtime::CriO)?
        .last()
        .context("no release")?;
    let node = ground
        .node("recorded", &format!("cri-o://{release}"), &[])
        .await?;
    node.write("proc/sys/kernel/osrelease", &format!("{KERNEL}\n"))?;
    node.write(
        "proc/sys/kernel/seccomp/actions_avail",
        "kill_process errno log allow\n",
    )?;
    node.write("sys/module/apparmor/parameters/enabled", "Y\n")?;
    let rules = rules_of(&Profile::of(Runtime::CriO, release)?)?;
    let sandbox = ground.pod(&node, "unset", "1", &json!({})).await?;
    cri_o_bundle(&node, "sandbox", Some(&rules), Some(&sandbox))?;
    cri_o_bundle(&node, "1", None, None)?;
    let default = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
    ground.pod(&node, "explicit", "2", &default).await?;
    cri_o_bundle(&node, "2", Some(&rules), None)?;

    let agent = ground.start(&node).await?;
    let spec = agent
        .sees(PATIENCE, |spec| profile_is(spec, ProfileInForce::AsKnown))
        .await?;
    let kernel = spec.kernel.context("no kernel")?;
    assert_eq!(kernel.version, KERNEL);
    assert_eq!(
        kernel.seccomp_actions,
        ["allow", "errno", "kill_process", "log"]
    );
    assert_eq!(
        spec.app_armor.context("no AppArmor")?.state,
        Setting::Enabled
    );
    // Nobody answers for the kubelet, so its setting is what the container shows.
    let kubelet = spec.kubelet.context("no kubelet")?;
    assert_eq!(kubelet.seccomp_default, Setting::Disabled);
    assert_eq!(kubelet.source, Some(SettingSource::RunningContainer));

    // A newer container shows a switch, which the older one has not seen.
    ground.pod(&node, "newer", "3", &json!({})).await?;
    cri_o_bundle(&node, "3", Some(&rules), None)?;
    let switched = agent.sees(PATIENCE, |spec| {
        let [deviation] = &spec.deviations[..] else {
            anyhow::bail!("{:?}", spec.deviations)
        };
        ensure!(
            (&*deviation.pod, deviation.confined) == ("unset", false),
            "{deviation:?}"
        );
        Ok(())
    });
    let kubelet = switched.await?.kubelet.context("no kubelet")?;
    assert_eq!(kubelet.seccomp_default, Setting::Enabled);

    // A runtime that was configured otherwise.
    let mut patched = rules;
    let allowed = json!({ "names": ["unshare"], "action": "SCMP_ACT_ALLOW" });
    patched["syscalls"]
        .as_array_mut()
        .context("no rules")?
        .push(allowed);
    ground.pod(&node, "patched", "4", &default).await?;
    cri_o_bundle(&node, "4", Some(&patched), None)?;
    let different = agent.sees(PATIENCE, |spec| profile_is(spec, ProfileInForce::Different));
    let message = different.await?.runtime.and_then(|runtime| runtime.message);
    let wanted = format!("other than cri-o/{release}: unshare (allowed");
    ensure!(
        message.as_ref().is_some_and(|it| it.starts_with(&wanted)),
        "{message:?}"
    );
    agent.stop().await
}

fn profile_is(spec: &NodeReportSpec, wanted: ProfileInForce) -> anyhow::Result<()> {
    let runtime = spec.runtime.as_ref().context("no runtime")?;
    ensure!(runtime.profile == wanted, "{runtime:?} {:?}", spec.problems);
    Ok(())
}

/// What the runtime tells about a container with its default capabilities.
fn rules_of(profile: &Profile) -> anyhow::Result<Value> {
    let container = Container {
        architecture: architecture()?,
        bounding: profile.runtime.default_capabilities(),
        kernel: KERNEL.parse()?,
    };
    let flat = FlatProfile {
        architecture: container.architecture,
        abis: profile.rules.abis(container.architecture),
        default: profile.rules.default,
        rules: profile.rules.active(container).cloned().collect(),
    };
    Ok(serde_json::from_str(&flat.write()?)?)
}

/// Of the machine on which the agent runs.
fn architecture() -> anyhow::Result<Architecture> {
    let name = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Ok(name.parse()?)
}

/// The configuration as CRI-O keeps it.
fn cri_o_bundle(
    node: &Recorded,
    id: &str,
    rules: Option<&Value>,
    sandbox_of: Option<&str>,
) -> anyhow::Result<()> {
    let names = Runtime::CriO.default_capabilities().names();
    let bounding: Vec<_> = names.map(|name| format!("CAP_{name}")).collect();
    let kind = if sandbox_of.is_some() {
        "sandbox"
    } else {
        "container"
    };
    let configuration = json!({
        "ociVersion": "1.2.0",
        "process": { "capabilities": { "bounding": bounding }, "env": ["SECRET=1"] },
        "annotations": {
            "io.kubernetes.cri-o.ContainerType": kind,
            "io.kubernetes.pod.uid": sandbox_of.unwrap_or("another"),
        },
        "linux": { "seccomp": rules },
    });
    let path = format!("cri-o/{id}/userdata/config.json");
    node.write(&path, &configuration.to_string())
}

async fn says_what_it_cannot_see_and_sees_it_when_it_comes(
    shared: Shared<Ground>,
) -> anyhow::Result<()> {
    let ground = shared.get().await?;
    let node = ground.node("empty", "containerd://2.3.7", &[]).await?;
    let agent = ground.start(&node).await?;
    let all = [
        "AppArmor",
        "Containers",
        "Kernel",
        "Kubelet",
        "Runtime",
        "SeccompProfiles",
    ];
    let spec = agent
        .sees(PATIENCE, |spec| subjects_are(spec, &all))
        .await?;
    profile_is(&spec, ProfileInForce::Unknown)?;
    assert_eq!(
        spec.kubelet.context("no kubelet")?.seccomp_default,
        Setting::Unknown
    );

    node.write("proc/sys/kernel/osrelease", "6.8.0\n")?;
    node.write("proc/sys/kernel/seccomp/actions_avail", "errno\n")?;
    node.write("sys/module/other", "")?;
    node.write("seccomp/web.json", PROFILE)?;
    std::fs::create_dir_all(node.path("containerd"))?;
    let spec = agent
        .sees(PATIENCE, |spec| subjects_are(spec, &["Kubelet"]))
        .await?;
    assert_eq!(
        spec.app_armor.context("no AppArmor")?.state,
        Setting::Disabled
    );
    let files = spec.seccomp_profiles.context("no files")?.files;
    assert_eq!(files.len(), 1);
    assert!(files[0].valid);
    agent.stop().await
}

fn subjects_are(spec: &NodeReportSpec, wanted: &[&str]) -> anyhow::Result<()> {
    let subjects = spec.problems.iter().map(|problem| problem.subject.as_str());
    let subjects: BTreeSet<_> = subjects.collect();
    let wanted: BTreeSet<_> = wanted.iter().copied().collect();
    ensure!(subjects == wanted, "{:?}", spec.problems);
    Ok(())
}

async fn says_which_right_it_lacks(shared: Shared<Ground>) -> anyhow::Result<()> {
    let ground = shared.get().await?;
    let node = ground
        .node("no-pods", "containerd://2.3.7", &["pods"])
        .await?;
    let agent = ground.start(&node).await?;
    let pods = agent.sees(PATIENCE, |spec| {
        for subject in ["Containers", "Runtime"] {
            let said = spec.problems.iter().any(|problem| {
                problem.subject == subject
                    && problem.message.contains("needs list and watch on pods")
            });
            ensure!(said, "{subject}: {:?}", spec.problems);
        }
        Ok(())
    });
    pods.await?;
    agent.stop().await?;

    for (right, waits_for) in [
        (
            "nodes",
            "waiting for the Node: 403: nodes \"no-nodes\" is forbidden",
        ),
        (
            "nodereports",
            "waiting for the report: 403: nodereports.podfence.dev \"no-nodereports\" is forbidden",
        ),
    ] {
        let name = format!("no-{right}");
        let node = ground.node(&name, "containerd://2.3.7", &[right]).await?;
        let agent = ground.start(&node).await?;
        agent.waits(PATIENCE, waits_for).await?;
        agent.stop().await?;
    }
    Ok(())
}

async fn goes_on_when_the_api_server_was_gone(_: Shared<Ground>) -> anyhow::Result<()> {
    let ground = Ground::installed().await?;
    let node = ground.node("lonely", "containerd://2.3.7", &[]).await?;
    node.write("seccomp/first.json", PROFILE)?;
    let agent = ground.start(&node).await?;
    let files = |count| {
        move |spec: &NodeReportSpec| {
            let profiles = spec.seccomp_profiles.clone().unwrap_or_default();
            ensure!(profiles.files.len() == count, "{profiles:?}");
            Ok(())
        }
    };
    agent.sees(PATIENCE, files(1)).await?;
    let mark = ground.lab.audit().mark().await?;
    ground.lab.stop_apiserver(Stop::Kill).await?;
    node.write("seccomp/second.json", PROFILE)?;
    // It has noticed, for it cannot write what it has seen.
    agent.waits(PATIENCE, "failed to apply the report").await?;
    ground.lab.start_apiserver().await?;
    agent.sees(PATIENCE, files(2)).await?;
    let written = ground.lab.audit().writes_by(&node.user(), mark).await?;
    let succeeded = written.iter().filter(|event| event.succeeded()).count();
    ensure!(succeeded == 1, "{written:#?}");
    agent.stop().await?;
    ground.lab.stop().await
}
