//! How enforcement tightens: strategies, soaks, what holds it back, and what the API server says.
// A test that panics has failed, which is its job.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

mod world;

use k8s_openapi::jiff::SignedDuration;
use podfence_crd::{Phase, Reason};
use podfence_plan::Unseen;
use podfence_podsecurity::ServerVersion;
use podfence_workload::Kind;
use serde_json::json;
use world::{
    AUDIT, ENFORCE, ENFORCE_VERSION, WARN, World, at, baseline_spec, clean_spec, deployment, pod,
    privileged_spec, profile,
};

fn restricted() -> podfence_plan::Profile {
    profile("restricted:v1.34", "restricted:latest", "restricted:latest")
}

fn guarded() -> World {
    World::with_policy(restricted(), json!({}))
}

fn immediate() -> World {
    World::with_policy(restricted(), json!({"rollout": {"strategy": "Immediate"}}))
}

#[test]
fn immediate_writes_everything_at_once_and_only_once() {
    let mut world = immediate();
    world.add(pod("web", privileged_spec()));
    assert_eq!(world.phase(), (Phase::Enforced, Reason::AtTarget));
    assert_eq!(world.enforced(), "restricted:v1.34");
    assert_eq!(world.namespace.label(AUDIT), Some("restricted"));
    assert_eq!(world.namespace.label(WARN), Some("restricted"));
    assert_eq!(world.writes.len(), 1);
    assert_eq!(
        world.asked, 1,
        "the API server is asked even under Immediate"
    );
    assert!(world.event_reasons().contains(&"Tightened"));
    world.restart();
    world.settle();
    assert_eq!(world.writes.len(), 1, "a restart writes nothing");
}

#[test]
fn immediate_reports_what_the_api_server_warns_of() {
    let mut world = immediate();
    world.add(pod("web", baseline_spec()));
    world.admission = vec![
        "existing pods in namespace \"shop\" violate the new PodSecurity enforce level \
         \"restricted:v1.34\""
            .into(),
        "web: allowPrivilegeEscalation != false".into(),
    ];
    assert_eq!(world.phase(), (Phase::Enforced, Reason::AtTarget));
    assert!(world.event_reasons().contains(&"ExistingPodsViolate"));
}

#[test]
fn guarded_labels_audit_and_warn_at_once_and_enforces_after_the_soak() {
    let mut world = guarded();
    world.add(pod("web", clean_spec()));
    let outcome = world.settle().expect("won");
    assert_eq!(
        (outcome.phase, outcome.reason),
        (Phase::Soaking, Reason::Soaking)
    );
    assert_eq!(outcome.next_change, Some(at("2026-11-21T10:00:00Z")));
    assert_eq!(world.requeue_at, outcome.next_change);
    assert_eq!(
        (world.enforced().as_str(), world.namespace.label(AUDIT)),
        ("-", Some("restricted"))
    );
    world.hours(23);
    assert_eq!(world.phase().0, Phase::Soaking);
    assert_eq!(world.asked, 0);
    world.hours(1);
    assert_eq!(world.phase(), (Phase::Enforced, Reason::AtTarget));
    assert_eq!(world.enforced(), "restricted:v1.34");
    assert_eq!(world.writes.len(), 2, "two writes under Guarded");
    assert_eq!(world.asked, 1);
}

#[test]
fn a_soak_of_nothing_is_one_write() {
    let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "0s"}}));
    world.add(pod("web", clean_spec()));
    assert_eq!(world.phase().0, Phase::Enforced);
    assert_eq!(world.writes.len(), 1);
}

#[test]
fn what_counts_as_violating() {
    let owned = |mut object: serde_json::Value, api: &str, kind: &str, name: &str| {
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": api, "kind": kind,
            "name": name, "uid": format!("uid-{name}"), "controller": true}]);
        object
    };
    let replica_set = |api: &str, kind: &str| {
        let mut object = deployment("web-1", 0, privileged_spec());
        object["kind"] = json!("ReplicaSet");
        owned(object, api, kind, "web")
    };
    let phased = |phase: &str| {
        let mut object = pod("web", privileged_spec());
        object["status"]["phase"] = json!(phase);
        object
    };
    let job = |conditions: serde_json::Value| {
        json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "web", "namespace": "shop", "uid": "uid-web"},
            "spec": {"template": {"spec": privileged_spec()}},
            "status": {"conditions": conditions}})
    };
    for (name, object, held) in [
        ("a live pod", phased("Running"), true),
        ("a pending pod", phased("Pending"), true),
        ("a finished pod", phased("Succeeded"), false),
        ("a failed pod", phased("Failed"), false),
        ("a template", deployment("web", 3, privileged_spec()), true),
        (
            "a template scaled to zero",
            deployment("web", 0, privileged_spec()),
            true,
        ),
        (
            "an old ReplicaSet of a Deployment",
            replica_set("apps/v1", "Deployment"),
            false,
        ),
        (
            "a ReplicaSet of somebody else's kind",
            replica_set("argoproj.io/v1alpha1", "Rollout"),
            true,
        ),
        (
            "a Deployment of a foreign group",
            replica_set("example.dev/v1", "Deployment"),
            true,
        ),
        ("a running Job", job(json!([])), true),
        (
            "a finished Job",
            job(json!([{"type": "Complete", "status": "True"}])),
            false,
        ),
        (
            "a failed Job",
            job(json!([{"type": "Failed", "status": "True"}])),
            false,
        ),
    ] {
        let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "0s"}}));
        world.add(object);
        let want = if held { Phase::Held } else { Phase::Enforced };
        assert_eq!(world.phase().0, want, "{name}");
    }
}

#[test]
fn held_names_the_workload_and_ends_when_it_is_fixed() {
    let mut world = guarded();
    world.add(deployment("web", 1, baseline_spec()));
    world.add(deployment("api", 1, clean_spec()));
    let outcome = world.settle().expect("won");
    assert_eq!(
        (outcome.phase, outcome.reason),
        (Phase::Held, Reason::ViolatingWorkloads)
    );
    let worst = outcome.assessment.violating.first().expect("a finding");
    assert_eq!(worst.workload.to_string(), "Deployment/web");
    assert!(
        worst
            .checks
            .iter()
            .any(|check| check.as_str() == "runAsNonRoot")
    );
    assert_eq!(
        (
            outcome.assessment.workloads,
            outcome.assessment.violating_workloads
        ),
        (2, 1)
    );
    world.hours(1);
    world.add(deployment("web", 1, clean_spec()));
    assert_eq!(world.phase().0, Phase::Soaking);
    world.hours(24);
    assert_eq!(world.phase().0, Phase::Enforced);
}

#[test]
fn strictest_passing_enforces_what_was_clean_for_the_soak_and_hold_does_not() {
    for (mode, after_soak) in [("StrictestPassing", "baseline:v1.34"), ("Hold", "-")] {
        let mut world =
            World::with_policy(restricted(), json!({"rollout": {"whileViolating": mode}}));
        world.add(deployment("web", 1, baseline_spec()));
        assert_eq!(
            world.phase(),
            (Phase::Held, Reason::ViolatingWorkloads),
            "{mode}"
        );
        assert_eq!(world.enforced(), "-", "{mode}: baseline soaks as well");
        world.hours(24);
        assert_eq!(
            world.phase(),
            (Phase::Held, Reason::ViolatingWorkloads),
            "{mode}"
        );
        assert_eq!(world.enforced(), after_soak, "{mode}");
        world.add(deployment("web", 1, clean_spec()));
        world.settle();
        world.hours(24);
        assert_eq!(world.phase().0, Phase::Enforced, "{mode}");
        assert_eq!(world.enforced(), "restricted:v1.34", "{mode}");
    }
}

#[test]
fn privileged_is_never_written_on_the_way() {
    let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "0s"}}));
    world.add(pod("web", privileged_spec()));
    assert_eq!(world.phase().0, Phase::Held);
    assert_eq!(
        world.namespace.label(ENFORCE),
        None,
        "the cluster's default may be stricter"
    );
}

#[test]
fn a_violating_pod_that_comes_and_goes_starts_the_soak_again() {
    let mut world = guarded();
    world.add(pod("web", clean_spec()));
    world.settle();
    world.hours(23);
    world.add(pod("debug", privileged_spec()));
    world.remove(Kind::Pod, "debug");
    let writes = world.writes.len();
    let outcome = world.settle().expect("won");
    assert_eq!(
        outcome.phase,
        Phase::Soaking,
        "it was seen, though no plan saw it alive"
    );
    assert_eq!(world.writes.len(), writes + 1);
    assert_eq!(
        outcome.next_change,
        Some(at("2026-11-22T09:00:00Z")),
        "from when it was gone"
    );
    world.restart();
    world.hours(2);
    assert_eq!(world.phase().0, Phase::Soaking, "a restart remembers");
    world.hours(22);
    assert_eq!(world.phase().0, Phase::Enforced);
}

#[test]
fn what_starts_a_soak_again() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 7] = [
        ("another winner", |world| {
            world.policy("aaa", restricted(), json!({"priority": 1}));
        }),
        ("another version", |world| {
            world.policy("apps", profile("restricted:v1.35", "", ""), json!({}));
        }),
        ("a namespace created anew", |world| {
            world.namespace.uid = "uid-2".into();
        }),
        ("a stretch in which something was unseen", |world| {
            world.ledger.pause_everything();
            world.unseen = vec![Unseen::Forbidden {
                resource: "daemonsets.apps".into(),
            }];
            world.settle();
            world.unseen.clear();
            world.ledger.resume_everything(world.now);
        }),
        ("a suspension", |world| {
            world.ledger.pause("apps");
            world.edit("apps", json!({"suspend": true}));
            world.settle();
            world.edit("apps", json!({"suspend": false}));
            world.ledger.resume("apps", world.now);
        }),
        ("a policy in between that wrote nothing", |world| {
            world.policy("aaa", restricted(), json!({"priority": 1, "suspend": true}));
            world.settle();
            world.restart();
            world.edit("aaa", json!({"excludedNamespaces": ["shop"]}));
        }),
        ("an object that could not be read", |world| {
            world
                .workloads
                .malformed(Kind::Pod, "odd", "spec.containers: not a list".into());
            world.settle();
            world.remove(Kind::Pod, "odd");
        }),
    ];
    for (name, change) in changes {
        let mut world = guarded();
        world.add(pod("web", clean_spec()));
        world.settle();
        world.hours(23);
        change(&mut world);
        world.settle();
        world.hours(23);
        assert_eq!(world.phase().0, Phase::Soaking, "{name}");
        world.hours(1);
        assert_eq!(world.phase().0, Phase::Enforced, "{name}");
    }
}

#[test]
fn an_empty_namespace_younger_than_the_policy_is_clean_by_definition() {
    let young = at("2026-11-20T09:59:00Z");
    let mut world = guarded();
    world.namespace.created = young;
    assert_eq!(world.phase().0, Phase::Enforced);
    assert_eq!(world.writes.len(), 1);

    let mut world = guarded();
    assert_eq!(
        world.phase().0,
        Phase::Soaking,
        "an older one serves its soak"
    );

    let mut world = guarded();
    world.namespace.created = young;
    world.add(pod("web", clean_spec()));
    assert_eq!(
        world.phase().0,
        Phase::Soaking,
        "one that is not empty, too"
    );

    let mut world = guarded();
    world.namespace.created = young;
    world.add(pod("web", privileged_spec()));
    world.remove(Kind::Pod, "web");
    assert_ne!(
        world.phase().0,
        Phase::Enforced,
        "one in which something ran, too"
    );

    let mut world = guarded();
    world.namespace.created = young;
    world.ledger = podfence_plan::Ledger::starting(at("2026-11-20T09:59:30Z"));
    assert_eq!(
        world.phase().0,
        Phase::Soaking,
        "one that was made while nobody looked, too"
    );
}

#[test]
fn unknown_never_tightens_and_is_said() {
    let forbidden = Unseen::Forbidden {
        resource: "daemonsets.apps".into(),
    };
    let lost = Unseen::WatchLost {
        resource: "pods".into(),
    };
    let failed = Unseen::ListFailed {
        resource: "jobs.batch".into(),
    };
    for strategy in ["Guarded", "Immediate"] {
        for (unseen, reason) in [
            (&forbidden, Reason::Forbidden),
            (&lost, Reason::WatchLost),
            (&failed, Reason::ListFailed),
        ] {
            let change = json!({"rollout": {"strategy": strategy, "soak": "0s"}});
            let mut world = World::with_policy(restricted(), change);
            world.unseen = vec![unseen.clone()];
            assert_eq!(world.phase(), (Phase::Unknown, reason), "{strategy}");
            assert_eq!(world.enforced(), "-", "{strategy}");
            assert_eq!(
                world.namespace.label(AUDIT),
                Some("restricted"),
                "audit blocks nobody"
            );
            world.unseen.clear();
            assert_eq!(world.phase().0, Phase::Enforced, "{strategy}: seen again");
        }
    }
}

#[test]
fn unknown_server_versions_and_newer_servers_never_tighten() {
    let newer = ServerVersion::new(38);
    let server = ServerVersion::new(37);
    for (name, target, servers, want, reason) in [
        (
            "no version",
            "restricted:v1.34",
            None,
            Phase::Unknown,
            Reason::ListFailed,
        ),
        (
            "latest",
            "restricted:latest",
            Some((server, newer)),
            Phase::Enforced,
            Reason::AtTarget,
        ),
        (
            "newer",
            "restricted:latest",
            Some((newer, newer)),
            Phase::Unknown,
            Reason::ServerTooNew,
        ),
        (
            "pinned",
            "restricted:v1.34",
            Some((newer, newer)),
            Phase::Enforced,
            Reason::AtTarget,
        ),
        (
            "pinned newer",
            "restricted:v1.38",
            Some((server, newer)),
            Phase::Unknown,
            Reason::ServerTooNew,
        ),
        (
            "beyond all",
            "restricted:v1.99",
            Some((server, server)),
            Phase::Enforced,
            Reason::AtTarget,
        ),
    ] {
        let change = json!({"rollout": {"soak": "0s"}});
        let mut world = World::with_policy(profile(target, "", ""), change);
        world.servers = servers.map(|(oldest, newest)| podfence_plan::Servers { oldest, newest });
        assert_eq!(world.phase(), (want, reason), "{name}");
    }
}

#[test]
fn latest_is_written_as_the_lowest_minor_and_raised_through_the_soak() {
    let servers = |oldest, newest| {
        Some(podfence_plan::Servers {
            oldest: ServerVersion::new(oldest),
            newest: ServerVersion::new(newest),
        })
    };
    let latest = || profile("restricted:latest", "restricted:latest", "");
    let mut world = World::with_policy(latest(), json!({}));
    world.servers = servers(35, 36);
    world.add(pod("web", clean_spec()));
    world.settle();
    world.hours(24);
    assert_eq!(world.phase().0, Phase::Enforced);
    assert_eq!(world.enforced(), "restricted:v1.35");
    assert_eq!(
        world
            .namespace
            .label("pod-security.kubernetes.io/audit-version"),
        Some("latest"),
        "audit stays latest"
    );
    world.servers = servers(36, 36);
    assert_eq!(
        world.phase().0,
        Phase::Soaking,
        "raised only after another soak"
    );
    assert_eq!(world.enforced(), "restricted:v1.35");
    world.hours(24);
    assert_eq!(world.phase().0, Phase::Enforced);
    assert_eq!(world.enforced(), "restricted:v1.36");
    world.servers = servers(35, 35);
    assert_eq!(
        world.phase().0,
        Phase::Enforced,
        "a downgraded server lowers nothing"
    );
    assert_eq!(world.enforced(), "restricted:v1.36");

    let change = json!({"rollout": {"strategy": "Immediate"}});
    let mut world = World::with_policy(latest(), change);
    world.settle();
    assert_eq!(
        world.enforced(),
        "restricted:latest",
        "as it is, under Immediate"
    );
}

#[test]
fn a_live_latest_meets_a_target_of_latest() {
    let mut world = World::with_policy(profile("restricted:latest", "", ""), json!({}));
    world
        .namespace
        .set_label("kubectl-label", ENFORCE, Some("restricted"));
    assert_eq!(world.phase(), (Phase::Enforced, Reason::AtTarget));
    assert_eq!(world.enforced(), "restricted:latest");
}

#[test]
fn what_the_api_server_warns_of_holds_enforce() {
    let head = "existing pods in namespace \"shop\" violate the new PodSecurity enforce level \
                \"restricted:v1.34\"";
    let web = "web: allowPrivilegeEscalation != false";
    for (name, admission, want) in [
        ("nothing", vec![], Phase::Enforced),
        ("a pod that we pass", vec![head, web], Phase::Held),
        ("only the head line", vec![head], Phase::Held),
        (
            "a check cut short that names no pod",
            vec![
                "new PodSecurity enforce level only checked against the first 3000 of 3100 existing pods",
            ],
            Phase::Enforced,
        ),
        (
            "a check that could not be made",
            vec!["failed to list pods while checking new PodSecurity enforce level"],
            Phase::Held,
        ),
        (
            "something else",
            vec!["the label team is deprecated"],
            Phase::Enforced,
        ),
    ] {
        let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "0s"}}));
        world.add(pod("web", clean_spec()));
        world.admission = admission.into_iter().map(Into::into).collect();
        assert_eq!(world.phase().0, want, "{name}");
        if want == Phase::Held {
            let outcome = world.settle().expect("won");
            assert_eq!(outcome.reason, Reason::AdmissionDisagrees, "{name}");
            assert!(!outcome.disagreement.is_empty(), "{name}");
            assert_eq!(world.enforced(), "-", "{name}");
            let asked = world.asked;
            world.settle();
            assert_eq!(world.asked, asked, "{name}: not asked again at once");
            world.admission.clear();
            world.minutes(5);
            assert_eq!(
                world.phase().0,
                Phase::Enforced,
                "{name}: asked again later"
            );
        }
    }
}

#[test]
fn finished_pods_explain_warnings_only_word_for_word() {
    let head = "existing pods in namespace \"shop\" violate the new PodSecurity enforce level \
                \"restricted:v1.34\"";
    let mut failed = pod("job-1", privileged_spec());
    failed["status"]["phase"] = json!("Failed");
    let reasons = "host namespaces, allowPrivilegeEscalation != false, unrestricted capabilities, \
                   runAsNonRoot != true, seccompProfile";
    for (name, lines, want) in [
        (
            "exactly",
            vec![head.to_owned(), format!("job-1: {reasons}")],
            Phase::Enforced,
        ),
        (
            "one more pod",
            vec![
                head.to_owned(),
                format!("job-1 (and 1 other pod): {reasons}"),
            ],
            Phase::Held,
        ),
        ("without its pod", vec![head.to_owned()], Phase::Held),
        (
            "another pod too",
            vec![
                head.to_owned(),
                format!("job-1: {reasons}"),
                "web: seccompProfile".into(),
            ],
            Phase::Held,
        ),
    ] {
        let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "0s"}}));
        world.add(failed.clone());
        world.admission = lines;
        assert_eq!(world.phase().0, want, "{name}");
    }
}

#[test]
fn an_exempt_namespace_is_labelled_and_never_called_enforced() {
    let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "0s"}}));
    world.admission = vec![
        "namespace \"shop\" is exempt from Pod Security, and the policy (enforce=restricted:v1.34) \
         will be ignored"
            .into(),
    ];
    assert_eq!(world.phase(), (Phase::Exempt, Reason::Exempt));
    assert_eq!(world.enforced(), "restricted:v1.34");
    world.restart();
    assert_eq!(
        world.phase(),
        (Phase::Exempt, Reason::Exempt),
        "remembered over a restart"
    );
}

#[test]
fn an_answer_permits_only_what_it_was_about() {
    let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "0s"}}));
    world.add(pod("web", clean_spec()));
    let podfence_plan::Step::Ask(apply, pair) = world.plan().step else {
        panic!("asks first")
    };
    let answer = podfence_plan::Answer {
        uid: apply.uid.clone(),
        resource_version: apply.resource_version.clone(),
        revision: world.workloads.revision(),
        pair,
        asked_at: world.now,
        warnings: Vec::new(),
    };
    world.memory.answer = Some(answer.clone());
    assert!(matches!(world.plan().step, podfence_plan::Step::Apply(_)));
    world.add(pod("web-2", clean_spec()));
    assert!(
        matches!(world.plan().step, podfence_plan::Step::Ask(..)),
        "a pod came meanwhile"
    );
    world.memory.answer = Some(podfence_plan::Answer {
        revision: world.workloads.revision(),
        ..answer
    });
    world.namespace.set_label("somebody", "team", Some("web"));
    assert!(
        matches!(world.plan().step, podfence_plan::Step::Ask(..)),
        "the namespace changed"
    );
}

#[test]
fn dry_run_and_suspend_write_nothing_and_report() {
    for (change, phase) in [
        (
            json!({"rollout": {"strategy": "DryRun", "soak": "0s"}}),
            Phase::DryRun,
        ),
        (json!({"suspend": true}), Phase::Suspended),
    ] {
        let mut world = World::with_policy(restricted(), change);
        world.add(deployment("web", 1, baseline_spec()));
        let outcome = world.settle().expect("won");
        assert_eq!(outcome.phase, phase);
        assert_eq!(outcome.assessment.violating_workloads, 1);
        assert!(!outcome.at_target);
        assert_eq!((world.writes.len(), world.asked), (0, 0));
    }
}

#[test]
fn a_missing_profile_freezes() {
    let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "0s"}}));
    world.settle();
    let writes = world.writes.len();
    for (frozen, reason) in [
        (podfence_plan::Profile::Missing, Reason::ProfileMissing),
        (
            podfence_plan::Profile::Invalid("empty".into()),
            Reason::ProfileInvalid,
        ),
    ] {
        world.policy("apps", frozen, json!({}));
        world
            .namespace
            .set_label("kubectl-label", ENFORCE, Some("baseline"));
        assert_eq!(world.phase(), (Phase::Unknown, reason));
        assert_eq!(world.writes.len(), writes);
        assert_eq!(
            world.namespace.label(ENFORCE),
            Some("baseline"),
            "not even put right"
        );
    }
}

#[test]
fn exceptions_change_what_is_counted_and_never_what_is_enforced() {
    let exception = |expires: &str| {
        json!({"rollout": {"soak": "0s", "whileViolating": "Hold"}, "exceptions": [{"name": "node-exporter",
            "workloadSelector": {"matchLabels": {"app": "web"}},
            "checks": ["hostNamespaces", "allowPrivilegeEscalation", "capabilities_restricted",
                "runAsNonRoot", "seccompProfile_restricted"],
            "reason": "node metrics", "expiresAt": expires}]})
    };
    let mut world = World::with_policy(restricted(), exception("2026-11-21T00:00:00Z"));
    world.add(deployment("web", 1, privileged_spec()));
    let outcome = world.settle().expect("won");
    assert_eq!(
        (outcome.phase, outcome.reason),
        (Phase::Held, Reason::ViolatingWorkloads)
    );
    let assessment = &outcome.assessment;
    assert_eq!(
        (assessment.violating_workloads, assessment.excepted),
        (0, 1)
    );
    assert_eq!(
        world.requeue_at,
        Some(at("2026-11-21T00:00:00Z")),
        "looked at when it expires"
    );
    world.hours(14);
    let outcome = world.settle().expect("won");
    let assessment = &outcome.assessment;
    assert_eq!(
        (assessment.violating_workloads, assessment.excepted),
        (1, 0),
        "it expired"
    );

    let mut partly = exception("2027-01-01T00:00:00Z");
    partly["exceptions"][0]["checks"] = json!(["hostNamespaces"]);
    let mut world = World::with_policy(restricted(), partly);
    world.add(deployment("web", 1, privileged_spec()));
    let outcome = world.settle().expect("won");
    let worst = outcome
        .assessment
        .violating
        .first()
        .expect("still violating");
    assert!(
        worst
            .checks
            .iter()
            .all(|check| check.as_str() != "hostNamespaces")
    );
}

#[test]
fn one_deployment_with_many_pods_is_one_workload() {
    let mut world = guarded();
    world.add(deployment("web", 3, privileged_spec()));
    let owner = |kind: &str, name: &str| {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("uid-{name}"),
            "controller": true}])
    };
    let mut replica_set = deployment("web-1", 3, privileged_spec());
    replica_set["kind"] = json!("ReplicaSet");
    replica_set["metadata"]["ownerReferences"] = owner("Deployment", "web");
    world.add(replica_set);
    for name in ["web-1-a", "web-1-b", "web-1-c"] {
        let mut object = pod(name, privileged_spec());
        object["metadata"]["ownerReferences"] = owner("ReplicaSet", "web-1");
        world.add(object);
    }
    let assessment = world.settle().expect("won").assessment;
    assert_eq!(
        (assessment.workloads, assessment.violating_workloads),
        (1, 1)
    );
    assert_eq!(
        (assessment.pods.checked, assessment.templates.checked),
        (3, 1)
    );
    assert_eq!(
        assessment
            .violating
            .first()
            .expect("one")
            .workload
            .to_string(),
        "Deployment/web"
    );
}

#[test]
fn a_profile_without_enforce_leaves_it_alone() {
    let mut world = World::with_policy(
        profile("", "restricted:latest", ""),
        json!({"rollout": {"soak": "0s"}}),
    );
    world
        .namespace
        .set_label("kubectl-label", ENFORCE, Some("baseline"));
    let outcome = world.settle().expect("won");
    assert_eq!((outcome.phase, outcome.target), (Phase::Enforced, None));
    assert_eq!(world.namespace.owners(ENFORCE), ["kubectl-label"]);
    assert_eq!(world.namespace.label(ENFORCE_VERSION), None);
}

#[test]
fn time_alone_ends_a_soak_at_the_very_instant() {
    let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "10s"}}));
    world.add(pod("web", clean_spec()));
    world.settle();
    world.pass(SignedDuration::from_millis(9_999));
    assert_eq!(world.phase().0, Phase::Soaking);
    world.pass(SignedDuration::from_millis(1));
    assert_eq!(world.phase().0, Phase::Enforced);
}

#[test]
fn a_write_that_crosses_a_second_is_not_repeated() {
    let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "10s"}}));
    world.add(pod("web", clean_spec()));
    world.settle();
    world.pass(SignedDuration::from_millis(10_900));
    while world.step().is_none() {
        world.pass(SignedDuration::from_millis(200));
    }
    assert_eq!(world.enforced(), "restricted:v1.34");
    assert_eq!(world.writes.len(), 2);
}
