//! What policies and nodes say: the table of conditions, bounds, and that order makes no difference.

use podfence_crd::{
    AgentProblem, KubeletFacts, NodeReportSpec, NodeReportStatus, ProfileFile, ProfileFiles,
    ProfileInForce, RuntimeFacts, Setting,
};
use podfence_plan::Unseen;
use podfence_plan::seccomp_default::{Levels, NodeView, Nodes, SeccompView, plan_node_status};
use serde_json::{Value, json};

use crate::cluster::{Cluster, ago, app, app_with, crashed, healthy, node, now, view};
use crate::crowd;

/// What an agent says that sees everything, of a node whose kubelet has this setting.
fn report(setting: Setting) -> NodeReportSpec {
    NodeReportSpec {
        kubelet: Some(KubeletFacts {
            seccomp_default: setting,
            source: None,
        }),
        seccomp_profiles: Some(ProfileFiles {
            files: vec![ProfileFile {
                path: "there.json".into(),
                sha256: "00".into(),
                valid: true,
            }],
            omitted: 0,
        }),
        ..NodeReportSpec::default()
    }
}

fn localhost(path: &str) -> Value {
    app_with(
        "securityContext",
        json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": path } }),
    )
}

/// A row: the situation, the report of the node `here`, its runtime, what runs, what cannot be
/// seen, and what the node says.
struct Row {
    situation: &'static str,
    report: Option<NodeReportSpec>,
    runtime: &'static str,
    stated: &'static str,
    container: Value,
    fares: Option<Value>,
    unseen: Vec<Unseen>,
    want: [&'static str; 3],
}

impl Row {
    fn new(situation: &'static str, want: [&'static str; 3]) -> Self {
        Self {
            situation,
            report: Some(report(Setting::Enabled)),
            runtime: "containerd://2.3.7",
            stated: "",
            container: app(),
            fares: Some(healthy()),
            unseen: Vec::new(),
            want,
        }
    }

    fn status(&self) -> NodeReportStatus {
        let mut cluster = Cluster::empty()
            .with(node("here", self.stated, self.runtime), self.report.clone())
            .with(
                node("off", "false", "containerd://2.3.7"),
                Some(report(Setting::Disabled)),
            );
        cluster.deployment(&self.container);
        cluster.pod("web-off", "off", &self.container, &healthy());
        if let Some(fares) = &self.fares {
            cluster.pod("web-here", "here", &self.container, fares);
        }
        let (nodes, assessment) = cluster.assess();
        let namespaces = [("shop", &assessment)];
        let seccomp = SeccompView {
            unseen: &self.unseen,
            ..view(&nodes, &namespaces)
        };
        of_node(&nodes, "here", seccomp)
    }
}

fn of_node(nodes: &Nodes, name: &str, seccomp: SeccompView<'_>) -> NodeReportStatus {
    plan_node_status(&NodeView {
        node: nodes.get(name).expect("the node"),
        generation: 4,
        seccomp,
        previous: None,
        now: now(),
    })
}

const READY: &str = "SeccompDefaultReady=True/WorkloadsReady";
const THERE: &str = "ProfilesAvailable=True/ProfilesPresent";
const COMPLETE: &str = "ReportComplete=True/Complete";

#[allow(clippy::too_many_lines)] // A table.
fn table() -> Vec<Row> {
    let failing = "SeccompDefaultReady=False/WorkloadsFailing";
    let unheard = "SeccompDefaultReady=Unknown/AgentMissing";
    let differs = || NodeReportSpec {
        runtime: Some(RuntimeFacts {
            version: "containerd://2.3.7".into(),
            oci_runtime: None,
            profile: ProfileInForce::Different,
            message: Some("ptrace is denied".into()),
        }),
        ..report(Setting::Enabled)
    };
    let impaired = || NodeReportSpec {
        problems: vec![AgentProblem {
            subject: "Kernel".into(),
            message: "no /proc".into(),
        }],
        ..report(Setting::Enabled)
    };
    let forbidden = || Unseen::Forbidden {
        resource: "nodes".into(),
    };
    vec![
        Row::new("every workload runs well", [READY, THERE, COMPLETE]),
        Row {
            fares: Some(crashed(3, 1)),
            ..Row::new("a workload fails", [failing, THERE, COMPLETE])
        },
        Row {
            fares: None,
            ..Row::new(
                "nothing is known of a workload",
                [
                    "SeccompDefaultReady=Unknown/InsufficientEvidence",
                    THERE,
                    COMPLETE,
                ],
            )
        },
        Row {
            container: app_with("image", json!("tigerbeetle:0.16")),
            fares: None,
            ..Row::new(
                "such software is known to fail",
                [
                    "SeccompDefaultReady=Unknown/WorkloadsAtRisk",
                    THERE,
                    COMPLETE,
                ],
            )
        },
        Row {
            report: None,
            stated: "true",
            ..Row::new(
                "no agent, and a label states the setting",
                [READY, THERE, "ReportComplete=False/AgentMissing"],
            )
        },
        Row {
            report: None,
            ..Row::new(
                "no agent and no label",
                [unheard, THERE, "ReportComplete=False/AgentMissing"],
            )
        },
        Row {
            report: Some(report(Setting::Unknown)),
            ..Row::new("the kubelet does not say", [unheard, THERE, COMPLETE])
        },
        Row {
            report: Some(impaired()),
            ..Row::new(
                "the agent cannot see something",
                [READY, THERE, "ReportComplete=False/AgentImpaired"],
            )
        },
        Row {
            report: Some(differs()),
            ..Row::new(
                "containers get other rules than the release is known for",
                [
                    "SeccompDefaultReady=Unknown/ProfileDiffers",
                    THERE,
                    COMPLETE,
                ],
            )
        },
        Row {
            runtime: "wasm://0.1",
            ..Row::new(
                "a runtime that is not known",
                [
                    "SeccompDefaultReady=Unknown/RuntimeUnknown",
                    THERE,
                    "ReportComplete=False/RuntimeUnknown",
                ],
            )
        },
        Row {
            container: localhost("there.json"),
            ..Row::new("a profile file that is there", [READY, THERE, COMPLETE])
        },
        Row {
            container: localhost("missing.json"),
            ..Row::new(
                "a profile file that is missing",
                [READY, "ProfilesAvailable=False/ProfilesMissing", COMPLETE],
            )
        },
        Row {
            container: localhost("there.json"),
            report: None,
            stated: "true",
            ..Row::new(
                "nobody says which profile files there are",
                [
                    READY,
                    "ProfilesAvailable=Unknown/ProfilesUnknown",
                    "ReportComplete=False/AgentMissing",
                ],
            )
        },
        Row {
            unseen: vec![forbidden()],
            ..Row::new(
                "nodes may not be listed",
                [
                    "SeccompDefaultReady=Unknown/Forbidden",
                    "ProfilesAvailable=Unknown/Forbidden",
                    "ReportComplete=False/Forbidden",
                ],
            )
        },
        Row {
            fares: Some(crashed(3, 1)),
            unseen: vec![forbidden()],
            ..Row::new(
                "nodes may not be listed, and a workload fails",
                [
                    failing,
                    "ProfilesAvailable=Unknown/Forbidden",
                    "ReportComplete=False/Forbidden",
                ],
            )
        },
    ]
}

#[test]
fn conditions() {
    for row in table() {
        let status = row.status();
        let shown: Vec<_> = status
            .conditions
            .iter()
            .map(|it| format!("{}={}/{}", it.type_, it.status, it.reason))
            .collect();
        assert_eq!(shown, row.want, "{}: {status:#?}", row.situation);
        assert_eq!(status.observed_generation, 4);
    }
}

#[test]
fn the_documented_table_is_this() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conditions.md");
    let document = std::fs::read_to_string(path).expect("docs/conditions.md");
    let documented: Vec<_> = document
        .lines()
        .filter(|line| line.contains("| SeccompDefaultReady="))
        .collect();
    let rows: Vec<_> = table()
        .iter()
        .map(|row| format!("| {} | {} |", row.situation, row.want.join(" | ")))
        .collect();
    assert_eq!(
        documented,
        rows,
        "docs/conditions.md should have:\n{}",
        rows.join("\n")
    );
}

#[test]
fn what_fails_is_named_with_what_helps() {
    let row = Row {
        fares: Some(crashed(3, 1)),
        ..Row::new("", [READY, THERE, COMPLETE])
    };
    let status = row.status();
    let ready = &status.conditions[0].message;
    let want = "1 of 1 workloads fail under RuntimeDefault or would: shop/Deployment/web (Failing \
                on here, well without a profile on off, no denial was seen)";
    assert_eq!(ready, want);
    let [web] = &status.worst[..] else {
        panic!("{status:#?}");
    };
    assert_eq!((web.name.as_str(), web.container.as_str()), ("web", "app"));
    assert_eq!(
        (&web.failing_on[..], &web.healthy_on[..]),
        (&["here".to_owned()][..], &["off".to_owned()][..])
    );
    assert_eq!(web.profile.as_deref(), Some("containerd/2.3.7"));
    assert_eq!(web.evidence, ["Health"]);
    assert_eq!(
        web.fix.as_deref(),
        Some("Unconfined"),
        "nothing forbids it, and no call is known"
    );
    assert_eq!(status.workloads.failing, 1);
    assert_eq!(
        web.since.as_ref().map(|since| since.0.to_string()),
        Some(ago(3))
    );
}

#[test]
fn bounded_complete_and_independent_of_order() {
    let mut nodes = Cluster::new().nodes();
    let all: Vec<_> = crowd::clusters()
        .into_iter()
        .map(|(name, mut cluster)| (name, cluster.assess_on(&mut nodes)))
        .collect();
    let namespaces: Vec<_> = all.iter().map(|(name, it)| (name.as_str(), it)).collect();
    let status = of_node(&nodes, "off", view(&nodes, &namespaces));
    assert_eq!(status.workloads.failing, 3000, "{:?}", status.workloads);
    assert_eq!(status.workloads.passing, 7000);
    let listed = u32::try_from(status.worst.len()).expect("few");
    assert!(listed > 20, "{listed}");
    assert_eq!(listed + status.omitted, 3000);
    let bytes = serde_json::to_vec(&status).expect("JSON");
    assert!(bytes.len() < 64 * 1024, "{}", bytes.len());
    let reversed: Vec<_> = namespaces.iter().rev().copied().collect();
    let again = of_node(&nodes, "off", view(&nodes, &reversed));
    assert_eq!(serde_json::to_vec(&again).expect("JSON"), bytes);
}

#[test]
fn what_the_planned_level_forbids_is_said() {
    let mut cluster = Cluster::new();
    cluster.deployment(&app());
    cluster.pod("web-on", "on", &app(), &crashed(3, 1));
    cluster.pod("web-off", "off", &app(), &healthy());
    let (nodes, assessment) = cluster.assess();
    let namespaces = [("shop", &assessment)];
    let fix = |now: Option<&str>, planned: Option<&str>| {
        let pair = |level: &str| podfence_podsecurity::LevelVersion {
            level: level.parse().expect("a level"),
            version: podfence_podsecurity::Version::Latest,
        };
        let levels = move |_: &str| Levels {
            now: now.map(pair),
            planned: planned.map(pair),
        };
        let newest = podfence_podsecurity::ServerVersion::NEWEST;
        let seccomp = SeccompView {
            levels: &levels,
            servers: Some(podfence_plan::Servers {
                oldest: newest,
                newest,
            }),
            ..view(&nodes, &namespaces)
        };
        of_node(&nodes, "off", seccomp).worst[0]
            .fix
            .clone()
            .expect("there is one")
    };
    assert_eq!(fix(None, None), "Unconfined");
    assert_eq!(fix(Some("privileged"), None), "Unconfined");
    assert_eq!(fix(Some("baseline"), None), "NodesWithoutSeccompDefault");
    assert_eq!(
        fix(Some("privileged"), Some("baseline")),
        "NodesWithoutSeccompDefault (not Unconfined: the planned level forbids it)"
    );
}
