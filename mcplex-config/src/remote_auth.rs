//! `[servers.auth]`: how tokens are got for a server that runs elsewhere.

use crate::{
    RemoteAuth, SecretPlace, TokenGrant,
    reach::{Problem, problem},
    unit::{is_scope, is_secure},
};
use serde::Deserialize;

/// The table as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthWords {
    issuer: String,
    client_id: String,
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
        let wrong =
            |key: &str, what: &str, hint: &str| Err(problem(format!("auth.{key}"), what, hint));
        if enabled && (!is_secure(&self.issuer) || self.issuer.contains('?')) {
            let what = "expected an https URL, or an http one on this machine";
            let hint = "write it exactly as the server's metadata does, such as \
                        \"https://login.example\"";
            return wrong("issuer", what, hint);
        }
        if self.client_id.trim().is_empty() {
            return wrong("client_id", "expected a text that is not empty", "the issuer gave it");
        }
        if let Some(scope) = self.scopes.iter().find(|scope| !is_scope(scope)) {
            let what = format!("{scope:?} is no scope");
            return wrong("scopes", &what, "scopes have no spaces and no quotes");
        }
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
        let is_public = self.client_secret.is_none() && self.private_key.is_none();
        match (self.grant, &self.refresh_token) {
            (TokenGrant::ClientCredentials, Some(_)) => {
                let hint = "set `grant = \"refresh-token\"`, or remove it";
                wrong("refresh_token", "it is not used with client credentials", hint)
            }
            (TokenGrant::ClientCredentials, None) if is_public => {
                let hint = "give a `client_secret` or a `private_key`";
                wrong("client_id", "nothing shows that it is ours", hint)
            }
            (TokenGrant::ClientCredentials, None) | (TokenGrant::RefreshToken, _) => {
                Ok(RemoteAuth {
                    issuer: self.issuer,
                    client_id: self.client_id,
                    client_secret: self.client_secret,
                    secret_in: self.secret_in.unwrap_or_default(),
                    private_key: self.private_key,
                    key_id: self.key_id,
                    grant: self.grant,
                    refresh_token: self.refresh_token,
                    scopes: self.scopes,
                })
            }
        }
    }
}
