//! One request to the API server, under a timeout, with its whole answer. Does I/O.
//!
//! kube's typed calls give the decoded object and drop the headers, and what we write is answered
//! in headers too: `Warning` carries what admission thinks of existing pods. So writes are sent
//! here, and what an answer means is decided by whoever asked.

use http::{HeaderMap, Request, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use kube::core::response::StatusCause;
use podfence_daemon::cluster::REQUEST_TIMEOUT;
use tokio::time::timeout;

use crate::fence::Fence;

/// Why there is no answer that means anything. All of it is worth another try.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// We lead no more, so nothing was sent.
    #[error("failed to write: another replica leads")]
    NotLeading,
    /// The request could not be built or sent, or the answer not be read.
    #[error("failed to reach the API server")]
    Transport(#[source] Box<kube::Error>),
    /// No answer in time. It may have been done all the same.
    #[error("failed to get an answer in time")]
    Timeout,
    /// The server is busy or broken.
    #[error("failed with {code}: {message}")]
    Server {
        /// The HTTP status.
        code: u16,
        /// What the server said.
        message: String,
        /// How long it asks to be left alone.
        retry_after_seconds: Option<u64>,
    },
    /// The server said yes, and something that we cannot read.
    #[error("failed to read the answer")]
    Unreadable(#[source] serde_json::Error),
}

impl CallError {
    /// For metrics and logs.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotLeading => "not_leading",
            Self::Transport(_) => "transport",
            Self::Timeout => "timeout",
            Self::Server { .. } => "server",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// An answer that is about the request: a success, or a refusal (4xx).
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub code: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    /// Whether it was done.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Decodes the object in the answer.
    ///
    /// # Errors
    /// When it is not such an object.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(CallError::Unreadable)
    }

    /// What the server says about a refusal. A plain text, as proxies send it, becomes a message.
    #[must_use]
    pub fn status(&self) -> Status {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&self.body);
            Status::failure(text.trim(), "").with_code(self.code)
        })
    }

    /// The causes of a refusal.
    #[must_use]
    pub fn causes(&self) -> Vec<StatusCause> {
        self.status()
            .details
            .map(|details| details.causes)
            .unwrap_or_default()
    }
}

/// Sends requests as long as we lead.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    fence: Fence,
}

impl Caller {
    /// Sends through this client while the fence holds.
    #[must_use]
    pub fn new(client: Client, fence: Fence) -> Self {
        Self { client, fence }
    }

    /// Sends a write.
    ///
    /// # Errors
    /// When we do not lead, or nothing came back that says yes or no.
    pub async fn write(
        &self,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Reply, CallError> {
        // INVARIANT: asked with nothing in between but the send itself, so that after the loss of
        // the Lease no more than what is under way arrives.
        if !self.fence.holds() {
            return Err(CallError::NotLeading);
        }
        self.read(request).await
    }

    /// Sends a request that changes nothing.
    ///
    /// # Errors
    /// When nothing came back that says yes or no.
    pub async fn read(
        &self,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Reply, CallError> {
        let transport = |error: kube::Error| CallError::Transport(Box::new(error));
        let request = request.map_err(|error| transport(kube::Error::BuildRequest(error)))?;
        let exchange = async {
            let response = self.client.send(request.map(Body::from)).await?;
            let (head, body) = response.into_parts();
            Ok::<_, kube::Error>((head, body.collect_bytes().await?))
        };
        let (head, body) = timeout(REQUEST_TIMEOUT, exchange)
            .await
            .map_err(|_| CallError::Timeout)?
            .map_err(transport)?;
        let reply = Reply {
            code: head.status.as_u16(),
            headers: head.headers,
            body: body.into(),
        };
        if head.status.is_server_error()
            || matches!(
                head.status,
                // An expired token is replaced within a minute; the rest asks for patience.
                StatusCode::UNAUTHORIZED
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS
            )
        {
            return Err(refuse(&reply));
        }
        Ok(reply)
    }
}

fn refuse(reply: &Reply) -> CallError {
    let after = reply.headers.get(http::header::RETRY_AFTER);
    CallError::Server {
        code: reply.code,
        message: reply.status().message,
        retry_after_seconds: after.and_then(|value| value.to_str().ok()?.trim().parse().ok()),
    }
}
