//! Whose tokens are taken, and which.

use crate::{
    address::{self, UrlFault},
    jose::Algorithm,
    metadata::Issuer,
};
use std::{collections::BTreeSet, time::Duration};
use url::Url;

/// The rules of a [`ResourceServer`](crate::resource::ResourceServer).
#[derive(Clone, Debug)]
pub struct Options {
    /// The address of the endpoint as clients write it; tokens must have it as audience.
    pub resource: String,
    /// Its name for people.
    pub name: Option<String>,
    /// Whose tokens are taken.
    pub issuers: Vec<Issuer>,
    /// What every token must allow.
    pub scopes: Vec<String>,
    /// Audiences that count like `resource`, for servers that cannot write a URL there.
    pub audiences: Vec<String>,
    /// The algorithms that signatures may have; all that are known.
    pub algorithms: BTreeSet<Algorithm>,
    /// How far the clocks of two machines may be apart; 60 s. Machines that keep time at all are
    /// within a second of each other, and tokens live for minutes.
    pub skew: Duration,
    /// How long keys are used before they are fetched again; 10 min. A key that was withdrawn is
    /// believed for this long at most, while its issuer can be reached.
    pub keys_age: Duration,
    /// How long after a fetch the next one may be; 10 s. Anybody can send tokens that name unknown
    /// keys, and each would be a request to the issuer.
    pub keys_pause: Duration,
}

impl Options {
    /// Rules for this resource, with nobody's tokens yet.
    #[must_use]
    pub fn new(resource: impl Into<String>) -> Self {
        Self {
            resource: resource.into(),
            name: None,
            issuers: Vec::new(),
            scopes: Vec::new(),
            audiences: Vec::new(),
            algorithms: Algorithm::ALL.iter().copied().collect(),
            skew: Duration::from_secs(60),
            keys_age: Duration::from_secs(600),
            keys_pause: Duration::from_secs(10),
        }
    }

    /// The resource as a URL, when the rules make sense.
    pub(crate) fn check(&self) -> Result<Url, OptionsError> {
        let resource = address::read(&self.resource)
            .map_err(|fault| OptionsError::Resource { resource: self.resource.clone(), fault })?;
        if self.issuers.is_empty() {
            return Err(OptionsError::NoIssuer);
        }
        if self.algorithms.is_empty() {
            return Err(OptionsError::NoAlgorithm);
        }
        if let Some(scope) = self.scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(OptionsError::Scope { scope: scope.clone() });
        }
        if self.audiences.iter().any(String::is_empty) {
            return Err(OptionsError::EmptyAudience);
        }
        Ok(resource)
    }
}

/// Whether a text is one scope, as RFC 6749 writes them.
pub(crate) fn is_scope(text: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// Why rules make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The address of the endpoint cannot be the name of a resource.
    #[error("{resource:?} cannot be the name of a resource")]
    Resource {
        /// What was given.
        resource: String,
        /// What is wrong with it.
        #[source]
        fault: UrlFault,
    },
    /// No token could be good.
    #[error("no issuer is trusted")]
    NoIssuer,
    /// No signature could be good.
    #[error("no algorithm is allowed")]
    NoAlgorithm,
    /// A scope has characters that none may have.
    #[error("{scope:?} is no scope")]
    Scope {
        /// What was given.
        scope: String,
    },
    /// An audience without a name.
    #[error("an audience is empty")]
    EmptyAudience,
}
