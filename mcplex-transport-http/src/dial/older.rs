//! HTTP+SSE of revision 2024-11-05: one stream for all that the server says, and an address for all
//! that it is told.

use super::{
    events::{Events, Place, is_stream},
    talk::Talk,
    target::{Target, shown},
    trouble::{End, Trouble, lost, unreachable},
};
use mcplex_proto::{message::Response, transport::ConnectError};
use std::{io, time::Duration};
use tokio::time::timeout;

/// How long the address may take, which such servers send at once; as long as a connect may.
const FIRST_EVENT: Duration = Duration::from_secs(10);

/// Opens the stream and learns the address; `None` when the server has no such stream.
pub(crate) async fn open(talk: &Talk) -> Result<Option<Events>, End> {
    let target = &talk.wire.target;
    let opened = timeout(FIRST_EVENT, async {
        let response = talk.wire.get(None).await?;
        if !response.status().is_success() || !is_stream(response.headers()) {
            return Ok(None);
        }
        let mut events = Events::new(response.into_body(), target.max_message, Place::default());
        match events.next().await {
            Ok(event) if event.name == "endpoint" => Ok(Some((event, events))),
            Ok(_) | Err(_) => Ok(None),
        }
    });
    let (event, events) = match opened.await {
        Ok(Ok(Some(opened))) => opened,
        // It answers, but not like this.
        Ok(Ok(None)) | Err(_) => return Ok(None),
        Ok(Err(Trouble::Refused(error, _))) => return Err(End::Refused(error)),
        Ok(Err(Trouble::Away(error))) => return Err(End::Refused(unreachable(target, error))),
        Ok(Err(Trouble::Broke(_))) => return Ok(None),
    };
    let text = String::from_utf8_lossy(&event.data);
    let Ok(post) = target.url.join(text.trim()) else { return Ok(None) };
    // What is sent there carries our credentials.
    if !target.is_same_origin(&post) {
        return Err(End::Refused(ConnectError::Permanent {
            what: format!("{} wants its messages sent to {}", target.shown, shown(&post)),
            hint: "use a server that takes them at its own address".to_owned(),
            source: None,
            kind: "redirected",
        }));
    }
    talk.wire.become_older(post);
    Ok(Some(events))
}

/// Nothing of HTTP+SSE is there.
pub(crate) fn none(target: &Target) -> ConnectError {
    let source = io::Error::other("it opens no stream of HTTP+SSE");
    ConnectError::Unfit { at: target.shown.clone(), source }
}

/// Hands on what is said on the stream; its end is the end of the connection.
pub(crate) async fn hear(talk: &Talk, mut events: Events) {
    while let Ok(event) = events.next().await {
        if event.name == "message" {
            let _none: Option<Response> = talk.take(event.data, None).await;
        }
    }
    let end = match talk.wire.look().await {
        Ok(()) => End::Lost("its event stream ended".into()),
        Err(error) => lost(&talk.wire.target, &error),
    };
    talk.end(end).await;
}
