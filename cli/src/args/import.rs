//! What is typed behind `import`. No I/O.

// `--help` prints these comments as they are, backticks and all.
#![allow(clippy::doc_markdown)]

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};
use k8s_openapi::jiff::Timestamp;
use podfence_seccomp::{Architecture, KernelVersion, Moment, Profile};
use podfence_workload::Kind;

use super::seccomp::{CapabilityChange, capability_change, profile};

/// Turn what other tools recorded of a workload's system calls into a SyscallRecord.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    AuditLog(AuditLogArguments),
    Spo(SpoArguments),
    InspektorGadget(GadgetArguments),
}

/// Import the kernel's audit log of a container under a profile that logs instead of denying.
///
/// Reads what dmesg, journalctl and syslog print and what auditd writes, enriched or not. Every
/// record that says "logged" is a call that RuntimeDefault would deny, provided that the container
/// ran under RuntimeDefault with its denials turned into logging. Where a log has calls that
/// RuntimeDefault always allows, it was not; then only calls count that it denies whatever their
/// arguments are.
///
/// Such a record has neither arguments nor results, and no container either: name the programs of
/// the container with --exe or --comm where others logged too. Gaps in the serial numbers are
/// recorded as a loss, so import the whole log, not only its seccomp records. That a call is not in
/// the log says nothing.
///
/// Exits with 0 when everything was read, and with 2 otherwise; what could be read is printed or
/// added nevertheless.
#[derive(Debug, Args)]
#[command(after_help = AUDIT_LOG_EXAMPLES)]
pub(crate) struct AuditLogArguments {
    /// The log, or - for standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: OsString,

    /// Only records of this program, as a path within the container. May be given several times.
    #[arg(long, value_name = "PATH")]
    pub(crate) exe: Vec<String>,

    /// Only records of threads of this name. May be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) comm: Vec<String>,

    #[command(flatten)]
    pub(crate) target: TargetArguments,
}

const AUDIT_LOG_EXAMPLES: &str = "\
Examples:
  # A log that was taken on the node with journalctl -k -o short-iso
  kubectl podfence import audit-log node.log --workload deployment/web -n shop \\
    --container app --profile containerd/2.3.7 \\
    --image sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

  # Only of one program, and add it to what is known: the rest is asked of the cluster
  kubectl podfence import audit-log audit.log --exe /usr/sbin/nginx \\
    --workload deployment/web -n shop --container app --apply";

/// Import profiles that the security-profiles-operator recorded.
///
/// Reads SeccompProfile objects, also in a list, and the plain profiles that its command line
/// writes. Of profiles with a label for their container only those of --container count.
///
/// A profile has names only: it shows that a call was made, neither its arguments nor its result,
/// and not that nothing else was called.
///
/// Exits with 0 when everything was read, and with 2 otherwise; what could be read is printed or
/// added nevertheless.
#[derive(Debug, Args)]
#[command(after_help = SPO_EXAMPLES)]
pub(crate) struct SpoArguments {
    /// The profiles, or - for standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: OsString,

    /// When it was recorded, as in 2026-11-25T13:00:00Z. [default: when the object was created]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) recorded: Option<Moment>,

    #[command(flatten)]
    pub(crate) target: TargetArguments,
}

const SPO_EXAMPLES: &str = "\
Examples:
  # What a recording of the deployment found
  kubectl podfence import spo recorded.yaml --workload deployment/web -n shop \\
    --container app --profile containerd/2.3.7 \\
    --image sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

  # Straight from the cluster and into it
  kubectl get seccompprofiles -l spo.x-k8s.io/recording-id=web -o yaml |
    kubectl podfence import spo - --workload deployment/web -n shop --container app --apply";

/// Import what gadgets of Inspektor Gadget printed.
///
/// Reads the profiles of advise_seccomp, and as JSON the events of traceloop and audit_seccomp. Of
/// what names its container only that of --container counts.
///
/// A profile has names only. Events of traceloop have results, and of some calls the arguments.
/// Events of audit_seccomp are the kernel's audit records: see import audit-log. None of them shows
/// that nothing else was called.
///
/// Exits with 0 when everything was read, and with 2 otherwise; what could be read is printed or
/// added nevertheless.
#[derive(Debug, Args)]
#[command(after_help = GADGET_EXAMPLES)]
pub(crate) struct GadgetArguments {
    /// What the gadget printed, or - for standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: OsString,

    /// When it was recorded, as in 2026-11-25T13:00:00Z; of events without a time, and of
    /// profiles, which never have one.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) recorded: Option<Moment>,

    #[command(flatten)]
    pub(crate) target: TargetArguments,
}

const GADGET_EXAMPLES: &str = "\
Examples:
  # A profile that was taken with kubectl gadget run advise_seccomp
  kubectl podfence import inspektor-gadget advised.txt --recorded 2026-11-25T13:00:00Z \\
    --workload deployment/web -n shop --container app --profile containerd/2.3.7 \\
    --image sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

  # Events, with the image, the runtime and the rest asked of the cluster
  kubectl gadget run audit_seccomp -n shop -o json --timeout 600 |
    kubectl podfence import inspektor-gadget - --workload deployment/web -n shop \\
    --container app --apply";

/// Whose calls these are, and what becomes of them.
#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
    /// The workload: pod, deployment, statefulset, daemonset, replicaset, replicationcontroller,
    /// job or cronjob, a slash and its name.
    #[arg(long, value_name = "KIND/NAME", value_parser = workload)]
    pub(crate) workload: WorkloadName,

    /// The workload's namespace.
    #[arg(short = 'n', long, value_name = "NAME")]
    pub(crate) namespace: String,

    /// The container.
    #[arg(long, value_name = "NAME")]
    pub(crate) container: String,

    /// The image that it ran, by digest: sha256 and 64 hexadecimal digits, whatever stands before
    /// an @. [default: what a running pod of the workload has]
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub(crate) image: Option<String>,

    /// The runtime whose RuntimeDefault is meant, and its version. [default: that of the node of a
    /// running pod]
    #[arg(long, value_name = "RUNTIME/VERSION", value_parser = profile)]
    pub(crate) profile: Option<Profile>,

    /// What the container adds to the runtime's default capabilities and drops from them. [default:
    /// as in a running pod; nothing with --image and --profile]
    #[arg(
        long,
        value_name = "+X,-Y",
        value_parser = capability_change,
        allow_hyphen_values = true
    )]
    pub(crate) capabilities: Option<CapabilityChange>,

    /// The node's architecture, as GOARCH names it. [default: that of the node of a running pod;
    /// amd64 with --image and --profile]
    #[arg(long)]
    pub(crate) arch: Option<Architecture>,

    /// The node's kernel. [default: that of the node of a running pod; 6.18 with --image and
    /// --profile]
    #[arg(long, value_name = "VERSION")]
    pub(crate) kernel: Option<KernelVersion>,

    /// Add to the SyscallRecord of the workload in the cluster instead of printing a manifest,
    /// which would replace what is known already.
    #[arg(long)]
    pub(crate) apply: bool,

    /// The context of the kubeconfig. [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// The form of the manifest.
    #[arg(short = 'o', long, value_enum, default_value_t = ManifestForm::Yaml, conflicts_with = "apply")]
    pub(crate) output: ManifestForm,
}

/// The form of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManifestForm {
    /// One YAML document.
    Yaml,
    /// One JSON object.
    Json,
}

/// A workload as it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkloadName {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

/// The short names of kubectl.
pub(super) const SHORT: [(&str, Kind); 7] = [
    ("po", Kind::Pod),
    ("rc", Kind::ReplicationController),
    ("rs", Kind::ReplicaSet),
    ("deploy", Kind::Deployment),
    ("sts", Kind::StatefulSet),
    ("ds", Kind::DaemonSet),
    ("cj", Kind::CronJob),
];

/// The kinds of workloads: what a `PodTemplate`'s pods do is their owners' business.
pub(crate) fn kinds() -> impl Iterator<Item = Kind> {
    let all = Kind::ALL.into_iter();
    all.filter(|kind| *kind != Kind::PodTemplate)
}

fn workload(text: &str) -> Result<WorkloadName, String> {
    let (kind, name) = text
        .split_once('/')
        .filter(|(_, name)| !name.is_empty() && !name.contains('/'))
        .ok_or("write the kind, a slash and the name, such as deployment/web")?;
    let typed = kind.to_ascii_lowercase();
    let long = kinds().find(|kind| {
        let singular = kind.as_str().to_ascii_lowercase();
        typed == singular || typed == kind.plural()
    });
    let short = || {
        let (_, kind) = SHORT.iter().find(|(short, _)| *short == typed)?;
        Some(*kind)
    };
    let kind = long.or_else(short).ok_or_else(|| {
        let known: Vec<String> = kinds()
            .map(|kind| kind.as_str().to_ascii_lowercase())
            .collect();
        format!("{kind:?} is no kind of workload: {} are", known.join(", "))
    })?;
    Ok(WorkloadName {
        kind,
        name: name.to_owned(),
    })
}

/// The digest in what names an image, as a pod's status does.
pub(crate) fn digest(text: &str) -> Result<String, String> {
    let digest = text.rsplit_once('@').map_or(text, |(_, digest)| digest);
    let hexadecimal = |digits: &str| {
        digits.len() == 64
            && digits
                .chars()
                .all(|digit| matches!(digit, '0'..='9' | 'a'..='f'))
    };
    if digest.strip_prefix("sha256:").is_some_and(hexadecimal) {
        Ok(digest.to_owned())
    } else {
        Err(
            "an image is told by its digest, as in sha256:e3b0c4…, because a tag can move; \
             kubectl get pod NAME -o jsonpath='{.status.containerStatuses[*].imageID}' has it"
                .to_owned(),
        )
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    let time: Timestamp = text
        .parse()
        .map_err(|_| "write it as in 2026-11-25T13:00:00Z".to_owned())?;
    u64::try_from(time.as_second())
        .map(Moment::from_unix_seconds)
        .map_err(|_| "nothing was recorded before 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use podfence_workload::Kind;

    use podfence_seccomp::Moment;

    use super::{digest, moment, workload};

    #[test]
    fn workloads_are_typed_as_for_kubectl() {
        for wrong in [
            "",
            "web",
            "/web",
            "deployment/",
            "deployment/a/b",
            "podtemplate/a",
            "svc/a",
        ] {
            assert!(workload(wrong).is_err(), "{wrong:?}");
        }
        for (typed, kind) in [
            ("deployment/web", Kind::Deployment),
            ("Deployments/web", Kind::Deployment),
            ("deploy/web", Kind::Deployment),
            ("sts/web", Kind::StatefulSet),
            ("po/web", Kind::Pod),
            ("cj/web", Kind::CronJob),
            ("job/web", Kind::Job),
        ] {
            assert_eq!(
                workload(typed).map(|workload| workload.kind),
                Ok(kind),
                "{typed}"
            );
        }
    }

    #[test]
    fn images_are_told_by_digest() {
        let good = format!("sha256:{}", "0a".repeat(32));
        for wrong in [
            "",
            "nginx",
            "nginx:1.27",
            "sha256:00",
            &good.to_uppercase(),
            "sha512:00",
        ] {
            assert!(digest(wrong).is_err(), "{wrong:?}");
        }
        for typed in [good.clone(), format!("docker.io/library/nginx@{good}")] {
            assert_eq!(digest(&typed), Ok(good.clone()));
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        for wrong in ["", "yesterday", "2026-11-25", "1969-12-31T23:59:59Z"] {
            assert!(moment(wrong).is_err(), "{wrong:?}");
        }
        let typed = moment("2026-11-25T14:00:00+01:00").map(Moment::unix_seconds);
        assert_eq!(typed, Ok(1_795_611_600));
    }
}
