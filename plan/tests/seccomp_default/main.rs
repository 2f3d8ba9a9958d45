//! Who would fail under SeccompDefault, from objects to verdicts and from these to statuses.
// A test that panics has failed, which is its job.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic
)]

mod cluster;
mod crowd;
mod explanations;
mod statuses;

use std::time::Duration;

use cluster::{Cluster, ago, app, app_with, crashed, ended, healthy, node, worst};
use podfence_crd::{Deviation, KubeletFacts, NodeReportSpec, Setting};
use podfence_plan::Regarding;
use podfence_plan::seccomp_default::{Failure, HealthMemory};
use podfence_seccomp::evidence::{Key, Outcome};
use podfence_seccomp::{
    Architecture, Basis, Container, Doubt, Errno, Exempt, Profile, Runtime, UnknownProfile, Verdict,
};
use podfence_workload::Kind;
use serde_json::{Value, json};

/// `CLONE_NEWUSER`
const NEWUSER: u64 = 0x1000_0000;

/// What the container `app` is bound to.
fn key() -> Key {
    let profile: Profile = "containerd/2.3.7".parse().expect("a profile");
    let container = Container {
        architecture: Architecture::Amd64,
        bounding: Runtime::Containerd.default_capabilities(),
        kernel: "6.18".parse().expect("a kernel"),
    };
    Key::of("sha256:00ff", container, &profile.rules)
}

/// A Deployment with a pod on each of both nodes.
fn pair(container: &Value, on: &Value, off: &Value) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.deployment(container);
    cluster.pod("web-on", "on", container, on);
    cluster.pod("web-off", "off", container, off);
    cluster
}

#[test]
fn twins_tell() {
    use Verdict::{Failing, Passing, Unknown};
    let slow = json!({ "ready": false, "restartCount": 0,
        "state": { "running": { "startedAt": ago(5) } } });
    let fresh = json!({ "ready": true, "restartCount": 0,
        "state": { "running": { "startedAt": ago(1) } } });
    let creating = json!({ "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ContainerCreating" } } });
    for (situation, on, off, want) in [
        ("nothing has started", creating.clone(), creating, Unknown),
        (
            "well without a profile alone",
            slow.clone(),
            healthy(),
            Unknown,
        ),
        ("ended once", crashed(1, 1), healthy(), Unknown),
        ("ended twice", crashed(2, 1), healthy(), Failing),
        ("ended by a signal", crashed(4, 139), healthy(), Failing),
        ("ends with success", crashed(4, 0), healthy(), Unknown),
        (
            "ends for want of memory",
            ended(4, 137, "OOMKilled"),
            healthy(),
            Unknown,
        ),
        ("fails on both", crashed(4, 1), crashed(4, 1), Unknown),
        (
            "its twin is not well yet",
            crashed(4, 1),
            fresh.clone(),
            Unknown,
        ),
        ("well on both", healthy(), healthy(), Passing),
        (
            "well under the profile alone",
            healthy(),
            crashed(4, 1),
            Passing,
        ),
        ("not well for long enough", fresh, healthy(), Unknown),
    ] {
        let mut cluster = pair(&app(), &on, &off);
        assert_eq!(cluster.verdict(), want, "{situation}");
    }
    let web = pair(&app(), &crashed(3, 1), &healthy()).web();
    let said = &web.worst().0.judgement;
    assert_eq!(said.basis, Some(Basis::Inferred));
    assert_eq!(said.failing_on, ["on".into()].into());
    assert_eq!(said.healthy_twin_on, ["off".into()].into());
    assert!(
        said.calls.is_empty(),
        "no denial was seen, so no call is named"
    );
}

#[test]
fn what_is_not_affected_is_decided_by_container() {
    let context = |context: Value| app_with("securityContext", context);
    let profile = |kind: &str| context(json!({ "seccompProfile": { "type": kind } }));
    for (situation, container, want) in [
        ("unset", app(), None),
        ("empty", context(json!({})), None),
        (
            "RuntimeDefault",
            profile("RuntimeDefault"),
            Some(Exempt::ExplicitProfile),
        ),
        (
            "Unconfined",
            profile("Unconfined"),
            Some(Exempt::ExplicitProfile),
        ),
        (
            "privileged",
            context(json!({ "privileged": true })),
            Some(Exempt::Privileged),
        ),
    ] {
        let mut cluster = pair(&container, &crashed(4, 1), &healthy());
        let web = cluster.web();
        let said = web.worst().0;
        match want {
            Some(exempt) => {
                assert_eq!(said.verdict, Verdict::NotAffected, "{situation}");
                assert_eq!(said.judgement.exempt, Some(exempt), "{situation}");
            }
            None => assert_eq!(said.verdict, Verdict::Failing, "{situation}"),
        }
    }
}

#[test]
fn nodes_decide_what_is_known() {
    let unset = |cluster: Cluster| {
        let mut cluster = cluster;
        cluster.deployment(&app());
        cluster.pod("web-on", "on", &app(), &crashed(4, 1));
        cluster.pod("web-off", "off", &app(), &healthy());
        cluster.verdict()
    };
    let off = || node("off", "false", "containerd://2.3.7");
    let mut nowhere = Cluster::empty();
    nowhere.deployment(&app());
    let doubt = nowhere.web().worst().0.judgement.doubt;
    assert_eq!(doubt, Some(Doubt::Profile(UnknownProfile::NoNode)));
    assert_eq!(unset(Cluster::empty()), Verdict::Unknown, "no nodes");
    let silent = Cluster::empty().with(node("on", "", "containerd://2.3.7"), None);
    assert_eq!(
        unset(silent.with(off(), None)),
        Verdict::Unknown,
        "nobody states it"
    );
    let strange = Cluster::empty().with(node("on", "true", "wasm://0.1"), None);
    assert_eq!(
        unset(strange.with(off(), None)),
        Verdict::Unknown,
        "no such runtime"
    );

    // An agent knows better than a label, also which containers are older than a change.
    let says = |setting: Setting, deviations: Vec<Deviation>| NodeReportSpec {
        kubelet: Some(KubeletFacts {
            seccomp_default: setting,
            source: None,
        }),
        deviations,
        ..NodeReportSpec::default()
    };
    let on = || node("on", "false", "containerd://2.3.7");
    let reported = Cluster::empty().with(on(), Some(says(Setting::Enabled, Vec::new())));
    assert_eq!(unset(reported.with(off(), None)), Verdict::Failing);
    let older = Deviation {
        namespace: "shop".into(),
        pod: "web-on".into(),
        container: "app".into(),
        container_id: "id-web-on".into(),
        confined: false,
    };
    let reported = Cluster::empty().with(on(), Some(says(Setting::Enabled, vec![older])));
    let verdict = unset(reported.with(off(), None));
    assert_eq!(
        verdict,
        Verdict::Unknown,
        "it runs unconfined as before the switch"
    );
    let mut anew = says(Setting::Enabled, Vec::new());
    anew.node_uid = Some("another".into());
    let reported = Cluster::empty().with(on(), Some(anew));
    let verdict = unset(reported.with(off(), None));
    assert_eq!(
        verdict,
        Verdict::Unknown,
        "the report is about a node that is gone"
    );
}

#[test]
fn failing_is_forgotten_only_with_age() {
    let mut cluster = pair(&app(), &crashed(4, 1), &healthy());
    assert_eq!(cluster.verdict(), Verdict::Failing);
    cluster.workloads.delete(Kind::Pod, "web-on");
    cluster.workloads.delete(Kind::Pod, "web-off");
    assert_eq!(cluster.verdict(), Verdict::Failing, "its pods are gone");
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    cluster.now = cluster.now.after(days(34));
    assert_eq!(cluster.verdict(), Verdict::Failing);
    cluster.now = cluster.now.after(days(2));
    assert_eq!(cluster.verdict(), Verdict::Unknown);

    // Another pod under the profile is well: both are shown.
    let mut cluster = pair(&app(), &crashed(4, 1), &healthy());
    cluster.pod("web-other", "on", &app(), &healthy());
    assert_eq!(cluster.verdict(), Verdict::Conflicting);
    // A pod that recovers by itself had another trouble.
    let mut cluster = pair(&app(), &crashed(4, 1), &healthy());
    assert_eq!(cluster.verdict(), Verdict::Failing);
    cluster.pod("web-on", "on", &app(), &healthy());
    assert_eq!(cluster.verdict(), Verdict::Passing);
}

#[test]
fn records_signatures_and_others_count() {
    let alone = || {
        let mut cluster = Cluster::new();
        cluster.deployment(&app());
        cluster.pod("web-off", "off", &app(), &healthy());
        cluster
    };
    let mut cluster = alone();
    assert_eq!(cluster.verdict(), Verdict::Unknown);
    cluster.record(key(), "unshare", NEWUSER, Outcome::Success);
    assert_eq!(cluster.verdict(), Verdict::AtRisk);
    let failure = Failure {
        since: cluster.now,
        calls: std::collections::BTreeSet::new(),
    };
    let elsewhere = |workload: &str| {
        [(key(), [(workload.into(), failure.clone())].into())]
            .into_iter()
            .collect()
    };
    cluster.failures = elsewhere("bank/Deployment/web");
    assert_eq!(cluster.verdict(), Verdict::WouldFail);
    cluster.failures = elsewhere("shop/Deployment/web");
    assert_eq!(
        cluster.verdict(),
        Verdict::AtRisk,
        "its own failure is not another's"
    );

    let mut cluster = alone();
    cluster.record(key(), "unshare", NEWUSER, Outcome::Errno(Errno::EPERM));
    assert_eq!(
        cluster.verdict(),
        Verdict::Unknown,
        "it fails today already"
    );

    let mut cluster = Cluster::new();
    let software = json!({ "name": "app", "image": "registry.example/tigerbeetle:0.16" });
    cluster.deployment(&software);
    assert_eq!(cluster.verdict(), Verdict::Suspected);
    let by_command = app_with("command", json!(["/bin/tigerbeetle", "start"]));
    let mut cluster = Cluster::new();
    cluster.deployment(&by_command);
    assert_eq!(cluster.verdict(), Verdict::Suspected);
}

#[test]
fn workloads_are_named_by_who_makes_them() {
    let owned = |kind: &str, name: &str| {
        json!([{ "apiVersion": "kafka.example/v1", "kind": kind, "name": name, "uid": name,
            "controller": true }])
    };
    let pod = |name: &str, owners: Value| {
        json!({ "metadata": { "namespace": "shop", "name": name, "uid": name,
            "ownerReferences": owners }, "spec": { "containers": [app()] } })
    };
    let mut cluster = Cluster::new();
    cluster.add(Kind::Pod, &pod("bare", json!([])));
    cluster.add(Kind::Pod, &pod("broker-0", owned("Kafka", "events")));
    cluster.add(Kind::Pod, &pod("broker-1", owned("Kafka", "events")));
    let (_, assessment) = cluster.assess();
    let names: Vec<_> = assessment
        .workloads
        .iter()
        .map(|assessed| assessed.workload.to_string())
        .collect();
    assert_eq!(names, ["Pod/bare", "Kafka/events"]);
    assert!(
        assessment
            .workloads
            .iter()
            .all(|it| worst(it) == Verdict::Unknown)
    );
}

#[test]
fn a_workload_is_judged_where_it_can_land() {
    let mut cluster = pair(&app(), &crashed(4, 1), &healthy())
        .with(node("old", "false", "containerd://1.6.38"), None);
    let web = cluster.web();
    assert_eq!(web.landing.nodes.len(), 3);
    let nodes = cluster.nodes();
    let verdict = |name: &str| web.on(nodes.ground_of(name)).verdict;
    assert_eq!(
        (verdict("on"), verdict("off")),
        (Verdict::Failing, Verdict::Failing)
    );
    assert_eq!(
        verdict("old"),
        Verdict::Unknown,
        "another profile, another key"
    );
    assert_eq!(nodes.ground_of("on"), nodes.ground_of("off"));
}

#[test]
fn a_workload_that_is_gone_leaves_nothing() {
    let mut cluster = pair(&app(), &crashed(4, 1), &healthy());
    assert_eq!(cluster.verdict(), Verdict::Failing);
    for pod in ["web-on", "web-off"] {
        cluster.workloads.delete(Kind::Pod, pod);
    }
    cluster.workloads.delete(Kind::ReplicaSet, "web-1");
    cluster.workloads.delete(Kind::Deployment, "web");
    let (_, assessment) = cluster.assess();
    assert!(assessment.workloads.is_empty() && assessment.next_change.is_none());
    cluster.deployment(&app());
    assert_eq!(
        cluster.verdict(),
        Verdict::Unknown,
        "another one of the same name"
    );
}

#[test]
fn time_that_changes_something_is_named() {
    let fresh = json!({ "ready": true, "restartCount": 0,
        "state": { "running": { "startedAt": ago(1) } } });
    let mut cluster = pair(&app(), &fresh, &fresh);
    let (_, assessment) = cluster.assess();
    let next = assessment.next_change.expect("it settles");
    // The condition of the pod says that all were ready before the container was.
    assert_eq!(next.since(cluster.now), Duration::from_secs(9 * 60));
    cluster.now = next;
    assert_eq!(cluster.verdict(), Verdict::Passing);
    cluster.memory = HealthMemory::default();
    assert_eq!(
        cluster.verdict(),
        Verdict::Passing,
        "after a restart of the operator too"
    );
}

#[test]
fn a_turn_for_the_worse_is_an_event_about_the_workload() {
    let told = |before: &mut Cluster, after: &mut Cluster| {
        let ((_, before), (_, after)) = (before.assess(), after.assess());
        after.events_since(&before, "shop")
    };
    let well = || pair(&app(), &healthy(), &healthy());
    let failing = || pair(&app(), &crashed(3, 1), &healthy());
    assert_eq!(
        told(&mut failing(), &mut failing()),
        [],
        "nothing has changed"
    );
    assert_eq!(told(&mut failing(), &mut well()), [], "it is better");
    let [event] = &told(&mut well(), &mut failing())[..] else {
        panic!("one event");
    };
    let regarding = Regarding::Workload {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: "web".into(),
        uid: "web".into(),
    };
    assert_eq!(
        (&event.regarding, event.warning, event.reason),
        (&regarding, true, "Failing")
    );
    assert!(
        event
            .note
            .contains("Failing on on, well without a profile on off, no denial was seen"),
        "{event:?}"
    );
    let mut watched = failing();
    watched.record(key(), "unshare", NEWUSER, Outcome::Success);
    let [event] = &told(&mut well(), &mut watched)[..] else {
        panic!("one event");
    };
    assert!(
        event
            .note
            .contains("off, calls unshare CLONE_NEWUSER, no denial was seen"),
        "{event:?}"
    );
}
