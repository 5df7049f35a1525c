//! Shows servers that run elsewhere who mcplex is: joins what gets tokens with what sends requests.

mod shown;

pub(crate) use shown::Shown;

use crate::login;
use async_trait::async_trait;
use hyper::{StatusCode, header::HeaderValue};
use mcplex_auth::{
    Clock, Fetch, Issuer, Secret, SigningKey, SystemClock, Web, WebOptions,
    client::{
        AuthError, ByLogin, Credentials, FileStore, Grant, LoginFile, LoginSource, Options, Proof,
        TokenSource,
    },
    read_url,
};
use mcplex_config::{Remote, RemoteAuth, SecretPlace, TokenGrant};
use mcplex_proto::transport::ConnectError;
use mcplex_transport_http::dial::{Authorize, Retry};
use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use url::Url;

/// How long before its end a token is replaced; see `mcplex_auth::client::Options`.
const LEAD: Duration = Duration::from_secs(60);

/// What all upstreams get their tokens with.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    web: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    folder: Option<PathBuf>,
}

/// How a server is shown who mcplex is.
#[derive(Debug)]
pub(crate) enum Way {
    /// Not at all, or by `headers`.
    Headers,
    /// By tokens of mcplex itself, or of a refresh token that the configuration has.
    Own(TokenSource),
    /// By the tokens of a person who logs in.
    Person(LoginSource),
}

impl Tokens {
    /// Refresh tokens and logins are kept below this folder, if there is one.
    pub(crate) fn new(state: Option<&Path>) -> Self {
        Self {
            web: Arc::new(Web::new(WebOptions::default())),
            clock: Arc::new(SystemClock::start()),
            folder: state.map(|state| state.join("tokens")),
        }
    }

    pub(crate) fn web(&self) -> Arc<dyn Fetch> {
        Arc::clone(&self.web)
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// What shows who mcplex is to the server of this name.
    pub(crate) fn authorize(&self, name: &str, remote: &Remote) -> Option<Arc<dyn Authorize>> {
        let issuer = remote.auth.as_ref().and_then(|auth| auth.issuer.as_deref());
        let issuer = issuer.unwrap_or_else(|| remote.shown_url()).to_owned();
        Some(match self.way(name, remote) {
            Ok(Way::Headers) => return None,
            Ok(Way::Own(source)) => Arc::new(Bearer { source, issuer }),
            Ok(Way::Person(source)) => {
                let is_configured = remote.auth.is_some();
                Arc::new(Person { source, name: name.to_owned(), issuer, is_configured })
            }
            Err(what) => Arc::new(Unusable { what }),
        })
    }

    /// How a server is shown who mcplex is; what cannot be used is said in a sentence.
    pub(crate) fn way(&self, name: &str, remote: &Remote) -> Result<Way, String> {
        match &remote.auth {
            None if !login::is_possible(remote) || self.folder.is_none() => Ok(Way::Headers),
            Some(words) if words.grant != TokenGrant::Login => {
                self.own(&remote.url, words).map(Way::Own)
            }
            Some(_) | None => {
                let options = self.by_login(name, remote)?;
                Ok(Way::Person(LoginSource::new(options, self.web(), self.clock())))
            }
        }
    }

    /// The rules of a login.
    pub(crate) fn by_login(&self, name: &str, remote: &Remote) -> Result<ByLogin, String> {
        let default = RemoteAuth::default();
        let words = remote.auth.as_ref().unwrap_or(&default);
        let folder = self.folder.as_ref();
        let folder =
            folder.ok_or("there is no folder to keep a login in: set `gateway.state_dir`")?;
        let client = match &words.client_id {
            Some(id) => Some((id.clone(), proof(words)?)),
            None => None,
        };
        Ok(ByLogin {
            resource: resource(&remote.url)?,
            issuer: words.issuer.as_deref().map(issuer).transpose()?,
            client,
            // Two entries for one address may be two people.
            file: LoginFile::new(folder, &format!("{name} {}", remote.url)),
            lead: LEAD,
            is_optional: remote.auth.is_none(),
        })
    }

    fn own(&self, url: &str, words: &RemoteAuth) -> Result<TokenSource, String> {
        let missing = |key: &str| format!("`auth.{key}` is missing");
        let mut options = Options::new(resource(url)?);
        options.credentials = vec![Credentials {
            issuer: issuer(words.issuer.as_deref().ok_or_else(|| missing("issuer"))?)?,
            client_id: words.client_id.clone().ok_or_else(|| missing("client_id"))?,
            proof: proof(words)?,
            grant: match words.grant {
                TokenGrant::ClientCredentials | TokenGrant::Login => Grant::ClientCredentials,
                TokenGrant::RefreshToken => {
                    Grant::Refresh(words.refresh_token.as_deref().map(Secret::new))
                }
            },
        }];
        options.scopes.clone_from(&words.scopes);
        options.store = self.folder.as_ref().map(|folder| Arc::new(FileStore::new(folder)) as _);
        Ok(TokenSource::new(options, self.web(), self.clock()))
    }
}

fn wrong(key: &str, error: &dyn Error) -> String {
    format!("`auth.{key}` cannot be used: {error}")
}

fn resource(url: &str) -> Result<Url, String> {
    read_url(url).map_err(|error| format!("no token is sent to this `url`: {error}"))
}

fn issuer(text: &str) -> Result<Issuer, String> {
    Issuer::new(text).map_err(|error| wrong("issuer", &error))
}

/// What shows that our name is ours.
fn proof(words: &RemoteAuth) -> Result<Proof, String> {
    let secret = words.client_secret.as_deref().map(Secret::new);
    Ok(match (secret, words.secret_in, &words.private_key) {
        (Some(secret), SecretPlace::Header, _) => Proof::Basic(secret),
        (Some(secret), SecretPlace::Form, _) => Proof::Post(secret),
        (None, _, Some(key)) => {
            let key = SigningKey::from_pem(&Secret::new(key.as_str()), words.key_id.clone());
            Proof::Key(key.map_err(|error| wrong("private_key", &error))?)
        }
        (None, _, None) => Proof::Nothing,
    })
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}

fn header(secret: &Secret) -> HeaderValue {
    HeaderValue::from_str(secret.expose()).expect("a token is visible ASCII")
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
        let got = self.source.authorization().await;
        let advice = |error: &AuthError| {
            if error.wants_login() {
                return "renew `refresh_token`, or set `grant = \"login\"` and use `mcplex login`";
            }
            "correct `auth`, then reset the upstream"
        };
        let got = got.map_err(|error| trouble(&self.issuer, &error, advice(&error).to_owned()))?;
        Ok(Some(header(got.header())))
    }

    async fn refused(
        &self,
        used: Option<&HeaderValue>,
        status: StatusCode,
        challenge: Option<&HeaderValue>,
    ) -> Retry {
        let used = text(used).unwrap_or_default();
        match self.source.rejected_header(used, status.as_u16(), text(challenge)).await {
            Ok(true) => Retry::Again,
            Ok(false) => Retry::Never { advice: None },
            Err(error) => {
                let error = Chain(&error);
                tracing::warn!(issuer = self.issuer, %error, "no other token");
                Retry::Never { advice: Some(format!("{error}; look into `auth`")) }
            }
        }
    }
}

/// Shows one server the tokens of whoever has logged in.
#[derive(Debug)]
struct Person {
    source: LoginSource,
    name: String,
    issuer: String,
    /// Whether the configuration says that somebody is to log in.
    is_configured: bool,
}

#[async_trait]
impl Authorize for Person {
    async fn authorization(&self) -> Result<Option<HeaderValue>, ConnectError> {
        let got = self.source.authorization().await;
        let got = got.map_err(|error| trouble(&self.issuer, &error, self.advice(&error)))?;
        Ok(got.as_ref().map(header))
    }

    async fn refused(
        &self,
        used: Option<&HeaderValue>,
        status: StatusCode,
        challenge: Option<&HeaderValue>,
    ) -> Retry {
        match self.source.rejected(text(used), status.as_u16(), text(challenge)).await {
            Ok(true) => Retry::Again,
            Ok(false) => Retry::Never { advice: None },
            Err(error) => {
                let (chain, advice) = (Chain(&error).to_string(), self.advice(&error));
                tracing::warn!(upstream = self.name, error = chain, "no other token");
                Retry::Never { advice: Some(format!("{chain}; {advice}")) }
            }
        }
    }
}

impl Person {
    fn advice(&self, error: &AuthError) -> String {
        let login = format!("log in with `mcplex login {}`", self.name);
        if matches!(error, AuthError::NobodyLoggedIn { .. }) && !self.is_configured {
            return format!(
                "{login}, or give it credentials, such as \
                 `headers = {{ Authorization = \"Bearer ${{TOKEN}}\" }}`"
            );
        }
        if error.wants_login() {
            return login;
        }
        if matches!(error, AuthError::Store(_)) {
            return format!("{login}, which writes it anew");
        }
        format!("look at the server and its `auth`, then {login} again")
    }
}

/// Whether a person has to do something, or only wait.
fn trouble(issuer: &str, error: &AuthError, hint: String) -> ConnectError {
    let what = Chain(error).to_string();
    if error.is_passing() {
        let source = io::Error::other(what);
        return ConnectError::Unreachable { at: issuer.to_owned(), source };
    }
    ConnectError::Permanent { what, hint, source: None, kind: "unauthorized" }
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
        Retry::Never { advice: None }
    }
}

/// An error with its causes, in one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn Error);

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
