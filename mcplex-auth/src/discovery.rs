//! Finds the documents of [`metadata`](crate::metadata), and believes only those that fit.

use crate::{
    address::{self, Trust, UrlFault},
    fetch::{Action, Fetch, FetchError, Request},
    metadata::{self, Issuer, ResourceMetadata, ServerMetadata},
};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use url::Url;

/// Why a document was not found, or not believed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// None of the places has it.
    #[error("{of} publishes no metadata")]
    Nowhere {
        /// Whose.
        of: String,
        /// Whether all of them said that there is no such page (404), and not something else.
        is_certain: bool,
    },
    /// It could not be fetched.
    #[error("the metadata of {of} cannot be fetched")]
    Fetch {
        /// Whose.
        of: String,
        /// Why.
        #[source]
        source: Arc<FetchError>,
    },
    /// The server has trouble.
    #[error("the metadata of {of} is answered with status {status}")]
    Status {
        /// Whose.
        of: String,
        /// What was answered.
        status: u16,
    },
    /// It is no such document.
    #[error("the metadata of {of} cannot be read")]
    Unreadable {
        /// Whose.
        of: String,
        /// Why.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// It is the document of somebody else.
    #[error("the metadata of {of} is that of {named}")]
    OfAnother {
        /// Whose was wanted.
        of: String,
        /// Whose it is.
        named: String,
    },
    /// It lacks what is needed, or has it in a way that is not used.
    #[error("the metadata of {of} has no usable {member}")]
    Member {
        /// Whose.
        of: String,
        /// Which member.
        member: &'static str,
        /// What is wrong with it, when it is there.
        #[source]
        fault: Option<UrlFault>,
    },
}

/// A document that may be there.
#[derive(Debug)]
pub(crate) enum Page<T> {
    Is(T),
    /// It is not; `is_certain` when that was said plainly (404), and not that somebody may not see it.
    IsNot {
        is_certain: bool,
    },
}

/// Finds what an issuer says of itself.
pub(crate) async fn server(
    fetch: &dyn Fetch,
    issuer: &Issuer,
    trust: &Trust,
) -> Result<ServerMetadata, DiscoveryError> {
    let of = issuer.as_str();
    let (mut first, mut is_certain) = (None, true);
    for url in issuer.well_known() {
        let found = document::<ServerMetadata>(fetch, url, trust.clone(), of).await;
        match found {
            Ok(Page::Is(found)) if found.issuer == of => return Ok(found),
            Ok(Page::Is(found)) => {
                let other = DiscoveryError::OfAnother { of: of.to_owned(), named: found.issuer };
                first.get_or_insert(other);
            }
            Ok(Page::IsNot { is_certain: is }) => is_certain &= is,
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| DiscoveryError::Nowhere { of: of.to_owned(), is_certain }))
}

/// Finds what a resource says of itself; `hint` is where the resource says that it lies.
///
/// Servers of revision 2025-03-26 say nothing.
pub(crate) async fn resource(
    fetch: &dyn Fetch,
    resource: &Url,
    hint: Option<&Url>,
) -> Result<Page<ResourceMetadata>, DiscoveryError> {
    let of = &*metadata::shown(resource);
    let places = match hint {
        Some(hint) => vec![hint.clone()],
        None => metadata::resource_well_known(resource),
    };
    let mut is_certain = true;
    for url in places {
        let trust = Trust::Learned { from: resource.clone() };
        let found = match document::<ResourceMetadata>(fetch, url, trust, of).await {
            Ok(Page::Is(found)) => found,
            Ok(Page::IsNot { is_certain: is }) => {
                is_certain &= is;
                continue;
            }
            // Some servers answer every path with their page; a hint is meant.
            Err(DiscoveryError::Unreadable { .. }) if hint.is_none() => {
                is_certain = false;
                continue;
            }
            Err(error) => return Err(error),
        };
        let is_ours =
            Url::parse(&found.resource).is_ok_and(|named| metadata::covers(&named, resource));
        if !is_ours {
            let of = of.to_owned();
            return Err(DiscoveryError::OfAnother { of, named: found.resource });
        }
        return Ok(Page::Is(found));
    }
    match hint {
        Some(_) => Err(DiscoveryError::Nowhere { of: of.to_owned(), is_certain }),
        None => Ok(Page::IsNot { is_certain }),
    }
}

/// A URL that a document names.
pub(crate) fn member(
    text: Option<&String>,
    member: &'static str,
    of: &Issuer,
) -> Result<Url, DiscoveryError> {
    let failed = |fault| DiscoveryError::Member { of: of.to_string(), member, fault };
    address::read(text.ok_or_else(|| failed(None))?).map_err(|fault| failed(Some(fault)))
}

/// Fetches a document.
async fn document<T: DeserializeOwned>(
    fetch: &dyn Fetch,
    url: Url,
    trust: Trust,
    of: &str,
) -> Result<Page<T>, DiscoveryError> {
    let of = of.to_owned();
    let answer = match fetch.fetch(Request { url, trust, action: Action::Get }).await {
        Ok(answer) => answer,
        Err(error) => return Err(DiscoveryError::Fetch { of, source: Arc::new(error) }),
    };
    match answer.status {
        200 => match serde_json::from_slice(&answer.body.0) {
            Ok(found) => Ok(Page::Is(found)),
            Err(error) => Err(DiscoveryError::Unreadable { of, source: Arc::new(error) }),
        },
        // Whoever has no such page says so in one of these ways.
        status @ 400..=499 => Ok(Page::IsNot { is_certain: status == 404 }),
        status => Err(DiscoveryError::Status { of, status }),
    }
}
