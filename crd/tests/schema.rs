//! What holds for every field of every kind, checked on the definitions that the API server gets.

// Clippy knows `#[test]` functions as tests, but not what they call.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use podfence_crd::custom_resource_definitions;
use serde_json::json;

/// One schema and where it is.
struct Place<'a> {
    path: String,
    schema: &'a JSONSchemaProps,
    in_list: bool,
    required: bool,
}

fn roots() -> Vec<(String, JSONSchemaProps)> {
    custom_resource_definitions()
        .into_iter()
        .map(|definition| {
            let [version] = <[_; 1]>::try_from(definition.spec.versions).expect("one version");
            let root = version.schema.and_then(|schema| schema.open_api_v3_schema);
            (definition.spec.names.kind, root.expect("a schema"))
        })
        .collect()
}

/// Calls `check` with every schema below `spec` and `status`.
fn everywhere(mut check: impl FnMut(&Place)) {
    for (kind, root) in roots() {
        let root = Place {
            path: kind,
            schema: &root,
            in_list: false,
            required: true,
        };
        below(&root, &mut check);
    }
}

fn below(place: &Place, check: &mut impl FnMut(&Place)) {
    let required = place.schema.required.clone().unwrap_or_default();
    for (name, schema) in place.schema.properties.iter().flatten() {
        let path = format!("{}.{name}", place.path);
        let required = required.contains(name);
        let field = Place {
            path,
            schema,
            in_list: place.in_list,
            required,
        };
        check(&field);
        below(&field, check);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &place.schema.items {
        let path = format!("{}[]", place.path);
        let items = Place {
            path,
            schema,
            in_list: true,
            required: true,
        };
        check(&items);
        below(&items, check);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(schema)) = &place.schema.additional_properties {
        let path = format!("{}{{}}", place.path);
        check(&Place {
            path,
            schema,
            in_list: true,
            required: true,
        });
    }
}

#[test]
fn every_field_is_explained() {
    everywhere(|place| {
        if place.path.ends_with("[]") || place.path.ends_with("{}") {
            return;
        }
        let text = place.schema.description.as_deref().unwrap_or_default();
        assert!(
            text.ends_with('.') && text.len() > 10,
            "{}: {text:?}",
            place.path
        );
        // Words of Rust mean nothing to a reader of `kubectl explain`.
        assert!(!text.contains(['`', '[', '\n']), "{}: {text:?}", place.path);
    });
}

/// `kubectl explain` does not show defaults by itself.
#[test]
fn every_default_is_said() {
    everywhere(|place| {
        let Some(default) = &place.schema.default else {
            return;
        };
        if place.schema.type_.as_deref() != Some("object") {
            let value = default
                .0
                .as_str()
                .map_or_else(|| default.0.to_string(), str::to_owned);
            let said = format!("Defaults to {value}.");
            let text = place.schema.description.as_deref().unwrap_or_default();
            assert!(
                text.contains(&said),
                "{}: want {said:?} in {text:?}",
                place.path
            );
        }
    });
}

#[test]
fn every_field_is_bounded() {
    everywhere(|place| {
        let schema = place.schema;
        let bounded = match schema.type_.as_deref() {
            Some("array") => schema.max_items.is_some(),
            Some("object") => schema.properties.is_some() || schema.max_properties.is_some(),
            Some("string") => {
                schema.max_length.is_some()
                    || schema.enum_.is_some()
                    || schema.format.as_deref() == Some("date-time")
            }
            Some("integer") => {
                schema.minimum.is_some() || schema.format.as_deref() == Some("int32")
            }
            Some("boolean") => true,
            other => panic!("{}: type {other:?}", place.path),
        };
        assert!(bounded, "{} has no bound", place.path);
    });
}

/// The API server warns of every other one, and whoever installs Podfence reads that.
#[test]
fn every_format_is_known_to_the_server() {
    everywhere(|place| {
        let format = place.schema.format.as_deref();
        let known = [None, Some("int32"), Some("int64"), Some("date-time")];
        assert!(known.contains(&format), "{}: {format:?}", place.path);
    });
}

/// Kinds that nobody but Podfence writes.
const OBSERVATIONS: [&str; 2] = ["NodeReport.spec.", "SyscallRecord.spec."];

#[test]
fn every_list_says_how_it_is_merged() {
    everywhere(|place| {
        if place.schema.type_.as_deref() != Some("array") {
            return;
        }
        let merge = place.schema.x_kubernetes_list_type.as_deref();
        let conditions = place.path.ends_with(".status.conditions");
        // What people and their tools write is merged; what Podfence writes, it writes whole.
        let is_observation = OBSERVATIONS.iter().any(|kind| place.path.starts_with(kind));
        if place.path.contains(".status.") && !conditions {
            assert_eq!(merge, Some("atomic"), "{}", place.path);
        } else {
            let is_whole = is_observation && merge == Some("atomic");
            assert!(
                is_whole || matches!(merge, Some("set" | "map")),
                "{}: {merge:?}",
                place.path
            );
        }
    });
}

/// GitOps tools compare what they applied with what is there.
#[test]
fn nothing_makes_gitops_tools_see_drift() {
    everywhere(|place| {
        let Place {
            path,
            schema,
            in_list,
            required,
        } = place;
        assert_eq!(schema.nullable, None, "{path} is nullable");
        let Some(default) = &schema.default else {
            return;
        };
        assert!(!in_list, "{path}: a default in a list item");
        assert!(!required, "{path}: a required field with a default");
        if path.ends_with(".status") {
            assert_eq!(default.0, json!({ "observedGeneration": -1 }), "{path}");
        } else if schema.type_.as_deref() == Some("object") {
            assert_eq!(default.0, json!({}), "{path}");
        }
    });
}

/// Otherwise the default of a field is not there when the object around it is left out.
#[test]
fn an_object_with_defaults_has_a_default() {
    const ABSENT_OR_WITH_A_LEVEL: [&str; 3] = ["enforce", "audit", "warn"];
    everywhere(|place| {
        let has_defaults = place
            .schema
            .properties
            .iter()
            .flatten()
            .any(|(_, field)| field.default.is_some());
        let mode = place.path.rsplit('.').next().unwrap_or_default();
        if has_defaults && !place.required && !ABSENT_OR_WITH_A_LEVEL.contains(&mode) {
            assert!(
                place.schema.default.is_some(),
                "{} has no default",
                place.path
            );
        }
    });
}

/// A server refuses a rule that its predecessor could not read, and 1.30 is the oldest that we run
/// on. What CEL got later, by the call that shows it (apiserver `pkg/cel/environment/base.go`).
#[test]
fn every_rule_is_known_to_the_oldest_server() {
    const SINCE_1_30: [&str; 5] = ["format.", "ip(", "cidr(", "semver(", "fieldSelector("];
    everywhere(|place| {
        for rule in place.schema.x_kubernetes_validations.iter().flatten() {
            for newer in SINCE_1_30 {
                assert!(
                    !rule.rule.contains(newer),
                    "{}: {newer:?} in {}",
                    place.path,
                    rule.rule
                );
            }
        }
    });
}

#[test]
fn every_rule_names_its_field() {
    let mut rules = 0;
    everywhere(|place| {
        for rule in place.schema.x_kubernetes_validations.iter().flatten() {
            rules += 1;
            let message = rule.message.as_deref().unwrap_or_default();
            let fields = place
                .schema
                .properties
                .iter()
                .flatten()
                .map(|(name, _)| name.as_str());
            let own = place
                .path
                .rsplit(['.', '[', '{'])
                .next()
                .unwrap_or_default();
            let names: Vec<_> = fields.chain([own]).filter(|name| name.len() > 1).collect();
            assert!(
                names.iter().any(|name| message.contains(name)),
                "{}: {message:?} names none of {names:?}",
                place.path
            );
        }
    });
    assert!(rules > 10, "only {rules} rules were seen");
}
