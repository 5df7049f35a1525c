//! A person agrees once, in a browser: the authorization code flow with PKCE.
//!
//! The half of a login without a user interface. Who uses it opens the browser, listens on a
//! loopback address, and hands over what comes back; there is no way to hand it over twice.

use crate::{
    challenge::Challenge,
    client::{
        ask::{Asker, Named, random},
        error::AuthError,
        kept::{Access, Client, Kept},
        options::{Credentials, Grant, Proof},
        register,
        server::Server,
        token::{Granted, shown},
    },
    clock::Clock,
    discovery::{self, DiscoveryError, Page},
    fetch::Fetch,
    jose,
    metadata::{self, Issuer, ServerMetadata},
    secret::Secret,
};
use ring::digest::{SHA256, digest};
use std::{borrow::Cow, collections::BTreeSet, fmt, sync::Arc};
use url::Url;

/// How many scopes are asked for at most; those a server names come from strangers.
const SCOPES_MAX: usize = 64;

/// What OpenID Connect wants to be asked for before it gives a refresh token.
const OFFLINE: &str = "offline_access";

/// Who asks a person, and where the answer is awaited.
#[derive(Clone, Debug)]
pub struct LoginOptions {
    /// The server that tokens are for.
    pub resource: Url,
    /// What it has answered to somebody without a token (`WWW-Authenticate`), empty when it refused
    /// without a word; `None` when it did not refuse.
    pub challenge: Option<String>,
    /// The only issuer that may be asked; without it the server says who is.
    pub issuer: Option<Issuer>,
    /// Our name at that issuer and how we show that it is ours; only with an issuer, because nobody
    /// else may see it.
    pub client: Option<(String, Proof)>,
    /// Where a document about us lies, for issuers that read such.
    pub document: Option<Url>,
    /// What is asked for; without it what the server says that it needs.
    pub scopes: Vec<String>,
    /// Where the browser is sent back to: an address on this machine.
    pub redirect: Url,
    /// What people are to call us.
    pub name: String,
    /// What is kept of the login before.
    pub earlier: Option<Kept>,
}

/// A login that waits for its answer.
pub struct Login {
    asker: Asker,
    clock: Arc<dyn Clock>,
    server: Server,
    metadata: ServerMetadata,
    credentials: Credentials,
    client: Client,
    about: Option<Url>,
    scopes: Vec<String>,
    redirect: Url,
    state: Secret,
    verifier: Secret,
    url: Url,
}

impl Login {
    /// Begins a login.
    ///
    /// # Errors
    /// When the authorization server is not found, does not know us, or cannot bind a code to who
    /// asked for it.
    pub async fn begin(
        options: LoginOptions,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthError> {
        let asker = Asker::new(fetch, Arc::clone(&clock));
        let challenge = options.challenge.as_deref().and_then(Challenge::read).unwrap_or_default();
        let about = challenge.resource_metadata.as_deref().and_then(|url| Url::parse(url).ok());
        let found = asker.resource(&options.resource, about.as_ref()).await?;
        let url = &options.resource;
        let (resource, issuers, supported) = match found {
            Page::Is(found) => {
                let named = Named { url, name: found.resource, is_silent: false };
                (named, Some(found.authorization_servers), found.scopes_supported)
            }
            Page::IsNot { is_certain } => {
                // One that wants no token has said something: that nobody has to log in.
                let is_silent = is_certain && options.challenge.is_some();
                (Named::silent(url, is_silent), None, Vec::new())
            }
        };
        let issuer = issuer(&options, issuers)?;
        let is_learned = options.issuer.is_none();
        let (server, metadata) = asker.server(issuer, resource, is_learned, 0).await?;
        if !metadata.has_pkce() {
            return Err(AuthError::NoPkce { issuer: server.issuer.to_string() });
        }
        let endpoint = metadata.authorization_endpoint.as_ref();
        let endpoint = discovery::member(endpoint, "authorization_endpoint", &server.issuer)?;
        let scopes = scopes(&options, &challenge, supported, &metadata);
        let (client, proof) = register::client(&asker, &server, &metadata, &options).await?;
        let credentials = Credentials {
            issuer: server.issuer.clone(),
            client_id: client.id.clone(),
            proof,
            grant: Grant::Refresh(None),
        };
        let (state, verifier, redirect) = (random()?, random()?, options.redirect);
        let mut login = Self {
            asker,
            clock,
            server,
            metadata,
            credentials,
            client,
            about,
            scopes,
            redirect,
            state,
            verifier,
            url: endpoint,
        };
        login.url = login.question();
        Ok(login)
    }

    /// What the person opens.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Who asks the person.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.server.issuer
    }

    /// The address of the authorization server, with all that it has to know.
    fn question(&self) -> Url {
        let mut url = self.url.clone();
        let hash = digest(&SHA256, self.verifier.expose().as_bytes());
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.credentials.client_id)
            .append_pair("redirect_uri", self.redirect.as_str())
            .append_pair("state", self.state.expose())
            .append_pair("code_challenge", &jose::encode(hash.as_ref()))
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", &self.server.resource);
        if !self.scopes.is_empty() {
            query.append_pair("scope", &self.scopes.join(" "));
        }
        // OpenID Connect gives no refresh token to somebody who was not asked.
        if self.scopes.iter().any(|scope| scope == OFFLINE) {
            query.append_pair("prompt", "consent");
        }
        drop(query);
        url
    }

    /// Whether the browser was sent back with an answer to this login; anybody on this machine can
    /// send something else, which must not end it.
    #[must_use]
    pub fn is_answered_by(&self, back: &Url) -> bool {
        parameter(back, "state").is_some_and(|state| state == self.state.expose())
    }

    /// Takes the request that the browser was sent back with; once, whatever comes of it.
    ///
    /// # Errors
    /// When it does not belong to this login, or brings no token.
    pub async fn finish(self, back: &Url) -> Result<Kept, AuthError> {
        if !self.is_answered_by(back) {
            return Err(AuthError::WrongState);
        }
        let named = parameter(back, "iss");
        check_issuer(named.as_deref(), &self.metadata)?;
        if let Some(error) = parameter(back, "error") {
            return Err(AuthError::LoginRefused { error: shown(&error) });
        }
        let code = parameter(back, "code").map(Cow::into_owned).map(Secret::new);
        let code = code.ok_or(AuthError::WrongState)?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", self.redirect.as_str()),
            ("code_verifier", self.verifier.expose()),
        ];
        let granted = self.asker.grant(&self.server, &self.credentials, &fields).await?;
        let agreed = granted.scope.as_deref().map(words).unwrap_or(self.scopes);
        Ok(Kept {
            issuer: self.server.issuer,
            resource: self.server.resource,
            about: self.about,
            client: Some(self.client),
            redirect: self.redirect,
            scopes: agreed,
            wanted: Vec::new(),
            access: Some(access(&granted, self.clock.unix())),
            refresh: granted.refresh,
        })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("issuer", &self.server.issuer).finish_non_exhaustive()
    }
}

/// What was handed out at this moment.
pub(crate) fn access(granted: &Granted, unix: u64) -> Access {
    let until = granted.expires_in.map(|life| unix.saturating_add(life.as_secs()));
    Access { header: granted.access.clone(), until }
}

/// The value of a parameter; twice is not what any server sends.
fn parameter<'a>(back: &'a Url, name: &str) -> Option<Cow<'a, str>> {
    let mut all = back.query_pairs().filter(|(key, _)| key == name);
    let first = all.next().map(|(_, value)| value);
    first.filter(|_| all.next().is_none())
}

/// Whom to ask: the configured issuer if the server takes its tokens, else the first that the server
/// names. One without metadata (revision 2025-03-26) is its own.
fn issuer(options: &LoginOptions, named: Option<Vec<String>>) -> Result<Issuer, AuthError> {
    match (&options.issuer, named) {
        (Some(ours), Some(issuers)) => {
            let is_named = issuers.iter().any(|issuer| issuer == ours.as_str());
            is_named.then(|| ours.clone()).ok_or(AuthError::NoCredentials { issuers })
        }
        (Some(ours), None) => Ok(ours.clone()),
        (None, named) => {
            let (of, member) = (metadata::shown(&options.resource), "authorization_servers");
            let own = || vec![options.resource.origin().ascii_serialization()];
            let mut fault = None;
            for text in named.unwrap_or_else(own) {
                match Issuer::new(&text) {
                    Ok(issuer) => return Ok(issuer),
                    Err(why) => drop(fault.get_or_insert(why)),
                }
            }
            Err(DiscoveryError::Member { of, member, fault }.into())
        }
    }
}

/// What is asked for: what is configured, or what the server has just said, or all that it has; and
/// what it missed in an earlier login, together with what that one had.
fn scopes(
    options: &LoginOptions,
    challenge: &Challenge,
    supported: Vec<String>,
    metadata: &ServerMetadata,
) -> Vec<String> {
    let challenged: Vec<_> = challenge.scopes().map(str::to_owned).collect();
    let mut all = match (&options.scopes[..], &challenged[..]) {
        ([], []) => supported,
        ([], _) => challenged,
        (configured, _) => configured.to_vec(),
    };
    if let Some(earlier) = options.earlier.as_ref().filter(|earlier| !earlier.wanted.is_empty()) {
        all.extend(earlier.scopes.iter().chain(&earlier.wanted).cloned());
    }
    let offline = metadata.scopes_supported.iter().find(|scope| *scope == OFFLINE);
    // Alone it would mean nothing else, where nothing means whatever the issuer thinks right.
    all.extend(offline.filter(|_| !all.is_empty()).cloned());
    let mut seen = BTreeSet::new();
    all.retain(|scope| seen.insert(scope.clone()));
    all.truncate(SCOPES_MAX);
    all
}

pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).take(SCOPES_MAX).collect()
}

/// Whether an answer is from who was asked (RFC 9207): the name must be there where the server
/// promises it, and be the same text wherever it is there.
///
/// # Errors
/// When it is not.
pub fn check_issuer(named: Option<&str>, metadata: &ServerMetadata) -> Result<(), AuthError> {
    let is_right = match named {
        Some(named) => named == metadata.issuer,
        None => !metadata.authorization_response_iss_parameter_supported,
    };
    is_right.then_some(()).ok_or_else(|| AuthError::WrongIssuer { issuer: metadata.issuer.clone() })
}
