//! For which server tokens are, and who asks for them.

use crate::{client::store::TokenStore, jose::SigningKey, metadata::Issuer, secret::Secret};
use std::{sync::Arc, time::Duration};
use url::Url;

/// The rules of a [`TokenSource`](crate::client::TokenSource).
#[derive(Clone, Debug)]
pub struct Options {
    /// The address of the server, as it is configured.
    pub resource: Url,
    /// Who we are, to each issuer that knows us.
    ///
    /// A server only names issuers; the first that we have credentials for is asked, and no other
    /// one ever sees them. There is no way to have credentials for whoever the server names.
    pub credentials: Vec<Credentials>,
    /// Whether these issuers were learned from the server itself, when somebody logged in. They then
    /// lead nowhere the server could not lead us.
    pub is_learned: bool,
    /// What tokens are to allow; the issuer decides when there is nothing.
    pub scopes: Vec<String>,
    /// How long before its end a token is replaced; 60 s. A call that is on its way must arrive,
    /// and clocks differ.
    pub lead: Duration,
    /// Where refresh tokens outlive us.
    pub store: Option<Arc<dyn TokenStore>>,
}

impl Options {
    /// Rules for this server, with nobody to be yet.
    #[must_use]
    pub fn new(resource: Url) -> Self {
        Self {
            resource,
            credentials: Vec::new(),
            is_learned: false,
            scopes: Vec::new(),
            lead: Duration::from_secs(60),
            store: None,
        }
    }
}

/// Who we are to one issuer.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The only one that is told.
    pub issuer: Issuer,
    /// Our name there.
    pub client_id: String,
    /// How we show that it is ours.
    pub proof: Proof,
    /// On whose behalf we ask.
    pub grant: Grant,
}

/// How a client shows who it is.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Not at all: the client is public.
    Nothing,
    /// A password, in the header (`client_secret_basic`).
    Basic(Secret),
    /// A password, in the form (`client_secret_post`).
    Post(Secret),
    /// A signature (`private_key_jwt`).
    Key(SigningKey),
}

/// On whose behalf a token is asked for.
#[derive(Clone, Debug)]
pub enum Grant {
    /// Our own.
    ClientCredentials,
    /// That of a person who agreed earlier. The token here is the first one; a newer one in the
    /// store comes before it.
    Refresh(Option<Secret>),
}
