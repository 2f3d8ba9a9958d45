//! Who may change a label: conflicts, fights, loosening, and leaving a namespace.
// A test that panics has failed, which is its job.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

mod world;

use podfence_crd::{Phase, Reason};
use podfence_plan::{FIELD_MANAGER, Profile, Unusable};
use serde_json::{Value, json};
use world::{
    AUDIT, ENFORCE, ENFORCE_VERSION, WARN, World, clean_spec, pod, privileged_spec, profile,
};

const GITOPS: &str = "kustomize-controller";

fn restricted() -> Profile {
    profile("restricted:v1.34", "restricted:latest", "restricted:latest")
}

fn baseline() -> Profile {
    profile("baseline:v1.34", "restricted:latest", "restricted:latest")
}

/// Without a soak, so that every test is about ownership alone.
fn at_once(change: Value) -> Value {
    let mut spec = json!({"rollout": {"soak": "0s"}});
    for (key, value) in change.as_object().expect("an object") {
        match key.as_str() {
            "rollout" => {
                for (key, value) in value.as_object().expect("an object") {
                    spec["rollout"][key] = value.clone();
                }
            }
            _ => spec[key] = value.clone(),
        }
    }
    spec
}

fn world(profile: Profile, change: Value) -> World {
    World::with_policy(profile, at_once(change))
}

#[test]
fn the_same_value_is_shared() {
    let mut world = world(restricted(), json!({}));
    world
        .namespace
        .set_label("kubectl-label", ENFORCE, Some("restricted"));
    world
        .namespace
        .set_label("kubectl-label", ENFORCE_VERSION, Some("v1.34"));
    assert_eq!(world.phase().0, Phase::Enforced);
    assert_eq!(
        world.namespace.owners(ENFORCE),
        ["kubectl-label", FIELD_MANAGER]
    );
}

#[test]
fn yield_leaves_a_contested_key_and_applies_the_rest() {
    let mut world = world(restricted(), json!({}));
    world
        .namespace
        .set_label("kubectl-label", ENFORCE, Some("baseline"));
    world
        .namespace
        .set_label("kubectl-label", ENFORCE_VERSION, Some("v1.30"));
    let outcome = world.settle().expect("won");
    assert_eq!(
        (outcome.phase, outcome.reason),
        (Phase::Yielded, Reason::Yielded)
    );
    assert_eq!(outcome.managers, ["kubectl-label"]);
    assert_eq!(world.enforced(), "baseline:v1.30");
    assert_eq!(
        world.namespace.owners(ENFORCE),
        ["kubectl-label"],
        "left out, not shared"
    );
    assert_eq!(
        world.namespace.label(AUDIT),
        Some("restricted"),
        "the rest is applied"
    );
    assert_eq!(world.writes.len(), 1);
}

#[test]
fn yield_sends_a_contested_key_that_we_own_with_its_live_value() {
    let mut world = world(baseline(), json!({}));
    world.settle();
    world.namespace.set_label(GITOPS, ENFORCE, Some("baseline"));
    assert_eq!(world.namespace.owners(ENFORCE), [GITOPS, FIELD_MANAGER]);
    world.policy("apps", restricted(), at_once(json!({})));
    assert_eq!(world.phase().0, Phase::Yielded);
    assert_eq!(world.enforced(), "baseline:v1.34");
    assert_eq!(
        world.namespace.owners(ENFORCE),
        [GITOPS, FIELD_MANAGER],
        "still both"
    );
}

#[test]
fn audit_yields_like_enforce() {
    let mut world = world(restricted(), json!({}));
    world.namespace.set_label(GITOPS, AUDIT, Some("baseline"));
    assert_eq!(world.phase().0, Phase::Yielded);
    assert_eq!(world.enforced(), "restricted:v1.34");
    assert_eq!(world.namespace.label(AUDIT), Some("baseline"));
}

#[test]
fn take_over_forces_once() {
    let mut world = world(restricted(), json!({"conflictPolicy": "TakeOver"}));
    world
        .namespace
        .set_label("kubectl-label", ENFORCE, Some("baseline"));
    world
        .namespace
        .set_label("kubectl-label", ENFORCE_VERSION, Some("v1.30"));
    assert_eq!(world.phase(), (Phase::Enforced, Reason::AtTarget));
    assert_eq!(world.namespace.owners(ENFORCE), [FIELD_MANAGER]);
    assert_eq!(world.writes.len(), 1);
}

#[test]
fn a_fight_stops_and_is_said() {
    let mut world = world(restricted(), json!({"conflictPolicy": "TakeOver"}));
    world.settle();
    let back = |world: &mut World| {
        world
            .namespace
            .set_label(GITOPS, ENFORCE, Some("privileged"));
    };
    back(&mut world);
    assert_eq!(
        world.phase().0,
        Phase::Enforced,
        "the first time may be a mistake"
    );
    let writes = world.writes.len();
    for _ in 0..4 {
        back(&mut world);
        let outcome = world.settle().expect("won");
        assert_eq!(
            (outcome.phase, outcome.reason),
            (Phase::Contended, Reason::Contended)
        );
        assert_eq!(outcome.managers, [GITOPS]);
        world.minutes(1);
    }
    assert!(
        world.writes.len() <= writes + 1,
        "only the phase is written"
    );
    assert_eq!(world.enforced(), "privileged:v1.34");
    world.restart();
    world.minutes(1);
    assert_eq!(
        world.phase().0,
        Phase::Contended,
        "corrected once in five minutes"
    );
    assert_eq!(
        world.enforced(),
        "restricted:v1.34",
        "and still said, for it may go on"
    );
    world.minutes(11);
    assert_eq!(world.phase().0, Phase::Enforced, "over when it stays quiet");
}

#[test]
fn a_removed_label_comes_back_and_its_remover_is_not_fought() {
    for policy in ["Yield", "TakeOver"] {
        let mut world = world(restricted(), json!({"conflictPolicy": policy}));
        world.add(pod("web", clean_spec()));
        world.settle();
        for key in [ENFORCE, AUDIT, WARN] {
            world.namespace.set_label("anybody", key, None);
        }
        assert_eq!(world.phase().0, Phase::Enforced, "{policy}");
        assert_eq!(world.enforced(), "restricted:v1.34", "{policy}");
        let writes = world.writes.len();
        world.namespace.set_label("anybody", ENFORCE, None);
        let outcome = world.settle().expect("won");
        assert_eq!(outcome.phase, Phase::Contended, "{policy}");
        assert_eq!(
            outcome.managers,
            Vec::<String>::new(),
            "{policy}: it left no trace"
        );
        assert!(world.writes.len() <= writes + 1);
        world.minutes(5);
        world.settle();
        assert_eq!(world.enforced(), "restricted:v1.34", "{policy}");
    }
}

#[test]
fn owners_that_only_the_api_server_knows() {
    for (policy, want, level) in [
        ("Yield", Phase::Yielded, "baseline"),
        ("TakeOver", Phase::Enforced, "restricted"),
    ] {
        let mut world = world(restricted(), json!({"conflictPolicy": policy}));
        world.namespace.set_label("old", ENFORCE, Some("baseline"));
        world
            .namespace
            .set_label("old", ENFORCE_VERSION, Some("v1.30"));
        world.namespace.clear_managed_fields();
        assert_eq!(world.phase().0, want, "{policy}");
        assert_eq!(world.namespace.label(ENFORCE), Some(level), "{policy}");
    }
}

#[test]
fn state_whose_owners_were_forgotten_is_taken_back() {
    for policy in ["Yield", "TakeOver"] {
        let spec = json!({"conflictPolicy": policy, "rollout": {"soak": "1h"}});
        let mut world = World::with_policy(restricted(), spec);
        assert_eq!(world.phase().0, Phase::Soaking, "{policy}");
        world.namespace.clear_managed_fields();
        world.add(pod("bad", privileged_spec()));
        // The phase that is stored has an owner that no managedFields entry shows.
        assert_eq!(world.phase().0, Phase::Held, "{policy}");
        let keys: Vec<_> = world.namespace.annotations().map(str::to_owned).collect();
        let clean = "state.podfence.dev/clean-since".to_owned();
        assert!(
            !keys.contains(&clean),
            "a record that is over must not stay: {keys:?}"
        );
    }
}

#[test]
fn state_of_a_namespace_that_leaves_goes_whoever_owns_it() {
    for (name, change) in [
        (
            "nobody",
            (|world| world.namespace.clear_managed_fields()) as fn(&mut World),
        ),
        ("somebody too", |world| {
            let keys: Vec<_> = world.namespace.annotations().map(str::to_owned).collect();
            for key in keys {
                world.namespace.set_annotation("kubectl-edit", &key, "x");
            }
        }),
    ] {
        let mut world = World::with_policy(restricted(), json!({}));
        world.settle();
        change(&mut world);
        world.edit("apps", json!({"excludedNamespaces": ["shop"]}));
        assert_eq!(world.settle(), None, "{name}");
        assert_eq!(world.namespace.annotations().next(), None, "{name}");
    }
}

#[test]
fn nothing_is_lowered_that_is_not_ours() {
    for policy in ["Yield", "TakeOver"] {
        let mut world = world(baseline(), json!({"conflictPolicy": policy}));
        world
            .namespace
            .set_label("kubectl-label", ENFORCE, Some("restricted"));
        world
            .namespace
            .set_label("kubectl-label", ENFORCE_VERSION, Some("v1.34"));
        assert_eq!(
            world.phase(),
            (Phase::StricterKept, Reason::StricterKept),
            "{policy}"
        );
        assert_eq!(world.enforced(), "restricted:v1.34", "{policy}");
        assert_eq!(
            world.namespace.owners(ENFORCE),
            ["kubectl-label"],
            "{policy}: never forced"
        );
        world.restart();
        assert_eq!(world.phase().0, Phase::StricterKept, "{policy}");
    }
}

#[test]
fn what_we_alone_raised_is_lowered_when_the_profile_says_so() {
    let mut world = world(restricted(), json!({}));
    world.settle();
    world.policy("apps", baseline(), at_once(json!({})));
    assert_eq!(world.phase().0, Phase::Enforced);
    assert_eq!(world.enforced(), "baseline:v1.34");
    assert!(world.event_reasons().contains(&"Loosened"));
}

#[test]
fn what_keeps_a_stricter_level() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 5] = [
        ("another author", |world| {
            world.policies.clear();
            world.policy("other", baseline(), at_once(json!({})));
        }),
        ("a second owner", |world| {
            world
                .namespace
                .set_label(GITOPS, ENFORCE, Some("restricted"));
        }),
        ("no state", |world| {
            let keys: Vec<_> = world.namespace.annotations().map(str::to_owned).collect();
            for key in keys {
                world.namespace.set_annotation(FIELD_MANAGER, &key, "");
            }
        }),
        ("ownership lost", |world| {
            world.namespace.clear_managed_fields();
        }),
        ("a value that was changed since", |world| {
            world
                .namespace
                .set_label(FIELD_MANAGER, ENFORCE_VERSION, Some("v1.35"));
        }),
    ];
    for (name, change) in changes {
        let mut world = world(restricted(), json!({}));
        world.settle();
        world.policy("apps", baseline(), at_once(json!({})));
        change(&mut world);
        assert_eq!(world.phase().0, Phase::StricterKept, "{name}");
        assert_eq!(world.namespace.label(ENFORCE), Some("restricted"), "{name}");
        assert!(!world.event_reasons().contains(&"Loosened"), "{name}");
    }
}

#[test]
fn keeping_a_value_never_makes_an_author() {
    let mut world = world(restricted(), json!({}));
    world.settle();
    world.policies.clear();
    world.policy("next", restricted(), at_once(json!({})));
    assert_eq!(world.phase().0, Phase::Enforced);
    world.policy("next", baseline(), at_once(json!({})));
    assert_eq!(
        world.phase().0,
        Phase::StricterKept,
        "apps raised it, next only kept it"
    );
}

#[test]
fn loosening_always_asks_only_spec_and_conflict_policy() {
    let always =
        |policy: &str| json!({"conflictPolicy": policy, "rollout": {"loosening": "Always"}});
    for (policy, phase, level) in [
        ("Yield", Phase::Yielded, "restricted"),
        ("TakeOver", Phase::Enforced, "baseline"),
    ] {
        let mut world = world(baseline(), always(policy));
        world
            .namespace
            .set_label("kubectl-label", ENFORCE, Some("restricted"));
        assert_eq!(world.phase().0, phase, "{policy}");
        assert_eq!(world.namespace.label(ENFORCE), Some(level), "{policy}");
    }
}

#[test]
fn violating_pods_never_lower_what_is_enforced() {
    let mut world = world(restricted(), json!({}));
    world.settle();
    world.add(pod("web", privileged_spec()));
    assert_eq!(world.phase().0, Phase::Enforced);
    assert_eq!(world.enforced(), "restricted:v1.34");
}

#[test]
fn both_halves_at_once_are_a_loosening_and_a_tightening() {
    // Lower level, higher version, and ours: allowed to loosen, but it has to be clean.
    let mut world = world(profile("restricted:v1.30", "", ""), json!({}));
    world.settle();
    world.add(pod("web", privileged_spec()));
    world.policy(
        "apps",
        profile("baseline:v1.34", "", ""),
        at_once(json!({})),
    );
    assert_eq!(world.phase().0, Phase::Held);
    assert_eq!(world.enforced(), "restricted:v1.30");
    world.remove(podfence_workload::Kind::Pod, "web");
    assert_eq!(world.phase().0, Phase::Enforced);
    assert_eq!(world.enforced(), "baseline:v1.34");

    // Higher level, lower version, not ours: the live pair stays as a whole.
    let mut world = self::world(profile("restricted:v1.30", "", ""), json!({}));
    world
        .namespace
        .set_label("kubectl-label", ENFORCE, Some("baseline"));
    assert_eq!(world.phase(), (Phase::Held, Reason::StricterKept));
    assert_eq!(world.enforced(), "baseline");
}

#[test]
fn the_version_of_a_privileged_pair_is_nothing_to_lower() {
    for (policy, phase, level) in [
        ("Yield", Phase::Yielded, "privileged"),
        ("TakeOver", Phase::Enforced, "restricted"),
    ] {
        let mut world = world(restricted(), json!({"conflictPolicy": policy}));
        world
            .namespace
            .set_label("kubectl-label", ENFORCE, Some("privileged"));
        assert_eq!(world.phase().0, phase, "{policy}");
        assert_eq!(world.namespace.label(ENFORCE), Some(level), "{policy}");
    }
}

#[test]
fn invalid_labels_are_kept_and_said() {
    let mut world = world(restricted(), json!({}));
    world
        .namespace
        .set_label("through-status", ENFORCE, Some("foo"));
    let outcome = world.settle().expect("won");
    assert_eq!(
        outcome.phase,
        Phase::StricterKept,
        "the API server enforces restricted:latest"
    );
    assert_eq!(outcome.reason, Reason::InvalidLabel);
    assert_eq!(outcome.invalid_labels, [format!("{ENFORCE}=foo")]);
    assert_eq!(world.namespace.label(ENFORCE), Some("foo"));
}

#[test]
fn a_mode_that_the_profile_no_longer_names_keeps_its_label() {
    let mut world = world(restricted(), json!({}));
    world.settle();
    world.policy(
        "apps",
        profile("restricted:v1.34", "", ""),
        at_once(json!({})),
    );
    world.settle();
    assert_eq!(world.namespace.label(AUDIT), Some("restricted"));
    assert_eq!(
        world.namespace.owners(AUDIT),
        [FIELD_MANAGER],
        "sent with its live value"
    );
    world
        .namespace
        .set_label("kubectl-label", AUDIT, Some("baseline"));
    world.settle();
    assert_eq!(world.namespace.label(AUDIT), Some("baseline"));
    assert_eq!(
        world.namespace.owners(AUDIT),
        ["kubectl-label"],
        "not added again"
    );
}

#[test]
fn forged_state_is_overwritten_and_takes_no_label() {
    let mut world = world(restricted(), json!({}));
    world
        .namespace
        .set_annotation("mallory", "state.podfence.dev/policy", "other");
    world
        .namespace
        .set_label("kubectl-label", ENFORCE, Some("baseline"));
    world
        .namespace
        .set_label("kubectl-label", ENFORCE_VERSION, Some("v1.30"));
    assert_eq!(world.phase().0, Phase::Yielded);
    assert_eq!(
        world.namespace.annotation("state.podfence.dev/policy"),
        Some("apps")
    );
    assert_eq!(
        world.enforced(),
        "baseline:v1.30",
        "forcing took nothing but the state"
    );
}

#[test]
fn retain_keeps_labels_and_forgets() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 3] = [
        ("no longer matched", |world| {
            world.edit("apps", json!({"excludedNamespaces": ["sh*"]}));
        }),
        ("the policy is gone", |world| world.policies.clear()),
        ("the policy is gone and said Remove", |world| {
            world.edit("apps", json!({"deletionPolicy": "Remove"}));
            world.policies.clear();
        }),
    ];
    for (name, change) in changes {
        let mut world = world(restricted(), json!({}));
        world.settle();
        change(&mut world);
        assert_eq!(world.settle(), None, "{name}");
        assert_eq!(world.enforced(), "restricted:v1.34", "{name}");
        assert_eq!(world.namespace.owners(ENFORCE), [FIELD_MANAGER], "{name}");
        assert_eq!(world.namespace.annotations().count(), 0, "{name}");
        let writes = world.writes.len();
        world.restart();
        world.settle();
        assert_eq!(world.writes.len(), writes, "{name}: once");
    }
}

#[test]
fn remove_takes_exactly_what_we_own() {
    let mut world = world(restricted(), json!({"deletionPolicy": "Remove"}));
    world.namespace.set_label("owner", "team", Some("web"));
    world.namespace.set_label("owner", WARN, Some("restricted"));
    world.settle();
    let before = world.namespace.observe();
    world.edit("apps", json!({"excludedNamespaces": ["shop"]}));
    assert_eq!(world.settle(), None);
    assert_eq!(world.enforced(), "-");
    assert_eq!(world.namespace.label("team"), Some("web"));
    assert_eq!(
        world.namespace.label(WARN),
        Some("restricted"),
        "owned by somebody else too"
    );
    let left = podfence_plan::left_behind(&before, &world.namespace.observe());
    assert_eq!(left, [WARN], "and that is reported");
}

#[test]
fn remove_strips_nothing_while_the_definition_goes_away() {
    let mut world = world(restricted(), json!({"deletionPolicy": "Remove"}));
    world.settle();
    world.crd_is_readable = false;
    world.edit("apps", json!({"excludedNamespaces": ["shop"]}));
    world.settle();
    assert_eq!(world.enforced(), "restricted:v1.34");
    assert_eq!(world.namespace.annotations().count(), 0);
}

#[test]
fn remove_does_nothing_where_another_policy_wins() {
    let mut world = world(
        restricted(),
        json!({"deletionPolicy": "Remove", "priority": 1}),
    );
    world.settle();
    world.policy("weaker", baseline(), at_once(json!({})));
    world.edit("apps", json!({"excludedNamespaces": ["shop"]}));
    assert_eq!(world.phase().0, Phase::StricterKept);
    assert_eq!(world.enforced(), "restricted:v1.34");
}

#[test]
fn nothing_is_written_for_an_idle_policy_that_is_left() {
    for change in [
        json!({"suspend": true}),
        json!({"rollout": {"strategy": "DryRun"}}),
    ] {
        let mut world = world(restricted(), json!({"deletionPolicy": "Remove"}));
        world.settle();
        let writes = world.writes.len();
        world.edit("apps", change);
        world.edit("apps", json!({"excludedNamespaces": ["shop"]}));
        world.settle();
        assert_eq!(world.writes.len(), writes);
    }
}

#[test]
fn a_policy_that_cannot_be_read_freezes_what_it_wrote() {
    let mut world = world(restricted(), json!({}));
    world.settle();
    let writes = world.writes.len();
    world.policies.clear();
    world.unusable.insert(
        "apps".into(),
        Unusable {
            error: "odd".into(),
            generation: 2,
        },
    );
    assert_eq!(
        world.settle(),
        None,
        "matched by nobody: nothing is forgotten"
    );
    world.policy("weaker", baseline(), at_once(json!({})));
    assert_eq!(world.phase(), (Phase::Unknown, Reason::MalformedObject));
    assert_eq!(world.writes.len(), writes);
}

#[test]
fn terminating_and_system_namespaces_are_left_alone() {
    let mut world = world(restricted(), json!({}));
    world.namespace.terminating = true;
    assert_eq!(world.settle(), None);
    for name in [
        "kube-system",
        "kube-public",
        "kube-node-lease",
        world::OWN_NAMESPACE,
    ] {
        let mut world = self::world(restricted(), json!({}));
        world.namespace.name = name.into();
        assert_eq!(world.settle(), None, "{name}");
        world.edit("apps", json!({"includeSystemNamespaces": true}));
        assert_eq!(world.phase().0, Phase::Enforced, "{name}");
    }
}

#[test]
fn the_highest_priority_wins_then_the_first_name() {
    let mut world = world(restricted(), json!({}));
    world.policy("b", baseline(), at_once(json!({})));
    let outcome = world.settle().expect("won");
    assert_eq!(
        (outcome.policy.as_str(), &outcome.superseded[..]),
        ("apps", &["b".to_owned()][..])
    );
    world.edit("b", json!({"priority": 5}));
    let outcome = world.settle().expect("won");
    assert_eq!(outcome.policy, "b");
    assert_eq!(
        outcome.phase,
        Phase::StricterKept,
        "a changed winner loosens nothing silently"
    );
}
