//! A person agrees once, in a browser: the authorization code flow with PKCE.
//!
//! The pure half of a login. Who uses it opens the browser, listens on a loopback address, and
//! hands over what comes back; there is no way to hand it over twice.

use crate::{
    client::{
        ask::{Asker, random},
        error::AuthError,
        options::{Credentials, Grant, Options, Proof},
        server::Server,
        token::shown,
    },
    clock::Clock,
    discovery,
    fetch::Fetch,
    jose,
    metadata::{Issuer, ServerMetadata},
    secret::Secret,
};
use ring::digest::{SHA256, digest};
use std::{borrow::Cow, fmt, sync::Arc};
use url::Url;

/// Who asks a person, and where the answer is awaited.
#[derive(Clone, Debug)]
pub struct LoginOptions {
    /// The server that tokens are for.
    pub resource: Url,
    /// The issuer that knows us.
    pub issuer: Issuer,
    /// Our name there.
    pub client_id: String,
    /// How we show that it is ours.
    pub proof: Proof,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Where the browser is sent back to: an address on this machine.
    pub redirect: Url,
}

/// A login that waits for its answer.
pub struct Login {
    asker: Asker,
    server: Server,
    metadata: ServerMetadata,
    credentials: Credentials,
    redirect: Url,
    state: Secret,
    verifier: Secret,
    url: Url,
}

/// What a login has brought.
#[derive(Debug)]
pub struct Answered {
    /// Who handed it out.
    pub issuer: Issuer,
    /// What it is for.
    pub resource: String,
    /// What later tokens are got with.
    pub refresh: Secret,
}

impl Login {
    /// Begins a login.
    ///
    /// # Errors
    /// When the authorization server is not found, or cannot bind a code to who asked for it.
    pub async fn begin(
        options: LoginOptions,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthError> {
        let LoginOptions { resource, issuer, client_id, proof, scopes, redirect } = options;
        let credentials = Credentials { issuer, client_id, proof, grant: Grant::Refresh(None) };
        let mut wanted = Options::new(resource);
        wanted.credentials = vec![credentials.clone()];
        let asker = Asker::new(fetch, clock);
        let (server, metadata) = asker.find_all(&wanted, None).await?;
        let issuer = &server.issuer;
        if !metadata.has_pkce() {
            return Err(AuthError::NoPkce { issuer: issuer.to_string() });
        }
        let endpoint = metadata.authorization_endpoint.as_ref();
        let mut url = discovery::member(endpoint, "authorization_endpoint", issuer)?;
        let (state, verifier) = (random()?, random()?);
        let hash = digest(&SHA256, verifier.expose().as_bytes());
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &credentials.client_id)
            .append_pair("redirect_uri", redirect.as_str())
            .append_pair("state", state.expose())
            .append_pair("code_challenge", &jose::encode(hash.as_ref()))
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", &server.resource);
        if !scopes.is_empty() {
            query.append_pair("scope", &scopes.join(" "));
        }
        // OpenID Connect gives no refresh token to somebody who was not asked.
        if scopes.iter().any(|scope| scope == "offline_access") {
            query.append_pair("prompt", "consent");
        }
        drop(query);
        Ok(Self { asker, server, metadata, credentials, redirect, state, verifier, url })
    }

    /// What the person opens.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Takes the request that the browser was sent back with; once, whatever comes of it.
    ///
    /// # Errors
    /// When it does not belong to this login, or brings no refresh token.
    pub async fn finish(self, back: &Url) -> Result<Answered, AuthError> {
        let parameter = |name: &str| {
            let mut all = back.query_pairs().filter(|(key, _)| key == name);
            let first = all.next().map(|(_, value)| value);
            // Twice is not what any server sends.
            first.filter(|_| all.next().is_none())
        };
        if parameter("state").is_none_or(|state| state != self.state.expose()) {
            return Err(AuthError::WrongState);
        }
        let named = parameter("iss");
        check_issuer(named.as_deref(), &self.metadata)?;
        if let Some(error) = parameter("error") {
            return Err(AuthError::LoginRefused { error: shown(&error) });
        }
        let code = parameter("code").map(Cow::into_owned).map(Secret::new);
        let code = code.ok_or(AuthError::WrongState)?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", self.redirect.as_str()),
            ("code_verifier", self.verifier.expose()),
        ];
        let granted = self.asker.grant(&self.server, &self.credentials, &fields).await?;
        let Server { issuer, resource, .. } = self.server;
        let missing = || AuthError::Answer { issuer: issuer.to_string() };
        let refresh = granted.refresh.ok_or_else(missing)?;
        Ok(Answered { issuer, resource, refresh })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("issuer", &self.server.issuer).finish_non_exhaustive()
    }
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
