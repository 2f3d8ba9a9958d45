//! From what was seen to the specification of a report. Pure.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use podfence_crd::{
    AppArmorFacts, KernelFacts, KubeletFacts, NodeReportSpec, ProfileFiles, Setting, SettingSource,
    SystemCallFacts,
};
use podfence_seccomp::{Moment, Profile};

use crate::args::Functions;
use crate::cluster::Node;
use crate::deviation::deviations;
use crate::in_force::{self, Compared};
use crate::inspect::Inspected;
use crate::kubelet::Known;
use crate::observe::task::Said;
use crate::problem::{Problem, Subject, bounded};
use crate::setting::shown_by;

/// Everything that was seen of the node itself. What is none was not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// The kernel.
    pub kernel: Option<KernelFacts>,
    /// AppArmor.
    pub app_armor: Option<AppArmorFacts>,
    /// The files that `Localhost` may name.
    pub profiles: Option<ProfileFiles>,
    /// What running containers show.
    pub containers: Option<Inspected>,
    /// What became of comparing those under `RuntimeDefault`.
    pub compared: BTreeSet<Compared>,
    /// Why containers could not be seen, if so.
    pub containers_problem: Option<String>,
    /// What the observer of system calls says.
    pub system_calls: Said,
    /// What else could not be seen.
    pub problems: Vec<Problem>,
}

/// What a report says.
#[must_use]
pub fn specification(
    node: &Node,
    profile: Option<&Profile>,
    functions: Functions,
    kubelet: &Known,
    sight: Sight,
) -> NodeReportSpec {
    let Sight {
        kernel,
        app_armor,
        profiles,
        containers,
        compared,
        containers_problem,
        system_calls,
        mut problems,
    } = sight;
    let Said { since, problem } = system_calls;
    problems.extend(problem.map(|why| Problem::new(Subject::SystemCalls, why)));
    if let Some(why) = containers_problem {
        // Each function that needs them says it, for each may be the only one.
        let subjects = [
            (functions.runtime, Subject::Runtime),
            (functions.containers, Subject::Containers),
        ];
        let told = subjects.into_iter().filter(|(is_on, _)| *is_on);
        problems.extend(told.map(|(_, subject)| Problem::new(subject, &*why)));
    }
    let inspected = containers.unwrap_or_default();
    let (setting, source, problem) = setting(functions, kubelet, &inspected);
    problems.extend(problem);
    let deviations = if functions.containers {
        let (deviations, problem) = deviations(&inspected.unset, setting);
        problems.extend(problem);
        deviations
    } else {
        Vec::new()
    };
    NodeReportSpec {
        node_uid: Some(node.uid.clone()).filter(|uid| !uid.is_empty()),
        kubelet: functions.kubelet.then_some(KubeletFacts {
            seccomp_default: match setting {
                Some(true) => Setting::Enabled,
                Some(false) => Setting::Disabled,
                None => Setting::Unknown,
            },
            source,
        }),
        runtime: functions
            .runtime
            .then(|| in_force::facts(&node.runtime, profile, &compared)),
        kernel,
        app_armor,
        seccomp_profiles: profiles,
        system_calls: since.and_then(time).map(|since| SystemCallFacts { since }),
        deviations,
        problems: bounded(problems),
    }
}

fn time(moment: Moment) -> Option<Time> {
    let seconds = i64::try_from(moment.unix_seconds()).ok()?;
    Timestamp::from_second(seconds).ok().map(Time)
}

/// The kubelet's setting: its own answer, else what the newest container shows.
fn setting(
    functions: Functions,
    kubelet: &Known,
    inspected: &Inspected,
) -> (Option<bool>, Option<SettingSource>, Option<Problem>) {
    if let Known::Setting(enabled) = kubelet {
        return (Some(*enabled), Some(SettingSource::Configz), None);
    }
    let shown = shown_by(&inspected.witnesses);
    let source = shown.map(|_| SettingSource::RunningContainer);
    let why = match kubelet {
        Known::Problem(why) if functions.kubelet => why,
        _ => return (shown, source, None),
    };
    let instead = if shown.is_some() {
        "The setting is that of the newest running container without a profile of its own; a \
         change since then does not show"
    } else {
        "No running container without a profile of its own shows the setting"
    };
    let message = format!("{why}. {instead}");
    (shown, source, Some(Problem::new(Subject::Kubelet, message)))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use podfence_seccomp::Moment;

    use podfence_crd::{Deviation, NodeReportSpec, ProfileInForce, Setting, SettingSource};

    use super::{Sight, specification};
    use crate::args::Functions;
    use crate::cluster::Node;
    use crate::inspect::Inspected;
    use crate::kubelet::Known;
    use crate::observe::task::Said;
    use crate::setting::Witness;

    const ALL: Functions = Functions {
        kubelet: true,
        runtime: true,
        containers: true,
        kernel: true,
        apparmor: true,
        seccomp_profiles: true,
        system_calls: true,
    };

    fn reported(functions: Functions, kubelet: &Known, sight: Sight) -> NodeReportSpec {
        let node = Node {
            uid: "u".to_owned(),
            runtime: "containerd://2.3.7".to_owned(),
            ..Node::default()
        };
        let profile = node.runtime.parse().expect("a profile");
        specification(&node, Some(&profile), functions, kubelet, sight)
    }

    fn shown(confined: bool) -> Sight {
        let unset = Deviation {
            namespace: "n".to_owned(),
            pod: "p".to_owned(),
            container: "c".to_owned(),
            container_id: "1".to_owned(),
            confined,
        };
        let witness = Witness {
            created: SystemTime::UNIX_EPOCH,
            confined,
        };
        Sight {
            containers: Some(Inspected {
                unset: vec![unset],
                witnesses: vec![witness],
                ..Inspected::default()
            }),
            ..Sight::default()
        }
    }

    #[test]
    fn what_is_not_looked_at_is_absent() {
        let off = Functions::default();
        let spec = reported(off, &Known::Nothing, Sight::default());
        let nothing = NodeReportSpec {
            node_uid: Some("u".to_owned()),
            ..NodeReportSpec::default()
        };
        assert_eq!(spec, nothing);
        let on = reported(ALL, &Known::Nothing, Sight::default());
        let runtime = on.runtime.expect("looked at");
        assert_eq!(runtime.profile, ProfileInForce::Unknown);
        assert_eq!(on.kubelet.expect("asked").seccomp_default, Setting::Unknown);
    }

    #[test]
    fn what_the_observer_says_is_told() {
        let since = Moment::from_unix_seconds(1_800_000_000);
        let said = |since, problem: Option<&str>| {
            let problem = problem.map(str::to_owned);
            let sight = Sight {
                system_calls: Said { since, problem },
                ..Sight::default()
            };
            let spec = reported(ALL, &Known::Setting(true), sight);
            let problems = spec.problems.into_iter();
            let problems =
                problems.map(|problem| format!("{}: {}", problem.subject, problem.message));
            let since = spec.system_calls.map(|facts| facts.since.0.as_second());
            (since, problems.collect::<Vec<_>>())
        };
        assert_eq!(said(None, None), (None, vec![]));
        let observing = said(Some(since), None);
        assert_eq!(observing, (Some(1_800_000_000), vec![]));
        let (_, problems) = said(Some(since), Some("no"));
        assert_eq!(problems, ["SystemCalls: no"]);
    }

    #[test]
    fn the_setting_comes_from_the_kubelet_or_else_from_a_container() {
        let problem = Known::Problem("403".to_owned());
        let by_container = Some(SettingSource::RunningContainer);
        for (name, kubelet, sight, setting, source, problems, deviations) in [
            (
                "nothing",
                &problem,
                Sight::default(),
                Setting::Unknown,
                None,
                1,
                0,
            ),
            (
                "a container",
                &problem,
                shown(true),
                Setting::Enabled,
                by_container,
                1,
                0,
            ),
            (
                "another",
                &problem,
                shown(false),
                Setting::Disabled,
                by_container,
                1,
                0,
            ),
            (
                "the kubelet, and a container from before",
                &Known::Setting(true),
                shown(false),
                Setting::Enabled,
                Some(SettingSource::Configz),
                0,
                1,
            ),
        ] {
            let spec = reported(ALL, kubelet, sight);
            let facts = spec.kubelet.expect("asked");
            assert_eq!(
                (facts.seccomp_default, facts.source),
                (setting, source),
                "{name}"
            );
            assert_eq!(spec.problems.len(), problems, "{name}");
            assert_eq!(spec.deviations.len(), deviations, "{name}");
        }
        // Who does not ask the kubelet has no problem with it.
        let alone = Functions {
            containers: true,
            ..Functions::default()
        };
        let spec = reported(alone, &Known::Nothing, shown(true));
        assert_eq!((spec.kubelet, spec.problems.len()), (None, 0));
    }

    #[test]
    fn what_hides_containers_is_said_by_each_function_that_needs_them() {
        let hidden = || Sight {
            containers_problem: Some("hidden".to_owned()),
            ..Sight::default()
        };
        let subjects = |functions| {
            let spec = reported(functions, &Known::Setting(true), hidden());
            let problems = spec.problems.into_iter();
            problems.map(|problem| problem.subject).collect::<Vec<_>>()
        };
        assert_eq!(subjects(ALL), ["Containers", "Runtime"]);
        let alone = Functions {
            runtime: true,
            ..Functions::default()
        };
        assert_eq!(subjects(alone), ["Runtime"]);
        assert!(subjects(Functions::default()).is_empty());
    }
}
