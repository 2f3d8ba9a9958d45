//! The first half: labels. Makes requests.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _, api::ListParams};
use podfence_crd::NamespacePolicy;
use podfence_e2e::{eventually, lab::Lab, story::kstatus};

use crate::screen::{CONDITIONS, note, print, quietly, say, seconds};

/// Several times the longest soak of the samples, on a busy machine.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(120);

const NAMESPACES: &str = concat!(
    "go-template={{range .status.namespaces}}",
    r#"{{printf "%-15s %-13s %-19s" .name .phase .reason}}"#,
    r#"{{range .worst}} {{.kind}}/{{.name}} {{.checks}}{{end}}{{"\n"}}{{end}}"#,
);
const LABELS: &str = concat!(
    "pod-security.kubernetes.io/enforce,pod-security.kubernetes.io/enforce-version,",
    "pod-security.kubernetes.io/audit,pod-security.kubernetes.io/warn",
);
const ANNOTATIONS: &str = concat!(
    "go-template={{range $key, $value := .metadata.annotations}}",
    r#"{{$key}}: {{$value}}{{"\n"}}{{end}}"#,
);

/// What restricted asks of a pod, as a patch of the template in `reports`.
const FIX: &str = concat!(
    r#"{"spec":{"template":{"spec":{"#,
    r#""securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"#,
    r#""containers":[{"name":"jasper","securityContext":{"runAsUser":10001,"#,
    r#""allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}}}"#,
);

pub(crate) async fn tell(lab: &Lab) -> anyhow::Result<()> {
    say(
        "A web shop's cluster as one finds it: eleven namespaces, some clean, some not, some \
         labelled by somebody before.",
    );
    let cluster = samples("cluster")?;
    quietly(lab, &["apply", "--server-side", "-f", &cluster], "").await?;

    say("Two profiles say what good looks like, six policies say where, and how to get there.");
    let began = Instant::now();
    let podfence = samples("podfence")?;
    quietly(lab, &["apply", "--server-side", "-f", &podfence], "").await?;
    verdicts(lab).await?;
    let took = seconds(began);
    note(&format!(
        "every verdict is in after {took:.1} s, soaks of 5 s included"
    ));

    look(lab).await?;
    fix(lab).await
}

/// What everybody can see who may read policies and namespaces.
async fn look(lab: &Lab) -> anyhow::Result<()> {
    say(
        "The whole cluster on one screen: what is enforced, what is held back, and how many \
         workloads are to blame.",
    );
    print(lab, &["get", "namespacepolicy"]).await?;

    say("With -o wide, in words.");
    print(lab, &["get", "namespacepolicy", "-o", "wide"]).await?;

    say(
        "The conditions of one policy. Ready says whether Podfence could do its job; the others \
         say what it found.",
    );
    print(lab, &["get", "namespacepolicy", "apps", "-o", CONDITIONS]).await?;

    say("Its namespaces, worst first, and who stands in the way with which checks.");
    print(lab, &["get", "namespacepolicy", "apps", "-o", NAMESPACES]).await?;

    say(
        "And what it is all about: the labels that the API server enforces. Where restricted \
         breaks nothing, it is enforced by now.",
    );
    print(lab, &["get", "namespaces", "--label-columns", LABELS]).await
}

/// What stood in the way is mended, and nobody tells Podfence.
async fn fix(lab: &Lab) -> anyhow::Result<()> {
    say("Somebody mends the workload that holds `reports` back, and its soak begins: 5 s here.");
    let patch = [
        "-n",
        "reports",
        "patch",
        "deployment",
        "year-end",
        "-p",
        FIX,
    ];
    print(lab, &patch).await?;
    let began = Instant::now();
    enforces(lab, "reports", "restricted").await?;
    note(&format!(
        "restricted is enforced there after {:.1} s",
        seconds(began)
    ));

    say("What Podfence knows of a namespace is written on it, so that a restart forgets nothing.");
    print(lab, &["get", "namespace", "reports", "-o", ANNOTATIONS]).await
}

/// Waits until every policy has said its last word: nothing is under way, and no soak is left.
async fn verdicts(lab: &Lab) -> anyhow::Result<()> {
    let policies: Api<NamespacePolicy> = Api::all(lab.client());
    eventually(VERDICT_TIMEOUT, async || {
        for policy in policies.list(&ListParams::default()).await? {
            let name = policy.name_any();
            let broken = kstatus::settled(&serde_json::to_value(&policy)?);
            ensure!(
                broken.is_empty(),
                "policy {name} is not settled: {broken:?}"
            );
            let status = policy
                .status
                .with_context(|| format!("{name} has no status"))?;
            let soaking = status.summary.namespaces_soaking;
            ensure!(soaking == 0, "{soaking} namespaces of {name} are soaking");
        }
        Ok(())
    })
    .await
    .context("not every verdict came in")?;
    enforces(lab, "shop", "restricted").await
}

/// Waits until a namespace enforces a level.
async fn enforces(lab: &Lab, namespace: &str, want: &str) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(lab.client());
    eventually(VERDICT_TIMEOUT, async || {
        let found = namespaces.get(namespace).await?;
        let level = found.labels().get("pod-security.kubernetes.io/enforce");
        ensure!(
            level.is_some_and(|level| level == want),
            "{namespace} enforces {level:?}"
        );
        Ok(())
    })
    .await
}

/// A folder of the samples, by its path from here if possible, which reads better.
fn samples(folder: &str) -> anyhow::Result<String> {
    let relative = format!("config/samples/{folder}");
    let whole = format!("{}/../{relative}", env!("CARGO_MANIFEST_DIR"));
    let here = std::path::Path::new(&relative);
    if here.is_dir() {
        return Ok(relative);
    }
    ensure!(std::path::Path::new(&whole).is_dir(), "there is no {whole}");
    Ok(whole)
}
