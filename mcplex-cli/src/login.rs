//! What `mcplex login` needs besides OAuth itself: a place where a browser is sent back to, and a
//! question to the server that shows what it wants.

pub(crate) mod callback;
pub(crate) mod voice;

use crate::tokens::Tokens;
use mcplex_auth::{Action, FetchError, Request, Secret, Trust, read_url};
use mcplex_config::Remote;
use mcplex_proto::{method, modern, version::Version};
use serde_json::json;
use url::Url;

/// Whether a person can log in for a server that has no `[servers.auth]`: it has to be one that may
/// see tokens, and that is not shown something else.
pub(crate) fn is_possible(remote: &Remote) -> bool {
    let has_own = remote.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
    !has_own && read_url(&remote.url).is_ok()
}

/// Asks a server something harmless without a token; gives what it says about tokens, which may be
/// nothing. `None` when it wants none.
///
/// Some let everybody open a session and want a token for the rest, so this is a question that needs
/// one.
pub(crate) async fn knock(
    tokens: &Tokens,
    remote: &Remote,
    url: Url,
) -> Result<Option<String>, FetchError> {
    let version = Version::LATEST_MODERN.as_str();
    let message = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": method::TOOLS_LIST,
        "params": { "_meta": {
            modern::PROTOCOL_VERSION: version,
            modern::CLIENT_INFO: { "name": "mcplex", "version": env!("CARGO_PKG_VERSION") },
            modern::CLIENT_CAPABILITIES: {},
        }},
    });
    let own = [
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", version),
        ("mcp-method", method::TOOLS_LIST),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), Secret::new(value)));
    let configured = remote.headers.iter();
    let configured = configured.map(|(name, value)| (name.clone(), Secret::new(value.as_str())));
    let headers = configured.chain(own).collect();
    let action = Action::Knock { message: message.to_string().into(), headers };
    let answer = tokens.web().fetch(Request { url, trust: Trust::Configured, action }).await?;
    Ok((answer.status == 401).then(|| answer.challenge.unwrap_or_default()))
}
