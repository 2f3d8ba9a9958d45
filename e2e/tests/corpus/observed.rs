//! What the observer sees where it is installed, and what it must not take for a container's. Makes
//! requests, runs kubectl.

use anyhow::{Context as _, ensure};
use kube::Api;
use podfence_crd::{RecordEntry, RecordPhase, SyscallRecord};
use podfence_e2e::{
    eventually,
    harness::Shared,
    lab::{Image, compile_program},
    on_nodes::{PATIENCE, create, deployment, is_running, sees},
    story::AGENT_NAMESPACE,
};
use serde_json::json;

use crate::ground::{Ground, NAMESPACE};

/// A program that does nothing is prepared by the runtime, asked how it is every second, and looked
/// into: all of which makes calls inside its namespaces, and none of which is its own.
pub(crate) async fn what_the_runtime_does_is_not_the_containers(
    shared: Shared<Ground>,
) -> anyhow::Result<()> {
    let ground = shared.get().await?;
    let _bustle = ground.bustle.read().await;
    let busybox = Image::busybox();
    for node in [&ground.on, &ground.off] {
        let name = format!("idle-{}", node.name());
        let mut idle = deployment(NAMESPACE, &name, node.name(), busybox.name());
        let container = &mut idle["spec"]["template"]["spec"]["containers"][0];
        container["args"] = json!(["-c", "exec sleep infinity"]);
        container["readinessProbe"] = json!({
            "exec": { "command": ["/bin/true"] }, "periodSeconds": 1,
        });
        create(ground.lab(), &idle).await?;
        sees(ground.lab(), NAMESPACE, &name, |status| status.ready).await?;
        let target = format!("deployment/{name}");
        let look = ["exec", "--namespace", NAMESPACE, &target, "--", "id"];
        ground.lab().kubectl(&look).await?;
        let entry = ground
            .entry(&name, "main", |entry| {
                let watched = entry.watched.iter().any(|span| span.last > span.first);
                watched && !entry.starts.is_empty()
            })
            .await?;
        ensure!(entry.starts.len() == 1, "{entry:?}");
        ensure!(
            entry.calls.is_empty() && entry.denials.is_empty(),
            "{entry:?}"
        );
        ensure!(entry.losses.is_empty(), "{entry:?}");
    }
    Ok(())
}

/// One that has ended before anybody could ask which container it was.
pub(crate) async fn a_container_that_ends_at_once_is_seen(
    shared: Shared<Ground>,
) -> anyhow::Result<()> {
    let ground = shared.get().await?;
    let _bustle = ground.bustle.read().await;
    let name = "refused";
    ground.begins_with(name).await?;
    let entry = ground
        .entry(name, "first", |entry| !entry.calls.is_empty())
        .await?;
    let [call] = &*entry.calls else {
        anyhow::bail!("{entry:?}")
    };
    ensure!(
        call.name == "keyctl" && call.result == "EOPNOTSUPP",
        "{call:?}"
    );
    ensure!(call.seen.executables == ["/program"], "{call:?}");
    ensure!(call.seen.phases == [RecordPhase::Start], "{call:?}");
    ensure!(
        call.seen.node.as_deref() == Some(ground.off.name()),
        "{call:?}"
    );
    Ok(())
}

/// What a filter denies is seen with its argument, on the node that has SeccompDefault.
pub(crate) async fn what_is_denied_is_recorded(shared: Shared<Ground>) -> anyhow::Result<()> {
    let ground = shared.get().await?;
    let _bustle = ground.bustle.read().await;
    let name = "denied";
    let mut denied = deployment(NAMESPACE, name, ground.on.name(), Image::busybox().name());
    let folder = tempfile::tempdir()?;
    let program = compile_program("calls", folder.path())?;
    let image = Image::of_program("calls", program).with_arguments(&["mount", "tolerates"]);
    ground.on.import(&image).await?;
    denied["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image.name());
    create(ground.lab(), &denied).await?;
    let entry = ground
        .entry(name, "main", |entry| !entry.denials.is_empty())
        .await?;
    let [denial] = &*entry.denials else {
        anyhow::bail!("{entry:?}")
    };
    ensure!(
        denial.name == "unshare" && denial.errno == "EPERM",
        "{denial:?}"
    );
    let flags = denial.arguments.as_ref().and_then(|all| all.get("0"));
    ensure!(
        flags.map(String::as_str) == Some("0x10020000"),
        "{denial:?}"
    );
    ensure!(!denial.ambiguous, "{denial:?}");
    ensure!(entry.calls.is_empty(), "{entry:?}");
    Ok(())
}

/// What a container does while no agent is there is unknown, and that is what is said.
pub(crate) async fn an_agent_that_was_away_is_a_loss(shared: Shared<Ground>) -> anyhow::Result<()> {
    let ground = shared.get().await?;
    // Every container of the node loses something.
    let _bustle = ground.bustle.write().await;
    let name = "left";
    let mut left = deployment(NAMESPACE, name, ground.off.name(), Image::busybox().name());
    let container = &mut left["spec"]["template"]["spec"]["containers"][0];
    container["args"] = json!(["-c", "exec sleep infinity"]);
    create(ground.lab(), &left).await?;
    let watched = |entry: &RecordEntry| !entry.watched.is_empty();
    let entry = ground.entry(name, "main", watched).await?;
    ensure!(
        entry.losses.is_empty() && entry.starts.len() == 1,
        "{entry:?}"
    );
    let selected = format!("--selector=lab={}", ground.off.name());
    let deleted = ["delete", "pods", "--namespace", AGENT_NAMESPACE, &selected];
    ground.lab().kubectl(&deleted).await?;
    let lost = |entry: &RecordEntry| !entry.losses.is_empty();
    let entry = ground.entry(name, "main", lost).await?;
    ensure!(entry.starts.len() == 1, "{entry:?}");
    eventually(PATIENCE, async || {
        let said = ground.explain(name).await?;
        let verdict = &said["verdict"];
        ensure!(*verdict == json!("Unknown"), "{said}");
        Ok(())
    })
    .await
}

impl Ground {
    /// Runs a Deployment on the node without SeccompDefault, named after a manner of `programs/seen.c`,
    /// whose container `first` does that and ends before another one sleeps.
    pub(crate) async fn begins_with(&self, manner: &str) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let program = compile_program("seen", folder.path())?;
        let image = Image::of_program(manner, program).with_arguments(&[manner]);
        self.off.import(&image).await?;
        let busybox = Image::busybox();
        let mut deployment = deployment(NAMESPACE, manner, self.off.name(), busybox.name());
        let pod = &mut deployment["spec"]["template"]["spec"];
        pod["containers"][0]["args"] = json!(["-c", "exec sleep infinity"]);
        pod["initContainers"] = json!([{ "name": "first", "image": image.name() }]);
        create(self.lab(), &deployment).await?;
        sees(self.lab(), NAMESPACE, manner, is_running).await?;
        Ok(())
    }

    /// Waits until the record of a Deployment says something of a container, and returns what.
    pub(crate) async fn entry(
        &self,
        deployment: &str,
        container: &str,
        is_so: impl Fn(&RecordEntry) -> bool,
    ) -> anyhow::Result<RecordEntry> {
        let records: Api<SyscallRecord> = self.objects();
        let name = format!("deployment-{deployment}");
        eventually(PATIENCE, async || {
            let record = records.get_opt(&name).await?;
            let record = record.with_context(|| format!("there is no {name}"))?;
            let entries = &record.spec.entries;
            let found = entries
                .iter()
                .find(|it| it.container == container && is_so(it));
            let found = found.cloned();
            found.with_context(|| format!("{entries:?}"))
        })
        .await
    }
}
