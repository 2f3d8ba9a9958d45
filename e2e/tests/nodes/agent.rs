//! The node agent as it is installed: what its reports say, what becomes of them, what it may not
//! write, and how little it needs.

mod installed;

use std::fs;

use anyhow::{Context as _, ensure};
use http::{Method, Request, header};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _, api::DeleteParams};
use podfence_crd::{NodeReportSpec, ProfileInForce, Setting, SettingSource};
use podfence_e2e::{
    harness::Shared,
    lab::{Image, Lab, Node},
    story::{AGENT_NAME, AGENT_NAMESPACE, AGENT_USER, Agents},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::nodes::{Nodes, create, deployment, is_running, needs_nodes, sees};

/// What the agent may have resident, whatever the node runs.
const MOST_KIBIBYTES: u64 = 32 * 1024;
/// A profile that a runtime can load.
const PROFILE: &str = r#"{ "defaultAction": "SCMP_ACT_ALLOW" }"#;
const REPORTS: &str = "/apis/podfence.dev/v1alpha1/nodereports";

pub(crate) async fn reports_what_its_nodes_are_and_nothing_twice(
    _: Shared<Nodes>,
) -> anyhow::Result<()> {
    needs_nodes()?;
    let lab = Lab::start().await?;
    let (on, off) = lab.on_and_off().await?;
    let (first, broken) = (on.seccomp_folder()?.join("first.json"), "broken.json");
    fs::write(first, PROFILE)?;
    fs::write(on.seccomp_folder()?.join(broken), "{")?;
    let agents = installed::install(&lab, &[&on, &off], &[]).await?;

    for (node, setting) in [(&on, Setting::Enabled), (&off, Setting::Disabled)] {
        let spec = agents.sees(node, is_complete).await?;
        says_what_the_node_is(&lab, node, &spec, setting).await?;
    }
    let files = |spec: &NodeReportSpec| {
        let profiles = spec.seccomp_profiles.clone().unwrap_or_default();
        let files = profiles.files.into_iter();
        let files = files.map(|file| (file.path, file.sha256, file.valid));
        files.collect::<Vec<_>>()
    };
    let hash = |text: &str| format!("{:x}", Sha256::digest(text));
    let entry = |path: &str, text: &str, valid| (path.to_owned(), hash(text), valid);
    let two = [
        entry(broken, "{", false),
        entry("first.json", PROFILE, true),
    ];
    assert_eq!(files(&agents.spec(&on).await?), two);

    installed::write_nothing_while_nothing_changes(&agents).await?;
    fs::write(on.seccomp_folder()?.join("second.json"), "{}")?;
    let three = [&two[..], &[entry("second.json", "{}", false)]].concat();
    let seen = agents.sees(&on, |spec| {
        let files = files(spec);
        ensure!(files == three, "{files:?}");
        Ok(())
    });
    seen.await?;

    for node in [&on, &off] {
        let peak = installed::peak_kibibytes(&agents, node).await?;
        println!("the agent on {} had {peak} KiB at most", node.name());
        ensure!(peak < MOST_KIBIBYTES, "{peak} KiB");
    }
    let written = lab
        .audit()
        .writes_by(AGENT_USER, agents.installed())
        .await?;
    let odd = written.iter().find(|event| {
        let own =
            event.object_ref.resource == "nodereports" && event.object_ref.subresource.is_empty();
        event.verb != "patch" || !own || !event.succeeded()
    });
    ensure!(odd.is_none(), "{odd:#?}");
    installed::end_when_asked(&agents, &on).await?;
    lab.stop().await
}

/// Everything was looked at, and nothing is in the way.
fn is_complete(spec: &NodeReportSpec) -> anyhow::Result<()> {
    ensure!(spec.problems.is_empty(), "{:?}", spec.problems);
    let runtime = spec.runtime.as_ref().context("no runtime")?;
    ensure!(runtime.profile == ProfileInForce::AsKnown, "{runtime:?}");
    let kubelet = spec.kubelet.as_ref().context("no kubelet")?;
    ensure!(
        kubelet.source == Some(SettingSource::Configz),
        "{kubelet:?}"
    );
    Ok(())
}

async fn says_what_the_node_is(
    lab: &Lab,
    node: &Node,
    spec: &NodeReportSpec,
    setting: Setting,
) -> anyhow::Result<()> {
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(lab.client());
    let object = nodes.get(node.name()).await?;
    let facts = object
        .status
        .as_ref()
        .and_then(|status| status.node_info.clone());
    let facts = facts.context("the node says nothing of itself")?;
    assert_eq!(spec.node_uid, object.uid());
    let kubelet = spec.kubelet.as_ref().context("no kubelet")?;
    assert_eq!(kubelet.seccomp_default, setting, "{}", node.name());
    let runtime = spec.runtime.as_ref().context("no runtime")?;
    assert_eq!(runtime.version, facts.container_runtime_version);
    let kernel = spec.kernel.as_ref().context("no kernel")?;
    assert_eq!(kernel.version, facts.kernel_version);
    assert_eq!(kernel.architecture, facts.architecture);
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail")?;
    let mut actions: Vec<_> = actions.split_whitespace().collect();
    actions.sort_unstable();
    assert_eq!(kernel.seccomp_actions, actions);
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let enabled = enabled.is_ok_and(|answer| answer.trim() == "Y");
    let app_armor = spec.app_armor.as_ref().context("no AppArmor")?;
    let wanted = if enabled {
        Setting::Enabled
    } else {
        Setting::Disabled
    };
    assert_eq!(app_armor.state, wanted);
    assert_eq!(spec.deviations, []);
    Ok(())
}

pub(crate) async fn finds_what_a_switch_has_not_reached_with_and_without_the_kubelet(
    _: Shared<Nodes>,
) -> anyhow::Result<()> {
    needs_nodes()?;
    let lab = Lab::start().await?;
    let node = lab.node("changing").start().await?;
    node.import(&Image::busybox()).await?;
    // Without the right to ask the kubelet.
    let agents = installed::install(&lab, &[&node], &["nodes/configz"]).await?;
    let shows = async |setting, source, problem: Option<&str>| {
        let seen = agents.sees(&node, |spec| {
            let kubelet = spec.kubelet.as_ref().context("no kubelet")?;
            ensure!(
                (kubelet.seccomp_default, kubelet.source) == (setting, source),
                "{spec:?}"
            );
            let said = |text: &str| {
                let mut problems = spec.problems.iter();
                problems
                    .any(|problem| problem.subject == "Kubelet" && problem.message.contains(text))
            };
            ensure!(
                problem.map_or(spec.problems.is_empty(), said),
                "{:?}",
                spec.problems
            );
            Ok(())
        });
        seen.await
    };
    let right = Some("the agent's account needs get on nodes/configz");
    shows(Setting::Unknown, None, right).await?;
    create(&lab, &sleeper("earlier", "changing")).await?;
    sees(&lab, "default", "earlier", is_running).await?;
    let container = Some(SettingSource::RunningContainer);
    shows(Setting::Disabled, container, right).await?;
    installed::grant(&agents, "nodes/configz").await?;
    shows(Setting::Disabled, Some(SettingSource::Configz), None).await?;

    node.set_seccomp_default(true).await?;
    let spec = shows(Setting::Enabled, Some(SettingSource::Configz), None).await?;
    let [deviation] = &spec.deviations[..] else {
        anyhow::bail!("{:?}", spec.deviations)
    };
    let earlier = sees(&lab, "default", "earlier", is_running).await?;
    assert_eq!(deviation.namespace, "default");
    assert_eq!(deviation.pod, earlier.name_any());
    assert_eq!(deviation.container, "main");
    assert!(!deviation.confined);
    assert!(!deviation.container_id.contains("://"));

    let pods: Api<Pod> = Api::namespaced(lab.client(), "default");
    pods.delete(&earlier.name_any(), &DeleteParams::default())
        .await?;
    let left = agents.sees(&node, |spec| {
        ensure!(spec.deviations.is_empty(), "{:?}", spec.deviations);
        let runtime = spec.runtime.as_ref().context("no runtime")?;
        ensure!(runtime.profile == ProfileInForce::AsKnown, "{runtime:?}");
        Ok(())
    });
    left.await?;
    writes_its_own_report_alone(&lab, &agents, &node).await?;
    lab.stop().await
}

/// A pod that does nothing, with no profile of its own.
fn sleeper(name: &str, node: &str) -> Value {
    let mut deployment = deployment("default", name, node, Image::busybox().name());
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container["command"] = json!(["/bin/sleep", "1000000"]);
    deployment
}

/// With rights on every report and its status, a token of the agent writes the report of the node of
/// its pod, and nothing else.
async fn writes_its_own_report_alone(
    lab: &Lab,
    agents: &Agents<'_>,
    node: &Node,
) -> anyhow::Result<()> {
    let almighty = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "almighty-agent" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": AGENT_NAME, "namespace": AGENT_NAMESPACE }],
    });
    create(lab, &almighty).await?;
    let own = lab
        .client_as_token(&installed::token_of(agents, node).await?)
        .await?;
    let unbound = lab
        .service_account_token(AGENT_NAMESPACE, AGENT_NAME)
        .await?;
    let unbound = lab.client_as_token(&unbound).await?;
    let path = |name: &str| format!("{REPORTS}/{name}?dryRun=All&fieldManager=test");
    let (mine, status) = (path(node.name()), path(&format!("{}/status", node.name())));
    let report = |name: &str, metadata: Value| {
        let mut report = json!({
            "apiVersion": "podfence.dev/v1alpha1", "kind": "NodeReport", "metadata": metadata, "spec": {},
        });
        report["metadata"]["name"] = json!(name);
        report
    };
    let plain = report(node.name(), json!({}));
    let other = report("other", json!({}));
    let foreign = json!({ "ownerReferences": [
        { "apiVersion": "v1", "kind": "ConfigMap", "name": node.name(), "uid": "1" },
    ] });
    let foreign = report(node.name(), foreign);
    let kept = report(node.name(), json!({ "finalizers": ["example.com/kept"] }));
    let own_report = "may only write the report of its own node, which is";
    for (name, client, method, path, body, want) in [
        ("its own", &own, Method::PATCH, mine.clone(), &plain, ""),
        (
            "another's",
            &own,
            Method::PATCH,
            path("other"),
            &other,
            own_report,
        ),
        (
            "by a token without a node",
            &unbound,
            Method::PATCH,
            mine.clone(),
            &plain,
            "not known from its token",
        ),
        (
            "its status",
            &own,
            Method::PATCH,
            status,
            &plain,
            "or write their status",
        ),
        (
            "its end",
            &own,
            Method::DELETE,
            mine.clone(),
            &Value::Null,
            "never delete them",
        ),
        (
            "an owner",
            &own,
            Method::PATCH,
            mine.clone(),
            &foreign,
            "belongs to its Node alone",
        ),
        (
            "a finalizer",
            &own,
            Method::PATCH,
            mine,
            &kept,
            "has no finalizers",
        ),
    ] {
        let answer = send(client, method, &path, body).await?;
        let asked = match (&answer, want) {
            (None, "") => true,
            (None, _) | (Some(_), "") => false,
            (Some(status), want) => status.code == 403 && status.message.contains(want),
        };
        ensure!(asked, "{name}: {answer:?}");
    }
    Ok(())
}

/// The refusal of a request, if it is refused.
async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: &Value,
) -> anyhow::Result<Option<Box<kube::core::Status>>> {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/apply-patch+yaml")
        .body(body)?;
    match client.request_text(request).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status)),
        Err(error) => Err(error.into()),
    }
}
