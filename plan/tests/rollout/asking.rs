//! What the API server is asked before enforcement tightens, and what its warnings do.

use podfence_crd::{Phase, Reason};
use serde_json::json;

use crate::world::{ENFORCE, World, baseline_spec, clean_spec, pod, privileged_spec};
use crate::{immediate, restricted};

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

    // The API server speaks of it only when enforce tightens.
    world.admission.clear();
    assert_eq!(world.phase(), (Phase::Exempt, Reason::Exempt));
    world.namespace.set_label("anybody", ENFORCE, None);
    assert_eq!(world.phase(), (Phase::Enforced, Reason::AtTarget));
    assert_eq!(world.enforced(), "restricted:v1.34");
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
