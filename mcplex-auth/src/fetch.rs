//! Boundary: how documents and tokens are fetched.

use crate::{
    address::{Trust, UrlFault},
    metadata::shown,
    secret::Secret,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{fmt, io, time::Duration};
use url::Url;

/// Fetches one thing at a time; [`Web`](crate::Web) does it over HTTP.
#[async_trait]
pub trait Fetch: fmt::Debug + Send + Sync {
    /// Sends a request and reads the whole answer, whatever its status.
    async fn fetch(&self, request: Request) -> Result<Answer, FetchError>;
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// Of whom.
    pub url: Url,
    /// How we came to know it.
    pub trust: Trust,
    /// What is wanted.
    pub action: Action,
}

/// What is wanted of a URL.
#[derive(Clone, Debug)]
pub enum Action {
    /// A document.
    Get,
    /// An answer to a form, which holds secrets.
    Post {
        /// The fields, encoded.
        form: Secret,
        /// The value of the `Authorization` header.
        authorization: Option<Secret>,
    },
    /// An answer to a document.
    Register {
        /// The document, in JSON.
        document: Bytes,
    },
    /// Only the head of what a resource answers to a message; its body is not waited for.
    Knock {
        /// The message, in JSON.
        message: Bytes,
        /// What goes with it, by name; may be secrets.
        headers: Vec<(String, Secret)>,
    },
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What the resource says about the token it wants, if it does (`WWW-Authenticate`).
    pub challenge: Option<String>,
    /// The body; of a token endpoint it is a secret, so it is not for logs.
    pub body: Body,
}

/// Bytes that `Debug` only counts.
#[derive(Clone)]
pub struct Body(pub Bytes);

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL must not be used.
    #[error("{} is not fetched", shown(url))]
    Url {
        /// Which.
        url: Url,
        /// What is wrong with it.
        #[source]
        fault: UrlFault,
    },
    /// It was learned from others and leads into a network that is not theirs.
    #[error("{host} leads to an address that a document of others may not name")]
    Private {
        /// The name.
        host: String,
    },
    /// Nobody is there.
    #[error("{host} cannot be reached")]
    Connect {
        /// The name.
        host: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The certificates of this system cannot be read.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The conversation broke off.
    #[error("{host} did not answer in HTTP")]
    Http {
        /// The name.
        host: String,
        /// How.
        #[source]
        source: hyper::Error,
    },
    /// It took too long.
    #[error("{host} did not answer within {limit:?}")]
    Timeout {
        /// The name.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// It is longer than any honest answer.
    #[error("the answer of {host} is longer than {limit} bytes")]
    TooLong {
        /// The name.
        host: String,
        /// The limit.
        limit: usize,
    },
    /// It sends us elsewhere.
    #[error("{host} redirects to another origin, too often, or without saying where")]
    Redirect {
        /// The name.
        host: String,
    },
}
