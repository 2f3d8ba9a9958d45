//! What the agent was asked to look at and could not see. Pure.

use std::fmt;

use podfence_crd::AgentProblem;

/// What was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // Each is the function of that name.
pub enum Subject {
    AppArmor,
    Containers,
    Kernel,
    Kubelet,
    Runtime,
    SeccompProfiles,
    SystemCalls,
}

impl Subject {
    /// As a report names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppArmor => "AppArmor",
            Self::Containers => "Containers",
            Self::Kernel => "Kernel",
            Self::Kubelet => "Kubelet",
            Self::Runtime => "Runtime",
            Self::SeccompProfiles => "SeccompProfiles",
            Self::SystemCalls => "SystemCalls",
        }
    }
}

/// Something that could not be seen.
///
/// INVARIANT: the message says nothing that differs from one look to the next while nothing
/// changes, such as a time; otherwise every look would be a write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What was looked for.
    pub subject: Subject,
    /// Why it could not be seen, and what to do.
    pub message: String,
}

impl Problem {
    /// A problem.
    #[must_use]
    pub fn new(subject: Subject, message: impl Into<String>) -> Self {
        Self {
            subject,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.subject.as_str(), self.message)
    }
}

/// Problems as a report holds them.
const MOST_PROBLEMS: usize = 16;

/// Characters of a message or a name, as the schema bounds it.
pub(crate) const MOST_CHARACTERS: usize = 1024;

/// Sorted, each once, within the bounds of a report.
#[must_use]
pub fn bounded(mut problems: Vec<Problem>) -> Vec<AgentProblem> {
    problems.sort();
    problems.dedup();
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    problems.truncate(MOST_PROBLEMS);
    if more > 0
        && let Some(last) = problems.last_mut()
    {
        last.message = format!(
            "{} more problems, of which this is one: {}",
            more + 1,
            last.message
        );
    }
    let written = problems.into_iter().map(|problem| AgentProblem {
        subject: problem.subject.as_str().to_owned(),
        message: shortened(&problem.message, MOST_CHARACTERS),
    });
    written.collect()
}

/// The text, or its beginning where it has more characters than these.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept = text.chars().take(most.saturating_sub(1));
    kept.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::{MOST_CHARACTERS, Problem, Subject, bounded, shortened};

    #[test]
    fn problems_are_sorted_once_each_and_bounded() {
        assert_eq!(bounded(Vec::new()), []);
        let problem = |subject, message: &str| Problem::new(subject, message);
        let same = problem(Subject::Kubelet, "b");
        let listed = bounded(vec![
            same.clone(),
            problem(Subject::Kubelet, "a"),
            same,
            problem(Subject::AppArmor, "z"),
        ]);
        let listed: Vec<_> = listed
            .iter()
            .map(|problem| (problem.subject.as_str(), problem.message.as_str()))
            .collect();
        assert_eq!(
            listed,
            [("AppArmor", "z"), ("Kubelet", "a"), ("Kubelet", "b")]
        );

        let many = (0..40).map(|number| problem(Subject::Runtime, &format!("{number:02}")));
        let listed = bounded(many.collect());
        assert_eq!(listed.len(), 16);
        let last = &listed[15].message;
        assert_eq!(last, "25 more problems, of which this is one: 15");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("", 0), "");
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
        let long = Problem::new(Subject::Kernel, "ä".repeat(5000));
        let listed = bounded(vec![long]);
        assert_eq!(listed[0].message.chars().count(), MOST_CHARACTERS);
    }
}
