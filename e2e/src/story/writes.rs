//! What the operator may write, held against what it wrote. Pure.
//!
//! The events come from the API server's audit log, so nothing here believes the operator. A write
//! names the resourceVersion that it was planned on, and the API server refuses it on any other:
//! what was there before is known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::lab::AuditEvent;

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const ENFORCE_VERSION: &str = "pod-security.kubernetes.io/enforce-version";
const LABELS: &str = "pod-security.kubernetes.io/";
const STATE: &str = "state.podfence.dev/";
const FIELD_MANAGER: &str = "podfence";

/// A level and a version as numbers that are higher when stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strictness {
    /// 0 without a label, then privileged, baseline and restricted.
    pub level: u8,
    /// The minor; the highest there is for `latest` and for none.
    pub version: u32,
}

impl Strictness {
    /// Of what an object's labels enforce. What the API server cannot parse counts as it takes it:
    /// restricted, latest.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let labels = &object["metadata"]["labels"];
        let level = match labels[ENFORCE].as_str() {
            None => 0,
            Some("privileged") => 1,
            Some("baseline") => 2,
            Some(_) => 3,
        };
        let version = labels[ENFORCE_VERSION]
            .as_str()
            .and_then(|text| text.strip_prefix("v1."));
        let version = version
            .and_then(|minor| minor.parse().ok())
            .unwrap_or(u32::MAX);
        Self { level, version }
    }

    /// Whether one half is below the other's. Privileged has no rules at any version.
    #[must_use]
    pub fn is_below(self, other: Self) -> bool {
        self.level < other.level || (other.level > 1 && self.version < other.version)
    }
}

/// Holds the operator's requests on namespaces, dry runs included, against the rules, and returns
/// what is broken.
///
/// `events` are in the log's order; `at` is the namespace of a name at a resourceVersion, where
/// that is known. Only namespaces in `may_lower` may come out less strict than they went in.
#[must_use]
pub fn broken_rules(
    events: &[AuditEvent],
    at: &dyn Fn(&str, &str) -> Option<Value>,
    may_lower: &BTreeSet<String>,
) -> Vec<String> {
    let mut log = Log {
        at,
        may_lower,
        written: BTreeMap::new(),
        asked: Vec::new(),
    };
    events
        .iter()
        .filter(|event| event.object_ref.resource == "namespaces")
        .flat_map(|event| {
            let about = format!("{} {}", event.verb, event.request_uri);
            let broken = log.read(event);
            broken
                .into_iter()
                .map(move |text| format!("{about}: {text}"))
        })
        .collect()
}

/// The requests on objects with a status that changed nothing: what they left has the version that
/// an earlier one of them left.
#[must_use]
pub fn needless(events: &[AuditEvent]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let stored = events
        .iter()
        .filter(|event| event.succeeded() && !event.is_dry_run());
    stored
        .filter_map(|event| {
            let metadata = &event.response_object.as_ref()?["metadata"];
            let (uid, version) = (
                metadata["uid"].as_str()?,
                metadata["resourceVersion"].as_str()?,
            );
            // Taking the last finalizer away is a deletion, which has no version of its own.
            let is_end =
                metadata["deletionTimestamp"].is_string() && metadata["finalizers"].is_null();
            let is_new = seen.insert((uid, version)) || is_end;
            let text = || format!("{} {}: a needless write", event.verb, event.request_uri);
            (!is_new).then(text)
        })
        .collect()
}

struct Log<'a> {
    at: &'a dyn Fn(&str, &str) -> Option<Value>,
    may_lower: &'a BTreeSet<String>,
    /// The namespaces as the operator's writes left them, by name and resourceVersion.
    written: BTreeMap<(&'a str, &'a str), &'a Value>,
    /// The dry runs.
    asked: Vec<&'a Value>,
}

impl<'a> Log<'a> {
    fn read(&mut self, event: &'a AuditEvent) -> Vec<String> {
        let (Some(request), name) = (&event.request_object, event.object_ref.name.as_str()) else {
            return vec!["it has no body".to_owned()];
        };
        let mut broken = of_request(event, request);
        if event.is_dry_run() {
            self.asked.push(request);
            return broken;
        }
        let Some(after) = event.response_object.as_ref().filter(|_| event.succeeded()) else {
            return broken;
        };
        let planned_on = request["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default();
        let became = after["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default();
        if planned_on == became {
            broken.push("a needless write: nothing changed".to_owned());
        }
        match self.before(name, planned_on) {
            Some(before) => broken.extend(self.of_change(name, request, &before, after)),
            None => broken.push(format!("what was there at {planned_on} is not on record")),
        }
        self.written.insert((name, became), after);
        broken
    }

    fn before(&self, name: &str, resource_version: &str) -> Option<Value> {
        let written = self
            .written
            .get(&(name, resource_version))
            .map(|object| (*object).clone());
        written.or_else(|| (self.at)(name, resource_version))
    }

    fn of_change(&self, name: &str, request: &Value, before: &Value, after: &Value) -> Vec<String> {
        let mut broken = Vec::new();
        let (was, is) = (Strictness::of(before), Strictness::of(after));
        if is.is_below(was) && !self.may_lower.contains(name) {
            broken.push(format!("enforce was lowered from {was:?} to {is:?}"));
        }
        // Privileged blocks no pod, so there is nothing to ask about.
        if was.is_below(is) && is.level > 1 {
            let same = |asked: &&&Value| {
                ["name", "uid", "resourceVersion", "labels"]
                    .iter()
                    .all(|field| asked["metadata"][field] == request["metadata"][field])
            };
            if !self.asked.iter().any(|asked| same(&asked)) {
                broken.push("enforce was tightened without asking by a dry run first".to_owned());
            }
        }
        for (field, prefix) in [("labels", LABELS), ("annotations", STATE)] {
            if foreign(before, field, prefix) != foreign(after, field, prefix) {
                broken.push(format!("{field} of others were changed"));
            }
        }
        broken
    }
}

/// What holds for every request on a namespace, whatever it changes.
fn of_request(event: &AuditEvent, request: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            broken.push(text.to_owned());
        }
    };
    rule(event.verb == "patch", "namespaces are only patched");
    rule(
        event.object_ref.subresource.is_empty(),
        "subresources are not written",
    );
    let manager = event.field_manager();
    rule(
        manager.as_deref() == Some(FIELD_MANAGER),
        "another field manager than podfence",
    );
    rule(
        request["metadata"]["uid"].is_string(),
        "an apply without uid may create a namespace",
    );
    rule(
        request["metadata"]["resourceVersion"].is_string(),
        "an apply without resourceVersion",
    );
    for (field, prefix) in [("labels", LABELS), ("annotations", STATE)] {
        let own = request["metadata"][field]
            .as_object()
            .is_none_or(|entries| entries.keys().all(|key| key.starts_with(prefix)));
        rule(own, "a label or annotation of somebody else");
    }
    broken
}

/// The entries of a map that are none of the operator's business.
fn foreign<'a>(object: &'a Value, field: &str, prefix: &str) -> BTreeMap<&'a str, &'a Value> {
    let entries = object["metadata"][field].as_object().into_iter().flatten();
    entries
        .map(|(key, value)| (key.as_str(), value))
        .filter(|(key, _)| !key.starts_with(prefix))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn strictness(level: Option<&str>, version: Option<&str>) -> Strictness {
        Strictness::of(&json!({ "metadata": { "labels": {
            ENFORCE: level, ENFORCE_VERSION: version,
        } } }))
    }

    #[test]
    fn stricter_and_less_strict() {
        for (was, is, lowered) in [
            ((None, None), (Some("privileged"), Some("latest")), false),
            (
                (None, Some("latest")),
                (Some("baseline"), Some("v1.30")),
                false,
            ),
            ((Some("baseline"), None), (None, None), true),
            (
                (Some("privileged"), None),
                (Some("baseline"), Some("v1.30")),
                false,
            ),
            (
                (Some("restricted"), Some("v1.34")),
                (Some("baseline"), Some("v1.34")),
                true,
            ),
            (
                (Some("restricted"), Some("v1.34")),
                (Some("restricted"), Some("v1.9")),
                true,
            ),
            (
                (Some("restricted"), None),
                (Some("restricted"), Some("v1.37")),
                true,
            ),
            (
                (Some("baseline"), Some("v1.9")),
                (Some("baseline"), Some("v1.10")),
                false,
            ),
            ((Some("foo"), None), (Some("baseline"), None), true),
        ] {
            let got = strictness(is.0, is.1).is_below(strictness(was.0, was.1));
            assert_eq!(got, lowered, "{was:?} -> {is:?}");
        }
    }

    const OWN: &str = "fieldManager=podfence";

    /// The namespace `shop` with these labels and annotations.
    fn namespace(resource_version: &str, labels: &Value, annotations: &Value) -> Value {
        json!({ "metadata": {
            "name": "shop", "uid": "u1", "resourceVersion": resource_version,
            "labels": labels, "annotations": annotations,
        } })
    }

    fn event(verb: &str, query: &str, request: &Value, response: &Value) -> AuditEvent {
        serde_json::from_value(json!({
            "auditID": "1", "verb": verb, "requestURI": format!("/api/v1/namespaces/shop?{query}"),
            "user": { "username": "operator" },
            "objectRef": { "resource": "namespaces", "namespace": "shop", "name": "shop" },
            "responseStatus": { "code": 200 },
            "requestObject": request, "responseObject": response,
            "requestReceivedTimestamp": "2026-11-24T02:55:01.123456Z",
            "stageTimestamp": "2026-11-24T02:55:01.223456Z",
        }))
        .unwrap()
    }

    /// What is broken when the namespace had `before` at version 1 and these requests were made.
    fn broken(before: &Value, events: &[AuditEvent], may_lower: &[&str]) -> Vec<String> {
        let at = |_: &str, resource_version: &str| {
            (resource_version == "1").then(|| namespace("1", before, &json!({ "note": "x" })))
        };
        let may_lower = may_lower.iter().map(|name| (*name).to_owned()).collect();
        broken_rules(events, &at, &may_lower)
    }

    /// An apply of these labels on version 1, dry or not, and the namespace as it then is.
    fn apply(query: &str, labels: &Value, after: &Value) -> AuditEvent {
        event("patch", query, &namespace("1", labels, &json!({})), after)
    }

    /// Exactly one rule is broken, and `want` is in its words; or none, where that is empty.
    fn assert_broken(name: &str, want: &str, broken: &[String]) {
        match want {
            "" => assert_eq!(broken, <[String; 0]>::default(), "{name}"),
            want => {
                assert_eq!(broken.len(), 1, "{name}: {broken:?}");
                assert!(broken[0].contains(want), "{name}: {broken:?}");
            }
        }
    }

    #[test]
    fn each_rule_of_a_change_can_be_broken() {
        let (nothing, note) = (json!({}), json!({ "note": "x" }));
        let team = json!({ "team": "shop" });
        let baseline = json!({ "team": "shop", ENFORCE: "baseline" });
        let raise = json!({ ENFORCE: "baseline" });
        let lowered = [apply(OWN, &nothing, &namespace("2", &team, &note))];
        let raised = apply(OWN, &raise, &namespace("2", &baseline, &note));
        let dry = format!("{OWN}&dryRun=All");
        let asked = [apply(&dry, &raise, &Value::Null), raised.clone()];
        let other = [apply(&dry, &nothing, &Value::Null), raised.clone()];
        let raised = [raised];
        let same = [apply(OWN, &nothing, &namespace("1", &team, &note))];
        let label = [apply(OWN, &nothing, &namespace("2", &nothing, &note))];
        let annotation = [apply(OWN, &nothing, &namespace("2", &team, &nothing))];
        let shop: &[&str] = &["shop"];
        for (name, before, events, may_lower, want) in [
            (
                "lowered",
                &baseline,
                &lowered[..],
                &[][..],
                "enforce was lowered",
            ),
            ("lowered as asked", &baseline, &lowered, shop, ""),
            ("raised unasked", &team, &raised, &[], "without asking"),
            ("raised after asking", &team, &asked, &[], ""),
            ("asked something else", &team, &other, &[], "without asking"),
            ("changed nothing", &team, &same, &[], "needless"),
            ("foreign label", &team, &label, &[], "labels of others"),
            (
                "foreign annotation",
                &team,
                &annotation,
                &[],
                "annotations of others",
            ),
        ] {
            assert_broken(name, want, &broken(before, events, may_lower));
        }
    }

    #[test]
    fn each_rule_of_a_request_can_be_broken() {
        let (nothing, note) = (json!({}), json!({ "note": "x" }));
        let team = json!({ "team": "shop" });
        let after = namespace("2", &team, &note);
        let plain = namespace("1", &nothing, &nothing);
        let bare = json!({ "metadata": { "name": "shop", "resourceVersion": "1" } });
        let theirs = json!({ "team": "x" });
        for (name, event, want) in [
            ("as it should be", event("patch", OWN, &plain, &after), ""),
            ("no uid", event("patch", OWN, &bare, &after), "without uid"),
            (
                "another manager",
                apply("fieldManager=x", &nothing, &after),
                "field manager",
            ),
            (
                "updated",
                event("update", OWN, &plain, &after),
                "only patched",
            ),
            (
                "somebody's key",
                apply(OWN, &theirs, &after),
                "somebody else",
            ),
            (
                "from nowhere",
                event("patch", OWN, &namespace("7", &nothing, &nothing), &after),
                "not on record",
            ),
        ] {
            assert_broken(name, want, &broken(&team, &[event], &[]));
        }
    }

    #[test]
    fn a_write_that_left_what_was_there_is_needless() {
        let none = json!({});
        let left = |version: &str| event("patch", OWN, &none, &namespace(version, &none, &none));
        assert_eq!(needless(&[left("2"), left("3")]), Vec::<String>::new());
        assert_eq!(needless(&[left("2"), left("3"), left("3")]).len(), 1);
        let mut gone = namespace("3", &none, &none);
        gone["metadata"]["deletionTimestamp"] = json!("2026-11-24T02:55:01Z");
        let last = event("patch", OWN, &none, &gone);
        assert_eq!(needless(&[left("3"), last]), Vec::<String>::new());
    }
}
