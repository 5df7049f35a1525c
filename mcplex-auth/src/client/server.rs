//! The authorization server that was found for a resource.

use crate::{
    address::Trust,
    client::options::{Credentials, Options},
    metadata::Issuer,
};
use url::Url;

/// Whom to ask, and for what.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) issuer: Issuer,
    /// What its documents may lead to.
    pub(crate) trust: Trust,
    pub(crate) token_endpoint: Url,
    /// The name of the resource, as it calls itself.
    pub(crate) resource: String,
    /// Which of our credentials it knows.
    pub(crate) index: usize,
}

impl Server {
    /// Ours there.
    pub(crate) fn credentials<'a>(&self, options: &'a Options) -> &'a Credentials {
        &options.credentials[self.index]
    }
}
