//! A template as the verdicts see it: its containers, what they look like, which version it is. No
//! I/O.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use podfence_seccomp::signature::{Appearance, Signature};
use podfence_seccomp::{Affected, Judgement, Node as On, UnknownProfile};
use podfence_workload::{Container, ContainerKind, Labels, ProfileType, Template};

use super::nodes::Landing;

/// Labels by which the controllers of Kubernetes tell the versions of a template apart.
const REVISION_LABELS: [&str; 2] = ["pod-template-hash", "controller-revision-hash"];

/// The containers that decide: a debugging session is none of the workload's.
pub(super) fn containers(template: &Template) -> impl Iterator<Item = &Container> {
    let all = template.containers.iter();
    all.filter(|container| container.kind != ContainerKind::Ephemeral)
}

/// What is said of containers where it is not known what they would run under.
pub(super) fn judge_nowhere(template: &Template, landing: &Landing) -> Vec<(Box<str>, Judgement)> {
    let why = if landing.nodes.is_empty() {
        UnknownProfile::NoNode
    } else {
        UnknownProfile::Runtime
    };
    containers(template)
        .map(|container| {
            let affected = Affected::of(template, container, On::default());
            (
                container.name.clone(),
                Judgement::without_profile(affected, why),
            )
        })
        .collect()
}

/// An image's digest in eight bytes.
pub(super) fn image_hash(digest: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    digest.hash(&mut hasher);
    hasher.finish()
}

/// The known breakages that a container looks like.
#[must_use]
pub(super) fn signatures(container: &Container) -> Vec<&'static Signature> {
    let command = container.command.iter().chain(&container.arguments);
    let command: Vec<&str> = command.map(|word| &**word).collect();
    let appearance = Appearance {
        image: container.image.as_deref().unwrap_or_default(),
        command: &command,
        added: container
            .security
            .capabilities
            .as_ref()
            .map(|capabilities| &capabilities.add),
    };
    let all = Signature::all().unwrap_or_default();
    all.iter()
        .filter(|known| known.recognises(appearance))
        .collect()
}

/// The profile files that containers choose, each with its container.
pub(super) fn files(template: &Template) -> Vec<(Box<str>, Box<str>)> {
    let chosen = |container: &Container| {
        let own = container.security.seccomp.as_ref();
        let profile = own.or(template.security.seccomp.as_ref())?;
        let is_file = profile.profile_type == ProfileType::Localhost;
        let path = profile
            .localhost
            .clone()
            .filter(|path| is_file && !path.is_empty())?;
        Some((container.name.clone(), path))
    };
    containers(template).filter_map(chosen).collect()
}

/// What names the version of a template that a pod has: its controller's own name for it, which
/// changes with everything in the template, and what of it is seen here.
pub(super) fn version_id(labels: &Labels, template: &Template) -> Box<str> {
    let print = fingerprint(template);
    let revision = REVISION_LABELS.iter().find_map(|key| labels.get(key));
    match revision {
        Some(revision) => format!("{revision}/{print}").into(),
        None => print.into(),
    }
}

/// What of a template makes its containers behave as they do. The pods of a template differ from it
/// in what admission added: tolerations, volumes.
pub(super) fn fingerprint(template: &Template) -> String {
    let mut hasher = DefaultHasher::new();
    for container in containers(template) {
        let Container {
            kind,
            name,
            image,
            command,
            arguments,
            security,
            ..
        } = container;
        (kind.field(), name, image, command, arguments, security).hash(&mut hasher);
    }
    let Template {
        host_network,
        host_pid,
        host_ipc,
        host_users,
        runtime_class,
        security,
        ..
    } = template;
    (
        host_network,
        host_pid,
        host_ipc,
        host_users,
        runtime_class,
        security,
    )
        .hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
