//! Which nodes a pod can land on. No I/O.
//!
//! As the scheduler filters nodes (`NodeName`, `NodeAffinity` and `TaintToleration` of
//! `pkg/scheduler/framework/plugins`), for the node as it is when it is well: a cordoned or
//! unreachable node is to be switched like any other, so taints that say no more than that are left
//! out. Resources, topology and the pods' affinity to each other are left out as well: they decide
//! where a pod lands today, not where it can.

use podfence_workload::{NodeSelectorTerm, Operator, Placement, Requirement, Toleration};

use super::node::{Node, Taint};

/// Taints with this prefix say how a node is, and come and go with that.
const PASSING_TAINTS: &str = "node.kubernetes.io/";

/// Whether pods can land on a node: `bound_to` is the node that the template names itself.
///
/// What cannot be told counts as possible: a node is never called ready because of a requirement
/// that is not understood.
#[must_use]
pub fn can_land(placement: &Placement, bound_to: Option<&str>, node: &Node) -> bool {
    // A pod that names its node was never asked what it tolerates, but `NoExecute` ends it.
    if let Some(name) = bound_to {
        return name == node.name;
    }
    let selected = placement
        .node_selector
        .iter()
        .all(|(key, value)| node.labels.get(key).is_some_and(|have| have == value));
    let required = placement
        .required_affinity
        .as_deref()
        .is_none_or(|terms| terms.iter().any(|term| matches_term(term, node)));
    selected && required && tolerates_all(&placement.tolerations, &node.taints)
}

/// A term without requirements matches nothing.
fn matches_term(term: &NodeSelectorTerm, node: &Node) -> bool {
    let is_empty = term.expressions.is_empty() && term.fields.is_empty() && !term.own_node;
    let label = |requirement: &Requirement| {
        let value = node.labels.get(&*requirement.key).map(String::as_str);
        matches_requirement(requirement, value)
    };
    // The name is the only field that the API accepts.
    let field = |requirement: &Requirement| {
        &*requirement.key != "metadata.name"
            || matches_requirement(requirement, Some(node.name.as_str()))
    };
    !is_empty && term.expressions.iter().all(label) && term.fields.iter().all(field)
}

fn matches_requirement(requirement: &Requirement, value: Option<&str>) -> bool {
    let is_listed = |value: &str| requirement.values.iter().any(|one| &**one == value);
    // Both sides are whole numbers, or the requirement does not hold.
    let compared = |holds: fn(&i64, &i64) -> bool| {
        let number: Option<i64> = value.and_then(|value| value.parse().ok());
        let bound: Option<i64> = requirement.values.first().and_then(|it| it.parse().ok());
        number
            .zip(bound)
            .is_some_and(|(one, two)| holds(&one, &two))
    };
    match requirement.operator {
        Operator::In => value.is_some_and(is_listed),
        // As in Kubernetes, an absent label satisfies it.
        Operator::NotIn => value.is_none_or(|value| !is_listed(value)),
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
        Operator::Gt => compared(i64::gt),
        Operator::Lt => compared(i64::lt),
        Operator::Other(_) => true,
    }
}

fn tolerates_all(tolerations: &[Toleration], taints: &[Taint]) -> bool {
    taints
        .iter()
        .filter(|taint| taint.effect != "PreferNoSchedule")
        .filter(|taint| !taint.key.starts_with(PASSING_TAINTS))
        .all(|taint| tolerations.iter().any(|it| tolerates(it, taint)))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let Toleration {
        key,
        operator,
        value,
        effect,
    } = toleration;
    let value_fits = match &**operator {
        "" | "Equal" => **value == *taint.value,
        // `Exists`, and what a newer server may know.
        _ => true,
    };
    (effect.is_empty() || **effect == *taint.effect)
        && (key.is_empty() || **key == *taint.key)
        && value_fits
}

#[cfg(test)]
mod tests {
    use podfence_workload::{Defaulting, Kind, decode};
    use serde_json::{Value, json};

    use super::*;

    fn node() -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": "n1", "uid": "u", "labels": { "zone": "a", "cpus": "8" } },
            "spec": { "taints": [
                { "key": "gpu", "value": "yes", "effect": "NoSchedule" },
                { "key": "slow", "effect": "PreferNoSchedule" },
                { "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" },
            ] },
        }))
        .expect("a node")
    }

    fn lands(spec: &Value) -> bool {
        let pod = json!({ "metadata": { "name": "p" }, "spec": spec }).to_string();
        let pod = decode(Kind::Pod, pod.as_bytes(), Defaulting::AsServed).expect("a pod");
        let template = pod.template.as_ref().expect("a pod has one");
        can_land(&template.placement, pod.node_name.as_deref(), &node())
    }

    fn tolerating(more: &Value) -> Value {
        let mut spec = json!({ "tolerations": [{ "key": "gpu", "operator": "Exists" }] });
        let fields = more.as_object().expect("fields").clone();
        spec.as_object_mut().expect("fields").extend(fields);
        spec
    }

    fn requiring(key: &str, operator: &str, values: &Value) -> Value {
        let term = json!({ "matchExpressions": [
            { "key": key, "operator": operator, "values": values },
        ] });
        affine(&json!([term]))
    }

    fn affine(terms: &Value) -> Value {
        tolerating(&json!({ "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms },
        } } }))
    }

    #[test]
    fn taints() {
        for (tolerations, want) in [
            (json!([]), false),
            (json!([{ "key": "gpu", "value": "no" }]), false),
            (
                json!([{ "key": "gpu", "operator": "Exists", "effect": "NoExecute" }]),
                false,
            ),
            (json!([{ "key": "fpga", "operator": "Exists" }]), false),
            (json!([{ "key": "gpu", "value": "yes" }]), true),
            (
                json!([{ "key": "gpu", "operator": "Equal", "value": "yes" }]),
                true,
            ),
            (json!([{ "operator": "Exists" }]), true),
            (
                json!([{ "key": "gpu", "operator": "Exists", "effect": "NoSchedule" }]),
                true,
            ),
        ] {
            let spec = json!({ "tolerations": tolerations });
            assert_eq!(lands(&spec), want, "{tolerations}");
        }
    }

    #[test]
    fn selectors_and_affinity() {
        for (spec, want) in [
            (tolerating(&json!({})), true),
            (
                tolerating(&json!({ "nodeSelector": { "zone": "b" } })),
                false,
            ),
            (
                tolerating(&json!({ "nodeSelector": { "zone": "a" } })),
                true,
            ),
            (affine(&json!([])), false),
            (affine(&json!([{}])), false),
            (
                affine(&json!([{}, { "matchFields": [
                { "key": "metadata.name", "operator": "In", "values": ["n1"] },
            ] }])),
                true,
            ),
            (
                affine(&json!([{ "matchFields": [
                { "key": "metadata.name", "operator": "In", "values": ["n2"] },
            ] }])),
                false,
            ),
            (requiring("zone", "In", &json!(["b", "a"])), true),
            (requiring("zone", "NotIn", &json!(["a"])), false),
            (requiring("rack", "NotIn", &json!(["a"])), true),
            (requiring("rack", "Exists", &json!([])), false),
            (requiring("rack", "DoesNotExist", &json!([])), true),
            (requiring("cpus", "Gt", &json!(["7"])), true),
            (requiring("cpus", "Gt", &json!(["8"])), false),
            (requiring("cpus", "Lt", &json!(["many"])), false),
            (requiring("zone", "Near", &json!(["a"])), true),
        ] {
            let text = spec.to_string();
            assert_eq!(lands(&spec), want, "{text}");
        }
    }

    #[test]
    fn a_node_that_is_named_is_not_chosen() {
        assert!(lands(&json!({ "nodeName": "n1" })), "whatever it tolerates");
        assert!(!lands(&tolerating(&json!({ "nodeName": "n2" }))));
    }
}
