//! The command line against a real API server: the same verdicts and words for the same pods, the
//! same reading of YAML as kubectl, our own manifests, imports and statuses. Starts a lab, runs programs.

// A story that panics has failed, and says where.
#![allow(clippy::indexing_slicing)]

mod import;
mod status;
mod valid_pods;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use podfence_e2e::{
    build_program,
    harness::{Case, Shared, Stage, tell},
    lab::Lab,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command, sync::OnceCell};

/// What is asked for: each boundary at which the words change much, and the newest rules.
const STANDARDS: [(&str, &str); 10] = [
    ("baseline", "v1.0"),
    ("baseline", "v1.25"),
    ("baseline", "v1.33"),
    ("baseline", "v1.34"),
    ("baseline", "latest"),
    ("restricted", "v1.7"),
    ("restricted", "v1.19"),
    ("restricted", "v1.24"),
    ("restricted", "v1.34"),
    ("restricted", "latest"),
];
/// Pods that are offered to the API server; it takes nine of ten, the others contradict themselves.
const PODS: usize = 400;
/// Fewer accepted pods than this prove too little.
const LEAST_PODS: usize = 300;
/// Requests, and kubectls, at once; more only fight for two cores.
const AT_ONCE: usize = 6;

/// A lab with a namespace for each standard, and one in which everything is allowed.
struct Namespaces(Lab);

impl Stage for Namespaces {
    async fn build() -> anyhow::Result<Self> {
        let lab = Lab::builder().without_scheduler().start().await?;
        for (level, version) in [("privileged", "latest")].into_iter().chain(STANDARDS) {
            let namespace: Namespace = serde_json::from_value(json!({ "metadata": {
                "name": namespace(level, version),
                "labels": {
                    "pod-security.kubernetes.io/enforce": level,
                    "pod-security.kubernetes.io/enforce-version": version,
                },
            }}))?;
            lab.create_namespace(&namespace).await?;
        }
        Ok(Self(lab))
    }

    async fn strike(self) -> anyhow::Result<()> {
        self.0.stop().await
    }
}

fn namespace(level: &str, version: &str) -> String {
    format!("{level}-{}", version.replace('.', "-"))
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The command line, built in the profile of this program.
async fn executable() -> anyhow::Result<PathBuf> {
    static EXECUTABLE: OnceCell<PathBuf> = OnceCell::const_new();
    let built = EXECUTABLE
        .get_or_try_init(|| build_program("kubectl-podfence"))
        .await;
    built.cloned()
}

/// Scans `input`; what was printed, and the exit code.
async fn scan(arguments: &[&str], input: &str) -> anyhow::Result<(Value, Option<i32>)> {
    let mut child = Command::new(executable().await?)
        .args(["scan", "-o", "json", "-f", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    Ok((
        serde_json::from_slice(&output.stdout)?,
        output.status.code(),
    ))
}

/// Offers a pod to the API server without creating it: the pod as it would be, or the refusal.
async fn offer(
    client: &Client,
    namespace: &str,
    pod: &Value,
) -> anyhow::Result<Result<Value, String>> {
    let request = http::Request::post(format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(pod)?)?;
    match client.request::<Value>(request).await {
        Ok(pod) => Ok(Ok(pod)),
        Err(kube::Error::Api(status)) => Ok(Err(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

/// A pod that was written, and what the API server makes of it where everything is allowed.
struct Offered {
    written: Value,
    defaulted: Value,
}

/// The pods that the API server takes.
async fn offered_pods(client: &Client) -> anyhow::Result<Vec<Offered>> {
    let everything = namespace("privileged", "latest");
    let pods = valid_pods::pods(PODS, 37);
    let offers: Vec<_> = pods
        .iter()
        .map(|pod| offer(client, &everything, pod))
        .collect();
    let answers: Vec<Result<Value, String>> =
        stream::iter(offers).buffered(AT_ONCE).try_collect().await?;
    let valid = pods
        .into_iter()
        .zip(answers)
        .filter_map(|(written, answer)| {
            Some(Offered {
                written,
                defaulted: answer.ok()?,
            })
        });
    Ok(valid.collect())
}

/// A pod as the API server returns it is judged as the API server judges it, in the same words.
async fn verdicts_are_the_servers(shared: Shared<Namespaces>) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    let client = &stage.0.client();
    let pods = offered_pods(client).await?;
    ensure!(
        pods.len() >= LEAST_PODS,
        "only {} pods are valid",
        pods.len()
    );
    let items: Vec<&Value> = pods.iter().map(|pod| &pod.defaulted).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();

    let mut checks = BTreeMap::<String, usize>::new();
    for (level, version) in STANDARDS {
        let (report, code) = scan(&["--level", level, "--version", version], &list).await?;
        ensure!(code == Some(1), "exit code {code:?} at {level}:{version}");
        let results = report["results"].as_array().context("no results")?;
        ensure!(
            results.len() == pods.len(),
            "{} of {} pods",
            results.len(),
            pods.len()
        );

        let namespace = namespace(level, version);
        let offers: Vec<_> = pods
            .iter()
            .map(|pod| offer(client, &namespace, &pod.written))
            .collect();
        let answers: Vec<Result<Value, String>> =
            stream::iter(offers).buffered(AT_ONCE).try_collect().await?;
        for ((pod, result), answer) in pods.iter().zip(results).zip(answers) {
            let detail = result["detail"].as_str().context("no detail")?;
            let ours = (result["allowed"] != true).then(|| {
                format!(
                    "pods \"pod\" is forbidden: violates PodSecurity \"{level}:{version}\": {detail}"
                )
            });
            ensure!(
                ours == answer.clone().err(),
                "ours: {ours:?}\nthe server's: {answer:?}\npod: {}",
                pod.written
            );
            for check in result["checks"].as_array().into_iter().flatten() {
                let id = check["id"].as_str().context("no id")?;
                *checks.entry(id.to_owned()).or_default() += 1;
            }
        }
    }
    println!(
        "{} pods at {} standards: {checks:?}",
        pods.len(),
        STANDARDS.len()
    );
    Ok(())
}

/// A document, and what kubectl makes of it: nothing where it refuses it.
#[derive(Deserialize)]
struct Row {
    yaml: String,
    json: Option<Value>,
}

impl Row {
    /// The document as an object that kubectl takes; nothing where it cannot be one.
    fn manifest(&self) -> Option<String> {
        let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: row}\n";
        // Directives, markers and byte order marks come first; what is no mapping has no room.
        let first = self.yaml.chars().next()?;
        let has_room = self.json.as_ref().is_none_or(Value::is_object);
        (has_room && !matches!(first, '%' | '-' | '\u{feff}'))
            .then(|| format!("{object}{}", self.yaml))
    }

    /// Fails unless kubectl makes of the document what is recorded.
    async fn compare(&self, lab: &Lab, manifest: String) -> anyhow::Result<()> {
        let command = [
            "create",
            "--dry-run=client",
            "--validate=false",
            "-o=json",
            "-f=-",
        ];
        let read = lab.kubectl_with_input(&command, &manifest).await.ok();
        let read = match read {
            Some(output) => Some(serde_json::from_str::<Map<String, Value>>(&output.stdout)?),
            None => None,
        };
        let read = read.map(|mut object| {
            object.retain(|field, _| !["apiVersion", "kind", "metadata"].contains(&field.as_str()));
            Value::Object(object)
        });
        let read = read.map(with_floats);
        let recorded = self.json.clone().map(with_floats);
        ensure!(
            read == recorded,
            "{:?} is {read:?}, not {:?}",
            self.yaml,
            self.json
        );
        Ok(())
    }
}

/// The value with all its numbers as floats: JSON writes the same number as 0, 0.0 or -0.
fn with_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.into_iter().map(with_floats).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, with_floats(value)))
            .collect(),
        other => other,
    }
}

/// The command line's tests hold its YAML against recorded readings; kubectl itself reads so.
async fn recorded_yaml_is_what_kubectl_reads(shared: Shared<Namespaces>) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    let path = workspace().join("cli/tests/fixtures/kubectl-yaml.json");
    let rows: Vec<Row> = serde_json::from_str(&fs::read_to_string(path)?)?;
    let readings: Vec<_> = rows
        .iter()
        .filter_map(|row| Some(row.compare(&stage.0, row.manifest()?)))
        .collect();
    let compared: Vec<()> = stream::iter(readings)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    ensure!(compared.len() > 200, "only {} documents", compared.len());
    Ok(())
}

/// What we ship passes what we preach.
async fn our_own_manifests_pass(shared: Shared<Namespaces>) -> anyhow::Result<()> {
    let stage = shared.get().await?;
    let folder = workspace().join("config/default");
    let folder = folder.to_str().context("a path that is not UTF-8")?;
    let manifests = stage.0.kubectl(&["kustomize", folder]).await?.stdout;
    let (report, code) = scan(&["--level", "restricted"], &manifests).await?;
    ensure!(code == Some(0), "exit code {code:?}: {report:#}");
    let results = report["results"].as_array().context("no results")?;
    ensure!(
        results.iter().any(|result| result["kind"] == "Deployment"),
        "no Deployment was judged: {report:#}"
    );
    Ok(())
}

fn main() -> ExitCode {
    tell(vec![
        Case::new(verdicts_are_the_servers),
        Case::new(recorded_yaml_is_what_kubectl_reads),
        Case::new(our_own_manifests_pass),
        Case::new(import::an_import_is_united_with_the_record),
        Case::new(status::status_says_what_is_enforced),
    ])
}
