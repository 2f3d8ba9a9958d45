//! How other tools read a status, and what they ask of it. Pure.
//!
//! [`Kstatus::of`] is the generic part of cli-utils' kstatus, which Flux uses as well. The rules of
//! [`every_version`] and [`settled`] are those of Flux's own checker
//! (`fluxcd/pkg/runtime/conditions/check`), under its numbers, and what the Kubernetes API
//! conventions ask of conditions.

use serde_json::Value;

/// The tools wait at most for a status that fits into one object together with the rest.
const LONGEST_STATUS: usize = 64 * 1024;

/// What a GitOps tool takes an object for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kstatus {
    /// It is being deleted.
    Terminating,
    /// The tool waits.
    InProgress,
    /// The tool gives up at once.
    Failed,
    /// The tool goes on.
    Current,
}

impl Kstatus {
    /// Computes it as kstatus does, in its order.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        if !object["metadata"]["deletionTimestamp"].is_null() {
            return Self::Terminating;
        }
        let observed = &object["status"]["observedGeneration"];
        if !observed.is_null() && *observed != object["metadata"]["generation"] {
            return Self::InProgress;
        }
        let conditions = Conditions::of(object);
        for condition in conditions.all() {
            match (condition["type"].as_str(), condition["status"].as_str()) {
                (Some("Reconciling"), Some("True")) => return Self::InProgress,
                (Some("Stalled"), Some("True")) => return Self::Failed,
                _ => {}
            }
        }
        match conditions.status("Ready") {
            Some("True") | None => Self::Current,
            Some(_) => Self::InProgress,
        }
    }
}

/// The conditions of an object.
#[derive(Clone, Copy)]
struct Conditions<'a>(&'a [Value]);

impl<'a> Conditions<'a> {
    fn of(object: &'a Value) -> Self {
        let conditions = object["status"]["conditions"].as_array();
        Self(conditions.map(Vec::as_slice).unwrap_or_default())
    }

    fn all(self) -> impl Iterator<Item = &'a Value> {
        self.0.iter()
    }

    fn get(self, kind: &str) -> Option<&'a Value> {
        self.0.iter().find(|condition| condition["type"] == kind)
    }

    fn status(self, kind: &str) -> Option<&'a str> {
        self.get(kind)
            .and_then(|condition| condition["status"].as_str())
    }

    fn is(self, kind: &str, status: &str) -> bool {
        self.status(kind) == Some(status)
    }
}

/// What is wrong with one version of an object, whatever is under way. `previous` is the version
/// before it.
///
/// A status that the operator has not written yet is not checked: its default says that it was not
/// observed.
#[must_use]
pub fn every_version(object: &Value, previous: Option<&Value>) -> Vec<String> {
    let conditions = Conditions::of(object);
    let generation = object["metadata"]["generation"]
        .as_i64()
        .unwrap_or_default();
    let observed = object["status"]["observedGeneration"].as_i64();
    let mut broken = Vec::new();
    if conditions.0.is_empty() && observed.is_none_or(|observed| observed < 0) {
        return broken;
    }
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            broken.push(text.to_owned());
        }
    };
    let ready = conditions.status("Ready");
    rule(ready.is_some(), "FAIL0002: there is no Ready");
    let stalled = conditions.is("Stalled", "True");
    rule(
        !stalled || ready == Some("False"),
        "FAIL0004: Stalled, and Ready is not False",
    );
    let both = conditions.get("Stalled").is_some() && conditions.get("Reconciling").is_some();
    rule(!both, "FAIL0005: both Stalled and Reconciling are present");
    rule(
        observed.is_some_and(|observed| observed <= generation),
        "FAIL0006: observedGeneration is not among the generations",
    );
    rule(
        ready != Some("Unknown") || conditions.is("Reconciling", "True"),
        "FAIL0011: Ready is Unknown, and not Reconciling",
    );
    for kind in ["Reconciling", "Stalled"] {
        rule(
            !conditions.is(kind, "False"),
            "WARN0003/4: present, but False",
        );
    }
    for condition in conditions.all() {
        let generation = condition["observedGeneration"].as_i64();
        rule(
            generation.is_some(),
            "WARN0005: a condition without observedGeneration",
        );
        rule(generation <= observed, "a condition is ahead of the status");
    }
    let length = object["status"].to_string().len();
    rule(length <= LONGEST_STATUS, "the status is longer than 64 KiB");
    rule(adds_up(object), "the summary does not add up");
    if let Some(previous) = previous {
        transitions(conditions, Conditions::of(previous), &mut rule);
    }
    broken
}

/// `lastTransitionTime` moves with the status of a condition, and only with it.
fn transitions(now: Conditions<'_>, before: Conditions<'_>, rule: &mut impl FnMut(bool, &str)) {
    for condition in now.all() {
        let before = condition["type"].as_str().and_then(|kind| before.get(kind));
        let Some(before) = before else { continue };
        let moved = condition["lastTransitionTime"] != before["lastTransitionTime"];
        let changed = condition["status"] != before["status"];
        rule(
            !moved || changed,
            "lastTransitionTime moved although the status did not change",
        );
    }
}

/// Phases partition the matched namespaces. What has no summary, such as a profile, adds up.
fn adds_up(object: &Value) -> bool {
    let summary = &object["status"]["summary"];
    let count = |field: &str| summary[field].as_u64().unwrap_or_default();
    let parts = [
        "namespacesEnforced",
        "namespacesSoaking",
        "namespacesHeld",
        "namespacesConflicting",
    ];
    let listed = object["status"]["namespaces"]
        .as_array()
        .map_or(0, Vec::len) as u64;
    let truncated = object["status"]["truncated"]["namespaces"]
        .as_u64()
        .unwrap_or_default();
    let matched = count("namespacesMatched");
    parts.iter().map(|part| count(part)).sum::<u64>() == matched
        && (summary.is_null() || listed + truncated == matched)
}

/// What is wrong with an object about which nothing is under way any more.
#[must_use]
pub fn settled(object: &Value) -> Vec<String> {
    let conditions = Conditions::of(object);
    let generation = &object["metadata"]["generation"];
    let observed = &object["status"]["observedGeneration"];
    let mut broken = Vec::new();
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            broken.push(text.to_owned());
        }
    };
    let Some(ready) = conditions.get("Ready") else {
        return vec!["FAIL0002: there is no Ready".to_owned()];
    };
    let is_ready = ready["status"] == "True";
    let negatives = ["Reconciling", "Stalled"];
    let worst = negatives.into_iter().find_map(|kind| conditions.get(kind));
    rule(
        !is_ready || worst.is_none(),
        "FAIL0001/WARN0001: Ready beside Reconciling or Stalled",
    );
    let reconciling = conditions.is("Reconciling", "True");
    rule(
        !reconciling || ready["status"] == "False",
        "FAIL0003: Reconciling, and Ready not False",
    );
    rule(
        observed == generation,
        "FAIL0007: settled, but of an older generation",
    );
    for condition in conditions.all() {
        rule(
            condition["observedGeneration"] == *observed,
            "FAIL0008/9: a condition of another generation than the status",
        );
    }
    if let Some(worst) = worst {
        rule(
            worst["reason"] == ready["reason"],
            "WARN0002: Ready has another reason",
        );
        rule(
            worst["message"] == ready["message"],
            "WARN0002: Ready has another message",
        );
    }
    broken
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(kind: &str, status: &str) -> Value {
        json!({
            "type": kind, "status": status, "reason": "Because", "message": "words",
            "observedGeneration": 2, "lastTransitionTime": "2026-11-20T10:00:00Z",
        })
    }

    /// An object of generation 2 with these conditions.
    fn object(conditions: &[(&str, &str)]) -> Value {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(kind, status)| condition(kind, status))
            .collect();
        json!({
            "metadata": { "generation": 2 },
            "status": { "observedGeneration": 2, "conditions": conditions },
        })
    }

    #[test]
    fn reads_a_status_as_the_tools_do() {
        let mut deleted = object(&[("Ready", "True")]);
        deleted["metadata"]["deletionTimestamp"] = json!("2026-11-20T10:00:00Z");
        let mut fresh = object(&[]);
        fresh["status"]["observedGeneration"] = json!(-1);
        for (name, object, want) in [
            ("nothing", json!({}), Kstatus::Current),
            ("deleted", deleted, Kstatus::Terminating),
            ("not observed", fresh, Kstatus::InProgress),
            ("ready", object(&[("Ready", "True")]), Kstatus::Current),
            (
                "not ready",
                object(&[("Ready", "False")]),
                Kstatus::InProgress,
            ),
            (
                "unknown",
                object(&[("Ready", "Unknown")]),
                Kstatus::InProgress,
            ),
            (
                "stalled",
                object(&[("Ready", "False"), ("Stalled", "True")]),
                Kstatus::Failed,
            ),
            (
                "the first of two",
                object(&[("Reconciling", "True"), ("Stalled", "True")]),
                Kstatus::InProgress,
            ),
        ] {
            assert_eq!(Kstatus::of(&object), want, "{name}");
        }
    }

    /// Each row breaks exactly the rule that it names, for otherwise it would show nothing.
    #[test]
    fn each_rule_of_every_version_can_be_broken() {
        let with = |path: &str, value: Value| {
            let mut object = object(&[("Ready", "True"), ("Enforced", "False")]);
            *object.pointer_mut(path).expect(path) = value;
            object
        };
        let mut later = object(&[("Ready", "True")]);
        later["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-11-20T11:00:00Z");
        let mut counted = object(&[("Ready", "True")]);
        counted["status"]["summary"] = json!({ "namespacesMatched": 2, "namespacesHeld": 1 });
        counted["status"]["truncated"] = json!({ "namespaces": 2 });
        let mut unlisted = object(&[("Ready", "True")]);
        unlisted["status"]["summary"] = json!({ "namespacesMatched": 1, "namespacesHeld": 1 });
        let long = "x".repeat(LONGEST_STATUS);
        for (object, want) in [
            (object(&[("Enforced", "True")]), "FAIL0002"),
            (
                object(&[("Ready", "True"), ("Stalled", "True")]),
                "FAIL0004",
            ),
            (
                object(&[
                    ("Ready", "False"),
                    ("Stalled", "True"),
                    ("Reconciling", "True"),
                ]),
                "FAIL0005",
            ),
            (with("/metadata/generation", json!(1)), "FAIL0006"),
            (object(&[("Ready", "Unknown")]), "FAIL0011"),
            (
                object(&[("Ready", "True"), ("Stalled", "False")]),
                "WARN0003/4",
            ),
            (
                with("/status/conditions/1/message", json!(long)),
                "longer than 64 KiB",
            ),
            (
                with("/status/conditions/1/observedGeneration", json!(3)),
                "ahead of the status",
            ),
            (later, "lastTransitionTime"),
            (counted, "add up"),
            (unlisted, "add up"),
        ] {
            let previous = super::tests::object(&[("Ready", "True")]);
            let broken = every_version(&object, Some(&previous));
            assert_eq!(broken.len(), 1, "{want}: {broken:?}");
            assert!(broken[0].contains(want), "{want}: {broken:?}");
        }
        let silent = with("/status/conditions/1/observedGeneration", Value::Null);
        assert_eq!(
            every_version(&silent, None),
            ["WARN0005: a condition without observedGeneration"]
        );
    }

    #[test]
    fn each_rule_of_a_settled_object_can_be_broken() {
        let mut old = object(&[("Ready", "True")]);
        old["metadata"]["generation"] = json!(3);
        let mut mixed = object(&[("Ready", "True"), ("Enforced", "True")]);
        mixed["status"]["conditions"][1]["observedGeneration"] = json!(1);
        let mut other = object(&[("Ready", "False"), ("Stalled", "True")]);
        other["status"]["conditions"][1]["message"] = json!("other words");
        for (object, want) in [
            (json!({}), "FAIL0002"),
            (
                object(&[("Ready", "True"), ("Stalled", "True")]),
                "FAIL0001",
            ),
            (
                object(&[("Ready", "Unknown"), ("Reconciling", "True")]),
                "FAIL0003",
            ),
            (old, "FAIL0007"),
            (mixed, "FAIL0008"),
            (other, "WARN0002"),
        ] {
            let broken = settled(&object);
            assert_eq!(broken.len(), 1, "{want}: {broken:?}");
            assert!(broken[0].contains(want), "{want}: {broken:?}");
        }
    }

    #[test]
    fn what_is_right_is_not_complained_about() {
        let mut fresh = object(&[]);
        fresh["status"]["observedGeneration"] = json!(-1);
        let ready = object(&[("Ready", "True"), ("Enforced", "False")]);
        let stalled = object(&[("Ready", "False"), ("Stalled", "True")]);
        for object in [&fresh, &ready, &stalled] {
            assert_eq!(every_version(object, Some(&ready)), Vec::<String>::new());
        }
        for object in [&ready, &stalled] {
            assert_eq!(settled(object), Vec::<String>::new());
        }
        assert_eq!(
            every_version(&json!({ "metadata": { "generation": 1 } }), None).len(),
            0
        );
    }
}
