//! What is said of a workload to people who ask why.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use podfence_crd::{NodeReportSpec, SystemCallFacts};
use podfence_plan::seccomp_default::{
    Admitted, Explanation, Fares, Given, Levels, Look, Nodes, RunsUnder,
};
use podfence_plan::{Servers, Workloads};
use podfence_podsecurity::{Level, LevelVersion, ServerVersion, Version};
use podfence_seccomp::evidence::Outcome;
use podfence_seccomp::{Basis, Terms, Verdict};
use serde_json::json;

use super::cluster::{Cluster, app, crashed, healthy, moment, node};
use super::{key, pair};

fn look(cluster: Cluster) -> Look {
    let at = |level| LevelVersion {
        level,
        version: Version::Latest,
    };
    let server = ServerVersion::NEWEST;
    Look::new(Given {
        namespace: "shop".to_owned(),
        nodes: cluster.nodes(),
        workloads: cluster.workloads,
        recorded: cluster.recorded,
        terms: Terms::default(),
        now: moment(),
        levels: Levels {
            now: Some(at(Level::Privileged)),
            planned: Some(at(Level::Baseline)),
        },
        servers: Some(Servers {
            oldest: server,
            newest: server,
        }),
    })
}

fn web(look: &mut Look) -> Explanation {
    let workload = look.find("Deployment", "web").expect("it is there").clone();
    look.explain(&workload).expect("it was judged")
}

#[test]
fn a_failure_is_told_with_its_twin() {
    let mut look = look(pair(&app(), &crashed(4, 139), &healthy()));
    let web = web(&mut look);
    assert_eq!(web.verdict, Verdict::Failing);
    let [place] = &*web.places else {
        panic!("{web:?}");
    };
    assert_eq!(place.profile.as_deref(), Some("containerd/2.3.7"));
    assert_eq!(place.nodes, ["off", "on"]);
    let [said] = &*place.containers else {
        panic!("{place:?}");
    };
    assert_eq!(
        (&*said.container, said.basis),
        ("app", Some(Basis::Inferred))
    );
    assert_eq!(said.failing_on, ["on"]);
    assert_eq!(said.healthy_twin_on, ["off"]);
    assert!(said.calls.is_empty(), "no denial was seen");
    let [off, on] = &*web.pods else {
        panic!("{:?}", web.pods);
    };
    assert_eq!((&*on.name, on.node.as_deref()), ("web-on", Some("on")));
    let under = |pod: usize| {
        let container = &web.pods[pod].containers[0];
        (container.under, container.fares, container.last_exit_code)
    };
    assert_eq!(
        under(1),
        (RunsUnder::RuntimeDefault, Fares::Badly, Some(139))
    );
    assert_eq!(
        under(0),
        (RunsUnder::Unconfined, Fares::Well, None),
        "{off:?}"
    );
}

#[test]
fn what_is_explained_is_what_is_judged() {
    for (on, off) in [
        (healthy(), healthy()),
        (crashed(4, 1), healthy()),
        (crashed(4, 1), crashed(4, 1)),
    ] {
        let mut cluster = pair(&app(), &on, &off);
        let judged = cluster.web();
        let mut look = look(pair(&app(), &on, &off));
        let web = web(&mut look);
        let (worst, _) = judged.worst();
        assert_eq!(web.verdict, worst.verdict);
        assert_eq!(web.places[0].containers[0].verdict, worst.verdict);
        assert_eq!(look.all()[0].verdict, worst.verdict);
    }
}

#[test]
fn a_call_is_told_with_what_lets_it_through() {
    let mut cluster = pair(&app(), &healthy(), &healthy());
    cluster.workloads = Workloads::default();
    cluster.deployment(&app());
    cluster.record(key(), "unshare", 0x1000_0000, Outcome::Success);
    let mut look = look(cluster);
    let web = web(&mut look);
    let said = &web.places[0].containers[0];
    assert!(said.verdict < Verdict::Unknown, "{said:?}");
    let [call] = &*said.calls else {
        panic!("{said:?}");
    };
    assert_eq!(call.call.argument.as_deref(), Some("CLONE_NEWUSER"));
    assert_eq!(call.unlocked_by, ["SYS_ADMIN"]);
    let admitted: Vec<_> = said
        .fixes
        .iter()
        .map(|said| (said.fix.split(':').next().expect("a word"), said.admitted))
        .collect();
    let want = [
        ("LocalhostProfile", Admitted::Offered),
        ("Unconfined", Admitted::PlannedLevelForbids),
        ("NodesWithoutSeccompDefault", Admitted::Offered),
        ("AddCapabilities", Admitted::PlannedLevelForbids),
    ];
    assert_eq!(admitted, want);
}

#[test]
fn objects_are_found_under_the_workload_that_they_belong_to() {
    let look = look(pair(&app(), &healthy(), &healthy()));
    for (kind, name) in [
        ("Pod", "web-on"),
        ("ReplicaSet", "web-1"),
        ("Deployment", "web"),
        ("deployment", "web"),
    ] {
        let found = look.find(kind, name).map(ToString::to_string);
        assert_eq!(found.as_deref(), Some("Deployment/web"), "{kind}/{name}");
    }
    for (kind, name) in [("Pod", "web"), ("StatefulSet", "web"), ("Deployment", "")] {
        assert_eq!(look.find(kind, name), None, "{kind}/{name}");
    }
}

#[test]
fn without_nodes_nothing_is_known() {
    let mut cluster = Cluster::empty();
    cluster.deployment(&app());
    let mut look = look(cluster);
    let web = web(&mut look);
    assert_eq!(look.nodes().iter().count(), Nodes::default().iter().count());
    assert_eq!(web.verdict, Verdict::Unknown);
    let [place] = &*web.places else {
        panic!("{web:?}");
    };
    assert!(place.nodes.is_empty() && place.profile.is_none());
    let written = serde_json::to_value(&web).expect("it can be written");
    assert_eq!(written["places"][0]["profile"], json!(null));
}

#[test]
fn where_nothing_was_observed_it_is_told_what_observes() {
    let observing = || NodeReportSpec {
        system_calls: Some(SystemCallFacts {
            since: Time(Timestamp::UNIX_EPOCH),
        }),
        ..NodeReportSpec::default()
    };
    for (situation, report, want) in [
        ("no agent", None, true),
        ("an agent without", Some(NodeReportSpec::default()), true),
        ("an observer", Some(observing()), false),
    ] {
        let on = node("off", "false", "containerd://2.3.7");
        let mut cluster = Cluster::empty().with(on, report);
        cluster.deployment(&app());
        let web = web(&mut look(cluster));
        let said = &web.places[0].containers[0];
        assert_eq!(said.verdict, Verdict::Unknown, "{situation}");
        let doubt = said.doubt.as_deref().expect(situation);
        assert!(doubt.starts_with("nothing was observed of it"), "{doubt}");
        let told = doubt.ends_with("observes system calls: config/agent-observer does");
        assert_eq!(told, want, "{situation}: {doubt}");
        assert!(doubt.len() <= 256, "{doubt}");
    }
}
