//! What becomes of one call, and why. No I/O.

use std::fmt::Write as _;

use podfence_seccomp::{
    Abi, ArgumentClass, Cause, Fate, Judge, LoadError, Profile, RefusedCapability, TooManyClasses,
    constants,
};
use serde::Serialize;

use super::{FateAnswer, NodeAnswer, ProfileAnswer, number};
use crate::args::{ExplainArguments, Form};
use crate::report::table::{aligned, printable};

/// A question that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExplainError {
    #[error("{0}")]
    Question(String),
    #[error("--capabilities: {0}")]
    Capabilities(#[from] RefusedCapability),
    #[error("--profile: {0}")]
    Rules(#[from] LoadError),
    #[error("--syscall: {0}")]
    Classes(#[from] TooManyClasses),
    #[error("failed to write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    syscall: String,
    abi: &'static str,
    /// Those that were given, as they would be typed.
    arguments: Vec<String>,
    /// `allow`, `errno` or `kill`; `depends` where it takes further arguments to say it.
    action: &'static str,
    errno: Option<String>,
    /// The rule that decides; null where none does or where it depends.
    rule: Option<String>,
    /// Why, where no rule decides.
    cause: Option<String>,
    unlocked_by: Vec<&'static str>,
    /// The classes of the arguments that were not given, empty unless it depends on them.
    by_arguments: Vec<ClassAnswer>,
    profile: ProfileAnswer,
    node: NodeAnswer,
}

/// What becomes of one class of arguments.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClassAnswer {
    /// What all must hold; empty for what is in no other class.
    when: Vec<String>,
    /// Some arguments of the class, as they would be typed.
    example: Vec<String>,
    #[serde(flatten)]
    fate: FateAnswer,
    /// The rules that may decide so.
    rules: Vec<String>,
    /// Why, where no rule decides.
    cause: Option<String>,
}

/// The answer in the form asked for.
pub(crate) fn explain(asked: &ExplainArguments) -> Result<String, ExplainError> {
    let ExplainArguments {
        profile,
        syscall,
        abi,
        arguments,
        container,
        output,
    } = asked;
    let loader = container.loader();
    let container = container.container(profile.runtime)?;
    let abi = abi.unwrap_or(container.architecture.native_abi());
    let number = number(abi, syscall).map_err(ExplainError::Question)?;
    let given = given(syscall, arguments)?;
    let judge = Judge::load(&profile.rules, container, loader)?;
    let classes = judge.classes(abi, number, &given)?;
    let (otherwise, listed) = (&classes.otherwise, &classes.listed);
    let (rule, cause) = if listed.is_empty() {
        why(&judge, abi, number, otherwise)
    } else {
        (None, None)
    };
    let fate = FateAnswer::of(otherwise.decision);
    let depends = !listed.is_empty();
    let by_arguments = classes
        .iter()
        .filter(|_| depends)
        .map(|class| class_answer(&judge, abi, number, class));
    let answer = Answer {
        syscall: syscall.clone(),
        abi: abi.as_str(),
        arguments: typed(&given),
        action: if depends { "depends" } else { fate.action },
        errno: fate.errno.filter(|_| !depends),
        rule,
        cause,
        unlocked_by: if depends {
            Vec::new()
        } else {
            fate.unlocked_by
        },
        by_arguments: by_arguments.collect(),
        profile: ProfileAnswer::of(profile, container),
        node: NodeAnswer::of(container, loader),
    };
    match output {
        Form::Json => Ok(serde_json::to_string_pretty(&answer)? + "\n"),
        Form::Text => Ok(text(&answer, profile)),
    }
}

/// The arguments that are given.
fn given(call: &str, words: &[String]) -> Result<[Option<u64>; 6], ExplainError> {
    let mut given = [None; 6];
    for word in words {
        let wrong = |why: String| ExplainError::Question(format!("--arg {word}: {why}"));
        let (index, value) = word
            .split_once('=')
            .ok_or_else(|| wrong("write it as N=VALUE, such as 0=16".to_owned()))?;
        let place = index.parse().ok().filter(|index: &u8| *index < 6);
        let index = place.ok_or_else(|| wrong(format!("{index:?} is no argument: 0 to 5 are")))?;
        let value =
            constants::value(call, index, value).map_err(|error| wrong(error.to_string()))?;
        if let Some(place) = given.get_mut(usize::from(index))
            && place.replace(value).is_some()
        {
            return Err(wrong(format!("argument {index} is given twice")));
        }
    }
    Ok(given)
}

/// Arguments as they would be typed.
fn typed(arguments: &[Option<u64>; 6]) -> Vec<String> {
    let numbered = arguments.iter().enumerate();
    numbered
        .filter_map(|(index, value)| Some((index, (*value)?)))
        .map(|(index, value)| {
            if value < 1000 {
                format!("{index}={value}")
            } else {
                format!("{index}={value:#x}")
            }
        })
        .collect()
}

fn class_answer(judge: &Judge, abi: Abi, number: u32, class: &ArgumentClass<Fate>) -> ClassAnswer {
    let (_, cause) = why(judge, abi, number, class);
    let rules = judge.rules(abi, number, class.decision.action);
    ClassAnswer {
        when: class.when.iter().map(ToString::to_string).collect(),
        example: typed(&class.example.map(Some)),
        fate: FateAnswer::of(class.decision),
        rules: if cause.is_some() {
            Vec::new()
        } else {
            rules.iter().map(ToString::to_string).collect()
        },
        cause,
    }
}

/// The rule that decides about a class' example, or why where none does.
fn why(
    judge: &Judge,
    abi: Abi,
    number: u32,
    class: &ArgumentClass<Fate>,
) -> (Option<String>, Option<String>) {
    let decision = judge.filter().decide_number(abi, number, class.example);
    match decision.cause {
        Cause::Rule(rule) => (Some(rule.to_string()), None),
        other => (None, Some(other.to_string())),
    }
}

fn text(answer: &Answer, profile: &Profile) -> String {
    let mut text = String::new();
    let given = if answer.arguments.is_empty() {
        String::new()
    } else {
        format!(" with {}", answer.arguments.join(" "))
    };
    let word = match answer.action {
        "depends" => "depends on its arguments",
        action => answer.errno.as_deref().unwrap_or(action),
    };
    let name = printable(&answer.syscall);
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{name}{given} on {} under {profile}: {word}",
        answer.abi
    );
    let mut rows = Vec::new();
    for class in &answer.by_arguments {
        let when = if class.when.is_empty() {
            "otherwise".to_owned()
        } else {
            class.when.join(" and ")
        };
        let unlocked = match class.fate.unlocked_by.as_slice() {
            [] => String::new(),
            names => format!("unlocked by {}", names.join(" or ")),
        };
        rows.push([format!("  {when}"), class.fate.word().to_owned(), unlocked]);
    }
    text.push_str(&aligned(&rows).replace(" \n", "\n"));
    let mut facts = Vec::new();
    if let Some(why) = answer.rule.as_ref().or(answer.cause.as_ref()) {
        facts.push(("decided by", why.clone()));
    }
    if !answer.unlocked_by.is_empty() {
        facts.push(("unlocked by", answer.unlocked_by.join(" or ")));
    }
    facts.push(("profile", answer.profile.line()));
    facts.push(("node", answer.node.line()));
    facts.push((
        "capabilities",
        match answer.profile.capabilities.as_slice() {
            [] => "<none>".to_owned(),
            names => names.join(","),
        },
    ));
    let facts: Vec<_> = facts
        .into_iter()
        .map(|(name, value)| [name.to_owned(), value])
        .collect();
    text.push_str(&aligned(&facts));
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}
