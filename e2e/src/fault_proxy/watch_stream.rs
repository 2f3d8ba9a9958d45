//! The answer to one watch, which can be held and can be made to expire. Passes data on.

use anyhow::anyhow;
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use serde_json::json;
use tokio::sync::watch;

use super::{connection::AnswerBody, state::State};

struct Relay {
    upstream: Body,
    control: watch::Receiver<State>,
    resource: String,
    /// How often watches of the resource had been told to expire when this one began.
    expirations: u64,
    /// Events are lines; something of our own may only come between two.
    between_events: bool,
    ended: bool,
}

/// Passes on the changes that the API server sends, as the proxy's state allows.
pub(super) fn relay(
    upstream: Body,
    control: watch::Receiver<State>,
    resource: String,
) -> AnswerBody {
    let expirations = control.borrow().expirations_of(&resource);
    let relay = Relay {
        upstream,
        control,
        resource,
        expirations,
        between_events: true,
        ended: false,
    };
    let frames = stream::unfold(relay, async |mut relay| {
        let frame = relay.next().await?;
        Some((frame, relay))
    });
    StreamBody::new(frames).boxed_unsync()
}

impl Relay {
    async fn next(&mut self) -> Option<anyhow::Result<Frame<Bytes>>> {
        loop {
            if self.ended {
                return None;
            }
            let (held, expired) = {
                let state = self.control.borrow_and_update();
                let expirations = state.expirations_of(&self.resource);
                (
                    state.held_watches.contains(&self.resource),
                    expirations != self.expirations,
                )
            };
            if expired && self.between_events {
                self.ended = true;
                return Some(Ok(Frame::data(expiry())));
            }
            tokio::select! {
                changed = self.control.changed() => {
                    if changed.is_err() {
                        return Some(Err(anyhow!("the proxy has ended")));
                    }
                }
                frame = self.upstream.frame(), if !held => {
                    let frame = frame?;
                    if let Ok(Some(data)) = frame.as_ref().map(Frame::data_ref) {
                        self.between_events = data.ends_with(b"\n");
                    }
                    return Some(frame.map_err(anyhow::Error::from));
                }
            }
        }
    }
}

/// What the API server sends when it has forgotten the version a watch is at.
fn expiry() -> Bytes {
    let event = json!({
        "type": "ERROR",
        "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version: 1 (2)", "reason": "Expired", "code": 410,
        },
    });
    Bytes::from(format!("{event}\n"))
}
