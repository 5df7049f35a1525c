//! What every exchange with the server needs: the way there, and who hears what comes of it.

use super::{trouble::End, wire::Wire};
use bytes::Bytes;
use mcplex_proto::{
    id::Id,
    message::{Message, Response},
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

    /// Takes what came on a stream; the answer to `about` is given back, all else handed on.
    pub(crate) async fn take(&self, data: Bytes, about: Option<&Id>) -> Option<Response> {
        let received = match Message::parse(data) {
            Ok(Message::Response(response)) if about.is_some() && response.id.as_ref() == about => {
                return Some(response);
            }
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
