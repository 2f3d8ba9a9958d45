//! What changes for a container between two runtimes. No I/O.

use podfence_seccomp::{
    Abi, Container, Difference, Judge, LoadError, Loader, Profile, RefusedCapability,
    TooManyClasses, differences,
};
use serde::Serialize;

use super::{FateAnswer, NodeAnswer, ProfileAnswer};
use crate::args::{CompareArguments, Form};
use crate::report::table::aligned;

/// Profiles that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompareError {
    #[error("--capabilities: {0}")]
    Capabilities(#[from] RefusedCapability),
    #[error("{profile}: {source}")]
    Rules { profile: String, source: LoadError },
    #[error(transparent)]
    Classes(#[from] TooManyClasses),
    #[error("--abi: neither filter on {architecture} is made for {abi}; they are for {known}")]
    Abi {
        abi: Abi,
        architecture: podfence_seccomp::Architecture,
        known: String,
    },
    #[error("failed to write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The answer.
#[derive(Serialize)]
struct Answer {
    before: ProfileAnswer,
    after: ProfileAnswer,
    node: NodeAnswer,
    differences: Vec<DifferenceAnswer>,
}

#[derive(Serialize)]
struct DifferenceAnswer {
    /// Null for all calls that are yet to come.
    syscall: Option<&'static str>,
    abis: Vec<&'static str>,
    when: Vec<String>,
    before: FateAnswer,
    after: FateAnswer,
}

/// The answer in the form asked for, and whether anything changes.
pub(crate) fn compare(asked: &CompareArguments) -> Result<(String, bool), CompareError> {
    let CompareArguments {
        before,
        after,
        abi,
        container,
        output,
    } = asked;
    let loader = container.loader();
    let of_before = container.container(before.runtime)?;
    let of_after = container.container(after.runtime)?;
    let mut abis = before.rules.abis(of_before.architecture);
    for abi in after.rules.abis(of_after.architecture) {
        if !abis.contains(&abi) {
            abis.push(abi);
        }
    }
    let asked = match abi {
        Some(abi) if !abis.contains(abi) => {
            let known: Vec<&str> = abis.iter().map(|abi| abi.as_str()).collect();
            return Err(CompareError::Abi {
                abi: *abi,
                architecture: of_before.architecture,
                known: known.join(", "),
            });
        }
        Some(abi) => vec![*abi],
        None => abis.clone(),
    };
    let found = differences(
        &judge(before, of_before, loader)?,
        &judge(after, of_after, loader)?,
        &asked,
    )?;
    let answer = Answer {
        before: ProfileAnswer::of(before, of_before),
        after: ProfileAnswer::of(after, of_after),
        node: NodeAnswer::of(of_before, loader),
        differences: found.iter().map(DifferenceAnswer::of).collect(),
    };
    let text = match output {
        Form::Json => serde_json::to_string_pretty(&answer)? + "\n",
        Form::Text => table(&answer, asked.len()),
    };
    Ok((text, !found.is_empty()))
}

fn judge(profile: &Profile, container: Container, loader: Loader) -> Result<Judge, CompareError> {
    Judge::load(&profile.rules, container, loader).map_err(|source| CompareError::Rules {
        profile: profile.to_string(),
        source,
    })
}

impl DifferenceAnswer {
    fn of(difference: &Difference) -> Self {
        Self {
            syscall: difference.syscall,
            abis: difference.abis.iter().map(|abi| abi.as_str()).collect(),
            when: difference.when_text(),
            before: FateAnswer::of(difference.before),
            after: FateAnswer::of(difference.after),
        }
    }
}

/// The differences, one a line, and what was compared.
fn table(answer: &Answer, abis: usize) -> String {
    let header = [
        "SYSCALL",
        "ABI",
        "ARGUMENTS",
        "BEFORE",
        "AFTER",
        "UNLOCKED-BEFORE",
        "UNLOCKED-AFTER",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    for difference in &answer.differences {
        let all = difference.abis.len() == abis && abis > 1;
        let when = difference.when.join(" and ");
        rows.push([
            difference.syscall.unwrap_or("<calls to come>").to_owned(),
            if all {
                "all".to_owned()
            } else {
                difference.abis.join(",")
            },
            if when.is_empty() {
                "<any>".to_owned()
            } else {
                when
            },
            difference.before.word().to_owned(),
            difference.after.word().to_owned(),
            difference.before.unlocked(),
            difference.after.unlocked(),
        ]);
    }
    let mut text = if rows.len() > 1 {
        aligned(&rows)
    } else {
        String::new()
    };
    let Answer {
        before,
        after,
        node,
        differences,
    } = answer;
    let summary = [
        ("before", before.line()),
        ("after", after.line()),
        ("node", node.line()),
        ("differences", differences.len().to_string()),
    ];
    let summary: Vec<_> = summary
        .into_iter()
        .map(|(name, value)| [name.to_owned(), value])
        .collect();
    text.push_str(&aligned(&summary));
    text
}
