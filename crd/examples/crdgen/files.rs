//! The files that are generated from the API types: their paths and contents. No I/O.

use std::collections::BTreeMap;
use std::error::Error as StdError;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use podfence_crd::custom_resource_definitions;
use serde_json::Value;

use crate::reference;

type Error = Box<dyn StdError>;

/// One generated file.
pub(crate) struct File {
    /// From the top of the repository.
    pub(crate) path: &'static str,
    /// All of it.
    pub(crate) content: String,
}

const HEADER: &str = "\
# Generated from the types in crd/src by `make crds`. Do not edit: a test compares it with them.
";

/// Everything that is generated.
///
/// # Errors
/// When a definition cannot be written as YAML.
pub(crate) fn generated() -> Result<Vec<File>, Error> {
    let definitions = custom_resource_definitions();
    let reference = reference::markdown(&definitions);
    let [profiles, policies, nodes, records] = definitions;
    Ok(vec![
        File {
            path: "config/crd/policyprofiles.yaml",
            content: yaml(&profiles)?,
        },
        File {
            path: "config/crd/namespacepolicies.yaml",
            content: yaml(&policies)?,
        },
        File {
            path: "config/crd/nodereports.yaml",
            content: yaml(&nodes)?,
        },
        File {
            path: "config/crd/syscallrecords.yaml",
            content: yaml(&records)?,
        },
        File {
            path: "config/crd/kustomization.yaml",
            content: format!(
                "{HEADER}\
                 apiVersion: kustomize.config.k8s.io/v1beta1\n\
                 kind: Kustomization\n\
                 resources:\n  \
                 - policyprofiles.yaml\n  \
                 - namespacepolicies.yaml\n  \
                 - nodereports.yaml\n  \
                 - syscallrecords.yaml\n"
            ),
        },
        File {
            path: "docs/reference/api.md",
            content: reference,
        },
    ])
}

/// # Errors
/// When the definition cannot be written.
fn yaml(definition: &CustomResourceDefinition) -> Result<String, Error> {
    let definition = tidy(serde_json::to_value(definition)?);
    Ok(format!("{HEADER}{}", serde_saphyr::to_string(&definition)?))
}

/// Sorts keys, whatever order the build's `serde_json` keeps, and writes whole numbers as such:
/// bounds are floating-point in the type, and `minimum: 0.0` reads like a mistake.
fn tidy(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields
                .into_iter()
                .map(|(name, field)| (name, tidy(field)))
                .collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(tidy).collect()),
        Value::Number(number) => match number.as_f64() {
            #[allow(clippy::cast_possible_truncation)]
            Some(float) if number.is_f64() && float.fract() == 0.0 => Value::from(float as i64),
            _ => Value::Number(number),
        },
        other => other,
    }
}
