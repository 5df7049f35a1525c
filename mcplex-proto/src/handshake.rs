//! Opens the conversation with an upstream of either era, as a state machine without I/O.
//!
//! At most four questions are asked, each on the same connection: `server/discover` and `initialize`,
//! and each once more with a revision that the server named when it refused ours. Which comes first is decided by the
//! [`EraChoice`] and by what is [`Known`]:
//!
//! | choice | known | first | when it fails |
//! | --- | --- | --- | --- |
//! | `auto` | nothing, or modern | `server/discover` | `initialize` |
//! | `auto` | legacy, or that it ended when it was asked | `initialize` | `server/discover` |
//! | `legacy-first` | nothing, or legacy | `initialize` | `server/discover` |
//! | `legacy-first` | modern | `server/discover` | `initialize` |
//! | `legacy`, `modern` | is not asked for | that one | the handshake has failed |
//!
//! | asked | event | what follows |
//! | --- | --- | --- |
//! | `server/discover` | a result that is a discovery and names a revision we speak | open, modern |
//! | | -32022 that names one | `server/discover` with it, once; then nothing else is tried |
//! | | another error, or a result that is something else | the other question, or failed |
//! | | [`handle_silence`](Handshake::handle_silence) | `initialize`, if it is next |
//! | `initialize` | a result that names a revision with sessions | open, legacy |
//! | | a result that cannot be read | failed |
//! | | an error that names another revision with sessions | `initialize` with it, once |
//! | | a result that names another, or another error | the other question, or failed |
//! | either | a request of the server | answered: `ping` with a result, all else with an error |
//!
//! `initialize` is never sent after the server has shown that it speaks a modern
//! revision that we speak. A late answer to `server/discover` changes nothing, unless `initialize`
//! is then refused: a server that was slow to start took the questions in their order, and the
//! first made it a modern one.
//!
//! The machine knows no time and no process. When silence has lasted for too long, and whether an
//! end says anything, is for the caller to know; [`is_probing`](Handshake::is_probing) and
//! [`may_end_by_probe`](Handshake::may_end_by_probe) say when it matters.

mod answer;

mod words;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use crate::{
    edit,
    error::ErrorObject,
    id::Id,
    message::{Message, Notification, Outcome, Request, Response},
    method, modern,
    raw::Raw,
    version::{Era, Version},
};
use answer::Discovery;
use std::array;

pub use words::{EraChoice, How, Known, Opener, ServerInfo, title};

/// Why no session came about.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The server answered `initialize` with an error.
    #[error("the server refused to initialize: {} (code {})", .0.message, .0.code)]
    Refused(ErrorObject),
    /// The server answered with versions that we do not speak; asking again will not help.
    #[error("the server speaks protocol version {0:?}, which mcplex does not")]
    Version(String),
    /// The answer lacks what every answer must have.
    #[error("the answer to initialize cannot be read: {0}")]
    Malformed(String),
    /// The server does not answer `server/discover` as a modern one does, and nothing else may be
    /// tried.
    #[error("the server does not speak {version}: {0}", version = Version::LATEST_MODERN)]
    NotModern(String),
}

/// Opens one connection.
#[derive(Debug)]
pub struct Handshake {
    opener: Opener,
    /// Ids that were not used yet; there are no more questions than ids.
    ids: array::IntoIter<u64, QUESTIONS>,
    question: Question,
    id: Id,
    how: How,
    /// Whether the question of the other era is next when this one fails.
    may_turn: bool,
    /// Whether the server was asked again with a revision that it named.
    is_second: bool,
    /// The id of a `server/discover` that was not answered in time.
    unanswered: Option<Id>,
    /// What came for it later.
    late: Option<ServerInfo>,
    /// The revision that `initialize` asks for.
    session: Version,
    /// What came of `initialize`, if `server/discover` was asked after it.
    refusal: Option<HandshakeError>,
}

/// How many questions there are at most.
pub const QUESTIONS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Discover(Version),
    Initialize,
}

/// An open conversation.
#[derive(Debug)]
pub struct Opened {
    /// What the server said of itself.
    pub server: ServerInfo,
    /// How its era came to be known.
    pub how: How,
    /// What is to be sent before anything else; nothing to a modern server.
    pub initialized: Option<Message>,
}

/// What came of a message that arrived during the handshake.
#[derive(Debug)]
pub enum Step {
    /// It is open.
    Done(Box<Opened>),
    /// The next question: send this and go on waiting.
    Ask(Message),
    /// Send this and go on waiting.
    Reply(Message),
    /// Not for the handshake: hand it on.
    Other(Message),
}

impl Handshake {
    /// The machine, and the first question to send; each question takes one of the ids.
    #[must_use]
    pub fn begin(ids: [u64; QUESTIONS], opener: Opener) -> (Self, Message) {
        let discover = Question::Discover(Version::LATEST_MODERN);
        let (question, how, may_turn) = match (opener.choice, opener.known) {
            (EraChoice::Legacy, _) => (Question::Initialize, How::Configured, false),
            (EraChoice::Modern, _) => (discover, How::Configured, false),
            (EraChoice::Auto, Known::Nothing) => (discover, How::Probed, true),
            (EraChoice::Auto | EraChoice::LegacyFirst, Known::Era(Era::Modern)) => {
                (discover, How::Remembered, true)
            }
            (EraChoice::Auto, Known::Era(Era::Legacy)) => {
                (Question::Initialize, How::Remembered, true)
            }
            (EraChoice::Auto, Known::EndedWhenAsked) => (Question::Initialize, How::Ended, true),
            (
                EraChoice::LegacyFirst,
                Known::Nothing | Known::Era(Era::Legacy) | Known::EndedWhenAsked,
            ) => (Question::Initialize, How::Configured, true),
        };
        let mut ids = ids.into_iter();
        let id = ids.next().expect("there is more than one");
        let it = Self {
            opener,
            ids,
            question,
            id: id.into(),
            how,
            may_turn,
            is_second: false,
            unanswered: None,
            late: None,
            session: Version::LATEST_LEGACY,
            refusal: None,
        };
        let message = it.message(id);
        (it, message)
    }

    /// The method of the question that waits for its answer.
    #[must_use]
    pub fn asks(&self) -> &'static str {
        match self.question {
            Question::Discover(_) => method::DISCOVER,
            Question::Initialize => method::INITIALIZE,
        }
    }

    /// Whether too long a silence would now have the other question asked.
    #[must_use]
    pub fn is_probing(&self) -> bool {
        matches!(self.question, Question::Discover(_)) && self.may_turn
    }

    /// Whether it may be for `server/discover` that the connection ends: it was asked without
    /// anything being known, and was not answered.
    #[must_use]
    pub fn may_end_by_probe(&self) -> bool {
        match self.question {
            Question::Discover(_) => self.is_probing() && self.how == How::Probed,
            Question::Initialize => self.how == How::Silence && self.unanswered.is_some(),
        }
    }

    /// The server has said nothing for too long; gives what to send instead, if there is more to
    /// try.
    pub fn handle_silence(&mut self) -> Option<Message> {
        if !self.is_probing() {
            return None;
        }
        // One that was remembered to be modern and died of the question is a new finding.
        self.may_turn = false;
        self.how = How::Silence;
        self.unanswered = Some(self.id.clone());
        self.ask(Question::Initialize)
    }

    /// Takes a message of the server.
    ///
    /// # Errors
    /// When the server refuses all that may be tried, or answers with something we cannot work
    /// with.
    pub fn handle(&mut self, message: Message) -> Result<Step, HandshakeError> {
        match message {
            Message::Response(response) if self.is_answer(&response) => match self.question {
                Question::Discover(asked) => self.discovered(asked, &response.outcome),
                Question::Initialize => self.initialized(response.outcome),
            },
            Message::Response(response)
                if self.unanswered.as_ref().is_some_and(|asked| {
                    response.id.as_ref().is_some_and(|id| id.is_back(asked))
                }) =>
            {
                self.unanswered = None;
                if let Ok(Discovery::Modern(server)) = answer::discovery(&response.outcome) {
                    self.late = Some(server);
                }
                Ok(Step::Other(response.into()))
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

    /// Some servers answer what they do not understand without its id.
    fn is_answer(&self, response: &Response) -> bool {
        match &response.id {
            Some(id) => id.is_back(&self.id),
            None => {
                matches!(self.question, Question::Discover(_))
                    && matches!(response.outcome, Outcome::Error(_))
            }
        }
    }

    fn discovered(&mut self, asked: Version, outcome: &Outcome) -> Result<Step, HandshakeError> {
        let failed = match answer::discovery(outcome) {
            Ok(Discovery::Modern(server)) => return Ok(self.open(server, None)),
            Ok(Discovery::Elsewhere(versions)) => HandshakeError::Version(versions),
            Ok(Discovery::Ask(version)) => {
                // It is a modern one, whatever comes now.
                self.may_turn = false;
                if !self.is_second {
                    self.is_second = true;
                    let next = self.ask(Question::Discover(version));
                    return Ok(Step::Ask(next.expect("two were asked at most")));
                }
                let why = format!("it refuses {asked} and asks for {version}");
                HandshakeError::NotModern(why)
            }
            Err(why) => HandshakeError::NotModern(why),
        };
        if self.may_turn {
            self.may_turn = false;
            self.how = How::Probed;
            let next = self.ask(Question::Initialize);
            return Ok(Step::Ask(next.expect("two were asked at most")));
        }
        Err(self.refusal.take().unwrap_or(failed))
    }

    fn initialized(&mut self, outcome: Outcome) -> Result<Step, HandshakeError> {
        let error = match outcome {
            Outcome::Result(raw) => match answer::initialized(&raw) {
                Ok(server) => {
                    let initialized = Notification::new(method::INITIALIZED, None);
                    return Ok(self.open(server, Some(initialized.into())));
                }
                // There are servers that agree on a revision here that has no sessions.
                Err(error @ HandshakeError::Version(_)) => error,
                Err(error) => return Err(error),
            },
            Outcome::Error(raw) => HandshakeError::Refused(ErrorObject::read(&raw)),
        };
        if let Some(server) = self.late.take() {
            self.how = How::Probed;
            return Ok(self.open(server, None));
        }
        let is_first = self.session == Version::LATEST_LEGACY;
        if let Some(older) =
            answer::older(&error).filter(|older| is_first && *older != self.session)
        {
            self.session = older;
            let next = self.ask(Question::Initialize);
            return Ok(Step::Ask(next.expect("two were asked at most")));
        }
        if !self.may_turn {
            return Err(error);
        }
        self.may_turn = false;
        self.how = How::Probed;
        self.refusal = Some(error);
        let next = self.ask(Question::Discover(Version::LATEST_MODERN));
        Ok(Step::Ask(next.expect("two were asked at most")))
    }

    fn open(&self, server: ServerInfo, initialized: Option<Message>) -> Step {
        Step::Done(Box::new(Opened { server, how: self.how, initialized }))
    }

    /// The next question; `None` when all ids are used, which the rules above never come to.
    fn ask(&mut self, question: Question) -> Option<Message> {
        let id = self.ids.next()?;
        self.question = question;
        self.id = id.into();
        Some(self.message(id))
    }

    fn message(&self, id: u64) -> Message {
        let Opener { capabilities, client, .. } = &self.opener;
        match self.question {
            Question::Discover(version) => discover(id, version, capabilities, client).into(),
            Question::Initialize => {
                let params = edit::object([
                    ("protocolVersion", &*format!("\"{}\"", self.session)),
                    ("capabilities", capabilities.as_str()),
                    ("clientInfo", client.as_str()),
                ]);
                Request::new(id, method::INITIALIZE, Some(params)).into()
            }
        }
    }
}

/// A `server/discover` in this revision: asks what a server is, and whether it is there.
///
/// `capabilities` are those of `initialize`.
#[must_use]
pub fn discover(id: u64, version: Version, capabilities: &Raw, client: &Raw) -> Request {
    let capabilities = modern_capabilities(capabilities);
    let meta = edit::object([
        (modern::PROTOCOL_VERSION, &*format!("\"{version}\"")),
        (modern::CLIENT_INFO, client.as_str()),
        (modern::CLIENT_CAPABILITIES, capabilities.as_str()),
    ]);
    let params = edit::object([("_meta", meta.as_str())]);
    Request::new(id, method::DISCOVER, Some(params))
}

/// The capabilities of a client as stateless revisions know them: roots that change are not told
/// of, because they are asked for anew with every call.
fn modern_capabilities(legacy: &Raw) -> Raw {
    let mut edit = edit::Edit::new(legacy.as_str());
    if let Some(roots) = edit::member(legacy.as_str(), "roots") {
        edit.replace(roots, "{}");
    }
    edit.finish()
}
