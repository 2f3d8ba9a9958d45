//! The definitions of our kinds as the API server gets them: what the derives make of the types,
//! with what they cannot say. No I/O.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::namespace_policy::NamespacePolicy;
use crate::node_report::NodeReport;
use crate::policy_profile::PolicyProfile;
use crate::syscall_record::SyscallRecord;

/// All definitions, in the order in which they are installed.
#[must_use]
pub fn custom_resource_definitions() -> [CustomResourceDefinition; 4] {
    [
        PolicyProfile::crd(),
        NamespacePolicy::crd(),
        NodeReport::crd(),
        SyscallRecord::crd(),
    ]
    .map(finished)
}

fn finished(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        if let Some(root) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        {
            finish_root(root);
        }
    }
    definition
}

fn finish_root(root: &mut JSONSchemaProps) {
    root.title = None;
    visit(root, &mut finish);
    let Some(properties) = root.properties.as_mut() else {
        return;
    };
    if let Some(status) = properties.get_mut("status") {
        // Podfence writes its status in one piece; a default inside would only pretend that
        // something had been counted.
        visit(status, &mut |schema| schema.default = None);
        // Without a status, kstatus takes a new object for current. With this one every GitOps
        // tool waits until Podfence has seen the object.
        status.default = Some(JSON(json!({ "observedGeneration": -1 })));
    }
}

/// What holds for every schema, at whatever depth.
fn finish(schema: &mut JSONSchemaProps) {
    // The derives make each `Option` nullable. Nothing here is: an explicit null would be one more
    // way to write "absent", and a source of drift.
    schema.nullable = None;
    // An object's default is empty, and its fields bring their own: each default is said once.
    if schema.type_.as_deref() == Some("object") && schema.default.is_some() {
        schema.default = Some(JSON(json!({})));
    }
    // OpenAPI has no unsigned formats, and the API server warns of each that it does not know.
    schema.format = match schema.format.take().as_deref() {
        Some("uint8" | "uint16") => Some("int32".to_owned()),
        Some("uint32") => Some("int64".to_owned()),
        format => format.map(str::to_owned),
    };
    // The line breaks of a doc comment are those of the source; `kubectl explain` makes its own.
    if let Some(description) = &mut schema.description {
        let paragraphs: Vec<_> = description
            .split("\n\n")
            .map(|paragraph| paragraph.replace('\n', " "))
            .collect();
        *description = paragraphs.join("\n\n");
    }
}

/// Calls `change` on a schema and on everything below it.
fn visit(schema: &mut JSONSchemaProps, change: &mut impl FnMut(&mut JSONSchemaProps)) {
    change(schema);
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        visit(property, change);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        visit(items, change);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        visit(values, change);
    }
}
