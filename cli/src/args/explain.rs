//! What is typed behind `explain`. No I/O.

// `--help` prints these comments as they are, backticks and all.
#![allow(clippy::doc_markdown)]

use clap::Args;
use podfence_crd::GoDuration;

use super::Form;
use super::import::{SHORT, kinds};

/// Say why: everything that is known of a workload, a node or a namespace and SeccompDefault.
///
/// Of a workload: the verdict on each container under each RuntimeDefault that it can land on, with
/// the calls, what they rest on and what would help; its pods, what they run under and how they fare;
/// and what the operator says, where that is something else. Of a node: its facts and conditions, and
/// who fails there or would. Of a namespace: all its workloads.
///
/// Judges by what is in the cluster now, with the operator's own rules. What the operator remembers of
/// pods that are gone, and what fails in other namespaces, it does not see.
///
/// Exits with 0 when nothing fails under SeccompDefault or would, as far as is known; with 1 when
/// something does; and with 2 when that could not be read.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WhyArguments {
    /// A kind of workload, node or namespace, a slash and the name; the short names of kubectl will
    /// do. For a pod that a workload controls, the workload is explained.
    #[arg(value_name = "KIND/NAME", value_parser = object)]
    pub(crate) object: ObjectName,

    /// The workload's namespace. [default: that of the context]
    #[arg(short = 'n', long, value_name = "NAME", value_parser = name)]
    pub(crate) namespace: Option<String>,

    /// What to print.
    #[arg(short = 'o', long, value_enum, default_value_t = Form::Text)]
    pub(crate) output: Form,

    /// The key of the label by which an administrator states on a Node, with true or false, whether
    /// its kubelet runs with seccompDefault. It counts where no agent has asked the kubelet; give
    /// what the operator is given.
    #[arg(long, value_name = "LABEL")]
    pub(crate) seccomp_default_node_label: Option<String>,

    /// How long a container must have been ready to count as faring well; give what the operator is
    /// given with --seccomp-settling-time.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(crate) settling_time: GoDuration,

    /// The namespace of the agents' pods.
    #[arg(long, value_name = "NAME", default_value = "podfence-agent", value_parser = name)]
    pub(crate) agent_namespace: String,

    /// The context of the kubeconfig. [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  # Why is this Deployment said to fail?
  kubectl podfence explain deployment/web -n shop

  # Could this node be switched?
  kubectl podfence explain node/worker-1

  # Everything in a namespace, for a machine to read
  kubectl podfence explain namespace/shop -o json";

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObjectName {
    Node(String),
    Namespace(String),
    /// The kind as the API writes it where it is known, as it was typed otherwise: anybody may have
    /// a controller of pods.
    Workload {
        kind: String,
        name: String,
    },
}

fn object(text: &str) -> Result<ObjectName, String> {
    let (kind, named) = text
        .split_once('/')
        .ok_or("write the kind, a slash and the name, such as deployment/web")?;
    let named = name(named)?;
    let typed = kind.to_ascii_lowercase();
    Ok(match &*typed {
        "" => return Err("write the kind before the slash, such as deployment/web".to_owned()),
        "node" | "nodes" | "no" => ObjectName::Node(named),
        "namespace" | "namespaces" | "ns" => ObjectName::Namespace(named),
        _ => {
            let short = SHORT.iter().find(|(short, _)| *short == typed);
            let known = short.map(|(_, kind)| *kind).or_else(|| {
                kinds().find(|kind| {
                    typed == kind.as_str().to_ascii_lowercase() || typed == kind.plural()
                })
            });
            ObjectName::Workload {
                kind: known.map_or_else(|| kind.to_owned(), |kind| kind.as_str().to_owned()),
                name: named,
            }
        }
    })
}

/// The name of an object: it becomes part of a path.
fn name(text: &str) -> Result<String, String> {
    let fits = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '-' | '.');
    if !text.is_empty() && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no name: lower-case letters, digits, '-' and '.' are in one"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{ObjectName, object};

    #[test]
    fn objects_are_typed_as_for_kubectl() {
        for wrong in [
            "",
            "web",
            "/web",
            "deployment/",
            "deploy/a/b",
            "no/..%2f",
            "po/Web",
        ] {
            object(wrong).expect_err(wrong);
        }
        let workload = |kind: &str| ObjectName::Workload {
            kind: kind.to_owned(),
            name: "web".to_owned(),
        };
        for (typed, want) in [
            ("deployment/web", workload("Deployment")),
            ("deploy/web", workload("Deployment")),
            ("StatefulSets/web", workload("StatefulSet")),
            ("po/web", workload("Pod")),
            ("KafkaNode/web", workload("KafkaNode")),
            ("no/web", ObjectName::Node("web".to_owned())),
            ("namespaces/web", ObjectName::Namespace("web".to_owned())),
        ] {
            assert_eq!(object(typed), Ok(want), "{typed}");
        }
    }
}
