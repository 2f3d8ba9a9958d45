//! Programs that need a call that `RuntimeDefault` denies: they fail on the node with SeccompDefault,
//! that is said of them, and what mends them turns it.

use std::fs;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use k8s_openapi::jiff::Timestamp;
use podfence_crd::{NamespacePolicyStatus, NodeCounts};
use podfence_e2e::{
    eventually,
    harness::Shared,
    lab::cell,
    on_nodes::{PATIENCE, facts_of, prints, render_profile},
    story::Story,
};
use serde_json::{Value, json};

use crate::explained;
use crate::rollout::{
    ALL_READY, LONGEST_REACTION, ONE_FAILS, Rollout, assess, decided, in_words, listed, pod,
    sees_said,
};

/// A program, and what must come of it.
struct Program {
    /// Names its image, its Deployment, its namespace and its policy.
    name: &'static str,
    /// What it prints where it fails.
    says: &'static str,
    mended_by: Mended,
}

/// What lets a program's call through.
#[derive(Clone, Copy)]
enum Mended {
    /// A capability that the profile's own rules ask for.
    Capability(&'static str),
    /// A profile that the command line writes, with this call.
    Localhost(&'static str),
    Unconfined,
}

const PROGRAMS: [Program; 5] = [
    Program {
        name: "keyctl",
        says: "keyctl(KEYCTL_GET_KEYRING_ID): Operation not permitted\n",
        mended_by: Mended::Localhost("keyctl"),
    },
    Program {
        name: "io_uring",
        says: "io_uring_setup: Operation not permitted\n",
        mended_by: Mended::Unconfined,
    },
    Program {
        name: "mount",
        says: "unshare(CLONE_NEWUSER | CLONE_NEWNS): Operation not permitted\n",
        mended_by: Mended::Capability("SYS_ADMIN"),
    },
    Program {
        name: "personality",
        says: "personality(ADDR_NO_RANDOMIZE): Operation not permitted\n",
        mended_by: Mended::Localhost("personality"),
    },
    Program {
        name: "user_namespace",
        says: "unshare(CLONE_NEWUSER): Operation not permitted\n",
        mended_by: Mended::Capability("SYS_ADMIN"),
    },
];

pub(crate) async fn that_need_a_denied_call_fail_until_they_are_mended(
    shared: Shared<Rollout>,
) -> anyhow::Result<()> {
    let rollout = shared.get().await?;
    let _bustle = rollout.bustle.read().await;
    let story = rollout.story("programs").await?;
    let told = PROGRAMS.iter().map(async |program| {
        fails(&rollout, &story, program)
            .await
            .with_context(|| program.name)
    });
    try_join_all(told).await?;
    columns_say_so(&rollout, &story).await?;
    explained::says_why(&rollout, &story, PROGRAMS[0].name).await?;
    let told = PROGRAMS.iter().map(async |program| {
        is_mended(&rollout, &story, program)
            .await
            .with_context(|| program.name)
    });
    try_join_all(told).await?;
    story.end().await
}

async fn fails(rollout: &Rollout, story: &Story, program: &Program) -> anyhow::Result<()> {
    // A name of Kubernetes has no such character.
    let name = &*program.name.replace('_', "-");
    assess(story, name).await?;
    let pod = pod(program.name, &json!({}));
    rollout.runs_on_both(story, name, name, &pod).await?;
    let watched = async {
        let status = sees_said(story, name, ONE_FAILS).await?;
        anyhow::Ok((status, Timestamp::now()))
    };
    let looked_at = async {
        let [failing, _] = rollout.sees_it_fail(story, name, name).await?;
        // It is the call that it fails for.
        prints(rollout.cluster.lab(), &failing, program.says).await?;
        Ok(failing)
    };
    let ((status, seen), failing) = tokio::try_join!(watched, looked_at)?;
    let [_, healthy] = rollout.sees_it_fail(story, name, name).await?;
    let reaction = seen.duration_since(decided(&failing, &healthy)?);
    let reaction = reaction.as_secs_f64();
    eprintln!("{name}: in the status {reaction:.1} s after it was decided");
    ensure!(reaction < LONGEST_REACTION.as_secs_f64());
    accuses(rollout, story, name, &status)?;
    rollout.reports_accuse(&story.full(name), name).await
}

/// Whether a status says where and why a program's Deployment fails.
fn accuses(
    rollout: &Rollout,
    story: &Story,
    name: &str,
    status: &NamespacePolicyStatus,
) -> anyhow::Result<()> {
    let assessed = status
        .seccomp_default
        .as_ref()
        .context("nothing is assessed")?;
    let nodes = NodeCounts {
        enabled: 1,
        disabled: 1,
        unknown: 0,
    };
    ensure!(assessed.nodes == nodes, "{:?}", assessed.nodes);
    let entry = listed(&assessed.workloads, &story.full(name), name);
    let entry = entry.with_context(|| format!("it is not in {assessed:?}"))?;
    let verdict = (&*entry.kind, &*entry.container, entry.verdict.as_str());
    ensure!(verdict == ("Deployment", "main", "Failing"), "{entry:?}");
    let basis = entry.basis.map(podfence_seccomp::Basis::as_str);
    ensure!(basis == Some("Inferred"), "{entry:?}");
    ensure!(entry.failing_on == [rollout.on.name()], "{entry:?}");
    ensure!(entry.healthy_on == [rollout.off.name()], "{entry:?}");
    // Nobody saw a call, so none is named, and what needs to know the call is not offered.
    ensure!(entry.calls.is_empty(), "{entry:?}");
    let fix = entry.fix.as_deref().unwrap_or_default();
    ensure!(fix.starts_with("Unconfined"), "{entry:?}");
    let ready = crate::rollout::ready(&status.conditions)?;
    ensure!(ready.message.contains(&in_words(entry)), "{ready:?}");
    Ok(())
}

/// What people see, who look without a program.
async fn columns_say_so(rollout: &Rollout, story: &Story) -> anyhow::Result<()> {
    let lab = rollout.cluster.lab();
    let policy = story.full(PROGRAMS[0].name);
    let printed = lab.kubectl(&["get", "namespacepolicy", &policy]).await?;
    let would_fail = cell(&printed.stdout, &policy, "WOULD-FAIL");
    ensure!(would_fail == Some("1"), "{}", printed.stdout);
    for (node, setting) in [(&rollout.on, "Enabled"), (&rollout.off, "Disabled")] {
        let runtime = facts_of(lab, node).await?.container_runtime_version;
        let profile = runtime.replace("://", "/");
        eventually(PATIENCE, async || {
            let printed = lab.kubectl(&["get", "nodereports"]).await?.stdout;
            for (header, want) in [
                ("SECCOMP-DEFAULT", setting),
                ("PROFILE", &*profile),
                ("READY", "False"),
            ] {
                let is = cell(&printed, node.name(), header);
                ensure!(is == Some(want), "{header} is not {want}:\n{printed}");
            }
            let failing = cell(&printed, node.name(), "FAILING").unwrap_or_default();
            let failing: usize = failing.parse().with_context(|| printed.clone())?;
            // Other stories have their own.
            ensure!(failing >= PROGRAMS.len(), "{printed}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn is_mended(rollout: &Rollout, story: &Story, program: &Program) -> anyhow::Result<()> {
    let name = &*program.name.replace('_', "-");
    let security = mended(rollout, program).await?;
    let pod = pod(program.name, &security);
    rollout.runs_on_both(story, name, name, &pod).await?;
    rollout.sees_it_run(story, name, name).await?;
    // Its old template failed, and nothing of that is left.
    let status = sees_said(story, name, ALL_READY).await?;
    let assessed = status.seccomp_default.context("nothing is assessed")?;
    ensure!(assessed.workloads.is_empty(), "{assessed:?}");
    Ok(())
}

/// The security context with which the program is well on every node.
async fn mended(rollout: &Rollout, program: &Program) -> anyhow::Result<Value> {
    Ok(match program.mended_by {
        Mended::Capability(capability) => json!({ "capabilities": { "add": [capability] } }),
        Mended::Unconfined => json!({ "seccompProfile": { "type": "Unconfined" } }),
        Mended::Localhost(call) => {
            let file = format!("{}.json", program.name);
            for node in [&rollout.on, &rollout.off] {
                let profile = render_profile(rollout.cluster.lab(), node, &[call]).await?;
                fs::write(node.seccomp_folder()?.join(&file), profile)?;
            }
            json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": file } })
        }
    })
}
