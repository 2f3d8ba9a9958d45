//! Writes the generated files of `config/crd` and `docs/reference`. I/O: writes files.
//!
//! Run it with `make crds`; `tests/generated.rs` fails when what it would write differs from what
//! is there.

mod files;
mod reference;

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in files::generated()? {
        let path = top.join(file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, file.content)?;
        println!("{}", file.path);
    }
    Ok(())
}
