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
    discovery::{self, DiscoveryError, Page},
    fetch::{Action, Answer, Fetch, Request},
    jose,
    metadata::{Issuer, ResourceMetadata, ServerMetadata},
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

/// A resource by its address, and by the name it gives itself.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    pub(crate) url: &'a Url,
    pub(crate) name: String,
    /// It has certainly said nothing of itself, as one of revision 2025-03-26.
    pub(crate) is_silent: bool,
}

impl<'a> Named<'a> {
    /// One that says nothing of itself, for certain or as far as can be told.
    pub(crate) fn silent(url: &'a Url, is_silent: bool) -> Self {
        Self { url, name: url.to_string(), is_silent }
    }
}

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
            Page::Is(found) => {
                let issuers = found.authorization_servers;
                let known = options.credentials.iter().position(|credentials| {
                    issuers.iter().any(|issuer| issuer == credentials.issuer.as_str())
                });
                let name = found.resource;
                let index = known.ok_or(AuthError::NoCredentials { issuers })?;
                (index, Named { url: &options.resource, name, is_silent: false })
            }
            // A server that says nothing; who wrote the issuer down said it.
            Page::IsNot { .. } if options.credentials.is_empty() => {
                return Err(AuthError::NoCredentials { issuers: Vec::new() });
            }
            Page::IsNot { is_certain } => (0, Named::silent(&options.resource, is_certain)),
        };
        let issuer = options.credentials[index].issuer.clone();
        self.server(issuer, resource, options.is_learned, index).await
    }

    /// Finds what an issuer says of itself.
    pub(crate) async fn server(
        &self,
        issuer: Issuer,
        resource: Named<'_>,
        is_learned: bool,
        index: usize,
    ) -> Result<(Server, ServerMetadata), AuthError> {
        let learned = |from: &Url| Trust::Learned { from: from.clone() };
        let (first, trust) = if is_learned {
            (learned(resource.url), learned(resource.url))
        } else {
            (Trust::Configured, learned(issuer.url()))
        };
        let metadata = match discovery::server(&*self.fetch, &issuer, &first).await {
            // Neither of the two documents is there, so both are one server of revision 2025-03-26,
            // whose clients know where everything is.
            Err(DiscoveryError::Nowhere { is_certain: true, .. })
                if resource.is_silent && issuer.is_origin_of(resource.url) =>
            {
                ServerMetadata::by_default(&issuer)
            }
            other => other?,
        };
        let endpoint = metadata.token_endpoint.as_ref();
        let token_endpoint = discovery::member(endpoint, "token_endpoint", &issuer)?;
        let server = Server { issuer, trust, token_endpoint, resource: resource.name, index };
        Ok((server, metadata))
    }

    /// Finds what a resource says of itself.
    pub(crate) async fn resource(
        &self,
        resource: &Url,
        hint: Option<&Url>,
    ) -> Result<Page<ResourceMetadata>, AuthError> {
        Ok(discovery::resource(&*self.fetch, resource, hint).await?)
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
        let answer = self.send(server, server.token_endpoint.clone(), action).await?;
        Granted::read(&answer, &server.issuer)
    }

    /// Gives a token back; whether there was somebody to give it to.
    pub(crate) async fn revoke(
        &self,
        (server, metadata): &(Server, ServerMetadata),
        credentials: &Credentials,
        token: &Secret,
        kind: &str,
    ) -> Result<bool, AuthError> {
        let Some(endpoint) = &metadata.revocation_endpoint else { return Ok(false) };
        let url = discovery::member(Some(endpoint), "revocation_endpoint", &server.issuer)?;
        let fields = [("token", token.expose()), ("token_type_hint", kind)];
        let action = self.form(server, credentials, &fields)?;
        let answer = self.send(server, url, action).await?;
        Ok(answer.status == 200)
    }

    /// Sends something to one of the addresses that an authorization server names.
    pub(crate) async fn send(
        &self,
        server: &Server,
        url: Url,
        action: Action,
    ) -> Result<Answer, AuthError> {
        let request = Request { url, trust: server.trust.clone(), action };
        self.fetch.fetch(request).await.map_err(|source| AuthError::Fetch {
            issuer: server.issuer.to_string(),
            source: Arc::new(source),
        })
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
