//! What the kernel's log of a program says of it, before the program ever runs under `RuntimeDefault`.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use podfence_crd::{NamespacePolicyStatus, SeccompWorkload};
use podfence_e2e::{
    build_program, eventually,
    harness::Shared,
    on_nodes::{first_container, is_running, render_profile, sees_on, spread},
    story::Story,
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    agents::Watched,
    rollout::{
        ONE_AT_RISK, ONE_FAILS, ONE_WOULD_FAIL, Rollout, assess, begin, crashes, in_words, listed,
        pod, preferring, ready, sees_said,
    },
};

/// The program, and the call that it needs.
const PROGRAM: &str = "keyctl";
/// `keyctl` on `x86_64`, the only architecture of this story.
const KEYCTL: u32 = 250;
/// The recording workload, and its namespace and policy.
const FIRST: &str = "first";
/// Another one of the same image.
const SECOND: &str = "second";
const PROFILE: &str = "complain.json";
/// The kernel writes its log at once, if it writes it here.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) async fn of_denied_calls_warn_before_they_are_denied(
    _: Shared<Rollout>,
) -> anyhow::Result<()> {
    let watched = Watched::start().await?;
    let story = begin(&watched.cluster, "recorded").await?;
    for name in [FIRST, SECOND] {
        assess(&story, name).await?;
    }
    complain(&watched).await?;
    let namespace = story.full(FIRST);
    let localhost = json!({ "type": "Localhost", "localhostProfile": PROFILE });
    story
        .apply(first(
            &story,
            &watched,
            &json!({ "seccompProfile": localhost }),
        ))
        .await?;
    let lab = watched.cluster.lab();
    let recorded = sees_on(&watched.off, lab, &namespace, FIRST, is_running).await?;
    let log = log_of(&watched, &recorded).await?;
    import(&watched, &namespace, &log).await?;

    // The recording is over, and it chooses no profile any more.
    story.apply(first(&story, &watched, &json!({}))).await?;
    let status = sees_said(&story, FIRST, ONE_AT_RISK).await?;
    let entry = entry(&story, &status)?;
    names_the_call(&entry, "AtRisk", &["AuditLog"])?;
    let message = &ready(&status.conditions)?.message;
    let named = format!("{} (AtRisk: {PROGRAM})", in_words(&entry));
    ensure!(message.contains(&named), "{message}");

    // One of the same image runs where it is denied.
    let unsaid = pod(PROGRAM, &json!({}));
    story
        .apply(spread(&story.full(SECOND), SECOND, 2, &unsaid))
        .await?;
    sees_on(&watched.on, lab, &story.full(SECOND), SECOND, crashes).await?;
    sees_said(&story, SECOND, ONE_FAILS).await?;
    let status = sees_said(&story, FIRST, ONE_WOULD_FAIL).await?;
    names_the_call(
        &self::entry(&story, &status)?,
        "WouldFail",
        &["AuditLog", "Elsewhere"],
    )?;
    // It has been well all the time, on the node that denies nothing.
    let well = sees_on(&watched.off, lab, &namespace, FIRST, is_running).await?;
    let restarts = first_container(&well).map(|container| container.restart_count);
    ensure!(restarts == Some(0), "{well:?}");
    story.end().await?;
    watched.stop().await
}

/// Puts the runtime's own profile on the node without SeccompDefault, but so that what it denies is
/// logged and allowed.
async fn complain(watched: &Watched) -> anyhow::Result<()> {
    let node = &watched.off;
    let profile = render_profile(watched.cluster.lab(), node, &[]).await?;
    let mut profile: Value = serde_json::from_slice(&profile)?;
    let profile_fields = profile.as_object_mut().context("it is no object")?;
    profile_fields.remove("defaultErrnoRet");
    profile_fields.insert("defaultAction".to_owned(), json!("SCMP_ACT_LOG"));
    Ok(fs::write(
        node.seccomp_folder()?.join(PROFILE),
        profile.to_string(),
    )?)
}

/// The Deployment that is recorded. It runs where the profile is, and may run elsewhere.
fn first(story: &Story, watched: &Watched, security: &Value) -> Value {
    let pod = preferring(&watched.off, pod(PROGRAM, security));
    spread(&story.full(FIRST), FIRST, 1, &pod)
}

/// What the kernel has logged of a pod's process. Where an audit daemon runs nobody else gets to read
/// that, and then it is what the kernel would have written.
async fn log_of(watched: &Watched, pod: &Pod) -> anyhow::Result<String> {
    let container = first_container(pod).and_then(|container| container.container_id.clone());
    let process = watched
        .off
        .process_of(&container.context("no container")?)?;
    let of_process = format!(" pid={process} ");
    let read = eventually(KERNEL_TIMEOUT, async || {
        let output = Command::new("dmesg").output().await?;
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_it = |line: &&str| line.contains("type=1326") && line.contains(&of_process);
        let lines: Vec<_> = log.lines().filter(is_it).map(str::to_owned).collect();
        ensure!(!lines.is_empty(), "nothing is logged of {process}");
        Ok(lines.join("\n") + "\n")
    });
    if let Ok(log) = read.await {
        eprint!("the kernel has logged:\n{log}");
        return Ok(log);
    }
    let now = Timestamp::now().as_second();
    Ok(format!(
        "audit: type=1326 audit({now}.792:8): auid=4294967295 uid=0 gid=0 ses=4294967295 \
         pid={process} comm=\"program\" exe=\"/program\" sig=0 arch=c000003e syscall={KEYCTL} \
         compat=0 ip=0x43a399 code=0x7ffc0000\n"
    ))
}

/// Adds the log to the record of the workload. The command finds out by itself under what it ran.
async fn import(watched: &Watched, namespace: &str, log: &str) -> anyhow::Result<()> {
    let mut child = Command::new(build_program("kubectl-podfence").await?)
        .args(["import", "audit-log", "-", "--namespace", namespace])
        .args(["--workload", &format!("deployment/{FIRST}")])
        .args(["--container", "main", "--exe", "/program", "--apply"])
        .env("KUBECONFIG", watched.cluster.lab().kubeconfig())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().context("no input")?;
    input.write_all(log.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

/// What a status says of the recorded workload.
fn entry(story: &Story, status: &NamespacePolicyStatus) -> anyhow::Result<SeccompWorkload> {
    let assessed = status.seccomp_default.as_ref();
    let workloads = assessed.map(|it| &*it.workloads).unwrap_or_default();
    let entry = listed(workloads, &story.full(FIRST), FIRST);
    entry.cloned().with_context(|| format!("{status:?}"))
}

fn names_the_call(entry: &SeccompWorkload, verdict: &str, evidence: &[&str]) -> anyhow::Result<()> {
    ensure!(entry.verdict.as_str() == verdict, "{entry:?}");
    let [call] = &entry.calls[..] else {
        anyhow::bail!("{entry:?}")
    };
    let said = (&*call.name, call.errno.as_deref(), &*call.certainty);
    ensure!(said == (PROGRAM, Some("EPERM"), "Observed"), "{entry:?}");
    ensure!(entry.evidence == evidence, "{entry:?}");
    // Now that the call is known, no more is given than that.
    let fix = entry.fix.as_deref().unwrap_or_default();
    ensure!(
        fix == "LocalhostProfile: RuntimeDefault with keyctl",
        "{entry:?}"
    );
    Ok(())
}
