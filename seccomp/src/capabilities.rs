//! The capabilities that a container really gets. Pure.
//!
//! Kubernetes passes `add` and `drop` on as they are written; what they come to is the runtime's
//! business, and runtimes differ:
//!
//! | | containerd | CRI-O | Docker |
//! |---|---|---|---|
//! | by default | 14 | 9 | 14 |
//! | add `ALL`, drop `ALL` | none | none | all |
//! | add X, drop X | without X | without X | with X |
//! | `CAP_CHOWN` | no such capability, ignored | `CHOWN` | `CHOWN` |
//! | a name that Linux does not know | ignored | container refused | container refused |
//!
//! None of them looks at the case of letters. The sources are containerd's
//! `internal/cri/opts/spec_opts.go` (`WithCapabilities`) and `pkg/oci/spec.go`, CRI-O's
//! `internal/factory/container/container.go` (`SpecSetupCapabilities`) and
//! `internal/config/capabilities`, and moby's `oci/caps/utils.go` (`TweakCapabilities`), which
//! cri-dockerd leaves the names to.

use podfence_workload::{CapabilityMask, CapabilitySet, Container, Template};

use crate::Runtime;

/// What containerd (`defaultUnixCaps`) and Docker give.
const CONTAINERD: CapabilityMask = CapabilityMask::of(&[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
]);

/// What CRI-O gives unless its `default_capabilities` say otherwise.
const CRI_O: CapabilityMask = CapabilityMask::of(&[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "KILL",
]);

/// The capability sets of a container's first program, right after it was executed.
///
/// The ambient set is always empty: the runtimes clear it, and Kubernetes has no field for it. So a
/// program of another user than root has nothing in its permitted set either, whatever was added;
/// but a filter asks for the bounding set, which does not depend on the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// What can ever be had in the container, and what a profile's rules ask for.
    pub bounding: CapabilityMask,
    /// What a program of root has, permitted and effective, unless its file says otherwise.
    pub of_root: CapabilityMask,
    /// What the first program has, permitted and effective. None where the image says who runs it,
    /// which the pod does not tell.
    pub effective: Option<CapabilityMask>,
    /// Whether they count only within a user namespace of the pod's own. The bounding set, and with
    /// it the filter, is the same.
    pub within_user_namespace: bool,
}

/// The runtime refuses to create the container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{runtime} refuses the capability {name:?}, which Linux does not know")]
pub struct RefusedCapability {
    runtime: Runtime,
    name: String,
}

impl Runtime {
    /// What a container gets that neither adds nor drops anything, as the runtime comes.
    #[must_use]
    pub const fn default_capabilities(self) -> CapabilityMask {
        match self {
            Self::Containerd | Self::Docker => CONTAINERD,
            Self::CriO => CRI_O,
        }
    }
}

impl Runtime {
    /// The bounding set of a container that adds and drops these.
    ///
    /// # Errors
    ///
    /// When the runtime refuses the container for a name that Linux does not know.
    pub fn bounding_capabilities(
        self,
        add: &CapabilitySet,
        drop: &CapabilitySet,
    ) -> Result<CapabilityMask, RefusedCapability> {
        bounding(self, add, drop)
    }
}

impl Capabilities {
    /// What a container gets; nothing on Windows, which has no capabilities.
    ///
    /// `ALL` and `privileged` are taken for every capability that Linux knows. A runtime gives those
    /// that it has itself, which are fewer on old kernels and in a nested runtime.
    ///
    /// # Errors
    ///
    /// When the runtime refuses the container for a name that Linux does not know.
    pub fn of(
        runtime: Runtime,
        template: &Template,
        container: &Container,
    ) -> Result<Option<Self>, RefusedCapability> {
        if template.is_windows() {
            return Ok(None);
        }
        let bounding = if container.security.privileged == Some(true) {
            // Runtimes look at no name then.
            CapabilityMask::ALL
        } else {
            match &container.security.capabilities {
                Some(asked) => bounding(runtime, &asked.add, &asked.drop)?,
                None => runtime.default_capabilities(),
            }
        };
        let user = container
            .security
            .run_as_user
            .or(template.security.run_as_user);
        Ok(Some(Self {
            bounding,
            of_root: bounding,
            effective: user.map(|user| {
                if user == 0 {
                    bounding
                } else {
                    CapabilityMask::default()
                }
            }),
            within_user_namespace: template.has_user_namespace(),
        }))
    }
}

fn bounding(
    runtime: Runtime,
    add: &CapabilitySet,
    drop: &CapabilitySet,
) -> Result<CapabilityMask, RefusedCapability> {
    let none = CapabilityMask::default();
    let (add, drop) = (Names::read(runtime, add)?, Names::read(runtime, drop)?);
    Ok(match runtime {
        // Whatever `drop` says comes after what `add` says of the same name; but `ALL` of both comes
        // before single names, so that these still count.
        Runtime::Containerd | Runtime::CriO => {
            let base = match (add.all, drop.all) {
                (_, true) => none,
                (true, false) => CapabilityMask::ALL,
                (false, false) => runtime.default_capabilities(),
            };
            base.union(add.single).difference(drop.single)
        }
        // `ALL` to add wins over `ALL` to drop, and a single name to add over the same to drop.
        Runtime::Docker => match (add.all, drop.all) {
            (true, _) => CapabilityMask::ALL.difference(drop.single),
            (false, true) => add.single,
            (false, false) => runtime
                .default_capabilities()
                .difference(drop.single)
                .union(add.single),
        },
    })
}

/// The names of one list, as a runtime reads them.
#[derive(Default)]
struct Names {
    all: bool,
    single: CapabilityMask,
}

impl Names {
    fn read(runtime: Runtime, written: &CapabilitySet) -> Result<Self, RefusedCapability> {
        let mut names = Self::default();
        for name in written.names() {
            let upper = name.to_ascii_uppercase();
            if upper == "ALL" {
                names.all = true;
                continue;
            }
            let plain = match runtime {
                // It puts `CAP_` before every name, and runc leaves out what it does not know.
                Runtime::Containerd => upper.as_str(),
                Runtime::CriO | Runtime::Docker => upper.strip_prefix("CAP_").unwrap_or(&upper),
            };
            match (CapabilityMask::named(plain), runtime) {
                (Some(capability), _) => names.single = names.single.union(capability),
                (None, Runtime::Containerd) => {}
                (None, Runtime::CriO | Runtime::Docker) => {
                    return Err(RefusedCapability {
                        runtime,
                        name: name.to_owned(),
                    });
                }
            }
        }
        Ok(names)
    }
}
