//! Shows servers that run elsewhere who mcplex is: joins what gets tokens with what sends requests.

use async_trait::async_trait;
use hyper::{StatusCode, header::HeaderValue};
use mcplex_auth::{
    Clock, Fetch, Issuer, Secret, SigningKey, SystemClock, Web, WebOptions,
    client::{AuthError, Credentials, FileStore, Grant, Options, Proof, TokenSource, TokenStore},
    read_url,
};
use mcplex_config::{RemoteAuth, SecretPlace, TokenGrant};
use mcplex_proto::transport::ConnectError;
use mcplex_transport_http::dial::{Authorize, Retry};
use std::{error::Error, fmt, io, path::Path, sync::Arc};

/// What all upstreams get their tokens with.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    web: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    store: Option<Arc<dyn TokenStore>>,
}

impl Tokens {
    /// Refresh tokens are kept below this folder, if there is one.
    pub(crate) fn new(state: Option<&Path>) -> Self {
        Self {
            web: Arc::new(Web::new(WebOptions::default())),
            clock: Arc::new(SystemClock::start()),
            store: state.map(|state| Arc::new(FileStore::new(state.join("tokens"))) as _),
        }
    }

    /// What shows who mcplex is to the server at this address.
    pub(crate) fn bearer(&self, url: &str, words: &RemoteAuth) -> Arc<dyn Authorize> {
        match self.source(url, words) {
            Ok(source) => Arc::new(Bearer { source, issuer: words.issuer.clone() }),
            Err(what) => Arc::new(Unusable { what }),
        }
    }

    fn source(&self, url: &str, words: &RemoteAuth) -> Result<TokenSource, String> {
        let wrong = |key: &str, error: &dyn Error| format!("`auth.{key}` cannot be used: {error}");
        let resource =
            read_url(url).map_err(|error| format!("no token is sent to this `url`: {error}"))?;
        let secret = words.client_secret.as_deref().map(Secret::new);
        let proof = match (secret, words.secret_in, &words.private_key) {
            (Some(secret), SecretPlace::Header, _) => Proof::Basic(secret),
            (Some(secret), SecretPlace::Form, _) => Proof::Post(secret),
            (None, _, Some(key)) => {
                let key = SigningKey::from_pem(&Secret::new(key.as_str()), words.key_id.clone());
                Proof::Key(key.map_err(|error| wrong("private_key", &error))?)
            }
            (None, _, None) => Proof::Nothing,
        };
        let mut options = Options::new(resource);
        options.credentials = vec![Credentials {
            issuer: Issuer::new(&words.issuer).map_err(|error| wrong("issuer", &error))?,
            client_id: words.client_id.clone(),
            proof,
            grant: match words.grant {
                TokenGrant::ClientCredentials => Grant::ClientCredentials,
                TokenGrant::RefreshToken => {
                    Grant::Refresh(words.refresh_token.as_deref().map(Secret::new))
                }
            },
        }];
        options.scopes.clone_from(&words.scopes);
        options.store.clone_from(&self.store);
        Ok(TokenSource::new(options, Arc::clone(&self.web), Arc::clone(&self.clock)))
    }
}

/// Shows one server tokens that were made for it.
#[derive(Debug)]
struct Bearer {
    source: TokenSource,
    issuer: String,
}

#[async_trait]
impl Authorize for Bearer {
    async fn authorization(&self) -> Result<Option<HeaderValue>, ConnectError> {
        let got = self.source.authorization().await.map_err(|error| self.trouble(&error))?;
        let header = HeaderValue::from_str(got.header().expose());
        Ok(Some(header.expect("a token is visible ASCII")))
    }

    async fn refused(
        &self,
        used: Option<&HeaderValue>,
        status: StatusCode,
        challenge: Option<&HeaderValue>,
    ) -> Retry {
        let text = |value: Option<&HeaderValue>| {
            value.and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (used, challenge) = (text(used).unwrap_or_default(), text(challenge));
        match self.source.rejected_header(&used, status.as_u16(), challenge.as_deref()).await {
            Ok(true) => Retry::Again,
            Ok(false) => Retry::Never,
            Err(error) => {
                tracing::warn!(issuer = self.issuer, error = %Chain(&error), "no other token");
                Retry::Never
            }
        }
    }
}

impl Bearer {
    /// Whether a person has to do something, or only wait.
    fn trouble(&self, error: &AuthError) -> ConnectError {
        let text = Chain(error).to_string();
        if error.is_passing() {
            let source = io::Error::other(text);
            return ConnectError::Unreachable { at: self.issuer.clone(), source };
        }
        ConnectError::Permanent {
            what: text,
            hint: "correct `auth`, then reset the upstream".to_owned(),
            source: None,
            kind: "unauthorized",
        }
    }
}

/// What is configured shows nothing to anybody.
#[derive(Debug)]
struct Unusable {
    what: String,
}

#[async_trait]
impl Authorize for Unusable {
    async fn authorization(&self) -> Result<Option<HeaderValue>, ConnectError> {
        Err(ConnectError::Permanent {
            what: self.what.clone(),
            hint: "correct it".to_owned(),
            source: None,
            kind: "unauthorized",
        })
    }

    async fn refused(
        &self,
        _used: Option<&HeaderValue>,
        _status: StatusCode,
        _challenge: Option<&HeaderValue>,
    ) -> Retry {
        Retry::Never
    }
}

/// An error with its causes, in one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
