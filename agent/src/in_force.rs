//! Whether the filters that containers were given are those that are known of the runtime's release.
//! Pure.

use std::collections::BTreeSet;

use podfence_crd::{ProfileInForce, RuntimeFacts};
use podfence_seccomp::{
    Abi, Action, Assumption, Container, Difference, Filter, FlatProfile, Judge, Loader, Profile,
    differences,
};

use crate::problem::{MOST_CHARACTERS, shortened};

/// What a filter is, beside the one that is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compared {
    /// It does the same with every call.
    Same,
    /// It does something else; each in words, sorted.
    Different(BTreeSet<String>),
    /// There is none, though one was asked for.
    Absent,
}

/// What is said of a release's profile by name; the first are enough to recognise it.
const MOST_NAMED: usize = 8;

/// Characters of a runtime's version, as the schema bounds it.
const MOST_OF_VERSION: usize = 128;

/// Compares the rules that a runtime was told, as they stand in `linux.seccomp`, with what a
/// release's `RuntimeDefault` has for such a container.
///
/// Both are taken through the same loader: which libseccomp loads them makes no difference to
/// whether they are the same.
#[must_use]
pub fn compare(rules: &str, profile: &Profile, container: Container) -> Compared {
    match differing(rules, profile, container) {
        Ok(differing) if differing.is_empty() => Compared::Same,
        Ok(differing) => Compared::Different(differing),
        // A release's own profile can be read and loaded, so this is none.
        Err(reason) => Compared::Different(BTreeSet::from([reason])),
    }
}

fn differing(
    rules: &str,
    profile: &Profile,
    container: Container,
) -> Result<BTreeSet<String>, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let read = FlatProfile::read(rules, container.architecture).map_err(|error| text(&error))?;
    let loader = Loader::default();
    let given = read.profile;
    let abis = given.abis.clone();
    let given = Filter::of_rules(given.rules, given.default, &given.abis, loader)
        .map_err(|error| text(&error))?
        .on_kernel(container.kernel);
    let known = Filter::load(&profile.rules, container, loader).map_err(|error| text(&error))?;
    let known_abis = profile.rules.abis(container.architecture);
    let shared: Vec<Abi> = known_abis
        .iter()
        .copied()
        .filter(|abi| abis.contains(abi))
        .collect();
    let differences = differences(&Judge::from(known), &Judge::from(given), &shared)
        .map_err(|error| text(&error))?;
    let calls = differences.iter().map(in_words);
    let unknown = read.unknown_calls.into_iter();
    let unknown = unknown.map(|name| format!("{name} (no known call)"));
    let missing = known_abis.iter().filter(|abi| !abis.contains(abi));
    let missing = missing.map(|abi| format!("programs of {abi} (killed)"));
    let more = abis.iter().filter(|abi| !known_abis.contains(abi));
    let more = more.map(|abi| format!("programs of {abi} (not killed)"));
    Ok(calls.chain(unknown).chain(missing).chain(more).collect())
}

/// What becomes of a call under the filter that is there.
fn in_words(difference: &Difference) -> String {
    let call = difference.syscall.unwrap_or("calls yet to come");
    let arguments = if difference.when.is_empty() {
        ""
    } else {
        " for some arguments"
    };
    match difference.after.action {
        Action::Allow => format!("{call} (allowed{arguments})"),
        Action::Errno(errno) => format!("{call} ({errno}{arguments})"),
        Action::KillThread => format!("{call} (killed{arguments})"),
    }
}

/// What a report says of the runtime, from what was found in all containers that were looked at.
#[must_use]
pub fn facts(version: &str, profile: Option<&Profile>, found: &BTreeSet<Compared>) -> RuntimeFacts {
    let (in_force, message) = match profile {
        None => (
            ProfileInForce::Unknown,
            Some("the profile of this runtime or release is not known".to_owned()),
        ),
        Some(profile) => judged(profile, found),
    };
    RuntimeFacts {
        version: shortened(version, MOST_OF_VERSION),
        oci_runtime: None,
        profile: in_force,
        message: message.map(|message| shortened(&message, MOST_CHARACTERS)),
    }
}

fn judged(profile: &Profile, found: &BTreeSet<Compared>) -> (ProfileInForce, Option<String>) {
    let against = against(profile);
    let mut differing = BTreeSet::new();
    for compared in found {
        match compared {
            Compared::Same => {}
            Compared::Different(calls) => differing.extend(calls.iter().cloned()),
            Compared::Absent => {
                differing.insert("all calls (no filter in a container that asks for one)".into());
            }
        }
    }
    if !differing.is_empty() {
        let more = differing.len().saturating_sub(MOST_NAMED);
        let named: Vec<_> = differing.into_iter().take(MOST_NAMED).collect();
        let more = (more > 0).then(|| format!(", and {more} more"));
        let (named, more) = (named.join(", "), more.unwrap_or_default());
        let message = format!("other than {against}: {named}{more}");
        return (ProfileInForce::Different, Some(message));
    }
    if found.is_empty() {
        let message = "no container that runs under RuntimeDefault could be looked at";
        return (ProfileInForce::Unknown, Some(message.to_owned()));
    }
    let message = profile
        .assumed
        .is_some()
        .then(|| format!("the same as {against}"));
    (ProfileInForce::AsKnown, message)
}

/// What it is compared with, and why that may not be the release that runs.
fn against(profile: &Profile) -> String {
    let Profile {
        runtime,
        version,
        release,
        assumed,
        ..
    } = profile;
    match assumed {
        None => format!("{runtime}/{release}"),
        Some(Assumption::Newer) => {
            format!("{runtime}/{release}, the newest that is known of {version}")
        }
        Some(Assumption::Unlisted) => {
            format!("{runtime}/{release}, the nearest that is known to {version}")
        }
        Some(Assumption::Suffix(_)) => {
            format!("{runtime}/{release}, of which {version} is a distributor's build")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use podfence_crd::ProfileInForce::{AsKnown, Different, Unknown};
    use podfence_seccomp::{Architecture, Container, FlatProfile, Profile, Runtime};
    use serde_json::{Value, json};

    use super::{Compared, compare, facts};

    fn profile(version: &str) -> Profile {
        Profile::of(Runtime::Containerd, version).expect("a release")
    }

    fn container() -> Container {
        Container {
            architecture: Architecture::Amd64,
            bounding: Runtime::Containerd.default_capabilities(),
            kernel: "6.18".parse().expect("a kernel"),
        }
    }

    /// What a runtime of this release tells its container.
    fn given(profile: &Profile) -> Value {
        let flat = FlatProfile {
            architecture: container().architecture,
            abis: profile.rules.abis(container().architecture),
            default: profile.rules.default,
            rules: profile.rules.active(container()).cloned().collect(),
        };
        serde_json::from_str(&flat.write().expect("writes")).expect("JSON")
    }

    fn differing(rules: &Value) -> Vec<String> {
        match compare(&rules.to_string(), &profile("2.3.7"), container()) {
            Compared::Different(calls) => calls.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_such_profile_is_different() {
        for (rules, want) in [
            (json!(null), "the file: null is not an object"),
            (json!({}), "defaultAction is missing"),
            (
                json!({ "defaultAction": "SCMP_ACT_LOG" }),
                "defaultAction: SCMP_ACT_LOG is not judged here; SCMP_ACT_ALLOW and SCMP_ACT_ERRNO are",
            ),
        ] {
            assert_eq!(differing(&rules), [want]);
        }
    }

    #[test]
    fn every_difference_is_named_and_order_is_none() {
        let known = profile("2.3.7");
        let mut rules = given(&known);
        let same = |rules: &Value| compare(&rules.to_string(), &known, container());
        assert_eq!(same(&rules), Compared::Same);
        if let Some(entries) = rules["syscalls"].as_array_mut() {
            entries.reverse();
        }
        assert_eq!(same(&rules), Compared::Same);

        let mut more = rules.clone();
        let allowed = json!({ "names": ["keyctl", "nonsense"], "action": "SCMP_ACT_ALLOW" });
        more["syscalls"]
            .as_array_mut()
            .expect("a list")
            .push(allowed);
        assert_eq!(
            differing(&more),
            ["keyctl (allowed)", "nonsense (no known call)"]
        );
        let mut fewer = rules;
        fewer["architectures"] = json!(["SCMP_ARCH_X86_64"]);
        assert_eq!(
            differing(&fewer),
            ["programs of x32 (killed)", "programs of x86 (killed)"]
        );
        // io_uring went with 2.0.
        let older = differing(&given(&profile("1.7.20")));
        assert!(
            older.contains(&"io_uring_setup (allowed)".to_owned()),
            "{older:?}"
        );
    }

    #[test]
    fn the_worst_of_all_containers_counts() {
        let known = profile("2.3.7");
        let newer = profile("2.3.99");
        let calls = |names: &[&str]| {
            Compared::Different(names.iter().map(|name| (*name).to_owned()).collect())
        };
        let many: Vec<_> = (0..20).map(|number| format!("call{number:02}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        for (name, profile, found, want, message) in [
            (
                "no data",
                None,
                vec![Compared::Same],
                Unknown,
                "the profile of this runtime or release is not known",
            ),
            (
                "no container",
                Some(&known),
                vec![],
                Unknown,
                "no container that runs under RuntimeDefault could be looked at",
            ),
            (
                "no filter",
                Some(&known),
                vec![Compared::Same, Compared::Absent],
                Different,
                "other than containerd/2.3.7: all calls (no filter in a container that asks for one)",
            ),
            (
                "two that differ",
                Some(&known),
                vec![calls(&["b", "a"]), Compared::Same, calls(&["c"])],
                Different,
                "other than containerd/2.3.7: a, b, c",
            ),
            (
                "many differences",
                Some(&known),
                vec![calls(&many)],
                Different,
                "other than containerd/2.3.7: call00, call01, call02, call03, call04, call05, \
                 call06, call07, and 12 more",
            ),
            ("the same", Some(&known), vec![Compared::Same], AsKnown, ""),
            (
                "the same as the nearest",
                Some(&newer),
                vec![Compared::Same],
                AsKnown,
                "the same as containerd/2.3.7, the newest that is known of 2.3.99",
            ),
        ] {
            let found: BTreeSet<_> = found.into_iter().collect();
            let facts = facts("containerd://2.3.7", profile, &found);
            assert_eq!(facts.profile, want, "{name}");
            assert_eq!(
                facts.message.as_deref().unwrap_or_default(),
                message,
                "{name}"
            );
        }
    }
}
