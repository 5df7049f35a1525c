//! Boundary: what a listener and a gateway owe each other. Listeners carry messages of clients;
//! the gateway answers them.

use crate::{
    id::Id,
    message::{Message, Notification, Request, Response},
    version::Version,
};
use async_trait::async_trait;
use std::sync::Arc;

/// What all listeners share: it opens a session for each client.
pub trait Gateway: Send + Sync + 'static {
    /// Opens a session for a client that has just arrived.
    fn open(&self, client: Arc<dyn Client>) -> Arc<dyn Session>;
}

/// One client, as the gateway sees it. Implemented by listeners.
pub trait Client: Send + Sync + 'static {
    /// Hands over a message; `about` is the client's request that caused it.
    ///
    /// Never waits. `false` means that the client cannot be reached with it.
    fn send(&self, message: Message, about: Option<&Id>) -> bool;

    /// The OpenTelemetry word for what carries the bytes: `pipe` or `tcp`.
    fn network(&self) -> &'static str;
}

/// One downstream session, as a listener sees it. Implemented by the gateway.
///
/// A listener hands over the messages of one client in the order of their arrival; requests may
/// run at the same time.
#[async_trait]
pub trait Session: Send + Sync + 'static {
    /// Serves a request; `None` when the client cancelled it and wants no answer.
    ///
    /// Dropping the future does not cancel the call at the upstream.
    async fn request(&self, request: Request) -> Option<Response>;

    /// Takes a notification.
    fn notification(&self, notification: Notification);

    /// Takes the response to a request that the gateway sent to this client.
    fn response(&self, response: Response);

    /// The negotiated revision, once `initialize` was answered.
    fn version(&self) -> Option<Version>;

    /// The client has left: forget its calls and subscriptions.
    fn close(&self);
}
