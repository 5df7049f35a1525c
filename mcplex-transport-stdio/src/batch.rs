//! Answers to one request, or to a batch of them.

use crate::{backlog::Backlog, serve::refuse};
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use mcplex_proto::{
    downstream::Session,
    edit,
    message::{BadMessage, Message, Request, Response},
    method, modern,
};
use std::{future::Future, sync::Arc};

/// What is to be written once a call is done.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Of a single request; a cancelled one wants nothing.
    One(Option<Response>),
    /// Of a batch, as one line; nothing if no member wants an answer.
    Batch {
        /// How many requests of it were run.
        calls: usize,
        /// In the order of the requests, refused ones first.
        responses: Vec<Response>,
    },
}

impl Answer {
    /// How many requests are done with it.
    pub(crate) fn calls(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Batch { calls, .. } => *calls,
        }
    }

    pub(crate) fn write(self, backlog: &mut Backlog) {
        match self {
            Self::One(None) => {}
            Self::One(Some(response)) => backlog.push(response.into()),
            Self::Batch { responses, .. } if responses.is_empty() => {}
            Self::Batch { responses, .. } => {
                let mut line = BytesMut::from(&b"["[..]);
                for (n, response) in responses.into_iter().enumerate() {
                    if n > 0 {
                        line.extend_from_slice(b",");
                    }
                    Message::from(response).write(&mut line);
                }
                line.extend_from_slice(b"]");
                backlog.push_text(line.freeze());
            }
        }
    }
}

/// Runs one request.
pub(crate) async fn answer_one(session: Arc<dyn Session>, request: Request) -> Answer {
    Answer::One(session.request(request).await)
}

/// Takes the members of a batch in order, and runs up to `room` requests of it side by side.
///
/// `None` when the line is an array of more than `max` members, or of none.
pub(crate) fn answer_batch(
    session: &Arc<dyn Session>,
    line: &Bytes,
    max: usize,
    room: usize,
) -> Option<(usize, impl Future<Output = Answer> + use<>)> {
    let members = edit::elements_within(line, max).ok().filter(|members| !members.is_empty())?;
    let (mut requests, mut responses) = (Vec::new(), Vec::new());
    for member in members {
        match Message::parse(line.slice_ref(member.get().as_bytes())) {
            Ok(Message::Request(request)) if stands_alone(&request) => {
                let why = "this request cannot be part of a batch";
                responses.push(BadMessage::NotRpc { why, id: Some(request.id) }.to_response());
            }
            Ok(Message::Request(request)) if requests.len() < room => requests.push(request),
            Ok(Message::Request(request)) => responses.push(refuse(request)),
            Ok(Message::Notification(notification)) => session.notification(notification),
            Ok(Message::Response(response)) => session.response(response),
            Err(bad) => responses.push(bad.to_response()),
        }
    }
    let (calls, session) = (requests.len(), Arc::clone(session));
    let answer = async move {
        let runs = requests.into_iter().map(|request| session.request(request));
        responses.extend(join_all(runs).await.into_iter().flatten());
        Answer::Batch { calls, responses }
    };
    Some((calls, answer))
}

/// A handshake, or a request of a revision that knows no batches.
fn stands_alone(request: &Request) -> bool {
    request.method == method::INITIALIZE || modern::named_version(request.params.as_ref()).is_some()
}
