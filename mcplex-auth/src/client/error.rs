//! Why there is no token.

use crate::{discovery::DiscoveryError, fetch::FetchError};
use std::{io, sync::Arc};

/// Why there is no token, or none that is taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// It is not known whom to ask.
    #[error("the authorization server cannot be found")]
    Discovery(#[from] DiscoveryError),
    /// The server wants tokens of somebody who does not know us.
    #[error("no credentials for any of the issuers that the server takes tokens of: {}", issuers.join(", "))]
    NoCredentials {
        /// Whose tokens it takes.
        issuers: Vec<String>,
    },
    /// The authorization server was not reached.
    #[error("{issuer} cannot be asked for a token")]
    Fetch {
        /// Which one.
        issuer: String,
        /// Why.
        #[source]
        source: Arc<FetchError>,
    },
    /// The authorization server says no.
    #[error("{issuer} gives no token: {error}{}", description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// Which one.
        issuer: String,
        /// Its word for it, such as `invalid_client`, or the status.
        error: String,
        /// The same for people.
        description: Option<String>,
        /// The status of its answer.
        status: u16,
    },
    /// The authorization server answered with something else than a bearer token.
    #[error("the answer of {issuer} is no bearer token")]
    Answer {
        /// Which one.
        issuer: String,
    },
    /// A person has to agree, or to agree again.
    #[error("somebody has to log in at {issuer}")]
    LoginNeeded {
        /// Where.
        issuer: String,
    },
    /// No person has agreed yet.
    #[error("nobody has logged in for {resource} yet")]
    NobodyLoggedIn {
        /// The server that wants a token.
        resource: String,
    },
    /// What was agreed to is not enough.
    #[error("the server wants more than was agreed to: {}", needed.join(" "))]
    MoreNeeded {
        /// What it wants.
        needed: Vec<String>,
    },
    /// The server has changed whose tokens it takes.
    #[error("the server takes no tokens of {issuer} any more")]
    IssuerChanged {
        /// Who handed out those we have.
        issuer: String,
    },
    /// There is no way to become a client there.
    #[error("{issuer} knows no client for us, and lets none register itself")]
    NoClient {
        /// Which one.
        issuer: String,
    },
    /// It did not register us.
    #[error("{issuer} registers no client: {error}{}", description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Unregistered {
        /// Which one.
        issuer: String,
        /// Its word for it, or the status.
        error: String,
        /// The same for people.
        description: Option<String>,
    },
    /// The authorization server cannot bind a code to who asked for it.
    #[error("{issuer} does not support PKCE with S256")]
    NoPkce {
        /// Which one.
        issuer: String,
    },
    /// Another authorization server sent a person back, or somebody who claims to be one.
    #[error("the answer of a login is not from {issuer}")]
    WrongIssuer {
        /// Who was asked.
        issuer: String,
    },
    /// What came back does not belong to what was asked.
    #[error("the answer does not belong to this login")]
    WrongState,
    /// A person, or the authorization server, did not agree.
    #[error("the login was refused: {error}")]
    LoginRefused {
        /// The word for it.
        error: String,
    },
    /// The server refuses tokens that were just made for it.
    #[error("the server refuses the tokens of its authorization server")]
    Rejected,
    /// The server wants more than can be had.
    #[error("the server wants more than the token allows: {}", needed.join(" "))]
    InsufficientScope {
        /// What it wants.
        needed: Vec<String>,
    },
    /// The store failed.
    #[error("the stored refresh token cannot be used")]
    Store(#[source] Arc<io::Error>),
    /// No random bytes or no signature could be made.
    #[error("the system's cryptography failed")]
    Cryptography,
}

impl AuthError {
    /// Whether it may pass by itself; everything else wants a person.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Discovery(DiscoveryError::Fetch { .. }) | Self::Fetch { .. } => true,
            Self::Discovery(DiscoveryError::Status { status, .. })
            | Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Discovery(
                DiscoveryError::Nowhere { .. }
                | DiscoveryError::Unreadable { .. }
                | DiscoveryError::OfAnother { .. }
                | DiscoveryError::Member { .. },
            )
            | Self::NoCredentials { .. }
            | Self::Answer { .. }
            | Self::LoginNeeded { .. }
            | Self::NobodyLoggedIn { .. }
            | Self::MoreNeeded { .. }
            | Self::IssuerChanged { .. }
            | Self::NoClient { .. }
            | Self::Unregistered { .. }
            | Self::NoPkce { .. }
            | Self::WrongIssuer { .. }
            | Self::WrongState
            | Self::LoginRefused { .. }
            | Self::Rejected
            | Self::InsufficientScope { .. }
            | Self::Cryptography => false,
            // Another process has it for longer than it should, which ends with it.
            Self::Store(error) => error.kind() == io::ErrorKind::TimedOut,
        }
    }

    /// Whether it ends when a person logs in.
    #[must_use]
    pub fn wants_login(&self) -> bool {
        matches!(
            self,
            Self::LoginNeeded { .. }
                | Self::NobodyLoggedIn { .. }
                | Self::MoreNeeded { .. }
                | Self::IssuerChanged { .. }
        )
    }

    pub(crate) fn store(error: io::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}
