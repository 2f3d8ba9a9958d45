//! Label selectors and excluded names, compiled once per policy. No I/O.
//!
//! A selector that cannot be compiled is an error, never "matches nothing": a policy that silently
//! stopped matching would hand its namespaces to a weaker one.

use std::collections::BTreeMap;

/// How a selector reads labels, whatever map they live in.
pub(crate) trait Labels {
    /// The value of a label, or `None` when the key is absent.
    fn value(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Labels for podfence_workload::Labels {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key)
    }
}

/// Why a selector or a name pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The operator is none of In, `NotIn`, Exists and `DoesNotExist`.
    #[error(
        "matchExpressions: key {key:?} has the unknown operator {operator:?}; use In, NotIn, Exists or DoesNotExist"
    )]
    UnknownOperator {
        /// The key of the expression.
        key: String,
        /// What was written.
        operator: String,
    },
    /// In and `NotIn` need values, Exists and `DoesNotExist` take none.
    #[error("matchExpressions: key {key:?} with operator {operator} {problem}")]
    Values {
        /// The key of the expression.
        key: String,
        /// The operator.
        operator: &'static str,
        /// What is wrong with its values.
        problem: &'static str,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Equals(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
}

/// A compiled label selector. The empty selector matches everything, as in Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    requirements: Vec<Requirement>,
}

/// One `matchExpressions` item as it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expression<'a> {
    /// The label's key.
    pub(crate) key: &'a str,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub(crate) operator: &'a str,
    /// The values, empty for the two operators without any.
    pub(crate) values: &'a [String],
}

impl Selector {
    /// Compiles a selector.
    ///
    /// # Errors
    /// When an operator is unknown, or its values do not fit it.
    pub(crate) fn compile<'a>(
        match_labels: impl IntoIterator<Item = (&'a String, &'a String)>,
        expressions: impl IntoIterator<Item = Expression<'a>>,
    ) -> Result<Self, SelectorError> {
        let mut requirements: Vec<_> = match_labels
            .into_iter()
            .map(|(key, value)| Requirement::Equals(key.clone(), value.clone()))
            .collect();
        for expression in expressions {
            requirements.push(requirement(expression)?);
        }
        Ok(Self { requirements })
    }

    /// Whether these labels satisfy every requirement.
    pub(crate) fn matches(&self, labels: &impl Labels) -> bool {
        self.requirements
            .iter()
            .all(|requirement| match requirement {
                Requirement::Equals(key, value) => labels.value(key) == Some(value),
                Requirement::In(key, values) => labels
                    .value(key)
                    .is_some_and(|have| values.iter().any(|value| value == have)),
                // As in Kubernetes, an absent key satisfies NotIn.
                Requirement::NotIn(key, values) => labels
                    .value(key)
                    .is_none_or(|have| values.iter().all(|value| value != have)),
                Requirement::Exists(key) => labels.value(key).is_some(),
                Requirement::DoesNotExist(key) => labels.value(key).is_none(),
            })
    }
}

fn requirement(expression: Expression<'_>) -> Result<Requirement, SelectorError> {
    let key = expression.key.to_owned();
    let values = expression.values.to_vec();
    let wrong = |operator, problem| {
        Err(SelectorError::Values {
            key: expression.key.to_owned(),
            operator,
            problem,
        })
    };
    match expression.operator {
        "In" if values.is_empty() => wrong("In", "needs at least one value"),
        "NotIn" if values.is_empty() => wrong("NotIn", "needs at least one value"),
        "Exists" if !values.is_empty() => wrong("Exists", "takes no values"),
        "DoesNotExist" if !values.is_empty() => wrong("DoesNotExist", "takes no values"),
        "In" => Ok(Requirement::In(key, values)),
        "NotIn" => Ok(Requirement::NotIn(key, values)),
        "Exists" => Ok(Requirement::Exists(key)),
        "DoesNotExist" => Ok(Requirement::DoesNotExist(key)),
        operator => Err(SelectorError::UnknownOperator {
            key,
            operator: operator.to_owned(),
        }),
    }
}

/// A namespace name in which `*` stands for any run of characters, and nothing else is special.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamePattern {
    text: String,
}

impl NamePattern {
    /// A pattern. Every text is one: a name that cannot exist just never matches.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// Whether the whole name fits the pattern. Linear in the lengths multiplied, without
    /// recursion, so that a hostile pattern costs nothing.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let Some((head, rest)) = self.text.split_once('*') else {
            return self.text == name;
        };
        let Some(mut left) = name.strip_prefix(head) else {
            return false;
        };
        let mut pieces = rest.split('*').peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return left.ends_with(piece);
            }
            match left.find(piece) {
                Some(at) => left = left.get(at + piece.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn name_patterns() {
        for (pattern, name, want) in [
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("legacy-*", "legacy-", true),
            ("legacy-*", "legacy-crm", true),
            ("legacy-*", "my-legacy-crm", false),
            ("*-dev", "a-dev", true),
            ("*-dev", "a-dev-b", false),
            ("*-dev", "-dev-dev", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a**c", "ac", true),
            ("a*a", "a", false),
            ("shop", "shop", true),
            ("shop", "shop2", false),
            ("sh?p", "shop", false),
            ("[a-z]", "a", false),
        ] {
            assert_eq!(
                NamePattern::new(pattern).matches(name),
                want,
                "{pattern:?} {name:?}"
            );
        }
    }

    #[test]
    fn selectors() {
        let values = ["apps".to_owned(), "web".to_owned()];
        let with = |operator, values| Expression {
            key: "tier",
            operator,
            values,
        };
        let none = labels(&[]);
        let apps = labels(&[("tier", "apps")]);
        let data = labels(&[("tier", "data")]);
        for (expression, on_none, on_apps, on_data) in [
            (with("In", &values[..]), false, true, false),
            (with("NotIn", &values[..]), true, false, true),
            (with("Exists", &[]), false, true, true),
            (with("DoesNotExist", &[]), true, false, false),
        ] {
            let selector = Selector::compile([], [expression]).expect("compiles");
            assert_eq!(
                selector.matches(&none),
                on_none,
                "{expression:?} without labels"
            );
            assert_eq!(selector.matches(&apps), on_apps, "{expression:?} on apps");
            assert_eq!(selector.matches(&data), on_data, "{expression:?} on data");
        }
        assert!(Selector::default().matches(&none));
        let pairs = labels(&[("tier", "apps"), ("env", "dev")]);
        let both = Selector::compile(&pairs, []).expect("compiles");
        assert!(!both.matches(&apps), "every pair must match");
        assert!(both.matches(&pairs));
    }

    #[test]
    fn refused_expressions() {
        let values = ["x".to_owned()];
        for (operator, values, want) in [
            ("in", &values[..], "unknown operator"),
            ("", &[], "unknown operator"),
            ("In", &[], "needs at least one value"),
            ("NotIn", &[], "needs at least one value"),
            ("Exists", &values[..], "takes no values"),
            ("DoesNotExist", &values[..], "takes no values"),
        ] {
            let refused = Selector::compile(
                [],
                [Expression {
                    key: "k",
                    operator,
                    values,
                }],
            );
            let message = refused.expect_err(operator).to_string();
            assert!(
                message.contains(want) && message.contains("\"k\""),
                "{message}"
            );
        }
    }
}
