//! What the child says on its stdout.

use crate::inbox::{Inbox, Unread, in_place_of, unreadable};
use bytes::Bytes;
use futures_core::Stream;
use mcplex_proto::{
    frame,
    message::{BadMessage, MAX_BATCH, Message},
    transport::Received,
    upstream::UpstreamName,
};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};
use tokio::process::ChildStdout;

/// Messages of the child, in order.
#[derive(Debug)]
pub(crate) struct Messages {
    name: UpstreamName,
    /// The rest of a batch.
    batch: vec::IntoIter<Result<Message, BadMessage>>,
    /// Gone once nothing more can be read.
    inbox: Option<Inbox<ChildStdout>>,
}

impl Messages {
    pub(crate) fn new(name: UpstreamName, stdout: ChildStdout, max_line: usize) -> Self {
        let batch = Vec::new().into_iter();
        Self { name, batch, inbox: Some(Inbox::new(stdout, max_line)) }
    }

    /// What a line is. One that is no message but an answer fails its call, which would wait for
    /// nothing else; the messages of a batch come one by one. Only revision 2025-03-26 has batches,
    /// but what one says is clear in any.
    fn read(&mut self, line: Bytes) -> Received {
        match Message::parse(line.clone()) {
            Ok(message) => Received::Message(message),
            Err(bad @ BadMessage::Batch) => {
                self.batch = Message::parse_batch(&line, MAX_BATCH).unwrap_or_default().into_iter();
                self.batch.next().map_or(Received::Garbage(bad), of_batch)
            }
            Err(bad) => match frame::answered(&line) {
                Some(id) => {
                    tracing::warn!(upstream = self.name.as_str(), %id, %bad,
                        "upstream wrote an answer that cannot be read; its call fails");
                    Received::Message(unreadable(id, &bad).into())
                }
                None => Received::Garbage(bad),
            },
        }
    }
}

fn of_batch(member: Result<Message, BadMessage>) -> Received {
    member.map_or_else(Received::Garbage, Received::Message)
}

impl Stream for Messages {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        if let Some(member) = self.batch.next() {
            return Poll::Ready(Some(of_batch(member)));
        }
        let Some(inbox) = &mut self.inbox else { return Poll::Ready(None) };
        let received = match ready!(inbox.poll_line(cx)) {
            Some(Ok(line)) => return Poll::Ready(Some(self.read(line))),
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
