//! How long `kubectl-podfence scan` takes for a large Git repository: thousands of Deployments, each
//! in a file of its own, as YAML.
//!
//! The files are in the page cache, as after a checkout. The bar is on the processor time of the
//! fastest of several runs, all its threads together: on an idle machine of one core that is how
//! long it takes, on every other one it takes less, and neighbours hardly change it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use podfence_e2e::build_program;
use serde_json::Value;
use tokio::process::Command;

/// As many as a company of a few hundred people has; each folder holds those of one team.
const MANIFESTS: usize = 4_500;
const TEAMS: usize = 50;
/// One in so many violates.
const VIOLATING_EVERY: usize = 10;
const RUNS: usize = 10;
/// The bar of the design is well under this.
const BAR: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<()> {
    let scan = build_program("kubectl-podfence").await?;
    let folder = tempfile::tempdir()?;
    let bytes = write_manifests(folder.path())?;
    println!("{MANIFESTS} Deployments in as many files, {bytes} bytes of YAML:");
    let (mut elapsed, mut processor) = (Duration::MAX, Duration::MAX);
    for _ in 0..RUNS {
        let mut command = Command::new(&scan);
        command.args(["scan", "--level", "restricted", "-o", "json", "-f"]);
        command.arg(folder.path()).stdin(Stdio::null());
        let (began, before) = (Instant::now(), processor_time_of_children()?);
        let output = command.output().await?;
        elapsed = elapsed.min(began.elapsed());
        processor = processor.min(processor_time_of_children()?.saturating_sub(before));
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let count = |field: &str| report.pointer(field).and_then(Value::as_u64);
        let (allowed, forbidden) = (count("/summary/allowed"), count("/summary/forbidden"));
        let want = (MANIFESTS / VIOLATING_EVERY) as u64;
        ensure!(
            (allowed, forbidden) == (Some(MANIFESTS as u64 - want), Some(want)),
            "{allowed:?} allowed, {forbidden:?} forbidden"
        );
        ensure!(output.status.code() == Some(1), "{}", output.status);
    }
    println!(
        "  {} ms of processor time, {} ms elapsed, each the least of {RUNS} runs; the bar is {} ms",
        processor.as_millis(),
        elapsed.as_millis(),
        BAR.as_millis()
    );
    ensure!(processor < BAR, "scanning is below its bar");
    Ok(())
}

/// What all children that have ended took together.
fn processor_time_of_children() -> Result<Duration> {
    // Linux counts in hundredths for everybody, whatever its own clock.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The program's name may hold anything, a parenthesis as well.
    let (_, fields) = stat
        .rsplit_once(')')
        .context("no name in /proc/self/stat")?;
    // Of proc(5), the fields 16 and 17: in user mode, and in the kernel.
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: Vec<u32> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    ensure!(ticks.len() == 2, "/proc/self/stat is {stat:?}");
    Ok(TICK * ticks.iter().sum())
}

fn write_manifests(folder: &Path) -> Result<usize> {
    let mut bytes = 0;
    for number in 0..MANIFESTS {
        let team = folder.join(format!("team-{}", number % TEAMS));
        fs::create_dir_all(&team)?;
        let manifest = manifest(number);
        bytes += manifest.len();
        fs::write(team.join(format!("app-{number}.yaml")), manifest)?;
    }
    Ok(bytes)
}

/// A Deployment as people write them, of about two kilobytes.
fn manifest(number: usize) -> String {
    let escalates = number.is_multiple_of(VIOLATING_EVERY);
    let mut environment = String::new();
    for variable in 0..12 {
        let _ = write!(
            environment,
            "            - name: SETTING_{variable}\n              value: \"value {variable} of app {number}\"\n"
        );
    }
    format!(
        r#"# The public face of application {number}.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-{number}
  namespace: team-{team}
  labels: &labels
    app.kubernetes.io/name: app-{number}
    app.kubernetes.io/part-of: "shop"
spec:
  replicas: 3
  selector:
    matchLabels: *labels
  template:
    metadata:
      labels: *labels
      annotations:
        prometheus.io/scrape: "true"
    spec:
      serviceAccountName: app-{number}
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        seccompProfile: {{ type: RuntimeDefault }}
      containers:
        - name: app
          image: registry.example.com/shop/app-{number}:v1.{number}.0
          args: ["--listen=:8080", "--log-format=json"]
          ports:
            - name: http
              containerPort: 8080
          env:
{environment}          resources:
            requests: {{ cpu: 100m, memory: 128Mi }}
            limits: {{ memory: 256Mi }}
          readinessProbe:
            httpGet: {{ path: /ready, port: http }}
          securityContext:
            allowPrivilegeEscalation: {escalates}
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - name: cache
              mountPath: /var/cache/app
            - name: settings
              mountPath: /etc/app
              readOnly: true
      volumes:
        - name: cache
          emptyDir:
            sizeLimit: 1Gi
        - name: settings
          configMap:
            name: app-{number}
"#,
        team = number % TEAMS,
    )
}
