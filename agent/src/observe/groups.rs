//! Whose a space is, by the names of its control groups. Pure.
//!
//! Runtimes name a container's group after its id: `cri-containerd-<id>.scope` and
//! `crio-<id>.scope` under systemd, `<id>` without. The kubelet names a pod's group after its uid.

/// Digits of a container's id.
const ID_DIGITS: usize = 64;

/// CRI-O's monitor of a container has a group that is named like the container's and is none: it runs
/// among the host's programs.
const MONITOR: &str = "conmon-";

/// The id of the outermost container that these groups are in; none where they are the host's.
/// `groups` are from the inmost upwards.
///
/// What runs within a container, such as one of Docker in Docker, belongs to that container.
#[must_use]
pub fn container_of(groups: &[Box<str>]) -> Option<&str> {
    groups.iter().rev().find_map(|name| id_in(name))
}

/// What may be the uid of the pod that these groups are in, as kubelet and runtime know it.
#[must_use]
pub fn pod_of(groups: &[Box<str>]) -> Option<String> {
    groups.iter().rev().find_map(|name| {
        let name = name.strip_suffix(".slice").unwrap_or(name);
        // `kubepods-burstable-pod<uid>`; a uid has no letter p.
        let (before, uid) = name.rsplit_once("pod")?;
        let is_uid = uid.len() >= 32
            && uid
                .bytes()
                .all(|byte| is_digit(byte) || matches!(byte, b'-' | b'_'));
        // systemd takes a hyphen for a level.
        let is_name = before.is_empty() || before.ends_with('-');
        (is_uid && is_name).then(|| uid.replace('_', "-"))
    })
}

fn id_in(name: &str) -> Option<&str> {
    let is_monitor = |id: &str| {
        let before = name.split_once(id).map_or("", |(before, _)| before);
        before.ends_with(MONITOR)
    };
    let mut words = name.split(|character: char| {
        let byte = u8::try_from(character);
        !byte.is_ok_and(|byte| is_digit(byte) || byte.is_ascii_uppercase())
    });
    words.find(|word| word.len() == ID_DIGITS && word.bytes().all(is_digit) && !is_monitor(word))
}

/// Ids and uids are written in lower case.
const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::{container_of, pod_of};

    const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const ABC: &str = "abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabca";
    const UID: &str = "0f0e0d0c-1111-2222-3333-abcdefabcdef";

    fn groups(names: &[&str]) -> Vec<Box<str>> {
        names
            .iter()
            .map(|name| {
                let name = name.replace("ONE", ONE).replace("ABC", ABC);
                let flat = UID.replace('-', "_");
                name.replace("U-D", UID).replace("U_D", &flat).into()
            })
            .collect()
    }

    #[test]
    fn a_container_is_the_outermost_that_has_an_id() {
        for (names, want) in [
            (&[][..], None),
            (&["init.scope"], None),
            (&["containerd.service", "system.slice"], None),
            (&["ONE1"], None),
            (&["ONEg"], Some(ONE)),
            (&["xONEf"], None),
            (&["cri-containerd-AONE.scope"], None),
            (&["crio-conmon-ONE.scope"], None),
            (&["ONE"], Some(ONE)),
            (&["cri-containerd-ABC.scope"], Some(ABC)),
            (&["crio-ABC.scope"], Some(ABC)),
            (&["docker-ABC.scope", "system.slice"], Some(ABC)),
            (
                &[
                    "cri-containerd-ONE.scope",
                    "kubepods-podU_D.slice",
                    "kubepods.slice",
                ],
                Some(ONE),
            ),
            // Docker in a container, and a program's own group in one.
            (&["ABC", "docker", "ONE", "podU-D"], Some(ONE)),
            (&["app.slice", "cri-containerd-ONE.scope"], Some(ONE)),
        ] {
            assert_eq!(container_of(&groups(names)), want, "{names:?}");
        }
    }

    #[test]
    fn a_pod_is_named_by_its_uid() {
        let file = "c57e8ad5a94c2e9d8b1c7d5c1f2a3b4c";
        let of_file = format!("kubepods-burstable-pod{file}.slice");
        for (names, want) in [
            (&[][..], None),
            (&["kubepods.slice"], None),
            (&["podman", "pod", "tripod12345678"], None),
            (&["ONE", "podU-D", "burstable", "kubepods"], Some(UID)),
            (&["xpodU-D"], None),
            (&["x.scope", "kubepods-podU_D.slice"], Some(UID)),
            (&["kubepods-besteffort-podU_D.slice"], Some(UID)),
            (&[&*of_file], Some(file)),
        ] {
            assert_eq!(pod_of(&groups(names)).as_deref(), want, "{names:?}");
        }
    }
}
