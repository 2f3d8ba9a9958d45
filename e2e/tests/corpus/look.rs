//! What is said of a program. Runs `kubectl podfence explain`, reads records.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use kube::{Api, api::ListParams};
use podfence_crd::SyscallRecord;
use podfence_e2e::{
    build_program,
    corpus::{Call, Observed, Program},
    eventually,
    lab::Image,
};
use podfence_seccomp::{
    Abi, Action, Verdict,
    signature::{Appearance, Severity, Signature},
};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    ground::{Ground, NAMESPACE, SETTLING},
    images::script,
    runs::name_on,
};

/// The agent writes what it has seen every few seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// How a record says that a call did what was asked.
const SUCCESS: &str = "Success";

impl Ground {
    /// What is said of a program that has run on the node without SeccompDefault, when it was watched
    /// until its task was done, which took at most so long.
    pub(crate) async fn observed(
        &self,
        program: &Program,
        took: Duration,
    ) -> anyhow::Result<Observed> {
        let name = name_on(program, &self.off);
        let enough = eventually(PATIENCE, async || {
            let said = self.explain(&name).await?;
            let coverage = &said["places"][0]["containers"][0]["coverage"];
            let seconds = |field: &str| coverage[field].as_u64();
            let asked = seconds("askedSeconds").context("nothing is asked for")?;
            let observed = seconds("observedSeconds").unwrap_or_default();
            ensure!(observed >= asked.max(took.as_secs()), "{coverage}");
            ensure!(coverage["starts"].as_u64() > Some(0), "{coverage}");
            Ok(said)
        });
        // One that is never watched for long enough has a verdict too.
        let said = match enough.await {
            Ok(said) => said,
            Err(_) => self.explain(&name).await?,
        };
        Ok(Observed {
            verdict: verdict(&said)?,
            calls: self.calls(&name, &said).await?,
            fatal: fatal(program)?,
        })
    }

    /// What is said of a program that has run on the node with SeccompDefault.
    pub(crate) async fn verdict_on(&self, program: &Program) -> anyhow::Result<Option<Verdict>> {
        let said = self.explain(&name_on(program, &self.on)).await?;
        verdict(&said).map(Some)
    }

    /// All that the command line says of a Deployment.
    pub(crate) async fn explain(&self, name: &str) -> anyhow::Result<Value> {
        let output = Command::new(build().await?)
            .args(["explain", &format!("deployment/{name}"), "-n", NAMESPACE])
            .args(["--settling-time", SETTLING, "-o", "json"])
            .env("KUBECONFIG", self.lab().kubeconfig())
            .kill_on_drop(true)
            .output()
            .await?;
        // One that fails is told by the exit code 1.
        ensure!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The calls that a verdict names, and of each whether it is recorded that one that would be denied
    /// did what was asked.
    async fn calls(&self, name: &str, said: &Value) -> anyhow::Result<Vec<Call>> {
        let records: Api<SyscallRecord> = self.objects();
        let records = records.list(&ListParams::default()).await?.items;
        let mut records = records.iter();
        let record = records.find(|record| record.spec.workload.name == name);
        let entries = record.map(|record| &record.spec.entries);
        let recorded: Vec<_> = entries
            .into_iter()
            .flatten()
            .flat_map(|it| &it.calls)
            .collect();
        let calls = &said["places"][0]["containers"][0]["calls"];
        let mut named = Vec::new();
        for call in calls.as_array().into_iter().flatten() {
            let name = call["name"].as_str().context("a call without a name")?;
            let has_succeeded = recorded.iter().any(|recorded| {
                recorded.result == SUCCESS
                    && judged_as(&recorded.name) == name
                    && recorded
                        .arguments
                        .as_ref()
                        .is_some_and(|arguments| self.denies(name, &recorded.abi, arguments))
            });
            named.push(Call {
                name: name.to_owned(),
                argument: call["argument"].as_str().map(str::to_owned),
                has_succeeded,
            });
        }
        Ok(named)
    }

    /// Whether the filter of a container denies a call, by the arguments that were recorded.
    fn denies(&self, name: &str, abi: &str, recorded: &BTreeMap<String, String>) -> bool {
        let Ok(abi) = abi.parse::<Abi>() else {
            return false;
        };
        let mut arguments = [0; 6];
        for (position, value) in recorded {
            let value = u64::from_str_radix(value.trim_start_matches("0x"), 16);
            let place = position
                .parse()
                .ok()
                .and_then(|it: usize| arguments.get_mut(it));
            if let (Ok(value), Some(place)) = (value, place) {
                *place = value;
            }
        }
        let decision = self.filter.decide(abi, name, arguments);
        decision.is_ok_and(|decision| decision.action != Action::Allow)
    }
}

async fn build() -> anyhow::Result<std::path::PathBuf> {
    static EXECUTABLE: tokio::sync::OnceCell<std::path::PathBuf> =
        tokio::sync::OnceCell::const_new();
    let built = EXECUTABLE.get_or_try_init(|| build_program("kubectl-podfence"));
    built.await.cloned()
}

/// The call that programs make where this one is not known.
fn judged_as(name: &str) -> &str {
    match name {
        "clone3" => "clone",
        name => name,
    }
}

fn verdict(said: &Value) -> anyhow::Result<Verdict> {
    let word = said["verdict"].as_str().context("no verdict")?;
    let verdict = Verdict::ALL.into_iter().find(|it| it.as_str() == word);
    verdict.with_context(|| format!("no verdict: {word}"))
}

/// The software that it looks like and to which the loss of a call is known to be fatal.
fn fatal(program: &Program) -> anyhow::Result<Vec<String>> {
    let image = Image::of_layers(&program.name, &[], &[]);
    let script = script(program);
    let appearance = Appearance {
        image: image.name(),
        command: &[&script],
        added: None,
    };
    let known = Signature::all()?.iter().filter(|signature| {
        signature.severity == Severity::Fatal && signature.recognises(appearance)
    });
    Ok(known
        .map(|signature| signature.software.to_owned())
        .collect())
}
