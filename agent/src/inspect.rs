//! Which containers tell what: the kubelet's setting, the runtime's profile, what is older than a
//! switch. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use podfence_crd::Deviation;
use podfence_seccomp::Runtime;
use podfence_workload::CapabilityMask;

use crate::oci::{Bundle, RulesDigest};
use crate::pod::{Asks, Pod};
use crate::setting::Witness;

/// What running containers show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspected {
    /// Those that ask for no profile.
    pub unset: Vec<Deviation>,
    /// The same, for what they say of the kubelet.
    pub witnesses: Vec<Witness>,
    /// Those that were given `RuntimeDefault`: of each set of capabilities the newest, for those
    /// before it may be older than an upgrade of the runtime.
    pub given: Vec<Given>,
    /// The ids of those that run, as the API server says, and have no bundle that could be read. It
    /// may be that they have ended just now.
    pub unseen: Vec<Box<str>>,
}

/// A container that was given `RuntimeDefault`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its id.
    pub id: Box<str>,
    /// Its bounding set.
    pub bounding: CapabilityMask,
    /// Its rules; none where it got no filter.
    pub rules: Option<RulesDigest>,
}

/// The newest container of each set of capabilities.
type Newest<'a> = HashMap<CapabilityMask, (&'a str, &'a Bundle)>;

/// Looks at the pods' containers and sandboxes.
#[must_use]
pub fn inspect(
    pods: &[Arc<Pod>],
    bundles: &BTreeMap<&str, &Bundle>,
    runtime: Option<Runtime>,
) -> Inspected {
    let mut inspected = Inspected::default();
    let mut newest = Newest::new();
    for pod in pods {
        for running in &pod.running {
            let Some((id, bundle)) = bundles.get_key_value(&*running.id) else {
                inspected.unseen.push(running.id.clone());
                continue;
            };
            let confined = bundle.configuration.rules.is_some();
            match pod.asks(&running.container, runtime) {
                Asks::Nothing => {
                    inspected.witnesses.push(Witness {
                        created: bundle.created,
                        confined,
                    });
                    inspected.unset.push(Deviation {
                        namespace: pod.namespace.to_string(),
                        pod: pod.name.to_string(),
                        container: running.container.to_string(),
                        container_id: running.id.to_string(),
                        confined,
                    });
                    // Without a filter it shows the kubelet's setting, now or earlier.
                    if confined {
                        take(&mut newest, id, bundle);
                    }
                }
                Asks::RuntimeDefault => take(&mut newest, id, bundle),
                Asks::Other => {}
            }
        }
    }
    let confining: HashMap<&str, bool> = pods
        .iter()
        .map(|pod| (&*pod.uid, pod.confines_sandbox()))
        .collect();
    let containers = pods.iter().flat_map(|pod| &pod.running);
    let containers: HashSet<&str> = containers.map(|running| &*running.id).collect();
    for (id, bundle) in bundles {
        let uid = bundle.configuration.sandbox_of.as_deref();
        // What the API server calls a container is no sandbox, whatever its annotations say: some
        // runtimes take them over from the pod.
        let is_sandbox = !containers.contains(id);
        if is_sandbox && uid.is_some_and(|uid| confining.get(uid) == Some(&true)) {
            take(&mut newest, id, bundle);
        }
    }
    let given = newest.into_values().map(|(id, bundle)| Given {
        id: id.into(),
        bounding: bundle.configuration.bounding,
        rules: bundle.configuration.rules,
    });
    inspected.given = given.collect();
    inspected
}

fn take<'a>(newest: &mut Newest<'a>, id: &'a str, bundle: &'a Bundle) {
    let known = newest
        .entry(bundle.configuration.bounding)
        .or_insert((id, bundle));
    // Of two of one moment always the same, whatever the order.
    if (known.1.created, known.0) < (bundle.created, id) {
        *known = (id, bundle);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use podfence_seccomp::Runtime;
    use podfence_workload::CapabilityMask;
    use serde_json::{Value, json};

    use super::{Inspected, inspect};
    use crate::oci::{Bundle, Configuration};
    use crate::pod::Pod;

    fn pod(name: &str, security: &Value, id: &str) -> Arc<Pod> {
        let pod = json!({
            "metadata": { "name": name, "namespace": "n", "uid": name },
            "spec": { "containers": [{ "name": "main", "securityContext": security }] },
            "status": { "containerStatuses": [
                { "name": "main", "containerID": format!("containerd://{id}"), "state": { "running": {} } },
            ] },
        });
        Arc::new(Pod::read(&pod.to_string()).expect("a pod"))
    }

    fn bundle(seconds: u64, confined: bool, sandbox_of: Option<&str>, named: &[&str]) -> Bundle {
        Bundle {
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            configuration: Configuration {
                sandbox_of: sandbox_of.map(Into::into),
                bounding: CapabilityMask::of(named),
                rules: confined.then_some([7; 32]),
            },
        }
    }

    fn look(pods: &[Arc<Pod>], bundles: &[(&str, Bundle)]) -> Inspected {
        let bundles: BTreeMap<_, _> = bundles.iter().map(|(id, bundle)| (*id, bundle)).collect();
        inspect(pods, &bundles, Some(Runtime::Containerd))
    }

    fn given(inspected: &Inspected) -> Vec<&str> {
        let mut ids: Vec<_> = inspected.given.iter().map(|given| &*given.id).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn nothing_is_taken_from_containers_that_tell_nothing() {
        let unconfined = json!({ "seccompProfile": { "type": "Unconfined" } });
        let privileged = json!({ "privileged": true });
        for (name, pods, bundles, unseen) in [
            ("nothing", vec![], vec![], vec![]),
            (
                "no bundle",
                vec![pod("a", &json!({}), "1")],
                vec![],
                vec!["1"],
            ),
            (
                "a bundle without a pod",
                vec![],
                vec![
                    ("1", bundle(1, true, None, &[])),
                    ("2", bundle(1, true, Some("a"), &[])),
                ],
                vec![],
            ),
            (
                "another profile",
                vec![pod("a", &unconfined, "1")],
                vec![("1", bundle(1, true, None, &[]))],
                vec![],
            ),
            (
                "privileged, and its sandbox",
                vec![pod("a", &privileged, "1")],
                vec![
                    ("1", bundle(1, false, None, &[])),
                    ("2", bundle(1, false, Some("a"), &[])),
                ],
                vec![],
            ),
        ] {
            let wanted = Inspected {
                unseen: unseen.into_iter().map(Into::into).collect(),
                ..Inspected::default()
            };
            assert_eq!(look(&pods, &bundles), wanted, "{name}");
        }
    }

    #[test]
    fn containers_without_a_profile_show_the_setting() {
        let pods = [pod("a", &json!({}), "1"), pod("b", &json!({}), "2")];
        let bundles = [
            ("1", bundle(1, false, None, &[])),
            ("2", bundle(2, true, None, &[])),
        ];
        let inspected = look(&pods, &bundles);
        let unset: Vec<_> = inspected
            .unset
            .iter()
            .map(|one| (one.pod.as_str(), one.container_id.as_str(), one.confined))
            .collect();
        assert_eq!(unset, [("a", "1", false), ("b", "2", true)]);
        assert_eq!(inspected.witnesses.len(), 2);
        // That it has no filter says nothing of RuntimeDefault.
        assert_eq!(given(&inspected), ["2"]);
    }

    #[test]
    fn of_each_set_of_capabilities_the_newest_counts() {
        let default = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
        let unconfined = json!({ "seccompProfile": { "type": "Unconfined" } });
        let pods = [
            pod("a", &default, "1"),
            pod("b", &default, "2"),
            pod("c", &default, "3"),
            pod("d", &unconfined, "6"),
        ];
        let bundles = [
            ("1", bundle(9, true, None, &["CHOWN"])),
            ("2", bundle(8, true, None, &["CHOWN"])),
            ("3", bundle(1, false, None, &["KILL"])),
            ("4", bundle(5, true, Some("a"), &["KILL"])),
            // A container that says that it is a sandbox.
            ("6", bundle(9, true, Some("a"), &["KILL"])),
            ("5", bundle(1, true, Some("a"), &["FOWNER"])),
        ];
        assert_eq!(given(&look(&pods, &bundles)), ["1", "4", "5"]);
    }
}
