//! Opens a session with an upstream in any supported version, as a state machine without I/O.

use crate::{
    edit,
    error::ErrorObject,
    id::Id,
    message::{Message, Notification, Outcome, Request, Response},
    method,
    raw::{self, Raw},
    version::{Era, Version},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a server said of itself when its session was opened.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The revision both sides speak.
    pub version: Version,
    /// The `capabilities` object.
    pub capabilities: Raw,
    /// The `serverInfo` object.
    pub implementation: Raw,
    /// The `instructions` string, for the model.
    pub instructions: Option<String>,
}

impl ServerInfo {
    /// Whether the server has a capability, such as `tools`, or one inside it, such as
    /// `resources` and `subscribe`.
    #[must_use]
    pub fn can(&self, capability: &str, option: Option<&str>) -> bool {
        let Some(found) = edit::member(self.capabilities.as_str(), capability) else {
            return false;
        };
        match option {
            None => found.get() != "null",
            Some(option) => {
                edit::member(found.get(), option).is_some_and(|value| value.get() == "true")
            }
        }
    }
}

/// Name and version out of a `clientInfo` or `serverInfo` object, for people.
#[must_use]
pub fn title(implementation: &str) -> String {
    let word = |name| edit::member(implementation, name).and_then(raw::string);
    match (word("name"), word("version")) {
        (Some(name), Some(version)) => format!("{name} {version}"),
        (Some(name), None) => name.into_owned(),
        (None, _) => "without a name".to_owned(),
    }
}

/// Why no session came about.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The server answered `initialize` with an error.
    #[error("the server refused to initialize: {} (code {})", .0.message, .0.code)]
    Refused(ErrorObject),
    /// The server answered with a version that we do not speak; asking again will not help.
    #[error("the server speaks protocol version {0:?}, which mcplex does not")]
    Version(String),
    /// The answer lacks what every answer must have.
    #[error("the answer to initialize cannot be read: {0}")]
    Malformed(String),
}

/// Opens one session: one request out, one response in, one notification out.
#[derive(Debug)]
pub struct Handshake {
    id: Id,
}

/// What came of a message that arrived during the handshake.
#[derive(Debug)]
pub enum Step {
    /// The session is open; send this first.
    Done(Box<ServerInfo>, Message),
    /// Send this and go on waiting.
    Reply(Message),
    /// Not for the handshake: hand it on.
    Other(Message),
}

impl Handshake {
    /// The machine and the `initialize` request to send.
    ///
    /// `capabilities` and `client` are the objects of the same name in the request.
    #[must_use]
    pub fn begin(id: u64, capabilities: &Raw, client: &Raw) -> (Self, Message) {
        let params = edit::object([
            ("protocolVersion", &*format!("\"{}\"", Version::LATEST_LEGACY)),
            ("capabilities", capabilities.as_str()),
            ("clientInfo", client.as_str()),
        ]);
        let request = Request::new(id, method::INITIALIZE, Some(params));
        (Self { id: id.into() }, request.into())
    }

    /// Takes a message of the server.
    ///
    /// # Errors
    /// When the server refuses, or answers with something we cannot work with.
    pub fn handle(&self, message: Message) -> Result<Step, HandshakeError> {
        match message {
            Message::Response(response) if response.id.as_ref() == Some(&self.id) => {
                let info = Self::read(response.outcome)?;
                let initialized = Notification::new(method::INITIALIZED, None);
                Ok(Step::Done(Box::new(info), initialized.into()))
            }
            Message::Request(request) if request.method == method::PING => {
                Ok(Step::Reply(Response::result(request.id, Raw::empty_object()).into()))
            }
            // Nothing else may be asked before the session is open.
            Message::Request(request) => {
                let error = ErrorObject::method_not_found(&request.method);
                Ok(Step::Reply(Response::error(Some(request.id), &error).into()))
            }
            other @ (Message::Notification(_) | Message::Response(_)) => Ok(Step::Other(other)),
        }
    }

    fn read(outcome: Outcome) -> Result<ServerInfo, HandshakeError> {
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
        let raw = match outcome {
            Outcome::Result(raw) => raw,
            Outcome::Error(raw) => return Err(HandshakeError::Refused(ErrorObject::read(&raw))),
        };
        let answer: Answer<'_> =
            raw.read().map_err(|error| HandshakeError::Malformed(error.to_string()))?;
        let version = answer
            .protocol_version
            .parse()
            .ok()
            .filter(|version: &Version| version.era() == Era::Legacy)
            .ok_or_else(|| HandshakeError::Version(answer.protocol_version.clone()))?;
        Ok(ServerInfo {
            version,
            capabilities: Raw::inside(raw.bytes(), answer.capabilities),
            implementation: Raw::inside(raw.bytes(), answer.server_info),
            instructions: answer.instructions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Result<Step, HandshakeError> {
        let (handshake, _) = Handshake::begin(1, &Raw::empty_object(), &Raw::empty_object());
        handshake.handle(Message::parse(text.to_owned().into()).unwrap())
    }

    #[test]
    fn a_session_opens() {
        let step = answer(
            r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"resources":{"subscribe":true}},"serverInfo":{"name":"x","version":"1"}}}"#,
        );
        let Ok(Step::Done(info, initialized)) = step else { panic!("{step:?}") };
        assert_eq!(info.version, Version::V2025_06_18);
        assert!(info.can("tools", None) && info.can("resources", Some("subscribe")));
        assert!(!info.can("prompts", None) && !info.can("resources", Some("listChanged")));
        assert_eq!(
            initialized.to_bytes(),
            &br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#[..]
        );
    }

    #[test]
    fn what_the_server_gets_wrong_is_told_apart() {
        let check = |text: &str, expect: &str| {
            assert_eq!(answer(text).unwrap_err().to_string(), expect);
        };
        check(
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no key"}}"#,
            "the server refused to initialize: no key (code -32603)",
        );
        check(
            r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"1999-01-01","capabilities":{},"serverInfo":{}}}"#,
            "the server speaks protocol version \"1999-01-01\", which mcplex does not",
        );
        assert!(matches!(
            answer(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            Err(HandshakeError::Malformed(_))
        ));
    }

    #[test]
    fn a_title_is_what_can_be_read_of_it() {
        let check = |text: &str, expect: &str| assert_eq!(title(text), expect);
        check(r#"{"name":"a","version":"1","title":"A"}"#, "a 1");
        check(r#"{"name":"a","version":1}"#, "a");
        check("{}", "without a name");
    }

    #[test]
    fn a_ping_is_answered_and_a_log_line_is_handed_on() {
        let step = answer(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
        let Ok(Step::Reply(reply)) = step else { panic!("{step:?}") };
        assert_eq!(reply.to_bytes(), &br#"{"jsonrpc":"2.0","id":"p","result":{}}"#[..]);
        let step = answer(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#);
        assert!(matches!(step, Ok(Step::Other(_))));
    }
}
