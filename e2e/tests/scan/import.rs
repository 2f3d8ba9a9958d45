//! What an import makes of a record in a real cluster: made, united, raced for, and gone with its
//! workload. Makes requests, runs programs.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use podfence_crd::{RecordedCall, SyscallRecord};
use podfence_e2e::{eventually, harness::Shared, lab::Lab};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{Namespaces, executable, workspace};

const NAMESPACE: &str = "import";
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Controllers make a pod, or delete what has lost its owner, in a second, on a busy machine later.
const CONTROLLERS: Duration = Duration::from_secs(90);
/// That many add to one record at once.
const RACERS: u32 = 4;
/// Calls that every RuntimeDefault denies, by their numbers on `x86_64`, one for each racer.
const DENIED: [(u32, &str); RACERS as usize] = [
    (248, "add_key"),
    (250, "keyctl"),
    (272, "unshare"),
    (425, "io_uring_setup"),
];

/// A record of a call that was logged.
fn logged(call: u32) -> String {
    format!(
        "audit: type=1326 audit(1795612187.0:8): pid=7 comm=\"app\" exe=\"/app\" sig=0 \
         arch=c000003e syscall={call} compat=0 ip=0x1 code=0x7ffc0000\n"
    )
}

/// Imports a log, and gives what was printed on both outputs.
async fn import(lab: &Lab, log: &str, more: &[&str]) -> anyhow::Result<(String, String)> {
    let target = "import audit-log - --workload deployment/web -n import --container app";
    let mut child = Command::new(executable().await?)
        .args(target.split(' '))
        .args(more)
        .env("KUBECONFIG", lab.kubeconfig())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(log.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let [stdout, stderr] = [output.stdout, output.stderr].map(String::from_utf8);
    let (stdout, stderr) = (stdout?, stderr?);
    ensure!(output.status.success(), "{stdout}{stderr}");
    Ok((stdout, stderr))
}

async fn apply(lab: &Lab, object: &Value) -> anyhow::Result<()> {
    lab.kubectl_with_input(&["apply", "-f", "-"], &object.to_string())
        .await?;
    Ok(())
}

async fn patch_status(lab: &Lab, object: &str, status: &Value) -> anyhow::Result<()> {
    let patch = json!({ "status": status }).to_string();
    let words = [
        "patch",
        "-n",
        NAMESPACE,
        object,
        "--subresource=status",
        "-p",
        &patch,
    ];
    lab.kubectl(&words).await?;
    Ok(())
}

/// Installs our kinds, and waits until they are served.
pub(crate) async fn install_kinds(lab: &Lab) -> anyhow::Result<()> {
    let crds = workspace().join("config/crd");
    let crds = crds.to_str().context("a path that is not UTF-8")?;
    lab.kubectl(&["apply", "--server-side", "-k", crds]).await?;
    let kinds = "syscallrecords,namespacepolicies,nodereports";
    eventually(CONTROLLERS, async || lab.kubectl(&["get", kinds]).await).await?;
    Ok(())
}

/// A node, and a deployment with a pod on it that runs, as far as the API server knows.
async fn a_running_deployment(lab: &Lab) -> anyhow::Result<()> {
    install_kinds(lab).await?;
    let plain = |kind: &str, name: &str| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name } });
    apply(lab, &plain("Namespace", NAMESPACE)).await?;
    apply(lab, &plain("Node", "import-node")).await?;
    let info = json!({
        "containerRuntimeVersion": "containerd://2.3.7", "architecture": "amd64",
        "kernelVersion": "6.8.0-45-generic", "machineID": "", "systemUUID": "", "bootID": "",
        "osImage": "", "kubeletVersion": "v1.37.0", "kubeProxyVersion": "", "operatingSystem": "linux",
    });
    patch_status(lab, "node/import-node", &json!({ "nodeInfo": info })).await?;
    let container = json!({ "name": "app", "image": "nginx:1.27", "securityContext": {
        "capabilities": { "drop": ["ALL"], "add": ["CHOWN", "NET_BIND_SERVICE"] } } });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": NAMESPACE },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "nodeName": "import-node", "containers": [container] },
            },
        },
    });
    apply(lab, &deployment).await?;
    let pod = eventually(CONTROLLERS, async || {
        let get = [
            "get", "pods", "-n", NAMESPACE, "-l", "app=web", "-o", "name",
        ];
        let printed = lab.kubectl(&get).await?.stdout;
        let pod = printed.trim().to_owned();
        ensure!(!pod.is_empty(), "there is no pod");
        Ok(pod)
    })
    .await?;
    let running = json!([{ "name": "app", "ready": true, "restartCount": 0, "image": "nginx:1.27",
        "imageID": format!("docker.io/library/nginx@{DIGEST}") }]);
    patch_status(lab, &pod, &json!({ "containerStatuses": running })).await
}

async fn record(lab: &Lab) -> anyhow::Result<SyscallRecord> {
    let get = [
        "get",
        "syscallrecord",
        "deployment-web",
        "-n",
        NAMESPACE,
        "-o",
        "json",
    ];
    Ok(serde_json::from_str(&lab.kubectl(&get).await?.stdout)?)
}

fn names(calls: &[RecordedCall]) -> Vec<&str> {
    calls.iter().map(|call| call.name.as_str()).collect()
}

pub(crate) async fn an_import_is_united_with_the_record(
    shared: Shared<Namespaces>,
) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    let lab = &stage.0;
    a_running_deployment(lab).await?;

    let (said, told) = import(lab, &logged(165), &["--apply"]).await?;
    ensure!(said == "syscallrecord/deployment-web created\n", "{said}");
    ensure!(
        told.contains("containerd/2.3.7, amd64, kernel 6.8"),
        "{told}"
    );
    let created = record(lab).await?;
    let [entry] = &created.spec.entries[..] else {
        anyhow::bail!("{created:?}");
    };
    ensure!(entry.image == DIGEST, "{entry:?}");
    ensure!(
        entry.capabilities == ["CHOWN", "NET_BIND_SERVICE"],
        "{entry:?}"
    );
    ensure!(names(&entry.calls) == ["mount"], "{entry:?}");

    let (said, _) = import(lab, &logged(165), &["--apply"]).await?;
    ensure!(said == "syscallrecord/deployment-web unchanged\n", "{said}");
    let again = record(lab).await?;
    let version = |record: &SyscallRecord| record.metadata.resource_version.clone();
    ensure!(version(&again) == version(&created), "it was written");

    // They read the same version, and all but one are refused and try again.
    let logs = DENIED.map(|(call, _)| logged(call));
    try_join_all(logs.iter().map(|log| import(lab, log, &["--apply"]))).await?;
    let united = record(lab).await?;
    let mut want: Vec<&str> = DENIED.iter().map(|(_, name)| *name).collect();
    want.push("mount");
    want.sort_unstable();
    ensure!(names(&united.spec.entries[0].calls) == want, "{united:?}");

    // What is printed is what would be created.
    let (manifest, _) = import(lab, &logged(165), &[]).await?;
    lab.kubectl_with_input(
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            "-",
        ],
        &manifest,
    )
    .await?;

    lab.kubectl(&["delete", "deployment", "web", "-n", NAMESPACE])
        .await?;
    eventually(CONTROLLERS, async || {
        let left = record(lab).await;
        ensure!(left.is_err(), "the record has outlived its workload");
        Ok(())
    })
    .await
}
