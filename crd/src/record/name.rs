//! What a workload's record is called, and whose it is. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::syscall_record::{RecordedWorkload, SyscallRecord, SyscallRecordSpec};

/// The longest name of an object.
const LONGEST: usize = 253;

/// The groups of the built-in workloads, of which no two have a kind of the same name.
const BUILT_IN: [&str; 3] = ["", "apps", "batch"];

impl RecordedWorkload {
    /// The name of its record: its kind and its name, as in `deployment-web`. With a hash behind it
    /// where that is too long, is no name for an object, or could be another workload's as well.
    #[must_use]
    pub fn record_name(&self) -> String {
        let group = self.group();
        let plain = format!("{}-{}", self.kind.to_lowercase(), self.name);
        if BUILT_IN.contains(&group) && is_object_name(&plain) {
            return plain;
        }
        let hash = hash(&[group, &self.kind, &self.name]);
        let mut stem: String = plain
            .to_lowercase()
            .chars()
            .map(|character| if is_plain(character) { character } else { '-' })
            .collect();
        stem.truncate(LONGEST - 1 - hash.len());
        match stem.trim_matches('-') {
            "" => hash,
            stem => format!("{stem}-{hash}"),
        }
    }

    /// The reference by which a record goes when its workload goes.
    #[must_use]
    pub fn owner_reference(&self, uid: &str) -> OwnerReference {
        OwnerReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            uid: uid.to_owned(),
            // The workload does not manage its record, and must not wait for it.
            controller: None,
            block_owner_deletion: None,
        }
    }

    fn group(&self) -> &str {
        let group = self.api_version.split_once('/');
        group.map_or("", |(group, _)| group)
    }
}

impl SyscallRecord {
    /// An empty record of a workload. Without the workload's `uid` nothing deletes the record with
    /// it; it still expires.
    #[must_use]
    pub fn of(workload: RecordedWorkload, namespace: &str, uid: Option<&str>) -> Self {
        let owner = uid.map(|uid| vec![workload.owner_reference(uid)]);
        Self {
            metadata: ObjectMeta {
                name: Some(workload.record_name()),
                namespace: Some(namespace.to_owned()),
                owner_references: owner,
                ..ObjectMeta::default()
            },
            spec: SyscallRecordSpec {
                workload,
                entries: Vec::new(),
            },
        }
    }
}

/// Whether the API server takes it for the name of an object: labels, with dots in between.
fn is_object_name(name: &str) -> bool {
    name.len() <= LONGEST
        && name.split('.').all(|label| {
            label.starts_with(is_plain)
                && label.ends_with(is_plain)
                && label
                    .chars()
                    .all(|character| is_plain(character) || character == '-')
        })
}

fn is_plain(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit()
}

/// FNV-1a of 64 bits: the same in every release, which the standard library's hasher does not
/// promise. Nobody gains by a collision, because whoever can name workloads can write there anyway.
fn hash(words: &[&str]) -> String {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, RecordedWorkload, hash};

    fn record_name(api_version: &str, kind: &str, name: &str) -> String {
        let workload = RecordedWorkload {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        };
        workload.record_name()
    }

    #[test]
    fn names_say_whose_a_record_is() {
        for (api_version, kind, name, want) in [
            ("apps/v1", "Deployment", "web", "deployment-web"),
            ("apps/v1beta1", "Deployment", "web", "deployment-web"),
            ("v1", "Pod", "a.b", "pod-a.b"),
            ("batch/v1", "CronJob", "tidy", "cronjob-tidy"),
        ] {
            assert_eq!(record_name(api_version, kind, name), want);
        }
        let other = record_name("example.org/v1", "Deployment", "web");
        assert!(other.starts_with("deployment-web-"), "{other}");
        assert_ne!(other, record_name("example.com/v1", "Deployment", "web"));
        assert_eq!(other, record_name("example.org/v2", "Deployment", "web"));
    }

    #[test]
    fn names_are_names_of_objects() {
        let long = "a".repeat(LONGEST);
        let dotted = format!("{}.{}", "a".repeat(224), "b".repeat(28));
        for (kind, name) in [
            ("Deployment", long.as_str()),
            ("Deployment", dotted.as_str()),
            ("Deployment", "UPPER"),
            ("Deployment", "system:web"),
            ("Deployment", "a.-b"),
            ("Deployment", "web-"),
            ("Größe", "ü"),
            ("", ""),
        ] {
            let name = record_name("apps/v1", kind, name);
            assert!(super::is_object_name(&name), "{name}");
        }
        // What differs only in what is cut off or replaced still differs.
        let longer = format!("{long}b");
        for (one, other) in [(long.as_str(), longer.as_str()), ("a:b", "a_b"), ("A", "a")] {
            let [one, other] = [one, other].map(|name| record_name("apps/v1", "Job", name));
            assert_ne!(one, other);
        }
    }

    #[test]
    fn names_that_the_api_server_refuses() {
        for name in ["", ".", "-a", "a-", "a..b", "a.-b", "A", "a_b", "ä"] {
            assert!(!super::is_object_name(name), "{name}");
        }
        assert!(super::is_object_name("a-b.0"));
    }

    #[test]
    fn the_hash_is_that_of_its_authors() {
        // Of the empty text it is the offset basis; the bytes after each word are ours.
        assert_eq!(hash(&[]), "cbf29ce484222325");
        assert_eq!(hash(&[""]), "af63bd4c8601b7df");
    }
}
