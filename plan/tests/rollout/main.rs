//! How enforcement tightens: strategies, soaks, what holds it back, and what the API server says.
// A test that panics has failed, which is its job.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

mod asking;
mod soaks;
mod versions;
#[path = "../world/mod.rs"]
mod world;

use podfence_crd::{Phase, Reason};
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
fn finished_pods_are_counted_apart() {
    let mut world = World::with_policy(restricted(), json!({"rollout": {"soak": "0s"}}));
    for (name, phase) in [("a", "Succeeded"), ("b", "Failed"), ("c", "Running")] {
        let violates = phase != "Running";
        let spec = if violates {
            privileged_spec()
        } else {
            clean_spec()
        };
        let mut object = pod(name, spec);
        object["status"]["phase"] = json!(phase);
        world.add(object);
    }
    let assessment = world.settle().expect("won").assessment;
    let (live, finished) = (assessment.pods, assessment.finished);
    assert_eq!((live.checked, live.violating), (1, 0));
    assert_eq!((finished.checked, finished.violating), (2, 2));
    assert_eq!((assessment.workloads, assessment.all_violating()), (1, 0));
}

#[test]
fn events_tell_transitions_and_nothing_else() {
    let mut world = guarded();
    world.add(deployment("web", 1, baseline_spec()));
    world.settle();
    assert_eq!(world.event_reasons(), ["Held"]);
    // The same phase, whoever else violates, however long it lasts, and over a restart.
    world.add(deployment("api", 1, privileged_spec()));
    world.settle();
    world.restart();
    world.settle();
    world.remove(podfence_workload::Kind::Deployment, "api");
    world.hours(1);
    world.settle();
    assert_eq!(world.event_reasons(), ["Held"]);
    world.add(deployment("web", 1, clean_spec()));
    world.settle();
    assert_eq!(world.event_reasons(), ["Held", "Soaking"]);
    world.hours(24);
    world.settle();
    let all = ["Held", "Soaking", "Tightened", "Enforced"];
    assert_eq!(world.event_reasons(), all);
    world.restart();
    world.hours(24);
    world.settle();
    assert_eq!(world.event_reasons(), all, "nothing happened");
}
