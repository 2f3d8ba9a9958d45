//! The generated files are what the types say. Reads files.

#[path = "../examples/crdgen/files.rs"]
mod files;
#[path = "../examples/crdgen/reference.rs"]
mod reference;

use std::fs;
use std::path::Path;

#[test]
fn generated_files_are_current() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in files::generated().expect("definitions can be written as YAML") {
        let committed = fs::read_to_string(top.join(file.path)).unwrap_or_default();
        assert!(
            committed == file.content,
            "{} is out of date: run `make crds`",
            file.path
        );
    }
}
