//! Asks others: a resource whose tokens it takes, and an authorization server for one.

use crate::{
    address::Trust,
    client::{
        error::AuthError,
        options::{Credentials, Options, Proof},
        server::Server,
        token::Granted,
    },
    clock::Clock,
    discovery,
    fetch::{Action, Fetch, Request},
    jose,
    metadata::ServerMetadata,
    secret::Secret,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};
use url::{Url, form_urlencoded};

/// How long a signed proof is good, in seconds; it is used at once.
const PROOF_LIFE: u64 = 60;

/// The type of a proof that is a signed token (RFC 7523).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Asks with one way to fetch.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
}

impl Asker {
    pub(crate) fn new(fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        Self { fetch, clock }
    }

    /// Finds whom to ask for tokens for a resource.
    pub(crate) async fn find(
        &self,
        options: &Options,
        hint: Option<&Url>,
    ) -> Result<Server, AuthError> {
        let (server, _) = self.find_all(options, hint).await?;
        Ok(server)
    }

    /// The same, with all that it says of itself.
    pub(crate) async fn find_all(
        &self,
        options: &Options,
        hint: Option<&Url>,
    ) -> Result<(Server, ServerMetadata), AuthError> {
        let found = discovery::resource(&*self.fetch, &options.resource, hint).await?;
        let (index, resource) = match found {
            Some(found) => {
                let issuers = found.authorization_servers;
                let known = options.credentials.iter().position(|credentials| {
                    issuers.iter().any(|issuer| issuer == credentials.issuer.as_str())
                });
                (known.ok_or(AuthError::NoCredentials { issuers })?, found.resource)
            }
            // A server that says nothing; who wrote the issuer down said it.
            None if options.credentials.is_empty() => {
                return Err(AuthError::NoCredentials { issuers: Vec::new() });
            }
            None => (0, options.resource.to_string()),
        };
        let issuer = options.credentials[index].issuer.clone();
        let metadata = discovery::server(&*self.fetch, &issuer, &Trust::Configured).await?;
        let endpoint = metadata.token_endpoint.as_ref();
        let token_endpoint = discovery::member(endpoint, "token_endpoint", &issuer)?;
        Ok((Server { issuer, token_endpoint, resource, index }, metadata))
    }

    /// Asks for a token: with a refresh token, or on our own behalf.
    pub(crate) async fn token(
        &self,
        server: &Server,
        credentials: &Credentials,
        refresh: Option<&Secret>,
        scopes: &BTreeSet<String>,
    ) -> Result<Granted, AuthError> {
        let mut fields = match refresh {
            Some(refresh) => {
                vec![("grant_type", "refresh_token"), ("refresh_token", refresh.expose())]
            }
            None => vec![("grant_type", "client_credentials")],
        };
        let scope = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        if !scope.is_empty() {
            fields.push(("scope", &scope));
        }
        self.grant(server, credentials, &fields).await
    }

    /// Sends a form to the token endpoint, with what shows who we are.
    pub(crate) async fn grant(
        &self,
        server: &Server,
        credentials: &Credentials,
        fields: &[(&str, &str)],
    ) -> Result<Granted, AuthError> {
        let action = self.form(server, credentials, fields)?;
        let trust = Trust::Learned { from: server.issuer.url().clone() };
        let request = Request { url: server.token_endpoint.clone(), trust, action };
        let answer = self.fetch.fetch(request).await.map_err(|source| AuthError::Fetch {
            issuer: server.issuer.to_string(),
            source: Arc::new(source),
        })?;
        Granted::read(&answer, &server.issuer)
    }

    /// The form, and the header that goes with it.
    fn form(
        &self,
        server: &Server,
        credentials: &Credentials,
        fields: &[(&str, &str)],
    ) -> Result<Action, AuthError> {
        debug_assert_eq!(server.issuer, credentials.issuer, "credentials stay with their issuer");
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).append_pair("resource", &server.resource);
        let mut authorization = None;
        match &credentials.proof {
            Proof::Nothing => {
                form.append_pair("client_id", &credentials.client_id);
            }
            Proof::Basic(password) => {
                authorization = Some(basic(&credentials.client_id, password));
            }
            Proof::Post(password) => {
                form.append_pair("client_id", &credentials.client_id);
                form.append_pair("client_secret", password.expose());
            }
            Proof::Key(key) => {
                let now = self.clock.unix();
                let claims = json!({
                    "iss": credentials.client_id,
                    "sub": credentials.client_id,
                    "aud": server.issuer.as_str(),
                    "iat": now,
                    "exp": now + PROOF_LIFE,
                    "jti": random()?.expose(),
                });
                let proof = key.sign(&claims).map_err(|_| AuthError::Cryptography)?;
                form.append_pair("client_id", &credentials.client_id);
                form.append_pair("client_assertion_type", JWT_BEARER);
                form.append_pair("client_assertion", proof.expose());
            }
        }
        Ok(Action::Post { form: Secret::new(form.finish()), authorization })
    }
}

/// A name and a password as RFC 6749 wants them: each encoded like a form, then both together.
fn basic(name: &str, password: &Secret) -> Secret {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Secret::new(format!("{}:{}", encode(name), encode(password.expose())));
    Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair.expose())))
}

/// 256 random bits that nobody can guess, as text.
pub(crate) fn random() -> Result<Secret, AuthError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| AuthError::Cryptography)?;
    Ok(Secret::new(jose::encode(&bytes)))
}
