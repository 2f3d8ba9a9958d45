//! The reference of the API in Markdown, from the definitions that the API server gets. No I/O.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// All kinds, one table of fields each.
pub(crate) fn markdown(definitions: &[CustomResourceDefinition]) -> String {
    let mut text = String::from(
        "<!-- Generated from the types in crd/src by `make crds`. Do not edit: a test compares it \
         with them. -->\n\n# API reference\n\n\
         What `kubectl explain` shows, in one page. A field marked **required** must be written; \
         every other may be left out.\n",
    );
    for definition in definitions {
        kind(&mut text, definition);
    }
    text
}

fn kind(text: &mut String, definition: &CustomResourceDefinition) {
    let spec = &definition.spec;
    let names = &spec.names;
    for version in &spec.versions {
        let Some(root) = version
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref())
        else {
            continue;
        };
        let short = names
            .short_names
            .iter()
            .flatten()
            .map(|name| format!(", `{name}`"));
        let _ = write!(
            text,
            "\n## {}\n\n{}\n\n`apiVersion: {}/{}`, {}-scoped, `kubectl get {}`{}\n",
            names.kind,
            root.description.as_deref().unwrap_or_default(),
            spec.group,
            version.name,
            spec.scope.to_lowercase(),
            names.plural,
            short.collect::<String>(),
        );
        for part in ["spec", "status"] {
            let Some(schema) = root.properties.as_ref().and_then(|all| all.get(part)) else {
                continue;
            };
            let _ = write!(
                text,
                "\n### {} {part}\n\n| field | type | meaning |\n|---|---|---|\n",
                names.kind
            );
            fields(text, part, schema);
        }
    }
}

/// One row for each field below `schema`, depth first.
fn fields(text: &mut String, path: &str, schema: &JSONSchemaProps) {
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let required = schema
            .required
            .iter()
            .flatten()
            .any(|required| required == name);
        row(text, &path, field, required);
        fields(text, &path, field);
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &field.items {
            fields(text, &format!("{path}[]"), items);
        }
    }
}

fn row(text: &mut String, path: &str, field: &JSONSchemaProps, required: bool) {
    let mut meaning = Vec::new();
    if required {
        meaning.push("**Required.**".to_owned());
    }
    meaning.extend(
        field
            .description
            .as_ref()
            .map(|text| text.replace('\n', " ")),
    );
    meaning.extend(bounds(field));
    for rule in field.x_kubernetes_validations.iter().flatten() {
        meaning.extend(
            rule.message
                .as_ref()
                .map(|message| format!("Refused otherwise: *{message}.*")),
        );
    }
    let meaning = meaning.join(" ").replace('|', "\\|");
    let _ = writeln!(text, "| `{path}` | {} | {meaning} |", type_name(field));
}

fn type_name(field: &JSONSchemaProps) -> String {
    match (&field.items, &field.additional_properties, &field.enum_) {
        (Some(JSONSchemaPropsOrArray::Schema(items)), _, _) => {
            let kind = field.x_kubernetes_list_type.as_deref().unwrap_or("atomic");
            format!("list ({kind}) of {}", type_name(items))
        }
        (_, Some(JSONSchemaPropsOrBool::Schema(values)), _) => {
            format!("map to {}", type_name(values))
        }
        (_, _, Some(words)) => {
            let words: Vec<_> = words
                .iter()
                .map(|word| format!("`{}`", word.0.as_str().unwrap_or_default()))
                .collect();
            words.join(", ")
        }
        _ => {
            let name = field.type_.as_deref().unwrap_or("any");
            field
                .format
                .as_ref()
                .map_or_else(|| name.to_owned(), |format| format!("{name} ({format})"))
        }
    }
}

fn bounds(field: &JSONSchemaProps) -> Option<String> {
    let bound = |what: &str, least: Option<String>, most: Option<String>| match (least, most) {
        (None, None) => None,
        (Some(least), None) => Some(format!("{what} at least {least}")),
        (None, Some(most)) => Some(format!("{what} at most {most}")),
        (Some(least), Some(most)) => Some(format!("{what} {least} to {most}")),
    };
    let text = |number: Option<i64>| number.map(|number| number.to_string());
    let value = |number: Option<f64>| number.map(|number| number.to_string());
    let parts = [
        bound("items:", text(field.min_items), text(field.max_items)),
        bound(
            "entries:",
            text(field.min_properties),
            text(field.max_properties),
        ),
        bound(
            "characters:",
            text(field.min_length),
            text(field.max_length),
        ),
        bound("value:", value(field.minimum), value(field.maximum)),
        field
            .pattern
            .as_ref()
            .map(|pattern| format!("pattern: `{pattern}`")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("({})", parts.join("; ")))
}
