//! The kernel, as it describes itself in `/proc`. Reads files.

use std::path::Path;

use podfence_crd::KernelFacts;

use super::files::line;
use crate::problem::{Problem, Subject, shortened};

/// Bounds of the schema.
const MOST_OF_VERSION: usize = 128;
const MOST_ACTIONS: usize = 32;

/// The architecture as Go and Kubernetes name it.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "loongarch64" => "loong64",
        // Programs for POWER are little-endian unless their name says otherwise.
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// The kernel's version, as `uname -r` prints it.
///
/// # Errors
/// When `/proc` is not there.
pub fn version(proc: &Path) -> Result<String, Problem> {
    let path = proc.join("sys/kernel/osrelease");
    line(&path).map_err(|error| {
        let message = format!("failed to read {}: {error}", path.display());
        Problem::new(Subject::Kernel, message)
    })
}

/// What a report says of the kernel, and what of it could not be seen.
///
/// # Errors
/// When not even its version could be seen.
pub fn look(proc: &Path) -> Result<(KernelFacts, Option<Problem>), Problem> {
    let version = version(proc)?;
    let path = proc.join("sys/kernel/seccomp/actions_avail");
    let (actions, problem) = match line(&path) {
        Ok(line) => (line, None),
        // Kernels before 4.14 and those without seccomp have no such file.
        Err(error) => {
            let message = format!(
                "failed to read {}: {error}; a kernel that can filter calls has it since 4.14",
                path.display()
            );
            (String::new(), Some(Problem::new(Subject::Kernel, message)))
        }
    };
    let mut actions: Vec<String> = actions.split_whitespace().map(str::to_owned).collect();
    // The schema has them for a set.
    actions.sort();
    actions.dedup();
    actions.truncate(MOST_ACTIONS);
    let facts = KernelFacts {
        version: shortened(&version, MOST_OF_VERSION),
        architecture: architecture().to_owned(),
        seccomp_actions: actions,
    };
    Ok((facts, problem))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{look, version};

    #[test]
    fn what_is_missing_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let problem = look(folder.path()).expect_err("nothing is there");
        assert!(problem.message.contains("osrelease"), "{problem}");
        let kernel = folder.path().join("sys/kernel");
        fs::create_dir_all(kernel.join("seccomp")).expect("a folder");
        fs::write(kernel.join("osrelease"), "6.8.0-45-generic\n").expect("writes");
        let (facts, problem) = look(folder.path()).expect("a version");
        assert_eq!(facts.version, "6.8.0-45-generic");
        assert!(facts.seccomp_actions.is_empty());
        assert!(
            problem
                .expect("a problem")
                .message
                .contains("actions_avail")
        );
        fs::write(kernel.join("seccomp/actions_avail"), "log kill errno log\n").expect("writes");
        let (facts, problem) = look(folder.path()).expect("a version");
        assert_eq!(facts.seccomp_actions, ["errno", "kill", "log"]);
        assert_eq!(problem, None);
    }

    #[test]
    fn this_kernel_has_a_version() {
        let version = version("/proc".as_ref()).expect("a version");
        assert!(
            version.starts_with(|first: char| first.is_ascii_digit()),
            "{version}"
        );
    }
}
