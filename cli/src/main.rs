//! `kubectl podfence`: reads the command line, runs one command and says how it went. Does I/O.

mod args;
mod cluster;
mod document;
mod explain;
mod import;
mod nearest;
mod profile;
mod read;
mod render;
mod report;
mod scan;
mod seccomp;
mod status;
mod yaml;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use podfence_podsecurity::{LevelVersion, NEWEST_RULES, Version};
use podfence_seccomp::Profile;

use args::{
    Arguments, Command, CompareArguments, CompletionsArguments, ContainerArguments,
    ExplainArguments, ImportCommand, RenderCommand, ScanArguments, ScanConfig, SeccompCommand,
    SeccompProfileArguments, Standard, StatusArguments, WhyArguments,
};

/// Everything was read and allowed; the question is answered; nothing changes; everything is enforced.
const ALLOWED: u8 = 0;
/// Everything was read, and something is forbidden; something changes; something is held back.
const FORBIDDEN: u8 = 1;
/// Something could not be read, whatever is said of the rest; there is no answer.
const UNREADABLE: u8 = 2;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Scan(arguments) => scan(arguments),
        Command::Seccomp(SeccompCommand::Explain(arguments)) => explain(&arguments),
        Command::Seccomp(SeccompCommand::Compare(arguments)) => compare(&arguments),
        Command::Render(RenderCommand::SeccompProfile(arguments)) => render(&arguments),
        Command::Import(command) => import(&command),
        Command::Status(arguments) => status(&arguments),
        Command::Explain(arguments) => why(&arguments),
        Command::Completions(CompletionsArguments { shell }) => completions(shell.into()),
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

fn explain(arguments: &ExplainArguments) -> Result<u8, Box<dyn std::error::Error>> {
    let answer = seccomp::explain::explain(arguments)?;
    warn_of_assumptions(&[&arguments.profile], &arguments.container);
    print(&answer)?;
    Ok(ALLOWED)
}

fn compare(arguments: &CompareArguments) -> Result<u8, Box<dyn std::error::Error>> {
    let (answer, changes) = seccomp::compare::compare(arguments)?;
    warn_of_assumptions(&[&arguments.before, &arguments.after], &arguments.container);
    print(&answer)?;
    Ok(if changes { FORBIDDEN } else { ALLOWED })
}

fn render(arguments: &SeccompProfileArguments) -> Result<u8, Box<dyn std::error::Error>> {
    let profile = render::seccomp_profile(arguments)?;
    warn_of_assumptions(&[&arguments.profile], &arguments.container);
    print(&profile)?;
    Ok(ALLOWED)
}

fn import(command: &ImportCommand) -> Result<u8, Box<dyn std::error::Error>> {
    let import::Answer {
        text,
        warnings,
        errors,
    } = import::import(command)?;
    for warning in warnings {
        complain(&format!("warning: {warning}"));
    }
    for error in &errors {
        complain(&format!("error: {error}"));
    }
    print(&text)?;
    Ok(if errors.is_empty() {
        ALLOWED
    } else {
        UNREADABLE
    })
}

fn status(arguments: &StatusArguments) -> Result<u8, Box<dyn std::error::Error>> {
    let seen = status::read(arguments)?;
    for warning in &seen.warnings {
        complain(&format!("warning: {warning}"));
    }
    print(&status::tables(&seen))?;
    Ok(if seen.is_done() { ALLOWED } else { FORBIDDEN })
}

fn why(arguments: &WhyArguments) -> Result<u8, Box<dyn std::error::Error>> {
    let explain::Answer {
        text,
        warnings,
        fails,
    } = explain::explain(arguments)?;
    for warning in warnings {
        complain(&format!("warning: {warning}"));
    }
    print(&text)?;
    Ok(if fails { FORBIDDEN } else { ALLOWED })
}

fn completions(shell: Shell) -> Result<u8, Box<dyn std::error::Error>> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut Arguments::command(),
        "kubectl-podfence",
        &mut script,
    );
    // The generator writes the dash of our name in two ways, and bash then finds no subcommand.
    let script =
        String::from_utf8(script)?.replace("kubectl__subcmd__podfence", "kubectl__podfence");
    print(&script)?;
    Ok(ALLOWED)
}

/// Whoever reads only the answer should not miss that it rests on a guess.
fn warn_of_assumptions(profiles: &[&Profile], container: &ContainerArguments) {
    for profile in profiles {
        if let Some(assumed) = seccomp::assumed(profile) {
            complain(&format!("warning: {profile}: {assumed}"));
        }
    }
    let libseccomp = container.loader().libseccomp;
    if !libseccomp.is_known() {
        complain(&format!(
            "warning: --libseccomp: the names that {libseccomp} knows are not known here; those of \
             the nearest release before it are assumed"
        ));
    }
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
