//! Reads what a server answers to the questions of the handshake.

use super::{HandshakeError, ServerInfo};
use crate::{
    edit,
    error::{ErrorObject, UNSUPPORTED_VERSION},
    message::Outcome,
    modern,
    raw::Raw,
    version::{Era, Version},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a modern server answers to `server/discover`.
#[derive(Debug)]
pub(super) enum Discovery {
    /// It speaks a revision that we speak.
    Modern(ServerInfo),
    /// It refuses the revision it was asked in, and names one that we speak.
    Ask(Version),
    /// It speaks only these, and we speak none of them.
    Elsewhere(String),
}

/// Reads the answer to `server/discover`; an error says why it is none of a modern server.
pub(super) fn discovery(outcome: &Outcome) -> Result<Discovery, String> {
    match outcome {
        Outcome::Result(raw) => read_discovery(raw),
        Outcome::Error(raw) => {
            let error = ErrorObject::read(raw);
            let supported = error.data.as_ref().and_then(|data| data.get("supported")?.as_array());
            let words = supported.into_iter().flatten().filter_map(serde_json::Value::as_str);
            match newest(words).filter(|_| error.code == UNSUPPORTED_VERSION) {
                Some(version) => Ok(Discovery::Ask(version)),
                None => Err(format!("{} (code {})", error.message, error.code)),
            }
        }
    }
}

/// The newest revision with sessions that a refused `initialize` names and that we speak.
pub(super) fn older(failed: &HandshakeError) -> Option<Version> {
    let HandshakeError::Refused(error) = failed else { return None };
    let named = error.data.as_ref()?.get("supported")?.as_array()?.iter();
    let known = named.filter_map(|name| name.as_str()?.parse().ok());
    known.filter(|it: &Version| error.refuses_version() && it.era() == Era::Legacy).max()
}

/// The newest modern revision that we speak as well.
fn newest<'a>(names: impl Iterator<Item = &'a str>) -> Option<Version> {
    names.filter_map(|name| name.parse().ok()).filter(|it: &Version| it.era() == Era::Modern).max()
}

fn read_discovery(raw: &Raw) -> Result<Discovery, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<'a> {
        supported_versions: Vec<String>,
        #[serde(borrow)]
        capabilities: &'a RawValue,
        instructions: Option<String>,
        result_type: Option<String>,
    }
    let answer: Answer<'_> =
        raw.read().map_err(|error| format!("its answer to server/discover: {error}"))?;
    if !answer.capabilities.get().starts_with('{') {
        return Err("its answer to server/discover: `capabilities` is no object".to_owned());
    }
    if let Some(other) = answer.result_type.filter(|kind| kind != "complete") {
        return Err(format!("its answer to server/discover is {other:?}"));
    }
    let versions = answer.supported_versions;
    let Some(version) = newest(versions.iter().map(String::as_str)) else {
        return Ok(Discovery::Elsewhere(versions.join(", ")));
    };
    let meta = edit::member(raw.as_str(), "_meta");
    let named = meta.and_then(|meta| edit::member(meta.get(), modern::SERVER_INFO));
    let named = named.filter(|value| value.get().starts_with('{'));
    Ok(Discovery::Modern(ServerInfo {
        version,
        capabilities: Raw::part(raw, answer.capabilities),
        implementation: named.map_or_else(Raw::empty_object, |value| Raw::part(raw, value)),
        instructions: answer.instructions,
    }))
}

/// Reads the result of `initialize`.
pub(super) fn initialized(raw: &Raw) -> Result<ServerInfo, HandshakeError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<'a> {
        protocol_version: String,
        #[serde(borrow)]
        capabilities: &'a RawValue,
        #[serde(borrow)]
        server_info: &'a RawValue,
        instructions: Option<String>,
    }
    let answer: Answer<'_> =
        raw.read().map_err(|error| HandshakeError::Malformed(error.to_string()))?;
    // A stateless revision has no session that could be open now.
    let version = answer.protocol_version.parse().ok();
    let version = version
        .filter(|version: &Version| version.era() == Era::Legacy)
        .ok_or_else(|| HandshakeError::Version(answer.protocol_version.clone()))?;
    Ok(ServerInfo {
        version,
        capabilities: Raw::part(raw, answer.capabilities),
        implementation: Raw::part(raw, answer.server_info),
        instructions: answer.instructions,
    })
}
