//! Boundary: what a listener and a gateway owe each other. Listeners carry messages of clients;
//! the gateway answers them.

use crate::{
    header::HeaderParams,
    id::Id,
    message::{Message, Notification, Request, Response},
    peer::Origin,
    trace::TraceContext,
    version::Version,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{fmt, sync::Arc};

/// What all listeners share: it opens a session for each client.
pub trait Gateway: Send + Sync + 'static {
    /// Opens a session for a client that has just arrived.
    ///
    /// One that is made for a single stateless request lasts as long as that request.
    fn open(&self, client: Arc<dyn Client>, arrival: Arrival) -> Arc<dyn Session>;

    /// The arguments of a tool that its callers repeat in HTTP headers; `None` when there are none
    /// or nobody has such a tool.
    fn header_params(&self, tool: &str) -> Option<Arc<HeaderParams>>;
}

/// Who has arrived, and what of it will be served.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// On whose behalf everything of this session is asked.
    pub principal: Principal,
    /// What becomes of the session.
    pub stay: Stay,
}

/// How long a downstream session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// Until the client leaves: a pipe, or a session that `initialize` opens over HTTP. Requests of
    /// both eras may come, also at the same time.
    Long,
    /// For one stateless request; what is asked in it may be answered in another one.
    Request,
}

/// Who asks, as far as that was proven: work and answers of one are never shown to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// Whoever holds the other end of a pipe.
    Pipe,
    /// Anybody who can reach the listener: nothing tells one from another.
    Anybody,
    /// Proven by a token: its issuer and subject, never the token itself.
    Known(Arc<str>),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipe => f.write_str("pipe"),
            Self::Anybody => f.write_str("anybody"),
            Self::Known(name) => f.write_str(name),
        }
    }
}

/// Decides who may ask at all. Implemented by whoever checks tokens, asked by listeners that
/// clients reach over a network; a listener without one serves [`Principal::Anybody`].
#[async_trait]
pub trait Doorman: fmt::Debug + Send + Sync + 'static {
    /// Decides on one request by its `Authorization` header, as the client wrote it.
    ///
    /// It is asked for each request, after `Host` and `Origin` were found good and before the body
    /// is read: what it lets in once it may refuse the next time.
    async fn admit(&self, authorization: Option<&[u8]>) -> Verdict;

    /// What is told to everybody under this path: JSON that says where tokens are to be had.
    ///
    /// Asked for paths below `/.well-known/`; `None` when there is nothing to tell.
    fn metadata(&self, path: &str) -> Option<Bytes>;
}

/// What a [`Doorman`] decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is served, on behalf of this principal.
    Admitted(Principal),
    /// It is not.
    Refused {
        /// The status of HTTP: 401, 403, or 503 when nobody can tell right now.
        status: u16,
        /// One sentence for whoever reads the body; never a part of the token.
        why: &'static str,
        /// The challenge that tells the client where to get a token that is good.
        www_authenticate: Option<String>,
        /// Whose token it is, where that is proven although it lets nobody in.
        principal: Option<Principal>,
    },
}

/// One client, as the gateway sees it. Implemented by listeners.
pub trait Client: Send + Sync + 'static {
    /// Hands over a message; `about` is the client's request that caused it.
    ///
    /// Never waits. `false` means that the client cannot be reached with it. Where too much waits for
    /// a client, its oldest notifications make room for newer messages.
    fn send(&self, message: Message, about: Option<&Id>) -> bool;

    /// The OpenTelemetry word for what carries the bytes: `pipe` or `tcp`.
    fn network(&self) -> &'static str;

    /// Where a request that is being served came from, or, without one, what is known of the client
    /// itself; asked only where spans are exported.
    fn origin(&self, _about: Option<&Id>) -> Origin {
        Origin::default()
    }

    /// The span of a request of this client has begun, and is recorded.
    fn traced(&self, _about: &Id, _span: &TraceContext) {
        // Most clients have no use for it.
    }
}

/// One downstream session, as a listener sees it. Implemented by the gateway.
///
/// A listener hands over the messages of one client in the order of their arrival; requests may
/// run at the same time.
#[async_trait]
pub trait Session: Send + Sync + 'static {
    /// Serves a request of either era; `None` when the client cancelled it and wants no answer.
    ///
    /// A stateless one is known by its envelope. Dropping the future does not cancel the call at
    /// the upstream; [`close`](Self::close) does.
    async fn request(&self, request: Request) -> Option<Response>;

    /// Takes a notification.
    fn notification(&self, notification: Notification);

    /// Takes the response to a request that the gateway sent to this client.
    fn response(&self, response: Response);

    /// The negotiated revision, once `initialize` was answered.
    fn version(&self) -> Option<Version>;

    /// The listener is about to stop: requests that last until they are ended, such as
    /// `subscriptions/listen`, get their answers now.
    fn drain(&self);

    /// The client has left: forget its calls and subscriptions.
    fn close(&self);
}
