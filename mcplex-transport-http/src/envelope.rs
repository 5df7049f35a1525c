//! Which era a posted message is of, and whether its headers say what its body says.
//!
//! The body decides: a request with a revision in `_meta` is a stateless one, whatever else the
//! client sends along. Its headers repeat parts of it for whoever stands between, who must be able
//! to believe them; so they are compared with the body here, before a session is opened for it.

use hyper::{HeaderMap, header::HeaderValue};
use mcplex_proto::{
    downstream::Gateway,
    edit,
    error::ErrorObject,
    header,
    message::{Message, Notification, Request},
    method, modern, raw,
    raw::Raw,
    version::{Era, Version},
};
use serde_json::value::RawValue;
use std::fmt;

/// The header that names the revision.
pub(crate) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The header that repeats the method.
const METHOD: &str = "mcp-method";
/// The header that repeats the name of what is asked for.
const NAME: &str = "mcp-name";
/// What the names of headers that repeat something begin with.
const PREFIX: &str = "mcp-";

/// The era of a request; a stateless one is found to be good, headers and all.
///
/// # Errors
/// What the client is told with status 400.
pub(crate) fn of_request(
    headers: &HeaderMap,
    request: &Request,
    gateway: &dyn Gateway,
) -> Result<Era, ErrorObject> {
    if let Some(params) = request.params.as_ref().filter(|params| modern::may_name_version(params))
    {
        let members = Members::read(params);
        let meta = members.find("_meta")?;
        let named = meta.and_then(|meta| edit::member(meta.get(), modern::PROTOCOL_VERSION));
        if let (Some(meta), Some(named)) = (meta, named) {
            // A version that is no string is told so as a part of the envelope.
            if let Some(named) = raw::string(named) {
                unrepeated(headers)?;
                literally(headers, PROTOCOL_VERSION, "MCP-Protocol-Version", &named)?;
            }
            modern::classify_meta(params, meta)?;
            check(headers, &request.method, &members, gateway)?;
            return Ok(Era::Modern);
        }
    }
    // A client that is lost between the eras must be able to begin anew.
    if names_modern(headers) && request.method != method::INITIALIZE {
        let name = modern::PROTOCOL_VERSION;
        return Err(ErrorObject::invalid_params(format_args!("`_meta[\"{name}\"]` is missing")));
    }
    Ok(Era::Legacy)
}

/// The era of a notification.
///
/// # Errors
/// When its envelope cannot be read.
pub(crate) fn of_notification(
    headers: &HeaderMap,
    notification: &Notification,
) -> Result<Era, ErrorObject> {
    Ok(match modern::classify(notification.params.as_ref())? {
        modern::Class::Modern(_) => Era::Modern,
        modern::Class::Legacy if names_modern(headers) => Era::Modern,
        modern::Class::Legacy => Era::Legacy,
    })
}

/// Whether any message of a batch is, or says that it is, a stateless one.
pub(crate) fn has_modern(headers: &HeaderMap, messages: &[Message]) -> bool {
    let is_modern = |message: &Message| match message {
        Message::Request(Request { params, .. })
        | Message::Notification(Notification { params, .. }) => {
            modern::named_version(params.as_ref()).is_some()
        }
        Message::Response(_) => false,
    };
    names_modern(headers) || messages.iter().any(is_modern)
}

/// Whether `MCP-Protocol-Version` names a stateless revision.
pub(crate) fn names_modern(headers: &HeaderMap) -> bool {
    let is_modern = |value: &HeaderValue| {
        let known = value.to_str().ok().and_then(|text| text.trim().parse::<Version>().ok());
        known.is_some_and(|version| version.era() == Era::Modern)
    };
    headers.get_all(PROTOCOL_VERSION).iter().any(is_modern)
}

/// The top level of a request's parameters.
struct Members<'a>(Vec<edit::Member<'a>>);

impl<'a> Members<'a> {
    fn read(params: &'a Raw) -> Self {
        Self(edit::members(params.as_str()).unwrap_or_default())
    }

    /// One member; there must not be two, because whoever gets the request might read the other.
    fn find(&self, name: &str) -> Result<Option<&'a RawValue>, ErrorObject> {
        let mut found = self.0.iter().filter(|(key, _)| key == name).map(|&(_, value)| value);
        let first = found.next();
        if found.next().is_some() {
            return Err(ErrorObject::invalid_params(format_args!("`{name}` stands twice")));
        }
        Ok(first)
    }
}

/// Compares the headers of a stateless request with its body.
fn check(
    headers: &HeaderMap,
    asked: &str,
    members: &Members<'_>,
    gateway: &dyn Gateway,
) -> Result<(), ErrorObject> {
    literally(headers, METHOD, "Mcp-Method", asked)?;
    let Some(member) = header::name_member(asked) else { return Ok(()) };
    let name = members.find(member)?.and_then(raw::string);
    match &name {
        Some(name) => same(headers, NAME, "Mcp-Name", name)?,
        None if headers.contains_key(NAME) => {
            return Err(mismatch("Mcp-Name is there, but the body names nothing"));
        }
        // Whoever serves the request says what it lacks.
        None => {}
    }
    let Some(tool) = name.filter(|_| asked == method::TOOLS_CALL) else { return Ok(()) };
    let arguments = members.find("arguments")?;
    let Some(params) = gateway.header_params(&tool) else { return Ok(()) };
    params.check(arguments.map(RawValue::get), |name| headers.get(name).map(HeaderValue::as_bytes))
}

/// A header that is there twice could be read in two ways.
fn unrepeated(headers: &HeaderMap) -> Result<(), ErrorObject> {
    let is_repeated = |name: &&hyper::header::HeaderName| {
        let text = name.as_str();
        text.starts_with(PREFIX)
            && text != crate::reply::SESSION_ID
            && headers.get_all(*name).iter().nth(1).is_some()
    };
    match headers.keys().find(is_repeated) {
        Some(name) => Err(mismatch(format_args!("{name} is there twice"))),
        None => Ok(()),
    }
}

/// Compares what has no form in Base64: whoever stands between reads it as it is.
fn literally(
    headers: &HeaderMap,
    name: &str,
    shown: &str,
    expected: &str,
) -> Result<(), ErrorObject> {
    match headers.get(name) {
        None => Err(mismatch(format_args!("{shown} is missing"))),
        Some(told) if told.as_bytes().trim_ascii() == expected.as_bytes() => Ok(()),
        Some(_) => Err(mismatch(format_args!("{shown} differs from the body"))),
    }
}

fn same(headers: &HeaderMap, name: &str, shown: &str, expected: &str) -> Result<(), ErrorObject> {
    let Some(told) = headers.get(name) else {
        return Err(mismatch(format_args!("{shown} is missing")));
    };
    match header::decode(told.as_bytes()) {
        Some(told) if told == expected => Ok(()),
        Some(_) => Err(mismatch(format_args!("{shown} differs from the body"))),
        None => Err(mismatch(format_args!("{shown} cannot be read"))),
    }
}

fn mismatch(why: impl fmt::Display) -> ErrorObject {
    ErrorObject::header_mismatch(why)
}

#[cfg(test)]
mod tests;
