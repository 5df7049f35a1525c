//! What people are told of how a server is shown who mcplex is.

use super::{Chain, Tokens, Way};
use mcplex_auth::client::Standing;
use mcplex_config::{Remote, TokenGrant};
use serde::Serialize;

/// How a server is shown who mcplex is, for people and programs; nothing of it is a secret.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    /// By what: `login`, `client-credentials` or `refresh-token`.
    pub(crate) by: &'static str,
    /// At whom, if it is known.
    pub(crate) issuer: Option<String>,
    /// Our name there.
    pub(crate) client: Option<String>,
    pub(crate) scopes: Vec<String>,
    /// How it stands, in a sentence, where it is a login.
    pub(crate) login: Option<String>,
    /// Whether a person has to log in before it can be used.
    pub(crate) needs_login: bool,
}

impl Tokens {
    /// How the server of this name is shown who mcplex is; `None` where it is not by tokens.
    pub(crate) fn shown(&self, name: &str, remote: &Remote) -> Result<Option<Shown>, String> {
        let words = remote.auth.as_ref();
        let mut shown = Shown {
            by: words.map_or(TokenGrant::Login, |words| words.grant).as_str(),
            issuer: words.and_then(|words| words.issuer.clone()),
            client: words.and_then(|words| words.client_id.clone()),
            scopes: words.map(|words| words.scopes.clone()).unwrap_or_default(),
            login: None,
            needs_login: false,
        };
        let source = match self.way(name, remote)? {
            Way::Headers => return Ok(None),
            Way::Own(_) => return Ok(Some(shown)),
            Way::Person(source) => source,
        };
        let command = format!("`mcplex login {name}`");
        match source.standing().map_err(|error| Chain(&error).to_string())? {
            // Perhaps it asks nobody.
            Standing::Nobody if words.is_none() => return Ok(None),
            Standing::Nobody => {
                shown.needs_login = true;
                shown.login = Some(format!("nobody has logged in: {command}"));
            }
            Standing::Over(issuer) => {
                shown.needs_login = true;
                shown.login = Some(format!("the login at {issuer} is over: {command}"));
                shown.issuer = Some(issuer.to_string());
            }
            Standing::In(kept) => {
                let more = match kept.wanted.is_empty() {
                    true => String::new(),
                    false => format!(", and {} is wanted too: {command}", kept.wanted.join(" ")),
                };
                shown.login = Some(format!("somebody is logged in at {}{more}", kept.issuer));
                shown.issuer = Some(kept.issuer.to_string());
                shown.client = kept.client.map(|client| client.id);
                shown.scopes = kept.scopes;
            }
        }
        Ok(Some(shown))
    }
}
