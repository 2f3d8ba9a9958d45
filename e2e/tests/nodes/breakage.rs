//! What Podfence is there to foresee, as it happens: `seccompDefault` breaks a program.

use std::fs;

use kube::ResourceExt as _;
use podfence_e2e::{
    harness::Shared,
    lab::{Image, Lab, compile_program},
    on_nodes::{prints, render_profile},
};
use serde_json::json;

use crate::nodes::{
    Nodes, USER_NAMESPACE, crash_loops, create, deployment, first_container, is_running,
    needs_nodes, sees,
};

const PROGRAM: &str = "podfence.test/user_namespace:lab";

pub(crate) async fn of_a_program_by_seccomp_default_is_real_and_can_be_mended(
    shared: Shared<Nodes>,
) -> anyhow::Result<()> {
    let nodes = shared.get().await?;
    let namespace = "breakage";
    nodes.namespace(namespace).await?;
    for node in [nodes.on.name(), nodes.off.name()] {
        nodes
            .create(&deployment(namespace, node, node, PROGRAM))
            .await?;
    }
    let (broken, _) = tokio::try_join!(
        nodes.sees(namespace, "on", crash_loops),
        nodes.sees(namespace, "off", is_running),
    )?;
    let why = "unshare(CLONE_NEWUSER): Operation not permitted\n";
    prints(&nodes.lab, &broken, why).await?;

    // What the command line writes for this runtime, and the one call more.
    fs::write(
        nodes.on.seccomp_folder()?.join("unshare.json"),
        render_profile(&nodes.lab, &nodes.on, &["unshare:arg0==CLONE_NEWUSER"]).await?,
    )?;
    let localhost = json!({ "spec": { "template": { "spec": { "securityContext": {
        "seccompProfile": { "type": "Localhost", "localhostProfile": "unshare.json" },
    } } } } });
    let patch = [
        "patch",
        "deployment",
        "on",
        "--namespace",
        namespace,
        "--patch",
    ];
    nodes
        .lab
        .kubectl(&[&patch[..], &[&localhost.to_string()]].concat())
        .await?;
    nodes.sees(namespace, "on", is_running).await.map(drop)
}

pub(crate) async fn comes_with_the_restart_of_a_kubelet_to_new_containers_alone(
    _: Shared<Nodes>,
) -> anyhow::Result<()> {
    needs_nodes()?;
    // A lab of its own, whose node changes.
    let lab = Lab::start().await?;
    let node = lab.node("changing").start().await?;
    let folder = tempfile::tempdir()?;
    let program = compile_program(USER_NAMESPACE, folder.path())?;
    node.import(&Image::of_program(USER_NAMESPACE, program))
        .await?;

    create(&lab, &deployment("default", "earlier", "changing", PROGRAM)).await?;
    let earlier = sees(&lab, "default", "earlier", is_running).await?;
    node.set_seccomp_default(true).await?;
    create(&lab, &deployment("default", "later", "changing", PROGRAM)).await?;
    sees(&lab, "default", "later", crash_loops).await?;
    let still = sees(&lab, "default", "earlier", is_running).await?;
    let started = |pod| first_container(pod).map(|container| container.restart_count);
    assert_eq!((still.uid(), started(&still)), (earlier.uid(), Some(0)));

    node.set_seccomp_default(false).await?;
    sees(&lab, "default", "later", is_running).await?;
    lab.stop().await
}
