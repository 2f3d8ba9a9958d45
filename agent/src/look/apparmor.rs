//! Whether AppArmor is enabled. Reads a file.

use std::io::ErrorKind;
use std::path::Path;

use podfence_crd::{AppArmorFacts, Setting};

use super::files::line;
use crate::problem::{Problem, Subject};

/// What the kernel says.
///
/// # Errors
/// When it cannot be seen, which is not the same as a kernel without it.
pub fn look(sys: &Path) -> Result<AppArmorFacts, Problem> {
    let modules = sys.join("module");
    let path = modules.join("apparmor/parameters/enabled");
    let failed = |reason: &dyn std::fmt::Display| {
        let message = format!(
            "failed to read {}: {reason}; mount the node's /sys there, read-only",
            path.display()
        );
        Problem::new(Subject::AppArmor, message)
    };
    let state = match line(&path) {
        Ok(answer) => match answer.as_str() {
            "Y" => Setting::Enabled,
            "N" => Setting::Disabled,
            _ => return Err(failed(&format_args!("it says {answer:?}"))),
        },
        // A kernel that was built without AppArmor has no such module.
        Err(error) if error.kind() == ErrorKind::NotFound && modules.is_dir() => Setting::Disabled,
        Err(error) => return Err(failed(&error)),
    };
    Ok(AppArmorFacts { state })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use podfence_crd::Setting;

    use super::look;

    #[test]
    fn a_kernel_without_it_is_told_from_a_node_that_cannot_be_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let problem = look(folder.path()).expect_err("nothing is mounted");
        assert!(
            problem.message.contains("mount the node's /sys"),
            "{problem}"
        );
        let parameters = folder.path().join("module/apparmor/parameters");
        fs::create_dir(folder.path().join("module")).expect("a folder");
        let state = || look(folder.path()).map(|facts| facts.state);
        assert_eq!(state(), Ok(Setting::Disabled));
        fs::create_dir_all(&parameters).expect("a folder");
        for (text, want) in [
            ("", None),
            ("maybe\n", None),
            ("N\n", Some(Setting::Disabled)),
            ("Y\n", Some(Setting::Enabled)),
        ] {
            fs::write(parameters.join("enabled"), text).expect("writes");
            assert_eq!(state().ok(), want, "{text:?}");
        }
    }
}
