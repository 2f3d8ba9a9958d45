//! The second half: nodes, one of which has SeccompDefault. Starts nodes, makes requests.

#![allow(clippy::indexing_slicing, reason = "a JSON object takes any field")]

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt as _, api::ListParams};
use podfence_crd::{ConditionType, NamespacePolicy, NodeReport, NodeReportSpec};
use podfence_e2e::{
    eventually,
    lab::{Image, Lab, Node, compile_program},
    on_nodes::{render_arguments, render_profile, spread},
    story::{Agents, OBSERVER},
};
use podfence_seccomp::Basis;
use serde_json::{Value, json};

use crate::screen::{CONDITIONS, note, print, quietly, say, seconds, written};

/// What keeps the pods of the samples away from the nodes: nobody has their images.
const TAINT: &str = "demo";
const NAMESPACE: &str = "media";
/// Programs crash twice, kubelets wait in between, and the machine may be very busy.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a program must be watched, which is a day elsewhere.
const MINIMUM_OBSERVATION: &str = "5s";
/// The profile that mends the program, and the call that it lets through.
const PROFILE: &str = "previews.json";
const CALL: &str = "unshare:arg0==CLONE_NEWUSER";

const CALLS: &str = concat!(
    "go-template={{range .spec.entries}}",
    r#"{{range .calls}}{{printf "%s %v: %s, by %s on %s" .name .arguments .result .executables .node}}"#,
    r#"{{"\n"}}{{end}}{{end}}"#,
);
const WORKLOADS: &str = concat!(
    "go-template={{range .status.seccompDefault.workloads}}",
    r#"{{printf "%s/%s, container %s\n" .kind .name .container}}"#,
    r#"{{printf "  verdict     %s since %s\n" .verdict .since}}"#,
    r#"{{range .calls}}{{printf "  call        %s" .name}}{{with .argument}} {{.}}{{end}}"#,
    r#"{{with .errno}}, {{.}}{{end}}, {{.certainty}}{{"\n"}}{{end}}"#,
    r#"{{printf "  evidence    %s\n" .evidence}}"#,
    r#"{{with .failingOn}}{{printf "  failing on  %s\n" .}}{{end}}"#,
    r#"{{with .healthyOn}}{{printf "  healthy on  %s\n" .}}{{end}}"#,
    r#"{{printf "  fix         %s\n" .fix}}{{end}}"#,
);

pub(crate) async fn tell(lab: &Lab) -> anyhow::Result<()> {
    say(
        "Two nodes, each with a containerd and a kubelet of its own. A rollout of SeccompDefault \
         has begun: the kubelet of `on` has it, and no pod is let onto it yet; that of `off` has \
         not.",
    );
    let began = Instant::now();
    let (on, off) = tokio::try_join!(
        lab.node("on").seccomp_default(true).taint(TAINT).start(),
        lab.node("off").taint(TAINT).start(),
    )?;
    note(&format!("ready for pods after {:.1} s", seconds(began)));
    print(lab, &["cordon", on.name()]).await?;

    say(
        "The node agent, as config/agent-observer installs it. It says what the API server does not \
         know, in one NodeReport a node, and sees the system calls of containers.",
    );
    let began = Instant::now();
    let agents = Agents::install_from(OBSERVER, lab, &[&on, &off], &[], &[]).await?;
    for node in [&on, &off] {
        agents.sees(node, observes).await?;
    }
    note(&format!("both have reported after {:.1} s", seconds(began)));

    run(lab, [&on, &off]).await?;
    foresee(lab).await?;
    spread_out(lab, &on).await?;
    look(lab).await?;
    mend(lab, [&on, &off]).await
}

fn observes(report: &NodeReportSpec) -> anyhow::Result<()> {
    ensure!(report.system_calls.is_some(), "{:?}", report.problems);
    Ok(())
}

/// Four programs, on the node without SeccompDefault.
async fn run(lab: &Lab, nodes: [&Arc<Node>; 2]) -> anyhow::Result<()> {
    say(
        "Four workloads, which have never met RuntimeDefault. Nobody tells Podfence which of them \
         needs what it denies.",
    );
    import(nodes).await?;
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects() });
    quietly(
        lab,
        &["apply", "--server-side", "-f", "-"],
        &list.to_string(),
    )
    .await?;
    let began = Instant::now();
    says(lab, "Unknown").await?;
    note(&format!(
        "every verdict is in after {:.1} s, of which they must be watched for {MINIMUM_OBSERVATION}",
        seconds(began)
    ));
    Ok(())
}

/// What was seen before any of them ran where it could fail.
async fn foresee(lab: &Lab) -> anyhow::Result<()> {
    say(
        "Two of them have made a call that `on` would deny, and got what they asked for. What they do \
         without it only they know: that is a risk, and no failure yet. The other two are not \
         affected: one is privileged, one has chosen its profile long ago.",
    );
    print(lab, &["get", "namespacepolicy", NAMESPACE, "-o", WORKLOADS]).await?;

    say("The evidence: what was called, with which arguments, what came of it, and who saw it.");
    let record = [
        "-n",
        NAMESPACE,
        "get",
        "syscallrecord",
        "deployment-previews",
    ];
    print(lab, &[&record[..], &["-o", CALLS]].concat()).await
}

/// The rollout goes on to where it can hurt.
async fn spread_out(lab: &Lab, on: &Node) -> anyhow::Result<()> {
    say(
        "So `on` is the place to find out: one more pod of each, there, beside the one that is well.",
    );
    print(lab, &["uncordon", on.name()]).await?;
    let scale = [
        "-n",
        NAMESPACE,
        "scale",
        "deployment",
        "--all",
        "--replicas=2",
    ];
    print(lab, &scale).await?;
    let began = Instant::now();
    says(lab, "False").await?;
    is_settled(lab).await?;
    note(&format!(
        "every verdict is in after {:.1} s, of which a pod must be well for 5 s",
        seconds(began)
    ));
    Ok(())
}

/// The images of the workloads, by what their programs do.
async fn import(nodes: [&Arc<Node>; 2]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let user_namespace = compile_program("user_namespace", folder.path())?;
    let calls = compile_program("calls", folder.path())?;
    let keyctl = |name, manner| Image::of_program(name, &calls).with_arguments(&["keyctl", manner]);
    for image in [
        Image::of_program("previews", user_namespace),
        keyctl("thumbnails", "tolerates"),
        keyctl("transcoder", "needs"),
        keyctl("uploads", "tolerates"),
    ] {
        let [on, off] = nodes;
        tokio::try_join!(on.import(&image), off.import(&image))?;
    }
    Ok(())
}

/// The namespace, its policy, and the Deployments.
fn objects() -> Vec<Value> {
    let ours = |kind: &str, name: &str, spec| {
        json!({
            "apiVersion": "podfence.dev/v1alpha1", "kind": kind,
            "metadata": { "name": name },
            "spec": spec,
        })
    };
    let by_name = json!({ "matchLabels": { "kubernetes.io/metadata.name": NAMESPACE } });
    let deployment = |name: &str, security: Value| {
        let container = json!({
            "name": "main", "image": format!("podfence.test/{name}:lab"), "securityContext": security,
        });
        let tolerations = json!([{ "key": TAINT, "operator": "Exists" }]);
        let pod = json!({ "tolerations": tolerations, "containers": [container] });
        spread(NAMESPACE, name, 1, &pod)
    };
    let explicit = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        ours(
            "PolicyProfile",
            "watched",
            json!({
                "podSecurity": { "audit": { "level": "baseline" } },
                "seccompDefault": { "minimumObservation": MINIMUM_OBSERVATION },
            }),
        ),
        ours(
            "NamespacePolicy",
            NAMESPACE,
            json!({ "profileRef": { "name": "watched" }, "namespaceSelector": by_name, "priority": 100 }),
        ),
        // Makes a user namespace for itself, as browsers do, and ends where that is denied.
        deployment("previews", json!({})),
        // Tries to keep its keys in the kernel, and does without.
        deployment("thumbnails", json!({})),
        deployment("transcoder", json!({ "privileged": true })),
        deployment("uploads", explicit),
    ]
}

/// What everybody can see who may read policies and reports.
async fn look(lab: &Lab) -> anyhow::Result<()> {
    say(
        "The nodes: whether SeccompDefault is on, what RuntimeDefault is there, and whether every \
         workload that can land there would stand it.",
    );
    print(lab, &["get", "nodereports"]).await?;

    say("With -o wide, in words.");
    print(lab, &["get", "nodereports", "-o", "wide"]).await?;

    say("The policies say the same of their own namespaces, beside what they say of labels.");
    print(lab, &["get", "namespacepolicy"]).await?;
    print(
        lab,
        &["get", "namespacepolicy", NAMESPACE, "-o", CONDITIONS],
    )
    .await?;

    say(
        "Of the two one fails, and the observer has seen what it was denied. The other one is denied \
         its call as well, does without it, and is not in the way any more.",
    );
    print(lab, &["get", "namespacepolicy", NAMESPACE, "-o", WORKLOADS]).await
}

/// The program gets back the one call that it misses.
async fn mend(lab: &Lab, nodes: [&Arc<Node>; 2]) -> anyhow::Result<()> {
    say(
        "The kernel logs no denial; the program itself happens to say it where it fails, and agrees.",
    );
    let logs = ["-n", NAMESPACE, "logs", "-l", "app=previews", "--prefix"];
    print(lab, &logs).await?;

    say(
        "Less than Unconfined helps, then: the RuntimeDefault of these nodes with that one call \
         more, as a profile in the folder of each kubelet.",
    );
    let [on, _] = nodes;
    let arguments = render_arguments(lab, on, &[CALL]).await?;
    let profile = render_profile(lab, on, &[CALL]).await?;
    written(&arguments, PROFILE, &profile);
    for node in nodes {
        fs::write(node.seccomp_folder()?.join(PROFILE), &profile)?;
    }
    let localhost = json!({ "type": "Localhost", "localhostProfile": PROFILE });
    let security = json!({ "securityContext": { "seccompProfile": localhost } });
    let patch = json!({ "spec": { "template": { "spec": security } } }).to_string();
    print(
        lab,
        &[
            "-n",
            NAMESPACE,
            "patch",
            "deployment",
            "previews",
            "-p",
            &patch,
        ],
    )
    .await?;
    let rollout = ["rollout", "status", "deployment", "previews"];
    print(lab, &[&["-n", NAMESPACE][..], &rollout].concat()).await?;
    let began = Instant::now();
    says(lab, "True").await?;
    note(&format!(
        "nothing stands in the way any more after {:.1} s",
        seconds(began)
    ));
    print(
        lab,
        &["get", "namespacepolicy", NAMESPACE, "-o", CONDITIONS],
    )
    .await?;

    say("And `off` can be switched.");
    print(lab, &["get", "nodereports", "-o", "wide"]).await
}

/// Waits until the policy and both reports say the same of SeccompDefault, something is known of every
/// workload, and every profile file is there.
async fn says(lab: &Lab, ready: &str) -> anyhow::Result<()> {
    let policies: Api<NamespacePolicy> = Api::all(lab.client());
    let reports: Api<NodeReport> = Api::all(lab.client());
    let told = eventually(VERDICT_TIMEOUT, async || {
        let policy = policies.get(NAMESPACE).await?;
        let status = policy.status.as_ref().context("there is no status")?;
        is_so(&status.conditions, ready)?;
        let unknown = status.summary.workloads_unknown;
        ensure!(unknown == 0, "{unknown} workloads are unknown");
        for report in reports.list(&ListParams::default()).await? {
            let status = report.status.as_ref().context("there is no status")?;
            is_so(&status.conditions, ready).with_context(|| report.name_any())?;
            let unknown = status.workloads.unknown;
            ensure!(unknown == 0, "{unknown} workloads are unknown");
        }
        Ok(())
    });
    told.await.context("not every verdict came in")
}

/// Waits until nothing is left of what was foreseen: what fails was seen to be denied its call, and what
/// does without one is well.
async fn is_settled(lab: &Lab) -> anyhow::Result<()> {
    let policies: Api<NamespacePolicy> = Api::all(lab.client());
    eventually(VERDICT_TIMEOUT, async || {
        let status = policies.get(NAMESPACE).await?.status.unwrap_or_default();
        let said = status.seccomp_default.unwrap_or_default();
        let [worst] = &said.workloads[..] else {
            bail!("{said:?}");
        };
        ensure!(worst.basis == Some(Basis::Observed), "{worst:?}");
        Ok(())
    })
    .await
}

fn is_so(conditions: &[Condition], ready: &str) -> anyhow::Result<()> {
    for (kind, want) in [
        (ConditionType::SeccompDefaultReady, ready),
        (ConditionType::ProfilesAvailable, "True"),
    ] {
        let condition = conditions.iter().find(|it| it.type_ == kind.as_str());
        let is_so = condition.is_some_and(|it| it.status == want);
        ensure!(is_so, "{condition:?}, want {want}");
    }
    Ok(())
}
