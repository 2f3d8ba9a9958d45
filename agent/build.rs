//! Compiles the programs that the observer runs in the kernel, with clang.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The registers that calls come in are those of one machine.
    let registers = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        // Without it the agent is what it is elsewhere, and says that it observes nothing.
        _ => return Ok(std::fs::write(out.join("observer.o"), "")?),
    };
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let status = Command::new(&clang)
        .args(["-target", "bpf", "-mcpu=v2", "-O2", "-g", "-c"])
        .args(["-Wall", "-Wextra", "-Werror"])
        .arg(format!("-D__TARGET_ARCH_{registers}"))
        // The paths of whoever builds it are nobody's business.
        .arg(format!(
            "-fdebug-prefix-map={}=.",
            env::var("CARGO_MANIFEST_DIR")?
        ))
        .arg("bpf/observer.c")
        .arg("-o")
        .arg(out.join("observer.o"))
        .status()
        .map_err(|error| {
            let clang = clang.display();
            format!("failed to run {clang}: {error}; install clang, or name one by CLANG")
        })?;
    if !status.success() {
        return Err(format!("clang failed on bpf/observer.c: {status}").into());
    }
    Ok(())
}
