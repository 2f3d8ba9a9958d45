//! Versions of servers and of levels, and what is not known of them.

use podfence_crd::{Phase, Reason};
use podfence_plan::Unseen;
use podfence_podsecurity::ServerVersion;
use serde_json::json;

use crate::restricted;
use crate::world::{AUDIT, ENFORCE, World, clean_spec, pod, profile};

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
