//! What the child says on its stdout.

use crate::inbox::{Inbox, Unread, in_place_of};
use futures_core::Stream;
use mcplex_proto::{message::Message, transport::Received, upstream::UpstreamName};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::process::ChildStdout;

/// Messages of the child, in order.
#[derive(Debug)]
pub(crate) struct Messages {
    name: UpstreamName,
    /// Gone once nothing more can be read.
    inbox: Option<Inbox<ChildStdout>>,
}

impl Messages {
    pub(crate) fn new(name: UpstreamName, stdout: ChildStdout, max_line: usize) -> Self {
        Self { name, inbox: Some(Inbox::new(stdout, max_line)) }
    }
}

impl Stream for Messages {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let Some(inbox) = &mut self.inbox else { return Poll::Ready(None) };
        let received = match ready!(inbox.poll_line(cx)) {
            Some(Ok(line)) => match Message::parse(line) {
                Ok(message) => return Poll::Ready(Some(Received::Message(message))),
                Err(bad) => return Poll::Ready(Some(Received::Garbage(bad))),
            },
            Some(Err(Unread::Answer(id, why))) => {
                tracing::warn!(
                    upstream = self.name.as_str(),
                    id = %id,
                    max_line = why.max_line,
                    "upstream wrote an answer that is too long; its call fails"
                );
                let response = in_place_of(id, &why);
                return Poll::Ready(Some(Received::Message(response.into())));
            }
            Some(Err(Unread::Broken(why))) => Some(Received::Broken(why)),
            None => None,
        };
        self.inbox = None;
        Poll::Ready(received)
    }
}
