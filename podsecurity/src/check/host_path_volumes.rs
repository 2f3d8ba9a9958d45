//! Baseline: no volume is a path of the host. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | no volume has a `hostPath`, whatever other source it has |
//!
//! At the restricted level [`super::restricted_volumes`] takes its place.

use podfence_workload::{Template, Volume, VolumeSource};

use super::{Check, CheckId, Explanation, Revision};
use crate::message::{plural, quoted};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::HostPathVolumes,
    overrides: None,
    revisions: &[Revision {
        since: 0,
        violated,
        explain,
    }],
};

fn is_host_path(volume: &Volume) -> bool {
    volume.sources.contains(VolumeSource::HostPath)
}

fn violated(template: &Template, _: ServerVersion) -> bool {
    template.volumes.iter().any(is_host_path)
}

fn explain(template: &Template, _: ServerVersion) -> Explanation {
    let names: Vec<_> = template
        .volumes
        .iter()
        .filter(|volume| is_host_path(volume))
        .map(|volume| &*volume.name)
        .collect();
    let word = plural(names.len(), "volume", "volumes");
    Explanation::new("hostPath volumes", format!("{word} {}", quoted(names)), &[])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::assert_says;
    use crate::CheckId;

    #[test]
    fn table() {
        assert_says(
            CheckId::HostPathVolumes,
            &[
                ("no volumes", json!({}), &[(0, None)]),
                (
                    "null, another source, none",
                    json!({"volumes": [{"name": "a", "hostPath": null}, {"name": "b", "nfs": {}},
                        {"name": "c"}]}),
                    &[(0, None), (37, None)],
                ),
                (
                    "empty but there",
                    json!({"volumes": [{"name": "a", "hostPath": {}}]}),
                    &[(0, Some(r#"hostPath volumes (volume "a")"#))],
                ),
                (
                    "beside an allowed source",
                    json!({"volumes": [{"name": "b", "hostPath": {"path": "/"}},
                        {"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}]}),
                    &[(37, Some(r#"hostPath volumes (volumes "b", "a")"#))],
                ),
            ],
        );
    }
}
