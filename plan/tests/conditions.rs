//! The truth table of conditions, the bounds of a status, and that equal input gives equal bytes.
// A test that panics has failed, which is its job.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

mod world;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use podfence_crd::{NamespacePolicyStatus, Phase};
use podfence_plan::seccomp_default::{Levels, SeccompView};
use podfence_plan::{
    Outcome, Policy, PolicyView, Profile, Servers, Subject, Unseen, Unusable, plan_profile_status,
    plan_status,
};
use podfence_podsecurity::{NEWEST_RULES, ServerVersion};
use podfence_workload::Kind;
use serde_json::{Value, json};
use world::{
    ENFORCE, ENFORCE_VERSION, World, at, baseline_spec, clean_spec, deployment, pod,
    privileged_spec, profile,
};

fn restricted() -> Profile {
    profile("restricted:v1.34", "restricted:latest", "restricted:latest")
}

fn policy(profile: Profile, change: Value) -> Policy {
    let mut metadata = json!({"name": "apps", "uid": "uid-apps", "generation": 7,
        "creationTimestamp": "2026-06-01T00:00:00Z"});
    let mut spec = json!({"profileRef": {"name": "restricted"}, "namespaceSelector": {}});
    for (key, value) in change.as_object().expect("an object") {
        match key.as_str() {
            "deletionTimestamp" => metadata[key] = value.clone(),
            _ => spec[key] = value.clone(),
        }
    }
    let object = serde_json::from_value(json!({"apiVersion": "podfence.dev/v1alpha1",
        "kind": "NamespacePolicy", "metadata": metadata, "spec": spec}))
    .expect("a policy");
    Policy::compile(&object, profile).expect("a usable policy")
}

/// How far `shop` is under a policy, after `change`.
fn outcome(profile: Profile, spec: Value, change: impl FnOnce(&mut World)) -> Outcome {
    let mut world = World::with_policy(profile, spec);
    change(&mut world);
    world.settle().expect("won")
}

/// The conditions in the notation of the table: `Ready=True/Succeeded`.
fn shown(conditions: &[Condition]) -> Vec<String> {
    conditions
        .iter()
        .map(|it| format!("{}={}/{}", it.type_, it.status, it.reason))
        .collect()
}

/// A cluster of whose workloads nothing is known: what is said of SeccompDefault has a table of its
/// own, in `seccomp_default.rs`.
fn nothing_of_seccomp() -> SeccompView<'static> {
    SeccompView {
        nodes: Box::leak(Box::default()),
        namespaces: &[],
        outside: 0,
        levels: &|_| Levels::default(),
        servers: None,
        unseen: &[],
    }
}

struct Row {
    situation: &'static str,
    subject: Result<Policy, Unusable>,
    won: Vec<Outcome>,
    lost: Vec<(&'static str, &'static str)>,
    pending: usize,
    unseen: Vec<Unseen>,
    want: [&'static str; 5],
}

impl Row {
    fn new(
        situation: &'static str,
        policy: Policy,
        won: Vec<Outcome>,
        want: [&'static str; 5],
    ) -> Self {
        let (lost, unseen) = (Vec::new(), Vec::new());
        Self {
            situation,
            subject: Ok(policy),
            won,
            lost,
            pending: 0,
            unseen,
            want,
        }
    }

    fn status(&self) -> NamespacePolicyStatus {
        let won: Vec<_> = self.won.iter().map(|outcome| ("shop", outcome)).collect();
        plan_status(&PolicyView {
            now: at("2026-11-20T12:00:00Z"),
            subject: match &self.subject {
                Ok(policy) => Subject::Policy(policy),
                Err(unusable) => Subject::Unusable(unusable),
            },
            won: &won,
            lost: &self.lost,
            pending: self.pending,
            unseen: &self.unseen,
            seccomp: nothing_of_seccomp(),
            previous: None,
        })
    }
}

/// Columns: Ready, Reconciling or Stalled (`-` when neither is there), Enforced,
/// `PodSecurityCompliant`, `ReportComplete`.
#[allow(clippy::too_many_lines)] // A table.
fn table() -> Vec<Row> {
    let soaked = || json!({"rollout": {"soak": "0s"}});
    let plain = || policy(restricted(), json!({}));
    let clean = |world: &mut World| world.add(deployment("web", 1, clean_spec()));
    let violating = |world: &mut World| world.add(deployment("web", 1, baseline_spec()));
    let label = |key: &'static str, value: &'static str| {
        move |world: &mut World| world.namespace.set_label("kubectl-label", key, Some(value))
    };
    let enforced = || outcome(restricted(), soaked(), clean);
    let forbidden = || Unseen::Forbidden {
        resource: "daemonsets.apps".into(),
    };
    let done = "Ready=True/Succeeded";
    let (compliant, complete) = (
        "PodSecurityCompliant=True/Compliant",
        "ReportComplete=True/Complete",
    );
    let violates = "PodSecurityCompliant=False/ViolatingWorkloads";
    vec![
        Row::new(
            "no namespace matched",
            plain(),
            vec![],
            [
                "Ready=True/NoNamespacesMatched",
                "-",
                "Enforced=True/NoNamespacesMatched",
                "PodSecurityCompliant=True/NoNamespacesMatched",
                complete,
            ],
        ),
        Row {
            lost: vec![("shop", "other")],
            ..Row::new(
                "superseded everywhere",
                plain(),
                vec![],
                [
                    "Ready=True/Superseded",
                    "-",
                    "Enforced=True/Superseded",
                    "PodSecurityCompliant=True/Superseded",
                    complete,
                ],
            )
        },
        Row {
            lost: vec![("web", "other")],
            ..Row::new(
                "superseded somewhere",
                plain(),
                vec![enforced()],
                [done, "-", "Enforced=True/AtTarget", compliant, complete],
            )
        },
        Row::new(
            "enforced",
            plain(),
            vec![enforced()],
            [done, "-", "Enforced=True/AtTarget", compliant, complete],
        ),
        Row::new(
            "stricter kept",
            plain(),
            vec![outcome(
                profile("baseline:v1.34", "", ""),
                soaked(),
                label(ENFORCE, "restricted"),
            )],
            [done, "-", "Enforced=True/AtTarget", compliant, complete],
        ),
        Row::new(
            "soaking",
            plain(),
            vec![outcome(restricted(), json!({}), clean)],
            [done, "-", "Enforced=False/Soaking", compliant, complete],
        ),
        Row::new(
            "held",
            plain(),
            vec![outcome(restricted(), soaked(), violating)],
            [
                done,
                "-",
                "Enforced=False/ViolatingWorkloads",
                violates,
                complete,
            ],
        ),
        Row::new(
            "the API server disagrees",
            plain(),
            vec![outcome(restricted(), soaked(), |world| {
                world.admission =
                    vec!["failed to list pods while checking new PodSecurity enforce level".into()];
            })],
            [
                done,
                "-",
                "Enforced=False/AdmissionDisagrees",
                compliant,
                complete,
            ],
        ),
        Row::new(
            "enforced and violated",
            plain(),
            vec![outcome(
                restricted(),
                json!({"rollout": {"strategy": "Immediate"}}),
                violating,
            )],
            [done, "-", "Enforced=True/AtTarget", violates, complete],
        ),
        Row::new(
            "excepted",
            plain(),
            vec![outcome(
                restricted(),
                json!({"rollout": {"strategy": "Immediate"}, "exceptions": [{"name": "web",
                "workloadSelector": {"matchLabels": {"app": "web"}}, "reason": "SEC-1",
                "checks": ["hostPorts"], "expiresAt": "2027-01-01T00:00:00Z"}]}),
                |world| {
                    let mut spec = clean_spec();
                    spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
                    world.add(deployment("web", 1, spec));
                },
            )],
            [done, "-", "Enforced=True/AtTarget", compliant, complete],
        ),
        Row::new(
            "yielded",
            plain(),
            vec![outcome(restricted(), soaked(), |world| {
                world
                    .namespace
                    .set_label("kubectl-label", ENFORCE, Some("baseline"));
                world
                    .namespace
                    .set_label("kubectl-label", ENFORCE_VERSION, Some("v1.30"));
            })],
            [
                "Ready=False/Yielded",
                "-",
                "Enforced=False/Yielded",
                compliant,
                complete,
            ],
        ),
        Row::new(
            "contended",
            plain(),
            vec![outcome(restricted(), soaked(), |world| {
                for _ in 0..2 {
                    world.settle();
                    world.namespace.set_label("anybody", ENFORCE, None);
                }
            })],
            [
                "Ready=False/Contended",
                "-",
                "Enforced=False/Contended",
                compliant,
                complete,
            ],
        ),
        Row::new(
            "an invalid label",
            plain(),
            vec![outcome(
                profile("baseline:v1.34", "", ""),
                soaked(),
                label(ENFORCE, "foo"),
            )],
            [done, "-", "Enforced=True/AtTarget", compliant, complete],
        ),
        Row::new(
            "exempt",
            plain(),
            vec![outcome(restricted(), soaked(), |world| {
                world.admission = vec![
                    "namespace \"shop\" is exempt from Pod Security, and the policy \
                (enforce=restricted:v1.34) will be ignored"
                        .into(),
                ];
            })],
            [done, "-", "Enforced=False/Exempt", compliant, complete],
        ),
        Row::new(
            "dry run",
            policy(restricted(), json!({"rollout": {"strategy": "DryRun"}})),
            vec![outcome(
                restricted(),
                json!({"rollout": {"strategy": "DryRun"}}),
                violating,
            )],
            [
                "Ready=True/DryRun",
                "-",
                "Enforced=False/ViolatingWorkloads",
                violates,
                complete,
            ],
        ),
        Row::new(
            "suspended",
            policy(restricted(), json!({"suspend": true})),
            vec![outcome(restricted(), json!({"suspend": true}), clean)],
            [
                "Ready=True/Suspended",
                "-",
                "Enforced=False/Suspended",
                compliant,
                complete,
            ],
        ),
        Row::new(
            "profile missing",
            policy(Profile::Missing, json!({})),
            vec![outcome(Profile::Missing, json!({}), clean)],
            [
                "Ready=False/ProfileMissing",
                "Stalled=True/ProfileMissing",
                "Enforced=Unknown/ProfileMissing",
                "PodSecurityCompliant=Unknown/ProfileMissing",
                "ReportComplete=Unknown/ProfileMissing",
            ],
        ),
        Row::new(
            "profile invalid",
            policy(Profile::Invalid("empty".into()), json!({})),
            vec![outcome(Profile::Invalid("empty".into()), json!({}), clean)],
            [
                "Ready=False/ProfileInvalid",
                "Stalled=True/ProfileInvalid",
                "Enforced=Unknown/ProfileInvalid",
                "PodSecurityCompliant=Unknown/ProfileInvalid",
                "ReportComplete=Unknown/ProfileInvalid",
            ],
        ),
        Row {
            subject: Err(Unusable {
                error: "spec.namespaceSelector: odd".into(),
                generation: 7,
            }),
            ..Row::new(
                "policy unusable",
                plain(),
                vec![],
                [
                    "Ready=False/PolicyInvalid",
                    "Stalled=True/PolicyInvalid",
                    "Enforced=Unknown/PolicyInvalid",
                    "PodSecurityCompliant=Unknown/PolicyInvalid",
                    "ReportComplete=Unknown/PolicyInvalid",
                ],
            )
        },
        Row::new(
            "being deleted",
            policy(
                restricted(),
                json!({"deletionTimestamp": "2026-11-20T11:00:00Z"}),
            ),
            vec![],
            [
                "Ready=False/Terminating",
                "Reconciling=True/Terminating",
                "Enforced=Unknown/Terminating",
                "PodSecurityCompliant=Unknown/Terminating",
                "ReportComplete=Unknown/Terminating",
            ],
        ),
        Row {
            pending: 3,
            ..Row::new(
                "under way",
                plain(),
                vec![enforced()],
                [
                    "Ready=Unknown/Progressing",
                    "Reconciling=True/Progressing",
                    "Enforced=Unknown/Progressing",
                    "PodSecurityCompliant=Unknown/Progressing",
                    "ReportComplete=Unknown/Progressing",
                ],
            )
        },
        Row::new(
            "a write failed",
            plain(),
            vec![enforced().failed(
                "the server is on fire".into(),
                None,
                at("2026-11-20T12:00:00Z"),
            )],
            [
                "Ready=False/ApplyFailed",
                "Reconciling=True/ProgressingWithRetry",
                "Enforced=False/ApplyFailed",
                compliant,
                complete,
            ],
        ),
        Row {
            unseen: vec![forbidden()],
            ..Row::new(
                "a kind is forbidden, labels are in place",
                plain(),
                vec![enforced()],
                [
                    done,
                    "-",
                    "Enforced=True/AtTarget",
                    "PodSecurityCompliant=Unknown/Forbidden",
                    "ReportComplete=False/Forbidden",
                ],
            )
        },
        Row {
            unseen: vec![forbidden()],
            ..Row::new(
                "a kind is forbidden, labels are not",
                plain(),
                vec![outcome(restricted(), soaked(), |world| {
                    world.unseen = vec![forbidden()];
                })],
                [
                    done,
                    "-",
                    "Enforced=False/Forbidden",
                    "PodSecurityCompliant=Unknown/Forbidden",
                    "ReportComplete=False/Forbidden",
                ],
            )
        },
        Row {
            unseen: vec![forbidden()],
            ..Row::new(
                "a kind is forbidden, another violates",
                plain(),
                vec![outcome(restricted(), soaked(), violating)],
                [
                    done,
                    "-",
                    "Enforced=False/ViolatingWorkloads",
                    violates,
                    "ReportComplete=False/Forbidden",
                ],
            )
        },
        Row::new(
            "an unreadable object",
            plain(),
            vec![outcome(restricted(), soaked(), |world| {
                world
                    .workloads
                    .malformed(Kind::Pod, "odd", "spec: not an object".into());
            })],
            [
                done,
                "-",
                "Enforced=False/MalformedObject",
                "PodSecurityCompliant=Unknown/MalformedObject",
                "ReportComplete=False/MalformedObject",
            ],
        ),
        blind(
            "a kind cannot be listed",
            vec![Unseen::ListFailed {
                resource: "jobs.batch".into(),
            }],
            [
                "Enforced=False/ListFailed",
                "PodSecurityCompliant=Unknown/ListFailed",
                "ReportComplete=False/ListFailed",
            ],
        ),
        blind(
            "a watch is interrupted",
            vec![Unseen::WatchLost {
                resource: "pods".into(),
            }],
            [
                "Enforced=False/WatchLost",
                "PodSecurityCompliant=Unknown/WatchLost",
                "ReportComplete=False/WatchLost",
            ],
        ),
        blind(
            "no API server tells its version",
            vec![Unseen::ServerVersionUnknown],
            [
                "Enforced=False/ListFailed",
                "PodSecurityCompliant=Unknown/ListFailed",
                "ReportComplete=False/ListFailed",
            ],
        ),
        Row::new(
            "newer rules than ours",
            plain(),
            vec![outcome(
                profile("restricted:latest", "", ""),
                soaked(),
                |world| {
                    let newer = ServerVersion::new(NEWEST_RULES + 1);
                    world.servers = Some(Servers {
                        oldest: newer,
                        newest: newer,
                    });
                },
            )],
            [
                done,
                "-",
                "Enforced=False/ServerTooNew",
                "PodSecurityCompliant=Unknown/ServerTooNew",
                "ReportComplete=False/ServerTooNew",
            ],
        ),
    ]
}

/// A clean namespace that would tighten if the whole cluster could be seen.
fn blind(situation: &'static str, unseen: Vec<Unseen>, want: [&'static str; 3]) -> Row {
    let held = outcome(restricted(), json!({"rollout": {"soak": "0s"}}), |world| {
        world.unseen.clone_from(&unseen);
    });
    let [enforced, compliant, complete] = want;
    let want = ["Ready=True/Succeeded", "-", enforced, compliant, complete];
    Row {
        unseen,
        ..Row::new(situation, policy(restricted(), json!({})), vec![held], want)
    }
}

/// The conditions on SeccompDefault, and what they say of workloads that are not affected. What they
/// say of others has a table of its own, in `seccomp_default`.
const SECCOMP: [(&str, &str); 2] = [
    ("SeccompDefaultReady", "True/WorkloadsReady"),
    ("ProfilesAvailable", "True/ProfilesPresent"),
];

#[test]
fn truth_table() {
    for row in table() {
        let status = row.status();
        let (seccomp, got): (Vec<_>, Vec<_>) = shown(&status.conditions)
            .into_iter()
            .partition(|it| SECCOMP.iter().any(|(kind, _)| it.starts_with(kind)));
        let enforced = row.want[2].trim_start_matches("Enforced=");
        // What is said of workloads speaks of the same namespaces, and no workload of theirs is
        // affected here.
        let undecided = enforced.starts_with("Unknown")
            || matches!(enforced, "True/NoNamespacesMatched" | "True/Superseded");
        let want = SECCOMP.map(|(kind, settled)| {
            let said = if undecided { enforced } else { settled };
            format!("{kind}={said}")
        });
        assert_eq!(seccomp, want, "{}", row.situation);
        let want: Vec<_> = row.want.iter().filter(|it| **it != "-").copied().collect();
        assert_eq!(got, want, "{}", row.situation);
        assert_eq!(status.observed_generation, 7, "{}", row.situation);
        for condition in &status.conditions {
            assert_eq!(condition.observed_generation, Some(7), "{}", row.situation);
            assert!(
                !condition.message.is_empty(),
                "{}: {}",
                row.situation,
                condition.type_
            );
        }
    }
}

/// What a profile says of itself: the situation, what is wrong with it, Ready, Stalled.
const PROFILES: [(&str, Option<&str>, [&str; 2]); 2] = [
    ("usable", None, ["Ready=True/Succeeded", "-"]),
    (
        "unusable",
        Some("spec: not an object"),
        ["Ready=False/ProfileInvalid", "Stalled=True/ProfileInvalid"],
    ),
];

#[test]
fn truth_table_of_profiles() {
    let (first, later) = (at("2026-11-20T12:00:00Z"), at("2026-11-20T13:00:00Z"));
    let mut previous = None;
    for (situation, problem, want) in PROFILES {
        let status = plan_profile_status(7, problem, 3, previous.as_ref(), first);
        let want: Vec<_> = want.iter().filter(|it| **it != "-").copied().collect();
        assert_eq!(shown(&status.conditions), want, "{situation}");
        assert_eq!((status.observed_generation, status.used_by), (7, 3));
        for condition in &status.conditions {
            assert_eq!(condition.observed_generation, Some(7), "{situation}");
            let told = problem.unwrap_or("the profile can be used");
            assert_eq!(condition.message, told, "{situation}");
        }
        let same = plan_profile_status(7, problem, 3, Some(&status), later);
        assert_eq!(same, status, "{situation}: nothing changed");
        previous = Some(status);
    }
}

/// The rows of a table in `docs/conditions.md` that has so many columns.
fn documented(columns: usize) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conditions.md");
    let document = std::fs::read_to_string(path).expect("docs/conditions.md");
    document
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("Ready="))
        .filter(|line| line.matches('|').count() == columns + 1)
        .map(str::to_owned)
        .collect()
}

fn rows<'a>(table: impl IntoIterator<Item = (&'a str, &'a [&'a str])>) -> Vec<String> {
    let row = |(situation, want): (&str, &[&str])| {
        let cells: Vec<_> = want.iter().map(|it| it.replace('-', "")).collect();
        format!("| {situation} | {} |", cells.join(" | "))
    };
    table.into_iter().map(row).collect()
}

#[test]
fn the_documented_tables_are_these() {
    let table = table();
    let policies = rows(table.iter().map(|row| (row.situation, &row.want[..])));
    let profiles = PROFILES.each_ref();
    let profiles = rows(profiles.map(|(situation, _, want)| (*situation, &want[..])));
    for (columns, rows) in [(6, policies), (3, profiles)] {
        assert_eq!(
            documented(columns),
            rows,
            "docs/conditions.md differs; the rows should be:\n{}",
            rows.join("\n")
        );
    }
}

#[test]
fn what_the_newest_rules_would_forbid_is_said() {
    // Hosts in probes are forbidden since v1.34.
    let mut spec = clean_spec();
    spec["containers"][0]["livenessProbe"] = json!({"httpGet": {"host": "a", "port": 80}});
    let older = || profile("baseline:v1.33", "", "");
    let soaked = json!({"rollout": {"soak": "0s"}});
    let enforced = outcome(older(), soaked, |world| {
        world.add(deployment("web", 1, spec));
    });
    assert_eq!(enforced.phase, Phase::Enforced);
    assert_eq!(enforced.assessment.newest_only, 1);
    let policy = policy(older(), json!({}));
    let won = [("shop", &enforced)];
    let status = plan_status(&view(&policy, &won, None, at("2026-11-20T12:00:00Z")));
    let compliant = status.conditions.iter();
    let mut compliant = compliant.filter(|it| it.type_ == "PodSecurityCompliant");
    let compliant = compliant.next().expect("it is always there");
    assert_eq!(compliant.status, "True");
    let said = "1 would violate the newest version that the API servers know";
    assert!(compliant.message.ends_with(said), "{}", compliant.message);
}

#[test]
fn invalid_labels_are_named_whatever_the_phase() {
    for target in ["restricted:latest", "baseline:v1.34"] {
        let odd = outcome(profile(target, "", ""), json!({}), |world| {
            world
                .namespace
                .set_label("through-status", ENFORCE, Some("nonsense"));
        });
        let policy = policy(restricted(), json!({}));
        let won = [("shop", &odd)];
        let status = plan_status(&view(&policy, &won, None, at("2026-11-20T12:00:00Z")));
        let ready = &status.conditions[0];
        assert!(
            ready
                .message
                .contains("shop (pod-security.kubernetes.io/enforce=nonsense)"),
            "{ready:?}"
        );
    }
}

#[test]
fn kstatus_rules_hold_in_every_row() {
    for row in table() {
        let status = row.status();
        let is = |kind: &str| {
            status
                .conditions
                .iter()
                .find(|it| it.type_ == kind)
                .map(|it| it.status.clone())
        };
        let (ready, reconciling, stalled) = (is("Ready"), is("Reconciling"), is("Stalled"));
        let situation = row.situation;
        assert!(ready.is_some(), "{situation}: Ready is always there");
        assert!(
            reconciling.is_none() || stalled.is_none(),
            "{situation}: never both"
        );
        for other in [&reconciling, &stalled].into_iter().flatten() {
            assert_eq!(other, "True", "{situation}: present only when true");
            assert_ne!(ready.as_deref(), Some("True"), "{situation}");
        }
        if ready.as_deref() == Some("Unknown") {
            assert!(reconciling.is_some(), "{situation}");
        }
    }
}

fn view<'a>(
    policy: &'a Policy,
    won: &'a [(&'a str, &'a Outcome)],
    previous: Option<&'a NamespacePolicyStatus>,
    now: Timestamp,
) -> PolicyView<'a> {
    PolicyView {
        now,
        subject: Subject::Policy(policy),
        won,
        lost: &[],
        pending: 0,
        unseen: &[],
        seccomp: nothing_of_seccomp(),
        previous,
    }
}

#[test]
fn transition_times_move_only_with_the_status() {
    let policy = policy(restricted(), json!({}));
    let soaking = outcome(restricted(), json!({}), |_| {});
    let held = outcome(restricted(), json!({}), |world| {
        world.add(pod("web", privileged_spec()));
    });
    let (first, later) = (at("2026-11-20T12:00:00Z"), at("2026-11-20T13:00:00Z"));
    let won = [("shop", &soaking)];
    let before = plan_status(&view(&policy, &won, None, first));
    let same = plan_status(&view(&policy, &won, Some(&before), later));
    assert_eq!(before, same, "nothing changed, so nothing is written");
    let won = [("shop", &held)];
    let after = plan_status(&view(&policy, &won, Some(&before), later));
    for condition in &after.conditions {
        let moved = condition.last_transition_time.0 == later;
        assert_eq!(
            moved,
            condition.type_ == "PodSecurityCompliant",
            "{condition:?}"
        );
    }
}

#[test]
fn bounded_complete_and_independent_of_order() {
    let policy = policy(restricted(), json!({}));
    let long = "w".repeat(250);
    let held = outcome(restricted(), json!({}), |world| {
        for number in 0..40 {
            world.add(deployment(
                &format!("{long}-{number:02}"),
                1,
                privileged_spec(),
            ));
        }
    });
    let enforced = outcome(restricted(), json!({"rollout": {"soak": "0s"}}), |_| {});
    let names: Vec<_> = (0..2000)
        .map(|number| format!("{}-{number:04}", "n".repeat(58)))
        .collect();
    let mut won: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            (
                name.as_str(),
                if number % 2 == 0 { &held } else { &enforced },
            )
        })
        .collect();
    let now = at("2026-11-20T12:00:00Z");
    let status = plan_status(&view(&policy, &won, None, now));
    let bytes = serde_json::to_vec(&status).expect("serialises");
    assert!(bytes.len() < 64 * 1024, "{} bytes", bytes.len());
    assert_eq!(status.namespaces.len(), 50);
    assert_eq!(status.truncated.namespaces, 1950);
    assert!(
        status
            .namespaces
            .iter()
            .all(|entry| entry.phase == Phase::Held),
        "worst first"
    );
    assert!(
        status
            .namespaces
            .iter()
            .all(|entry| entry.violating_workloads == 40)
    );
    let summary = status.summary;
    assert_eq!(summary.namespaces_matched, 2000);
    assert_eq!(
        summary.namespaces_enforced
            + summary.namespaces_soaking
            + summary.namespaces_held
            + summary.namespaces_conflicting,
        2000,
        "the counts add up"
    );
    assert_eq!(
        (summary.workloads_checked, summary.workloads_violating),
        (40_000, 40_000)
    );
    won.reverse();
    let reversed = plan_status(&view(&policy, &won, None, now));
    assert_eq!(bytes, serde_json::to_vec(&reversed).expect("serialises"));
}
