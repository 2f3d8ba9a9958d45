//! Takes away from a JSON value what is not needed for a property to hold. Pure.

use anyhow::Result;
use serde_json::Value;

/// The smallest value, by taking away one member or entry after the other, that still has the
/// property.
pub(crate) fn smallest(
    mut value: Value,
    has_property: &mut impl FnMut(&Value) -> Result<bool>,
) -> Result<Value> {
    loop {
        let mut smaller = None;
        for pointer in pointers(&value, "") {
            let candidate = without(&value, &pointer);
            if has_property(&candidate)? {
                smaller = Some(candidate);
                break;
            }
        }
        match smaller {
            Some(found) => value = found,
            None => return Ok(value),
        }
    }
}

/// Where everything is that can be taken away, the large parts first.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(entries) => entries
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    let mut found: Vec<String> = children
        .iter()
        .map(|(key, _)| format!("{at}/{key}"))
        .collect();
    for (key, child) in children {
        found.extend(pointers(child, &format!("{at}/{key}")));
    }
    found
}

fn without(value: &Value, pointer: &str) -> Value {
    let mut smaller = value.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
    match smaller.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(entries)) => {
            let index: Option<usize> = key.parse().ok();
            index.map(|index| entries.remove(index));
        }
        _ => unreachable!("{pointer} was found in the value"),
    }
    smaller
}

#[test]
fn only_what_is_needed_stays() {
    let value = serde_json::json!({"a": [{"b/c": 1, "d": 2}, {"e": 3}], "f": {"g": 4}});
    let mut has_one = |value: &Value| Ok(value.to_string().contains(r#""b/c":1"#));
    let smallest = smallest(value, &mut has_one).unwrap();
    assert_eq!(smallest, serde_json::json!({"a": [{"b/c": 1}]}));
}
