//! What evidence is bound to.

use podfence_seccomp::evidence::{Evidence, Fact, Key, Outcome};
use podfence_seccomp::{Container, Verdict};

use super::facts::{Question, call, container, filter, key, rules};

#[test]
fn evidence_counts_for_its_key_only() {
    let harm = |key: Key| {
        let Fact { observation, .. } = call("keyctl", 0, Outcome::Success);
        Fact { key, observation }
    };
    let (usual, profile) = (container(&[]), rules("containerd/2.3.7"));
    let other_kernel = |version: &str| Container {
        kernel: version.parse().expect("a kernel"),
        ..usual
    };
    for (name, key, counts) in [
        ("the same", key(), true),
        (
            "another image",
            Key::of("sha256:11", usual, &profile),
            false,
        ),
        (
            "a capability more",
            Key::of("sha256:00ff", container(&["SYS_NICE"]), &profile),
            false,
        ),
        (
            "other rules",
            Key::of("sha256:00ff", usual, &rules("containerd/2.3.6")),
            false,
        ),
        (
            "the same rules",
            Key::of("sha256:00ff", usual, &rules("containerd://2.3.7")),
            true,
        ),
        (
            "a kernel with the same",
            Key::of("sha256:00ff", other_kernel("5.4"), &profile),
            true,
        ),
        (
            "a kernel with fewer",
            Key::of("sha256:00ff", other_kernel("4.7"), &profile),
            false,
        ),
    ] {
        let evidence: Evidence = [harm(key)].into_iter().collect();
        let got = Question::default().ask_of(&filter(), &evidence).verdict;
        let want = if counts {
            Verdict::AtRisk
        } else {
            Verdict::Unknown
        };
        assert_eq!(got, want, "{name}");
    }
}
