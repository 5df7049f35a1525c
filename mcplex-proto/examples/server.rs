//! A server on stdin and stdout that serves both eras on one pipe: it has one tool, `shout`.
//!
//! No state says which era a client belongs to: `modern::classify` tells it of each request. Try
//! `echo '{"jsonrpc":"2.0","id":1,"method":"ping"}'` before it.

use mcplex_proto::{
    edit,
    error::ErrorObject,
    frame::{LineSplitter, MAX_LINE},
    message::{Message, Request, Response},
    method,
    modern::{Class, SERVER_INFO, classify},
    raw::{self, Raw},
    version::Version,
};
use std::{
    error::Error,
    io::{self, Read as _, Write as _},
};

const SERVER: &str = r#"{"name":"example-server","version":"1"}"#;
const CAPABILITIES: &str = r#"{"tools":{}}"#;
const TOOLS: &str = r#"[{"name":"shout","inputSchema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}}]"#;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut lines = LineSplitter::new(MAX_LINE);
    let mut piece = [0; 8192];
    loop {
        while let Some(line) = lines.next_line()? {
            let answer = match Message::parse(line) {
                Ok(Message::Request(request)) => answer(request),
                // They ask nothing.
                Ok(Message::Notification(_) | Message::Response(_)) => continue,
                Err(bad) => bad.to_response(),
            };
            output.write_all(&Message::from(answer).to_bytes())?;
            output.write_all(b"\n")?;
            output.flush()?;
        }
        match input.read(&mut piece)? {
            0 => return Ok(()),
            count => lines.buffer().extend_from_slice(&piece[..count]),
        }
    }
}

fn answer(request: Request) -> Response {
    let params = request.params.as_ref();
    let result = match classify(params) {
        Ok(Class::Legacy) => legacy(&request.method, params),
        Ok(Class::Modern(_)) => modern(&request.method, params),
        Err(refusal) => Err(refusal),
    };
    match result {
        Ok(result) => Response::result(request.id, result),
        Err(error) => Response::error(Some(request.id), &error),
    }
}

/// What a session is told.
fn legacy(method: &str, params: Option<&Raw>) -> Result<Raw, ErrorObject> {
    match method {
        method::INITIALIZE => {
            let wanted = params.and_then(|params| text(params.as_str(), "protocolVersion"));
            let version = Raw::of(Version::answer(&wanted.unwrap_or_default()).as_str());
            Ok(edit::object([
                ("protocolVersion", version.as_str()),
                ("capabilities", CAPABILITIES),
                ("serverInfo", SERVER),
            ]))
        }
        method::PING => Ok(Raw::empty_object()),
        method::TOOLS_LIST => Ok(edit::object([("tools", TOOLS)])),
        method::TOOLS_CALL => Ok(edit::object([("content", shout(params)?.as_str())])),
        other => Err(ErrorObject::method_not_found(other)),
    }
}

/// What a request that stands for itself is told: of what kind a result is, who gives it, and for
/// how long a list holds.
fn modern(method: &str, params: Option<&Raw>) -> Result<Raw, ErrorObject> {
    let meta = edit::object([(SERVER_INFO, SERVER)]);
    let common = [("resultType", "\"complete\""), ("_meta", meta.as_str())];
    let cacheable = [("ttlMs", "60000"), ("cacheScope", "\"public\"")];
    match method {
        method::DISCOVER => {
            let versions: Vec<_> = Version::modern().map(Version::as_str).collect();
            let versions = Raw::of(&versions);
            let own = [("supportedVersions", versions.as_str()), ("capabilities", CAPABILITIES)];
            Ok(edit::object(common.into_iter().chain(own).chain(cacheable)))
        }
        method::TOOLS_LIST => {
            Ok(edit::object(common.into_iter().chain([("tools", TOOLS)]).chain(cacheable)))
        }
        method::TOOLS_CALL => {
            let content = shout(params)?;
            Ok(edit::object(common.into_iter().chain([("content", content.as_str())])))
        }
        other => Err(ErrorObject::method_not_found(other)),
    }
}

/// The content that the tool answers with, which is the same in all revisions.
fn shout(params: Option<&Raw>) -> Result<Raw, ErrorObject> {
    let params = params.map_or("{}", Raw::as_str);
    if text(params, "name").as_deref() != Some("shout") {
        return Err(ErrorObject::invalid_params("there is only the tool `shout`"));
    }
    let arguments = edit::member(params, "arguments").map_or("{}", |arguments| arguments.get());
    let said = text(arguments, "text")
        .ok_or_else(|| ErrorObject::invalid_params("`text` must be a string"))?;
    let said = Raw::of(&said.to_uppercase());
    let block = edit::object([("type", "\"text\""), ("text", said.as_str())]);
    Ok(edit::array([block.as_str()]))
}

/// A member that is a string.
fn text(object: &str, name: &str) -> Option<String> {
    edit::member(object, name).and_then(raw::string).map(Into::into)
}
