//! Whether a switch to SeccompDefault changes what a container runs under. Pure.
//!
//! It is decided container by container from the specification, never by the labels of a namespace:
//! a pod that is older than its namespace's label need not meet it.

use std::fmt;

use podfence_workload::{Container, Template};

use crate::{EffectiveProfile, Node, Switch, UnknownProfile};

/// Whether the switch changes the container's profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Affected {
    /// Without SeccompDefault it is unconfined, with it under `RuntimeDefault`.
    Yes,
    /// It runs under the same before and after.
    No(Exempt),
    /// It cannot be said.
    Unknown(UnknownProfile),
}

/// Why a switch changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Exempt {
    /// The container or its pod chooses a profile.
    ExplicitProfile,
    /// The runtime confines no privileged container.
    Privileged,
    /// Windows has no seccomp.
    Windows,
}

impl Affected {
    /// What a switch of such a node does to a container. Whether the node has been switched already
    /// makes no difference: a container that runs under `RuntimeDefault` because of it is affected.
    #[must_use]
    pub fn of(template: &Template, container: &Container, node: Node<'_>) -> Self {
        let off = Node {
            seccomp_default: Some(false),
            ..node
        };
        let switch = Switch::of(template, container, off);
        match (switch.affected, switch.before, switch.after) {
            (Some(true), _, _) => Self::Yes,
            (Some(false), EffectiveProfile::NotApplicable, _) => Self::No(Exempt::Windows),
            (Some(false), _, _) => Self::No(
                if container.security.seccomp.is_some() || template.security.seccomp.is_some() {
                    Exempt::ExplicitProfile
                } else {
                    Exempt::Privileged
                },
            ),
            (None, EffectiveProfile::Unknown(reason), _)
            | (None, _, EffectiveProfile::Unknown(reason)) => Self::Unknown(reason),
            // `Switch::of` says "unknown" of nothing else.
            (None, _, _) => Self::Unknown(UnknownProfile::Runtime),
        }
    }
}

impl fmt::Display for Exempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ExplicitProfile => "a profile is chosen explicitly",
            Self::Privileged => "a privileged container is not confined",
            Self::Windows => "Windows has no seccomp",
        })
    }
}
