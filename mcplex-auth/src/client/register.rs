//! How an authorization server comes to know us: an operator has arranged it, it reads a document of
//! ours, or we register ourselves (RFC 7591).

use crate::{
    client::{
        ask::Asker,
        error::AuthError,
        kept::{Client, Kept, Known},
        login::LoginOptions,
        options::Proof,
        server::Server,
        token::shown,
    },
    discovery,
    fetch::{Action, Answer},
    metadata::ServerMetadata,
    secret::Secret,
};
use serde::Deserialize;
use serde_json::json;

/// How a client that was registered shows who it is, in the words of the protocol; those we would
/// rather have come first. A program on a person's machine keeps no secret from that person.
const METHODS: [&str; 3] = ["none", "client_secret_basic", "client_secret_post"];

/// Who we are to this server, and how we show it.
pub(crate) async fn client(
    asker: &Asker,
    server: &Server,
    metadata: &ServerMetadata,
    options: &LoginOptions,
) -> Result<(Client, Proof), AuthError> {
    if let Some((id, proof)) = &options.client {
        let client = Client { id: id.clone(), known: Known::Configured };
        return Ok((client, proof.clone()));
    }
    if let Some(document) = &options.document
        && metadata.client_id_metadata_document_supported
    {
        let client = Client { id: document.to_string(), known: Known::Document };
        return Ok((client, Proof::Nothing));
    }
    if let Some(again) = options.earlier.as_ref().and_then(|earlier| same(earlier, server, options))
    {
        return Ok(again);
    }
    register(asker, server, metadata, options).await
}

/// The client that was registered for an earlier login, if it is good for this one: names of one
/// issuer mean nothing to another.
fn same(earlier: &Kept, server: &Server, options: &LoginOptions) -> Option<(Client, Proof)> {
    let client = earlier.client.clone()?;
    let is_same = earlier.issuer == server.issuer && earlier.redirect == options.redirect;
    match &client.known {
        Known::Registered(proof) if is_same => Some((client.clone(), proof.clone())),
        Known::Registered(_) | Known::Configured | Known::Document => None,
    }
}

async fn register(
    asker: &Asker,
    server: &Server,
    metadata: &ServerMetadata,
    options: &LoginOptions,
) -> Result<(Client, Proof), AuthError> {
    let issuer = &server.issuer;
    let Some(endpoint) = &metadata.registration_endpoint else {
        return Err(AuthError::NoClient { issuer: issuer.to_string() });
    };
    let url = discovery::member(Some(endpoint), "registration_endpoint", issuer)?;
    let wanted = method(metadata);
    let document = json!({
        "client_name": options.name,
        "redirect_uris": [options.redirect.as_str()],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": wanted,
        // Without it an OpenID provider takes us for a website, which may have no loopback address.
        "application_type": "native",
    });
    let action = Action::Register { document: document.to_string().into() };
    let answer = asker.send(server, url, action).await?;
    read(&answer, wanted).ok_or_else(|| refused(&answer, issuer.to_string()))
}

/// The first method of ours that the server has. One that says nothing may have any of them.
fn method(metadata: &ServerMetadata) -> &'static str {
    let theirs = metadata.token_endpoint_auth_methods_supported.as_deref();
    let has =
        |method: &&&str| theirs.is_none_or(|theirs| theirs.iter().any(|their| their == **method));
    METHODS.iter().find(has).copied().unwrap_or(METHODS[0])
}

/// What was registered, which may differ from what was asked for.
fn read(answer: &Answer, wanted: &str) -> Option<(Client, Proof)> {
    #[derive(Deserialize)]
    struct Words {
        client_id: String,
        client_secret: Option<String>,
        token_endpoint_auth_method: Option<String>,
    }
    if !matches!(answer.status, 200 | 201) {
        return None;
    }
    let words: Words = serde_json::from_slice(&answer.body.0).ok()?;
    let secret = words.client_secret.map(Secret::new);
    let proof = match words.token_endpoint_auth_method.as_deref().unwrap_or(wanted) {
        "none" => Proof::Nothing,
        "client_secret_basic" => Proof::Basic(secret?),
        "client_secret_post" => Proof::Post(secret?),
        _ => return None,
    };
    let known = Known::Registered(proof.clone());
    Some((Client { id: words.client_id, known }, proof)).filter(|(client, _)| !client.id.is_empty())
}

fn refused(answer: &Answer, issuer: String) -> AuthError {
    #[derive(Deserialize)]
    struct Words {
        error: String,
        error_description: Option<String>,
    }
    match serde_json::from_slice::<Words>(&answer.body.0) {
        Ok(words) => AuthError::Unregistered {
            issuer,
            error: shown(&words.error),
            description: words.error_description.as_deref().map(shown),
        },
        Err(_) if matches!(answer.status, 200 | 201) => AuthError::Unregistered {
            issuer,
            error: "its answer names no client that can be used".to_owned(),
            description: None,
        },
        Err(_) => {
            let error = format!("status {}", answer.status);
            AuthError::Unregistered { issuer, error, description: None }
        }
    }
}
