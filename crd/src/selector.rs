//! Label selectors with bounds and rules, so that a wrong one is refused when it is applied and not
//! found out later. No I/O.
//!
//! The type of `meta/v1` has neither bounds nor rules: the API server would accept selectors that
//! it could never evaluate.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;

/// Keeps a selector from depending on the labels that a policy writes: it would deselect its own
/// namespaces. To be put on each field that selects namespaces.
pub(crate) const NO_POD_SECURITY_KEYS: &str = "\
(!has(self.matchLabels) || \
self.matchLabels.all(k, !k.startsWith('pod-security.kubernetes.io/'))) && \
(!has(self.matchExpressions) || \
self.matchExpressions.all(e, !e.key.startsWith('pod-security.kubernetes.io/')))";

/// What is said when [`NO_POD_SECURITY_KEYS`] fails.
pub(crate) const NO_POD_SECURITY_KEYS_MESSAGE: &str = "namespaceSelector must not use \
pod-security.kubernetes.io/* labels, because the policy itself changes them; select by another \
label";

/// A label's key (apimachinery `pkg/util/validation`, `IsQualifiedName`), apart from the length of
/// its prefix. CEL's own `format.qualifiedName()` came with Kubernetes 1.31, and servers refuse to
/// store a rule with what their predecessor did not know.
const LABEL_KEY: &str = concat!(
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?",
    r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$",
);

/// The CEL expression for "this is a label's key".
fn is_label_key(this: &str) -> String {
    format!("{this}.matches('{LABEL_KEY}') && {this}.indexOf('/') <= 253")
}

/// A label's value (apimachinery `pkg/util/validation`, `IsValidLabelValue`). A pattern, because as
/// rules over every value of every selector of every exception it would cost more than the API
/// server allows a schema.
const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// Selects objects by their labels. All requirements must hold; an empty selector selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
// A selector is one statement. Merged from two owners' halves it would be nobody's.
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LabelSelector {
    /// Labels that an object must have, with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "match_labels_schema")]
    #[x_kube(validation = Rule::new(format!("self.all(k, {})", is_label_key("k")))
        .message("matchLabels keys must be label keys, such as team or example.com/team"))]
    pub match_labels: BTreeMap<String, String>,

    /// Requirements on labels beyond equality. All must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into(), "operator".into()]))]
    pub match_expressions: Vec<LabelRequirement>,
}

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "self.operator in ['In', 'NotIn'] ? has(self.values) && self.values.size() > 0 : \
     !has(self.values) || self.values.size() == 0")
    .message("matchExpressions values must not be empty with operator In or NotIn, and must be \
              left out with Exists or DoesNotExist"))]
pub struct LabelRequirement {
    /// The label's key.
    // A prefix of at most 253 characters, a slash and a name of at most 63.
    #[schemars(length(min = 1, max = 317))]
    #[x_kube(validation = Rule::new(is_label_key("self"))
        .message("matchExpressions key must be a label key, such as team or example.com/team"))]
    pub key: String,

    /// How the label is compared. In: its value is one of values. NotIn: it is none of values, or
    /// the label is absent. Exists: the label is present. DoesNotExist: it is absent.
    pub operator: Operator,

    /// The values for In and NotIn. Must be left out for Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63), regex(pattern = LABEL_VALUE)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub values: Vec<String>,
}

words! {
    /// How a label is compared.
    #[derive(JsonSchema)]
    Operator {
        /// Its value is one of the values.
        In,
        /// Its value is none of the values, or the label is absent.
        NotIn,
        /// It is present.
        Exists,
        /// It is absent.
        DoesNotExist,
    }
}

/// schemars has no attributes for the bounds of a map and of its values.
fn match_labels_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": LABEL_VALUE },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::rules::check_policies;

    /// As `IsQualifiedName` of apimachinery answers.
    #[test]
    fn keys_are_checked() {
        let letters = |count: usize| "x".repeat(count);
        for (key, valid) in [
            (String::new(), false),
            ("a b".to_owned(), false),
            ("a-".to_owned(), false),
            ("-a".to_owned(), false),
            ("/a".to_owned(), false),
            ("a/".to_owned(), false),
            ("a/b/c".to_owned(), false),
            ("A.com/a".to_owned(), false),
            ("a..b/c".to_owned(), false),
            ("a_b.com/c".to_owned(), false),
            (letters(64), false),
            (format!("{}/a", letters(254)), false),
            (format!("a/{}", letters(64)), false),
            ("a".to_owned(), true),
            ("1".to_owned(), true),
            ("A_b.C-d".to_owned(), true),
            ("a-b.example.com/A_b.C-d".to_owned(), true),
            (letters(63), true),
            (format!("{}/{}", letters(253), letters(63)), true),
        ] {
            let expression = json!({ "key": key.clone(), "operator": "Exists" });
            let refused = |text: &'static str| if valid { "" } else { text };
            check_policies(
                "/namespaceSelector",
                &[
                    (
                        json!({ "matchLabels": { key: "a" } }),
                        refused("matchLabels keys"),
                    ),
                    (
                        json!({ "matchExpressions": [expression] }),
                        refused("matchExpressions key"),
                    ),
                ],
            );
        }
    }

    #[test]
    fn an_empty_selector_is_one() {
        let empty = [
            json!({}),
            json!({ "matchLabels": {} }),
            json!({ "matchExpressions": [] }),
        ];
        check_policies("/namespaceSelector", &empty.map(|selector| (selector, "")));
    }

    #[test]
    fn requirements_are_checked() {
        let only = |expression: serde_json::Value| json!({ "matchExpressions": [expression] });
        let one = |key: &str, operator: &str, values: serde_json::Value| {
            only(json!({ "key": key, "operator": operator, "values": values }))
        };
        let bare = |operator: &str| only(json!({ "key": "tier", "operator": operator }));
        check_policies(
            "/namespaceSelector",
            &[
                (
                    bare("In"),
                    "matchExpressions values must not be empty with operator In",
                ),
                (bare("NotIn"), "matchExpressions values must not be empty"),
                (
                    one("tier", "In", json!([])),
                    "matchExpressions values must not be empty",
                ),
                (
                    one("tier", "Exists", json!(["a"])),
                    "left out with Exists or DoesNotExist",
                ),
                (
                    one("tier", "DoesNotExist", json!(["a"])),
                    "left out with Exists",
                ),
                (one("a b", "In", json!(["a"])), "matchExpressions key"),
                (bare("Exists"), ""),
                (bare("DoesNotExist"), ""),
                (one("tier", "In", json!(["a", ""])), ""),
                (one("example.com/tier", "NotIn", json!(["a", "b"])), ""),
            ],
        );
    }

    /// A namespace that a policy labels must not thereby leave it.
    #[test]
    fn namespaces_are_not_selected_by_what_the_policy_writes() {
        let key = "pod-security.kubernetes.io/enforce";
        let table = [
            (
                json!({ "matchLabels": { key: "baseline" } }),
                "must not use pod-security",
            ),
            (
                json!({ "matchExpressions": [{ "key": key, "operator": "Exists" }] }),
                "must not use pod-security",
            ),
            (
                json!({ "matchLabels": { "pod-security.example.com/enforce": "baseline" } }),
                "",
            ),
        ];
        check_policies("/namespaceSelector", &table);
        check_policies("/exceptions/0/namespaceSelector", &table);
    }
}
