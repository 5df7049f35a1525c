//! `[servers.auth]`: how tokens are got for a server that runs elsewhere.

use crate::{
    RemoteAuth, SecretPlace, TokenGrant,
    reach::{Problem, problem},
    unit::{is_scope, is_secure},
};
use serde::Deserialize;
use url::Url;

/// The table as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthWords {
    issuer: Option<String>,
    client_id: Option<String>,
    client_document: Option<String>,
    client_secret: Option<String>,
    secret_in: Option<SecretPlace>,
    private_key: Option<String>,
    key_id: Option<String>,
    #[serde(default)]
    grant: TokenGrant,
    refresh_token: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

impl AuthWords {
    /// What it means, if nothing of it is wrong; one that is not used may hold `${NAME}`.
    pub(crate) fn read(self, enabled: bool) -> Result<RemoteAuth, Problem> {
        self.check_names(enabled)?;
        self.check_proofs()?;
        self.check_grant()?;
        Ok(RemoteAuth {
            issuer: self.issuer,
            client_id: self.client_id,
            client_document: self.client_document,
            client_secret: self.client_secret,
            secret_in: self.secret_in.unwrap_or_default(),
            private_key: self.private_key,
            key_id: self.key_id,
            grant: self.grant,
            refresh_token: self.refresh_token,
            scopes: self.scopes,
        })
    }

    /// Each by itself.
    fn check_names(&self, enabled: bool) -> Result<(), Problem> {
        let is_issuer = |issuer: &String| is_secure(issuer) && !issuer.contains('?');
        if enabled && !self.issuer.as_ref().is_none_or(is_issuer) {
            let what = "expected an https URL, or an http one on this machine";
            let hint = "write it exactly as the server's metadata does, such as \
                        \"https://login.example\"";
            return wrong("issuer", what, hint);
        }
        if self.client_id.as_ref().is_some_and(|id| id.trim().is_empty()) {
            return wrong("client_id", "expected a text that is not empty", "the issuer gave it");
        }
        let is_bad = |text: &String| enabled && !is_document(text);
        if self.client_document.as_ref().is_some_and(is_bad) {
            let what = "expected an https URL with a path";
            let hint = "it is where a document about mcplex lies, such as \
                        \"https://example.org/mcplex.json\"";
            return wrong("client_document", what, hint);
        }
        if let Some(scope) = self.scopes.iter().find(|scope| !is_scope(scope)) {
            let what = format!("{scope:?} is no scope");
            return wrong("scopes", &what, "scopes have no spaces and no quotes");
        }
        Ok(())
    }

    /// What shows that the name is ours.
    fn check_proofs(&self) -> Result<(), Problem> {
        if self.client_secret.is_some() && self.private_key.is_some() {
            let what = "there is a `client_secret` as well";
            return wrong("private_key", what, "keep the one that the issuer knows");
        }
        if self.key_id.is_some() && self.private_key.is_none() {
            return wrong("key_id", "there is no `private_key`", "give one, or remove it");
        }
        if self.secret_in.is_some() && self.client_secret.is_none() {
            return wrong("secret_in", "there is no `client_secret`", "give one, or remove it");
        }
        for (key, secret) in
            [("client_secret", &self.client_secret), ("private_key", &self.private_key)]
        {
            if secret.is_some() && self.client_id.is_none() {
                return wrong(key, "there is no `client_id`", "give one, or remove it");
            }
        }
        Ok(())
    }

    /// What each grant needs, and what means nothing to it.
    fn check_grant(&self) -> Result<(), Problem> {
        let is_login = self.grant == TokenGrant::Login;
        for (key, value) in [("issuer", &self.issuer), ("client_id", &self.client_id)] {
            if !is_login && value.is_none() {
                let hint = "give it, or set `grant = \"login\"`, which finds it where it can";
                return wrong(key, "it is missing", hint);
            }
        }
        if self.client_id.is_some() && self.issuer.is_none() {
            let what = "there is no `issuer`, so whoever the server names would be told it";
            return wrong("client_id", what, "give the issuer that it is for");
        }
        if self.client_document.is_some() && (!is_login || self.client_id.is_some()) {
            let what = "it means something only to `grant = \"login\"` without a `client_id`";
            return wrong("client_document", what, "remove it");
        }
        let is_public = self.client_secret.is_none() && self.private_key.is_none();
        match (self.grant, &self.refresh_token) {
            (TokenGrant::ClientCredentials, Some(_)) => {
                let hint = "set `grant = \"refresh-token\"`, or remove it";
                wrong("refresh_token", "it is not used with client credentials", hint)
            }
            (TokenGrant::Login, Some(_)) => {
                let hint = "remove it, or set `grant = \"refresh-token\"`";
                wrong("refresh_token", "`mcplex login` brings its own", hint)
            }
            (TokenGrant::ClientCredentials, None) if is_public => {
                let hint = "give a `client_secret` or a `private_key`";
                wrong("client_id", "nothing shows that it is ours", hint)
            }
            (TokenGrant::ClientCredentials | TokenGrant::Login, None)
            | (TokenGrant::RefreshToken, _) => Ok(()),
        }
    }
}

fn wrong(key: &str, what: &str, hint: &str) -> Result<(), Problem> {
    Err(problem(format!("auth.{key}"), what, hint))
}

/// Whether an authorization server would take a text for the name of a client: it fetches the
/// document from there, and a bare host could be anybody's.
fn is_document(text: &str) -> bool {
    let is_plain = is_secure(text) && text.starts_with("https://");
    is_plain && Url::parse(text).is_ok_and(|url| url.path() != "/")
}
