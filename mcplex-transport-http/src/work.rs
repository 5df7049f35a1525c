//! The calls of one POST, on their way through the gateway.

use futures_util::{Stream, stream::FuturesUnordered};
use mcplex_proto::{
    downstream::Session,
    id::Id,
    message::{Request, Response},
};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A finished call: its id, and the answer unless the client cancelled it.
pub(crate) type Answer = (Id, Option<Response>);

type Call = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Calls that run at the same time; yields each answer once.
pub(crate) enum Work {
    /// What nearly every POST carries.
    One(Option<Call>),
    /// A batch.
    Many(FuturesUnordered<Call>),
}

impl Work {
    pub(crate) fn new(session: &Arc<dyn Session>, mut requests: Vec<Request>) -> Self {
        if requests.len() == 1
            && let Some(request) = requests.pop()
        {
            return Self::One(Some(call(session, request)));
        }
        Self::Many(requests.into_iter().map(|request| call(session, request)).collect())
    }
}

fn call(session: &Arc<dyn Session>, request: Request) -> Call {
    let session = Arc::clone(session);
    Box::pin(async move {
        let id = request.id.clone();
        (id, session.request(request).await)
    })
}

impl Stream for Work {
    type Item = Answer;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        match self.get_mut() {
            Self::One(slot) => match slot {
                None => Poll::Ready(None),
                Some(call) => call.as_mut().poll(cx).map(|answer| {
                    *slot = None;
                    Some(answer)
                }),
            },
            Self::Many(calls) => Pin::new(calls).poll_next(cx),
        }
    }
}
