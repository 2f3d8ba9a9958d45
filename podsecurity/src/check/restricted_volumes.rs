//! Restricted: volumes are of a few known kinds. Pure.
//!
//! | from | rule |
//! |---|---|
//! | v1.0 | every volume has a `configMap`, `csi`, `downwardAPI`, `emptyDir`, `ephemeral`, `image`, `persistentVolumeClaim`, `projected` or `secret` |
//!
//! A volume without a source, or with one that is not known, violates: its type is `unknown`.
//! API servers before 1.33 do not know image volumes, at any version of the policy.

use podfence_workload::{Template, Volume, VolumeSource, VolumeSources};

use super::{Check, CheckId, Explanation, Revision};
use crate::message::{Sorted, plural, quoted};
use crate::version::ServerVersion;

pub(super) static CHECK: Check = Check {
    id: CheckId::RestrictedVolumes,
    overrides: Some(CheckId::HostPathVolumes),
    revisions: &[Revision {
        since: 0,
        violated,
        explain,
    }],
};

/// The first API server whose rule knows image volumes.
const KNOWS_IMAGES_SINCE: u16 = 33;

fn is_restricted(volume: &Volume, server: ServerVersion) -> bool {
    let is_known_image =
        server.binary() >= KNOWS_IMAGES_SINCE && volume.sources.contains(VolumeSource::Image);
    !is_known_image && !volume.sources.intersects(VolumeSources::ALWAYS_ALLOWED)
}

/// What the server calls a volume that it does not allow.
fn type_name(volume: &Volume) -> &'static str {
    VolumeSource::ALL
        .into_iter()
        .filter(|source| *source != VolumeSource::Image)
        .find(|source| volume.sources.contains(*source))
        .map_or("unknown", VolumeSource::as_str)
}

fn violated(template: &Template, server: ServerVersion) -> bool {
    template
        .volumes
        .iter()
        .any(|volume| is_restricted(volume, server))
}

fn explain(template: &Template, server: ServerVersion) -> Explanation {
    let bad = || {
        template
            .volumes
            .iter()
            .filter(|volume| is_restricted(volume, server))
    };
    let names: Vec<_> = bad().map(|volume| &*volume.name).collect();
    let types: Sorted = bad().map(type_name).collect();
    let detail = format!(
        "{} {} {} {} {}",
        plural(names.len(), "volume", "volumes"),
        quoted(names.iter().copied()),
        plural(names.len(), "uses", "use"),
        plural(
            types.len(),
            "restricted volume type",
            "restricted volume types"
        ),
        quoted(types)
    );
    Explanation::new("restricted volume types", detail, &[])
}

#[cfg(test)]
mod tests {
    use podfence_workload::{VolumeSource, VolumeSources};
    use serde_json::json;

    use super::super::fixture::{assert_says, pod, says};
    use crate::{CheckId, ServerVersion};

    #[test]
    fn table() {
        assert_says(
            CheckId::RestrictedVolumes,
            &[
                ("no volumes", json!({}), &[(0, None), (37, None)]),
                (
                    "no source, null, and a source of the future",
                    json!({"volumes": [{"name": "a"}, {"name": "b", "emptyDir": null},
                        {"name": "c", "hologram": {}}]}),
                    &[(
                        0,
                        Some(
                            r#"restricted volume types (volumes "a", "b", "c" use restricted volume type "unknown")"#,
                        ),
                    )],
                ),
                (
                    "an allowed source is enough",
                    json!({"volumes": [{"name": "a", "hostPath": {}, "secret": {}},
                        {"name": "b", "hologram": {}, "emptyDir": {}}]}),
                    &[(0, None), (37, None)],
                ),
                (
                    "types are a sorted set",
                    json!({"volumes": [{"name": "b", "nfs": {}}, {"name": "a", "hostPath": {}},
                        {"name": "c", "nfs": {}}]}),
                    &[(
                        37,
                        Some(
                            r#"restricted volume types (volumes "b", "a", "c" use restricted volume types "hostPath", "nfs")"#,
                        ),
                    )],
                ),
                (
                    "one",
                    json!({"volumes": [{"name": "a", "gitRepo": {}}]}),
                    &[(
                        37,
                        Some(
                            r#"restricted volume types (volume "a" uses restricted volume type "gitRepo")"#,
                        ),
                    )],
                ),
            ],
        );
    }

    #[test]
    fn each_source_is_allowed_or_named() {
        let image = VolumeSource::Image;
        for source in VolumeSource::ALL {
            let spec = json!({"volumes": [{"name": "a", source.as_str(): {}}]});
            let said = says(
                CheckId::RestrictedVolumes,
                37,
                ServerVersion::NEWEST,
                &pod(&json!({}), &spec),
            );
            let is_allowed = source == image
                || VolumeSources::of(&[source]).intersects(VolumeSources::ALWAYS_ALLOWED);
            let expected = format!(
                r#"restricted volume types (volume "a" uses restricted volume type "{}")"#,
                source.as_str()
            );
            assert_eq!(said, (!is_allowed).then_some(expected));
        }
    }

    #[test]
    fn older_servers_do_not_know_image_volumes() {
        let template = pod(
            &json!({}),
            &json!({"volumes": [{"name": "a", "image": {}}]}),
        );
        let unknown =
            r#"restricted volume types (volume "a" uses restricted volume type "unknown")"#;
        for (server, expected) in [(30, Some(unknown)), (32, Some(unknown)), (33, None)] {
            let server = ServerVersion::new(server);
            let said = says(CheckId::RestrictedVolumes, 30, server, &template);
            assert_eq!(said.as_deref(), expected, "{server}");
        }
    }
}
