//! Errors, as they are told. No I/O.

use std::error::Error;
use std::net::SocketAddr;

use kube::runtime::watcher;

/// Why a program does not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No cluster is configured.
    #[error("failed to find the cluster's configuration")]
    Config(#[from] kube::config::InferConfigError),
    /// The client cannot be made, for example because a certificate cannot be read.
    #[error("failed to make a client")]
    Client(#[from] kube::Error),
    /// An address cannot be served.
    #[error("failed to listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// Signals cannot be listened to.
    #[error("failed to listen to signals")]
    Signal(#[source] std::io::Error),
}

/// An error with its sources, in one line.
#[must_use]
pub fn described(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // Some errors repeat what lies below them.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

/// Why a list or a watch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchFailure {
    /// The status of the server's answer, if it answered.
    pub code: Option<u16>,
    /// What the server said, or what kept it from saying anything.
    pub message: String,
}

impl From<&watcher::Error> for WatchFailure {
    fn from(error: &watcher::Error) -> Self {
        use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
        match error {
            // What the server said, and not kube's rendering of all that it sent.
            InitialListFailed(kube::Error::Api(status))
            | WatchStartFailed(kube::Error::Api(status))
            | WatchFailed(kube::Error::Api(status))
            | WatchError(status) => Self {
                code: Some(status.code),
                message: format!("{}: {}", status.code, status.message),
            },
            other => Self {
                code: None,
                message: described(other),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::runtime::watcher;

    use super::{WatchFailure, described};

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read it")]
    struct Outer(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read it: no such thing")]
    struct Repeating(#[source] std::io::Error);

    #[test]
    fn sources_are_told_once() {
        let lower = || std::io::Error::other("no such thing");
        let want = "failed to read it: no such thing";
        assert_eq!(described(&Outer(lower())), want);
        assert_eq!(described(&Repeating(lower())), want);
    }

    #[test]
    fn a_server_is_quoted() {
        let status = Status::failure("pods is forbidden", "Forbidden").with_code(403);
        let errors = [
            watcher::Error::WatchError(Box::new(status.clone())),
            watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status))),
        ];
        for error in &errors {
            let failure = WatchFailure::from(error);
            assert_eq!(failure.code, Some(403));
            assert_eq!(failure.message, "403: pods is forbidden");
        }
        let silent = watcher::Error::NoResourceVersion;
        assert_eq!(WatchFailure::from(&silent).code, None);
    }
}
