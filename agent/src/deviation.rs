//! Running containers that the kubelet's setting has not reached. Pure.

use podfence_crd::{Deviation, MAX_DEVIATIONS};

use crate::problem::{Problem, Subject};

/// Of running containers that ask for no profile, those that run under something else than the
/// setting says, in the order and within the bounds of a report. None where the setting is not
/// known.
#[must_use]
pub fn deviations(unset: &[Deviation], setting: Option<bool>) -> (Vec<Deviation>, Option<Problem>) {
    let Some(enabled) = setting else {
        return (Vec::new(), None);
    };
    let deviating = unset.iter().filter(|one| one.confined != enabled);
    let mut deviations: Vec<_> = deviating.cloned().collect();
    deviations.sort();
    let more = deviations.len().saturating_sub(MAX_DEVIATIONS);
    deviations.truncate(MAX_DEVIATIONS);
    let problem = (more > 0).then(|| {
        let message = format!(
            "{more} more containers run as before the last change of seccompDefault; start them \
             anew"
        );
        Problem::new(Subject::Containers, message)
    });
    (deviations, problem)
}

#[cfg(test)]
mod tests {
    use podfence_crd::Deviation;

    use super::deviations;

    fn unset(pod: &str, confined: bool) -> Deviation {
        Deviation {
            namespace: "n".to_owned(),
            pod: pod.to_owned(),
            container: "main".to_owned(),
            container_id: "1".to_owned(),
            confined,
        }
    }

    #[test]
    fn containers_of_another_setting_deviate() {
        let both = [unset("b", true), unset("c", false), unset("a", false)];
        for (name, setting, want) in [
            ("not known", None, &[][..]),
            ("enabled", Some(true), &["a", "c"]),
            ("disabled", Some(false), &["b"]),
        ] {
            let (listed, problem) = deviations(&both, setting);
            let pods: Vec<_> = listed.iter().map(|one| one.pod.as_str()).collect();
            assert_eq!(pods, want, "{name}");
            assert_eq!(problem, None, "{name}");
        }
    }

    #[test]
    fn more_than_fit_are_counted() {
        let all = (0..260).map(|number| unset(&format!("{number:03}"), false));
        let all = all.collect::<Vec<_>>();
        let (listed, problem) = deviations(&all, Some(true));
        assert_eq!(listed.len(), 250);
        let problem = problem.expect("a problem").message;
        assert!(problem.starts_with("10 more containers"), "{problem}");
    }
}
