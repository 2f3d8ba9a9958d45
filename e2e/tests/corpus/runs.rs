//! Runs a program on a node until it has done its task, or has not. Makes requests.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, LogParams},
};
use podfence_e2e::{
    corpus::{Outcome, Program},
    eventually,
    lab::{Image, Node},
    on_nodes::{create, deployment, ends, first_container, is_running},
};
use serde_json::{Value, json};

use crate::{
    ground::{Ground, NAMESPACE},
    images::{DONE, script},
};

/// What a program takes that goes on for ever: browsers start in ten seconds, and the machine may be busy.
const LONGEST_TASK: Duration = Duration::from_secs(120);
/// One end may happen to every program.
const ENDS: i32 = 2;
/// As much of a log is read: servers go on writing when the task is done.
const LOG_LINES: i64 = 500;

/// How the program's Deployment on a node is called.
pub(crate) fn name_on(program: &Program, node: &Node) -> String {
    format!("{}-{}", program.name, node.name())
}

impl Ground {
    /// Runs a program on a node, and says how it went and when it was asked for. It stays there.
    pub(crate) async fn goes(
        &self,
        program: &Program,
        node: &Arc<Node>,
    ) -> anyhow::Result<(Outcome, Instant)> {
        let name = name_on(program, node);
        let started = Instant::now();
        create(self.lab(), &manifest(program, node, &name)).await?;
        let outcome = eventually(LONGEST_TASK, async || match self.outcome(&name).await? {
            Some(outcome) => Ok(outcome),
            None => bail!("it has neither done its task nor ended"),
        })
        .await;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Hung {
                said: self.last_words(&name).await.unwrap_or_default(),
            },
        };
        Ok((outcome, started))
    }

    /// How it went, once that is known.
    async fn outcome(&self, name: &str) -> anyhow::Result<Option<Outcome>> {
        let pod = self.pod(name).await?;
        let container = first_container(&pod).context("no container")?;
        if is_running(container) {
            let log = self.log(&pod, false).await?;
            let is_done = log.lines().any(|line| line == DONE);
            return Ok(is_done.then_some(Outcome::Done));
        }
        if ends(container) < Some(ENDS) {
            return Ok(None);
        }
        let states = [&container.state, &container.last_state];
        let mut ended = states
            .into_iter()
            .filter_map(|state| state.as_ref()?.terminated.as_ref());
        let exit = ended.next().context("it has not ended")?.exit_code;
        let said = last_line(&self.log(&pod, false).await?);
        Ok(Some(Outcome::Failed { exit, said }))
    }

    async fn last_words(&self, name: &str) -> anyhow::Result<String> {
        let pod = self.pod(name).await?;
        let log = match self.log(&pod, false).await {
            Ok(log) if !log.is_empty() => log,
            _ => self.log(&pod, true).await?,
        };
        Ok(last_line(&log))
    }

    async fn pod(&self, name: &str) -> anyhow::Result<Pod> {
        let pods: Api<Pod> = self.objects();
        let labelled = ListParams::default().labels(&format!("app={name}"));
        let pod = pods.list(&labelled).await?.items.pop();
        pod.context("there is no pod")
    }

    /// The end of a log. What a program says in two ways, as of errors and of all else, stands there in any
    /// order.
    async fn log(&self, pod: &Pod, previous: bool) -> anyhow::Result<String> {
        let pods: Api<Pod> = self.objects();
        let parameters = LogParams {
            tail_lines: Some(LOG_LINES),
            previous,
            ..LogParams::default()
        };
        Ok(pods.logs(&pod.name_any(), &parameters).await?)
    }

    /// Takes the program away from both nodes.
    pub(crate) async fn clear(&self, program: &Program) -> anyhow::Result<()> {
        let deployments: Api<Deployment> = self.objects();
        for node in [&self.off, &self.on] {
            let name = name_on(program, node);
            if deployments.get_opt(&name).await?.is_some() {
                let parameters = DeleteParams::background();
                deployments.delete(&name, &parameters).await?;
            }
            eventually(LONGEST_TASK, async || {
                let gone = self.pod(&name).await.is_err();
                ensure!(gone, "the pod of {name} is there");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

/// The last line of a log that says something.
fn last_line(log: &str) -> String {
    let mut lines = log.lines().rev().map(str::trim);
    let last = lines.find(|line| !line.is_empty());
    last.unwrap_or_default().to_owned()
}

/// A program on a node. Its image has no tag that anybody could pull.
fn manifest(program: &Program, node: &Node, name: &str) -> Value {
    let image = Image::of_layers(&program.name, &[], &[]);
    let mut manifest = deployment(NAMESPACE, name, node.name(), image.name());
    let pod = &mut manifest["spec"]["template"]["spec"];
    pod["automountServiceAccountToken"] = json!(false);
    pod["enableServiceLinks"] = json!(false);
    let container = &mut pod["containers"][0];
    // Kubernetes takes `$(NAME)` for a variable of the container, and two dollars for one.
    container["args"] = json!([script(program).replace('$', "$$")]);
    if let Some(user) = program.user {
        container["securityContext"] = json!({ "runAsUser": user });
    }
    manifest
}
