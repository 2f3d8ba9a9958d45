//! What the kubelet's answers come to. Pure: the instant is given.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

/// A kubelet that does not answer for this long is said; a restart takes seconds and changes what
/// it says only once it answers again.
const GRACE: Duration = Duration::from_secs(120);

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its seccompDefault.
    Setting(bool),
    /// It says no, or something that cannot be read: asking again is of no use. Why, and what to do.
    Refused(String),
    /// It could not be reached, or is not who it should be. Why, and what to do.
    Unreachable(String),
}

/// What is known from its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It was not asked yet.
    Nothing,
    /// Its seccompDefault.
    Setting(bool),
    /// Why it does not say it.
    Problem(String),
}

/// The answers so far.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    last: Option<Answer>,
    setting: Option<(bool, Instant)>,
}

impl Answers {
    /// Takes an answer. True when it is another one than before.
    pub fn take(&mut self, answer: Answer, now: Instant) -> bool {
        let is_new = self.last.as_ref() != Some(&answer);
        match answer {
            Answer::Setting(enabled) => self.setting = Some((enabled, now)),
            Answer::Refused(_) => self.setting = None,
            Answer::Unreachable(_) => {}
        }
        self.last = Some(answer);
        is_new
    }

    /// What they come to.
    #[must_use]
    pub fn known(&self, now: Instant) -> Known {
        match (&self.last, self.setting) {
            (None, _) => Known::Nothing,
            (Some(Answer::Setting(enabled)), _) => Known::Setting(*enabled),
            (Some(Answer::Unreachable(_)), Some((enabled, at))) if now - at < GRACE => {
                Known::Setting(enabled)
            }
            (Some(Answer::Refused(why) | Answer::Unreachable(why)), _) => {
                Known::Problem(why.clone())
            }
        }
    }
}

/// The part of the kubelet's configuration that counts; a field that is left out is false.
///
/// Source: <https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/>.
#[derive(Deserialize)]
struct Configz {
    kubeletconfig: KubeletConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KubeletConfig {
    #[serde(default)]
    seccomp_default: bool,
}

/// The setting in what `/configz` answers.
///
/// # Errors
/// When it is no configuration.
pub fn setting(body: &[u8]) -> Result<bool, serde_json::Error> {
    let Configz { kubeletconfig } = serde_json::from_slice(body)?;
    Ok(kubeletconfig.seccomp_default)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Answer, Answers, Known, setting};

    #[test]
    fn the_setting_is_read_and_absence_is_false() {
        for body in [
            "",
            "Forbidden",
            "{}",
            r#"{"kubeletconfig":{"seccompDefault":"yes"}}"#,
        ] {
            assert!(setting(body.as_bytes()).is_err(), "{body}");
        }
        for (body, want) in [
            (r#"{"kubeletconfig":{}}"#, false),
            (r#"{"kubeletconfig":{"seccompDefault":false}}"#, false),
            (
                r#"{"kubeletconfig":{"seccompDefault":true,"port":1}}"#,
                true,
            ),
        ] {
            assert_eq!(setting(body.as_bytes()).expect(body), want, "{body}");
        }
    }

    #[test]
    fn a_restart_is_bridged_and_a_refusal_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let unreachable = || Answer::Unreachable("refused".to_owned());
        let mut answers = Answers::default();
        assert_eq!(answers.known(start), Known::Nothing);
        assert!(answers.take(unreachable(), start));
        assert!(!answers.take(unreachable(), start));
        assert_eq!(answers.known(start), Known::Problem("refused".to_owned()));
        answers.take(Answer::Setting(true), at(10));
        assert_eq!(answers.known(at(500)), Known::Setting(true));
        answers.take(unreachable(), at(20));
        assert_eq!(answers.known(at(129)), Known::Setting(true));
        assert_eq!(answers.known(at(130)), Known::Problem("refused".to_owned()));
        answers.take(Answer::Setting(false), at(140));
        answers.take(Answer::Refused("no".to_owned()), at(150));
        assert_eq!(answers.known(at(150)), Known::Problem("no".to_owned()));
        answers.take(unreachable(), at(151));
        assert_eq!(answers.known(at(151)), Known::Problem("refused".to_owned()));
    }
}
