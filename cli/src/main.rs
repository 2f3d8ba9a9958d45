//! `kubectl podfence`: reads the command line, runs one command and says how it went. Does I/O.

mod args;
mod document;
mod profile;
mod read;
mod report;
mod scan;
mod yaml;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use podfence_podsecurity::{LevelVersion, NEWEST_RULES, Version};

use args::{Arguments, Command, ScanArguments, ScanConfig, Standard};

/// Everything was read and allowed.
const ALLOWED: u8 = 0;
/// Everything was read, and something is forbidden.
const FORBIDDEN: u8 = 1;
/// Something could not be read, whatever is said of the rest.
const UNREADABLE: u8 = 2;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Scan(arguments) => scan(arguments),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        complain(&format!("error: {error}"));
        UNREADABLE
    }))
}

fn scan(arguments: ScanArguments) -> Result<u8, Box<dyn std::error::Error>> {
    let ScanConfig {
        inputs,
        standard,
        output,
    } = arguments.try_into()?;
    let standard = match standard {
        Standard::Given(standard) => standard,
        Standard::Profile(path) => {
            profile::standard(&path).map_err(|error| format!("{}: {error}", path.display()))?
        }
    };
    warn_of_newer_rules(standard);
    let report = scan::scan(&inputs, standard);
    print(&report.print(output)?)?;
    for complaint in report.complaints() {
        complain(&format!("error: {complaint}"));
    }
    let counts = report.counts();
    Ok(match (counts.unreadable, counts.forbidden) {
        (0, 0) => ALLOWED,
        (0, _) => FORBIDDEN,
        _ => UNREADABLE,
    })
}

/// As an API server does with a version that it does not know yet, but not in silence.
fn warn_of_newer_rules(standard: LevelVersion) {
    if let Version::Minor(minor) = standard.version
        && minor > u64::from(NEWEST_RULES)
    {
        complain(&format!(
            "warning: the rules of {} are not known here; those of v1.{NEWEST_RULES} are used",
            standard.version
        ));
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // `| head` has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Says something on standard error. Where that is closed, nobody wants to know.
fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
