//! What a soak counts, what starts it again, and when it is over.

use k8s_openapi::jiff::SignedDuration;
use podfence_crd::{Phase, Reason};
use podfence_plan::Unseen;
use podfence_workload::Kind;
use serde_json::json;

use crate::world::{AUDIT, World, at, clean_spec, pod, privileged_spec, profile};
use crate::{guarded, restricted};

const CLEAN_SINCE: &str = "state.podfence.dev/clean-since";

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
    let changes: [(&str, Change); 9] = [
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
        ("a record that cannot be read", |world| {
            world
                .namespace
                .set_annotation("mallory", CLEAN_SINCE, "since ever");
        }),
        ("a record from the future", |world| {
            let record = world.namespace.annotation(CLEAN_SINCE).expect("it soaks");
            let later = record.replace("2026-", "2036-");
            world
                .namespace
                .set_annotation("mallory", CLEAN_SINCE, &later);
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
