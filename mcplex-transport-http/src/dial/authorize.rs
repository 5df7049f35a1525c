//! What proves to a server who asks.

use async_trait::async_trait;
use hyper::{StatusCode, header::HeaderValue};
use mcplex_proto::transport::ConnectError;
use std::fmt;

/// Gives the `Authorization` header of one server, and gets another when it is refused.
///
/// Shared by all requests to that server, which ask at the same time: it is asked before each of
/// them, so what it has must be at hand.
#[async_trait]
pub trait Authorize: fmt::Debug + Send + Sync + 'static {
    /// The header for the next request; without one the configured headers go out alone.
    ///
    /// # Errors
    /// When it can be had neither now nor by waiting here; no request is sent then.
    async fn authorization(&self) -> Result<Option<HeaderValue>, ConnectError>;

    /// The server refused a request with 401 or 403; `challenge` is its `WWW-Authenticate`, and
    /// `used` what the request had shown: another one may have got something newer meanwhile.
    ///
    /// Asked at most once for each request, so a server that refuses everything costs two.
    async fn refused(
        &self,
        used: Option<&HeaderValue>,
        status: StatusCode,
        challenge: Option<&HeaderValue>,
    ) -> Retry;
}

/// What follows when a server refused who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// There is something new to show: the request is sent once more.
    Again,
    /// It would be refused again.
    Never {
        /// What a person can do about it, if that is known.
        advice: Option<String>,
    },
}

/// The same, on its way to whoever tells it.
#[derive(Clone, Debug)]
pub(crate) struct Advice(pub(crate) String);
