//! Reads the table of programs, whose grammar is in its first lines. Pure.

use std::collections::BTreeSet;

use thiserror::Error;

use super::Foreseen;

/// A program, and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name, which is one of a Deployment too.
    pub name: String,
    /// The packages of Debian that it needs.
    pub packages: Vec<String>,
    /// Who runs it; root where nothing is said.
    pub user: Option<u32>,
    /// Whether it is among the few that are always run.
    pub is_short: bool,
    /// A script that ends with an error where the task is not done.
    pub task: String,
    /// What was written down before it ran.
    pub expected: Expectation,
}

/// What is expected of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// What happens on the node with SeccompDefault.
    pub on: OnNode,
    /// The verdict from the node without it alone.
    pub verdict: Foreseen,
    /// The calls that are the reason, by name, with the name of the argument that counts.
    pub calls: Vec<(String, Option<String>)>,
    /// From what that is expected.
    pub because: String,
}

/// What happens to a program under `RuntimeDefault`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNode {
    /// It does its task, and nothing is denied.
    Works,
    /// It does its task, and calls are denied.
    WorksDespiteDenials,
    /// It does not do its task.
    Fails,
}

impl OnNode {
    /// As the table says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::WorksDespiteDenials => "works-despite-denials",
            Self::Fails => "fails",
        }
    }

    /// Whether the task is done.
    #[must_use]
    pub const fn works(self) -> bool {
        !matches!(self, Self::Fails)
    }
}

/// Why the table cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("line {line}: {problem}")]
pub struct MalformedPrograms {
    line: usize,
    problem: Problem,
}

/// What is wrong.
#[derive(Debug, Error, PartialEq, Eq)]
enum Problem {
    #[error("{0:?} stands before the first program")]
    Before(String),
    #[error("{0:?} begins no line of a program")]
    Key(String),
    #[error("{0:?} is no name of a Deployment")]
    Name(String),
    #[error("program {0:?} is there twice")]
    Twice(String),
    #[error("{0:?} is said again")]
    Again(&'static str),
    #[error("{0:?} is no user's number")]
    User(String),
    #[error("{1:?} is not known as {0}")]
    Word(&'static str, String),
    #[error("program {0:?} has no {1}")]
    Missing(String, &'static str),
    #[error("program {0:?} is expected to be {1} and {2}, which cannot both be")]
    Contradiction(String, &'static str, &'static str),
}

/// A program of which not everything was read.
#[derive(Default)]
struct Draft {
    line: usize,
    name: String,
    packages: Option<Vec<String>>,
    user: Option<u32>,
    is_short: bool,
    task: Vec<String>,
    on: Option<OnNode>,
    verdict: Option<Foreseen>,
    calls: Vec<(String, Option<String>)>,
    because: Option<String>,
}

/// Reads the table.
///
/// # Errors
///
/// With the number of the first line that cannot be read, or of the program that says too little.
pub fn parse(text: &str) -> Result<Vec<Program>, MalformedPrograms> {
    let mut programs: Vec<Program> = Vec::new();
    let mut names = BTreeSet::new();
    let mut draft: Option<Draft> = None;
    for (line, content) in (1..).zip(text.lines()) {
        let at = |problem| MalformedPrograms { line, problem };
        if content.trim().is_empty() || content.starts_with('#') {
            continue;
        }
        let (key, rest) = content.split_once(' ').unwrap_or((content, ""));
        if key == "program" {
            programs.extend(draft.take().map(Draft::finish).transpose()?);
            let name = named(rest).map_err(at)?;
            if !names.insert(name.clone()) {
                return Err(at(Problem::Twice(name)));
            }
            draft = Some(Draft {
                line,
                name,
                ..Draft::default()
            });
        } else {
            let draft = draft.as_mut();
            let draft = draft.ok_or_else(|| at(Problem::Before(key.to_owned())))?;
            draft.read(key, rest).map_err(at)?;
        }
    }
    programs.extend(draft.take().map(Draft::finish).transpose()?);
    Ok(programs)
}

/// A name that Deployments and images may have, with room for what is put behind it.
fn named(name: &str) -> Result<String, Problem> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let begins_and_ends = [name.bytes().next(), name.bytes().next_back()];
    let is_name = begins_and_ends.iter().all(|it| it.is_some_and(is_plain))
        && name.bytes().all(|byte| is_plain(byte) || byte == b'-')
        && name.len() <= 50;
    if is_name {
        Ok(name.to_owned())
    } else {
        Err(Problem::Name(name.to_owned()))
    }
}

impl Draft {
    fn read(&mut self, key: &str, rest: &str) -> Result<(), Problem> {
        match key {
            "packages" => {
                let packages = rest.split_whitespace().map(str::to_owned).collect();
                once(&mut self.packages, packages, "packages")?;
            }
            "user" => {
                let user = rest.parse().map_err(|_| Problem::User(rest.to_owned()))?;
                once(&mut self.user, user, "user")?;
            }
            "short" if rest.is_empty() => self.is_short = true,
            // Spaces at the beginning are the script's.
            "|" => self.task.push(rest.to_owned()),
            "on" => {
                let known = [OnNode::Works, OnNode::WorksDespiteDenials, OnNode::Fails];
                let on = known.into_iter().find(|it| it.as_str() == rest);
                let on = on.ok_or_else(|| Problem::Word("what happens", rest.to_owned()))?;
                once(&mut self.on, on, "on")?;
            }
            "verdict" => {
                let verdict = Foreseen::ALL.into_iter().find(|it| it.as_str() == rest);
                let verdict = verdict.ok_or_else(|| Problem::Word("a verdict", rest.to_owned()))?;
                once(&mut self.verdict, verdict, "verdict")?;
            }
            "call" => {
                let mut words = rest.split_whitespace().map(str::to_owned);
                match (words.next(), words.next(), words.next()) {
                    (Some(name), argument, None) => self.calls.push((name, argument)),
                    _ => return Err(Problem::Word("a call", rest.to_owned())),
                }
            }
            "because" if !rest.is_empty() => once(&mut self.because, rest.to_owned(), "because")?,
            _ => return Err(Problem::Key(key.to_owned())),
        }
        Ok(())
    }

    fn finish(self) -> Result<Program, MalformedPrograms> {
        let Self {
            line,
            name,
            packages,
            user,
            is_short,
            task,
            on,
            verdict,
            calls,
            because,
        } = self;
        let at = |problem| MalformedPrograms { line, problem };
        let missing = |what| at(Problem::Missing(name.clone(), what));
        if task.is_empty() {
            return Err(missing("task"));
        }
        let on = on.ok_or_else(|| missing("line `on`"))?;
        let verdict = verdict.ok_or_else(|| missing("line `verdict`"))?;
        // Where nothing is denied, no call is the reason; where something is, it has a name.
        let expects_denials = verdict != Foreseen::NoDenialSeen;
        if expects_denials == (on == OnNode::Works) {
            let (on, verdict) = (on.as_str(), verdict.as_str());
            return Err(at(Problem::Contradiction(name, on, verdict)));
        }
        if expects_denials && calls.is_empty() {
            return Err(missing("line `call`"));
        }
        if !expects_denials && !calls.is_empty() {
            return Err(at(Problem::Contradiction(
                name,
                verdict.as_str(),
                "without a call",
            )));
        }
        Ok(Program {
            packages: packages.unwrap_or_default(),
            user,
            is_short,
            task: task.join("\n"),
            expected: Expectation {
                on,
                verdict,
                calls,
                because: because.ok_or_else(|| missing("line `because`"))?,
            },
            name,
        })
    }
}

fn once<T>(place: &mut Option<T>, value: T, key: &'static str) -> Result<(), Problem> {
    match place.replace(value) {
        Some(_) => Err(Problem::Again(key)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use podfence_seccomp::{Abi, syscalls};

    use super::*;

    const LEAST: &str =
        "program a\n| true\non works\nverdict no-denial-seen\nbecause it is small\n";

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, want) in [
            ("on works", "line 1: \"on\" stands before the first program"),
            ("\0", "line 1: \"\\0\" stands before the first program"),
            ("program", "line 1: \"\" is no name of a Deployment"),
            ("program A", "line 1: \"A\" is no name of a Deployment"),
            ("program -a", "line 1: \"-a\" is no name of a Deployment"),
            ("program a b", "line 1: \"a b\" is no name of a Deployment"),
            (
                "program a/../b",
                "line 1: \"a/../b\" is no name of a Deployment",
            ),
            ("program a", "line 1: program \"a\" has no task"),
            (
                "program a\n|true",
                "line 2: \"|true\" begins no line of a program",
            ),
            (
                "program a\nshort not",
                "line 2: \"short\" begins no line of a program",
            ),
            (
                "program a\nbecause",
                "line 2: \"because\" begins no line of a program",
            ),
            (
                "program a\nuser root",
                "line 2: \"root\" is no user's number",
            ),
            ("program a\nuser -1", "line 2: \"-1\" is no user's number"),
            (
                "program a\nuser 1\nuser 1",
                "line 3: \"user\" is said again",
            ),
            (
                "program a\non Fails",
                "line 2: \"Fails\" is not known as what happens",
            ),
            (
                "program a\non works\non fails",
                "line 3: \"on\" is said again",
            ),
            (
                "program a\nverdict AtRisk",
                "line 2: \"AtRisk\" is not known as a verdict",
            ),
            ("program a\ncall", "line 2: \"\" is not known as a call"),
            (
                "program a\ncall a b c",
                "line 2: \"a b c\" is not known as a call",
            ),
            (
                "program a\n| true",
                "line 1: program \"a\" has no line `on`",
            ),
            (
                "program a\n| true\non fails",
                "line 1: program \"a\" has no line `verdict`",
            ),
            (
                "program a\n| true\non fails\nverdict no-denial-seen",
                "line 1: program \"a\" is expected to be fails and no-denial-seen, which cannot both be",
            ),
            (
                "program a\n| true\non works\nverdict would-be-denied\ncall mount",
                "line 1: program \"a\" is expected to be works and would-be-denied, which cannot both be",
            ),
            (
                "program a\n| true\non fails\nverdict at-risk-or-worse",
                "line 1: program \"a\" has no line `call`",
            ),
            (
                "program a\n| true\non works\nverdict no-denial-seen\ncall mount",
                "line 1: program \"a\" is expected to be no-denial-seen and without a call, which cannot both be",
            ),
            (
                "program a\n| true\non works\nverdict no-denial-seen",
                "line 1: program \"a\" has no line `because`",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), want, "{text:?}");
        }
        let twice = parse(&format!("{LEAST}{LEAST}")).unwrap_err();
        assert_eq!(twice.to_string(), "line 6: program \"a\" is there twice");
    }

    #[test]
    fn everything_that_is_said_is_read() {
        assert_eq!(parse("").unwrap(), []);
        let text = "# A comment.\n\nprogram a-1\npackages b c\nuser 1000\nshort\n| if true; then\n|   b <<E\n\
                    | # no comment\n|\n| E\non fails\nverdict at-risk-or-worse\ncall clone CLONE_NEWUSER\ncall mount\n\
                    because it  is so\n";
        let want = Program {
            name: "a-1".to_owned(),
            packages: vec!["b".to_owned(), "c".to_owned()],
            user: Some(1000),
            is_short: true,
            task: "if true; then\n  b <<E\n# no comment\n\nE".to_owned(),
            expected: Expectation {
                on: OnNode::Fails,
                verdict: Foreseen::AtRiskOrWorse,
                calls: vec![
                    ("clone".to_owned(), Some("CLONE_NEWUSER".to_owned())),
                    ("mount".to_owned(), None),
                ],
                because: "it  is so".to_owned(),
            },
        };
        assert_eq!(parse(text).unwrap(), [want]);
        let least = parse(LEAST).unwrap();
        assert!(!least[0].is_short && least[0].user.is_none());
    }

    /// The shipped table: of each kind there are enough, every package is in the list of those that are
    /// installed, and every call exists.
    #[test]
    fn the_table_is_large_enough() {
        let programs = parse(include_str!("../../corpus/programs.txt")).unwrap();
        let of = |on: OnNode| programs.iter().filter(|it| it.expected.on == on).count();
        assert!(programs.len() >= 44, "{}", programs.len());
        assert!(of(OnNode::Fails) >= 12 && of(OnNode::WorksDespiteDenials) >= 12);
        assert_eq!(programs.iter().filter(|it| it.is_short).count(), 5);
        let listed: Vec<Vec<&str>> = include_str!("../../corpus/packages.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().collect())
            .collect();
        for program in &programs {
            for package in &program.packages {
                let is_small = listed.iter().any(|words| **words == ["small", package]);
                let is_big = listed.iter().any(|words| **words == [package.as_str()]);
                assert!(is_small || is_big, "{}: {package}", program.name);
                assert!(is_small || !program.is_short, "{}: {package}", program.name);
            }
            for (call, _) in &program.expected.calls {
                let number = syscalls::number(Abi::X86_64, call);
                assert!(number.is_some(), "{}: {call}", program.name);
            }
        }
    }
}
