//! The script that builds the lab's Kubernetes, on a module that builds in a second. Runs Go.
#![expect(
    clippy::unwrap_used,
    reason = "a test that panics fails, and says where"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use tempfile::TempDir;

/// A copy of the script beside a small module in the place of etcd's, with a cache of its own.
struct Checkout {
    folder: TempDir,
}

impl Checkout {
    fn create() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/build");
        fs::copy(script, folder.path().join("build")).unwrap();
        fs::create_dir(folder.path().join("etcd")).unwrap();
        let checkout = Self { folder };
        checkout.write("go.mod", "module example.dev/etcd\n\ngo 1.26.0\n");
        checkout.write(
            "main.go",
            "package main\n\nfunc main() { println(\"one\") }\n",
        );
        checkout
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join("etcd").join(name), content).unwrap();
    }

    fn build(&self, module: &str) -> Output {
        Command::new(self.folder.path().join("build"))
            .arg(module)
            // Relative: where the script is called from must not matter.
            .current_dir(self.folder.path())
            .env("PODFENCE_CACHE", "cache")
            .output()
            .unwrap()
    }

    /// What a build that must succeed has printed, and whether it had anything to build.
    fn built(&self) -> (PathBuf, bool) {
        let output = self.build("etcd");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        let folder = String::from_utf8(output.stdout).unwrap();
        (
            PathBuf::from(folder.trim_end_matches('\n')),
            errors.contains("building etcd"),
        )
    }

    /// What lies in the cache, locks aside.
    fn cached(&self) -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("cache/cluster")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.is_dir())
            .map(|path| path.canonicalize().unwrap())
            .collect()
    }
}

/// What the program in the folder prints.
fn run(folder: &Path) -> String {
    let output = Command::new(folder.join("etcd")).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_module_is_built_once_for_each_content() {
    let checkout = Checkout::create();
    let (one, built) = checkout.built();
    assert!(built);
    assert_eq!(run(&one), "one\n");
    assert_eq!(checkout.built(), (one.clone(), false));

    checkout.write(
        "main.go",
        "package main\n\nfunc main() { println(\"two\") }\n",
    );
    let (two, built) = checkout.built();
    assert!(built && two != one);
    assert_eq!((run(&one).as_str(), run(&two).as_str()), ("one\n", "two\n"));
}

#[test]
fn two_at_once_build_once() {
    let checkout = Checkout::create();
    let built: Vec<(PathBuf, bool)> = thread::scope(|scope| {
        let builders = [(); 3].map(|()| scope.spawn(|| checkout.built()));
        builders.map(|builder| builder.join().unwrap()).into()
    });
    assert!(
        built.iter().all(|(folder, _)| *folder == built[0].0),
        "{built:?}"
    );
    assert_eq!(
        built.iter().filter(|(_, built)| *built).count(),
        1,
        "{built:?}"
    );
    assert_eq!(run(&built[0].0), "one\n");
}

#[test]
fn a_build_that_fails_leaves_nothing_that_looks_built() {
    let checkout = Checkout::create();
    checkout.write("main.go", "package main\n\nfunc main() { nonsense }\n");
    for _ in 0..2 {
        let output = checkout.build("etcd");
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{output:?}"
        );
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("nonsense"),
            "{output:?}"
        );
        assert_eq!(checkout.cached(), BTreeSet::new());
    }
}

#[test]
fn an_unknown_module_is_said() {
    let output = Checkout::create().build("nonsense");
    assert!(!output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("unknown module nonsense: etcd, kubernetes"),
        "{errors}"
    );
}
