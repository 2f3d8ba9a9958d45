//! What the demo prints, and how. Runs kubectl.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use podfence_e2e::{eventually, lab::Lab};

/// The controllers give a new namespace its service account at once, unless the machine is very
/// busy.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// The conditions of an object.
pub(crate) const CONDITIONS: &str = concat!(
    "go-template={{range .status.conditions}}",
    r#"{{printf "%-21s %-8s %-21s %s\n" .type .status .reason .message}}{{end}}"#,
);

/// Runs a command that has nothing interesting to say, with `input` for `-f -`.
pub(crate) async fn quietly(lab: &Lab, arguments: &[&str], input: &str) -> anyhow::Result<()> {
    command(arguments);
    // A bare pod is refused until its namespace has a service account, a moment after the
    // namespace.
    let output = eventually(APPLY_TIMEOUT, async || {
        lab.kubectl_with_input(arguments, input).await
    })
    .await?;
    print!("{}", output.stderr);
    note(&format!("{} objects", output.stdout.lines().count()));
    Ok(())
}

/// Runs a command and shows what it prints.
pub(crate) async fn print(lab: &Lab, arguments: &[&str]) -> anyhow::Result<()> {
    command(arguments);
    let output = lab.kubectl(arguments).await?;
    print!("{}{}", output.stderr, output.stdout);
    if !output.stdout.ends_with('\n') {
        println!();
    }
    Ok(())
}

/// A sentence on what comes next.
pub(crate) fn say(sentence: &str) {
    println!("\n{sentence}");
}

pub(crate) fn note(text: &str) {
    println!("  {text}");
}

/// What has been written by a command to a file that is put elsewhere.
pub(crate) fn written(arguments: &[String], file: &str, content: &[u8]) {
    let mut typed: Vec<&str> = vec!["podfence"];
    typed.extend(arguments.iter().map(String::as_str));
    typed.extend([">", file]);
    command(&typed);
    note(&format!("{} bytes", content.len()));
}

/// The command as one would type it.
fn command(arguments: &[&str]) {
    let quoted: Vec<String> = arguments.iter().map(|argument| quote(argument)).collect();
    let line = format!("$ kubectl {}", quoted.join(" "));
    if std::io::stdout().is_terminal() {
        println!("\x1b[1m{line}\x1b[0m");
    } else {
        println!("{line}");
    }
}

fn quote(argument: &str) -> String {
    if argument.contains(|character: char| " {}\"$|\\".contains(character)) {
        format!("'{argument}'")
    } else {
        argument.to_owned()
    }
}

pub(crate) fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
