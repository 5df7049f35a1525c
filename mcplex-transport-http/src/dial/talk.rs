//! What every exchange with the server needs: the way there, and who hears what comes of it.

use super::{
    trouble::{self, End},
    wire::Wire,
};
use bytes::Bytes;
use mcplex_proto::{
    frame,
    id::Id,
    message::{BadMessage, MAX_BATCH, Message, Response},
    transport::{Ending, Received},
};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Cheap to clone; when all clones are gone, the supervisor hears that nothing more will come.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) wire: Arc<Wire>,
    out: mpsc::Sender<Received>,
    ends: watch::Sender<Option<Ending>>,
}

impl Talk {
    pub(crate) fn new(
        wire: Arc<Wire>,
        out: mpsc::Sender<Received>,
        ends: watch::Sender<Option<Ending>>,
    ) -> Self {
        Self { wire, out, ends }
    }

    /// Hands something to the supervisor, and waits until it has room.
    pub(crate) async fn say(&self, received: Received) {
        // Refused means that nobody reads any more.
        let _is_heard = self.out.send(received).await.is_ok();
    }

    /// The connection is over.
    pub(crate) async fn end(&self, end: End) {
        match end {
            End::Lost(why) => {
                // The first reason is the reason.
                self.ends.send_if_modified(|ending| {
                    let is_first = ending.is_none();
                    ending.get_or_insert(Ending::Lost(why));
                    is_first
                });
            }
            End::Refused(error) => self.say(Received::Refused(error)).await,
        }
    }

    /// Resolves when the connection is over.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ends.subscribe();
        drop(ended.wait_for(Option::is_some).await);
    }

    /// Takes what came on a stream, or in place of one; the answer to `about` is given back, all else
    /// handed on. Only revision 2025-03-26 has batches, but what one says is clear in any.
    pub(crate) async fn take(&self, data: Bytes, about: Option<&Id>) -> Option<Response> {
        let members = match Message::parse(data.clone()) {
            Err(BadMessage::Batch) => Message::parse_batch(&data, MAX_BATCH),
            Err(bad) => {
                // Whoever waits for it would wait for nothing else.
                let error = trouble::unreadable(&bad.to_string());
                let answer = frame::answered(&data).map(|id| Response::error(Some(id), &error));
                return self.take_one(answer.map_or(Err(bad), |it| Ok(it.into())), about).await;
            }
            message => return self.take_one(message, about).await,
        };
        let Some(members) = members else {
            self.say(Received::Garbage(BadMessage::Batch)).await;
            return None;
        };
        let mut answer = None;
        for member in members {
            let found = self.take_one(member, about).await;
            answer = answer.or(found);
        }
        answer
    }

    async fn take_one(
        &self,
        one: Result<Message, BadMessage>,
        about: Option<&Id>,
    ) -> Option<Response> {
        let received = match one {
            Ok(Message::Response(response)) if answers(&response, about) => return Some(response),
            Ok(message @ Message::Response(_)) => Received::Message(message),
            Ok(message @ (Message::Request(_) | Message::Notification(_))) => match about {
                Some(id) => Received::About(message, id.clone()),
                None => Received::Message(message),
            },
            Err(bad) => Received::Garbage(bad),
        };
        self.say(received).await;
        None
    }
}

fn answers(response: &Response, asked: Option<&Id>) -> bool {
    matches!((&response.id, asked), (Some(id), Some(asked)) if id.is_back(asked))
}
