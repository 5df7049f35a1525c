//! What a client and its gateway have said, as far as it matters when the gateway is lost.

use bytes::{BufMut as _, Bytes, BytesMut};
use mcplex_proto::{
    error::{ErrorObject, UPSTREAM_DIED},
    id::Id,
    message::{BadMessage, Message, Notification, Request, Response},
    method, modern,
    raw::Raw,
    upstream::UNAVAILABLE_META,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::collections::BTreeMap;

/// What is said of a request whose gateway is gone.
const GONE: &str = "The mcplex that ran this call has ended. It is unknown whether the call took \
                    effect; check before repeating it.";

/// How many requests are remembered that wait; far more than a gateway takes at once.
const MAX_WAITING: usize = 16 * 1024;

/// The session as the client sees it.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// The line with `initialize`, and its id.
    hello: Option<(Bytes, Id)>,
    /// The line that says that the session is open.
    initialized: Option<Bytes>,
    /// Requests without an answer, and how each wants to be told that there will be none.
    waiting: BTreeMap<Id, Wants>,
    /// Whether the gateway is not the first, and the client has had its answer to the first hello.
    is_again: bool,
}

/// How a request is answered whose gateway is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Error,
    /// A call of a tool: what models get to read.
    ToolResult,
    /// The same of a stateless client, whose results say that they are whole.
    StatelessToolResult,
}

impl Wants {
    fn of(request: &Request) -> Self {
        match modern::named_version(request.params.as_ref()) {
            _ if request.method != method::TOOLS_CALL => Self::Error,
            Some(_) => Self::StatelessToolResult,
            None => Self::ToolResult,
        }
    }

    fn answer(self, id: Id, tools_get_results: bool) -> Response {
        if self == Self::Error || !tools_get_results {
            return Response::error(Some(id), &ErrorObject::new(UPSTREAM_DIED, GONE));
        }
        let mut result = json!({
            "content": [{ "type": "text", "text": GONE }],
            "isError": true,
            "_meta": { UNAVAILABLE_META: {
                "code": UPSTREAM_DIED, "sent": true, "outcome": "unknown", "safeToRetry": false,
            } },
        });
        if self == Self::StatelessToolResult {
            result["resultType"] = json!("complete");
        }
        Response::result(id, Raw::of(&result))
    }
}

/// The request that is no longer wanted.
#[derive(Debug, Deserialize)]
struct Cancelled {
    #[serde(rename = "requestId")]
    request_id: Box<RawValue>,
}

/// What a gateway says while a session is being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The answer to the hello, which the client still waits for.
    First,
    /// The same, which the client has had from another gateway.
    Again,
    /// Anything else.
    Other,
}

impl Talk {
    /// Notes a line of the client.
    pub(super) fn client_says(&mut self, line: &Bytes) {
        for message in messages(line) {
            match message {
                Message::Request(request) => {
                    if request.method == method::INITIALIZE {
                        // Copied, so that it does not hold on to all that was read with it.
                        let line = Bytes::copy_from_slice(line);
                        self.hello = Some((line, request.id.clone()));
                    }
                    if self.waiting.len() < MAX_WAITING {
                        let wants = Wants::of(&request);
                        self.waiting.insert(request.id, wants);
                    }
                }
                Message::Notification(notification)
                    if notification.method == method::INITIALIZED =>
                {
                    self.initialized = Some(Bytes::copy_from_slice(line));
                }
                Message::Notification(notification) if notification.method == method::CANCELLED => {
                    // It may never be answered.
                    let params = notification.params.and_then(|params| params.get::<Cancelled>());
                    if let Some(id) = params.and_then(|params| Id::read(&params.request_id)) {
                        self.waiting.remove(&id);
                    }
                }
                Message::Notification(_) | Message::Response(_) => {}
            }
        }
    }

    /// Notes a line of the gateway; nothing is read where nothing waits.
    pub(super) fn gateway_says(&mut self, line: &Bytes) {
        if self.waiting.is_empty() {
            return;
        }
        for message in messages(line) {
            if let Message::Response(Response { id: Some(id), .. }) = message {
                self.waiting.remove(&id);
            }
        }
    }

    /// The gateway is lost: an answer for everything that waits, but for a hello, which is said
    /// again. A tool call gets a result with the error if they are answered so while a server is down.
    pub(super) fn lose(&mut self, tools_get_results: bool) -> Bytes {
        let hello = self.hello.as_ref().map(|(_, id)| id.clone());
        let unanswered = hello.and_then(|id| self.waiting.remove_entry(&id));
        self.is_again = self.hello.is_some() && unanswered.is_none();
        let mut lines = BytesMut::new();
        for (id, wants) in std::mem::take(&mut self.waiting) {
            put(&mut lines, &wants.answer(id, tools_get_results).into());
        }
        self.waiting.extend(unanswered);
        lines.freeze()
    }

    /// What is to be said to another gateway to open the session there: the hello, and what
    /// follows its answer. Nothing if the client has not begun one.
    pub(super) fn opening(&self) -> Option<(Bytes, Bytes)> {
        let (hello, _) = self.hello.as_ref()?;
        Some((hello.clone(), self.initialized.clone().unwrap_or_default()))
    }

    /// What a line is of a gateway that was told the hello.
    pub(super) fn opens(&mut self, line: &Bytes) -> Heard {
        let Some((_, hello)) = &self.hello else { return Heard::Other };
        let is_answer = |message: &Message| matches!(message, Message::Response(response) if response.id.as_ref() == Some(hello));
        if !messages(line).iter().any(is_answer) {
            return Heard::Other;
        }
        if self.waiting.remove(hello).is_some() { Heard::First } else { Heard::Again }
    }

    /// What the client is told once its session is open again: it should read all lists anew.
    pub(super) fn news(&self) -> Bytes {
        let mut lines = BytesMut::new();
        if self.is_again && self.initialized.is_some() {
            for changed in
                [method::TOOLS_CHANGED, method::PROMPTS_CHANGED, method::RESOURCES_CHANGED]
            {
                put(&mut lines, &Notification::new(changed, None).into());
            }
        }
        lines.freeze()
    }
}

fn put(lines: &mut BytesMut, message: &Message) {
    message.write(lines);
    lines.put_u8(b'\n');
}

/// The messages of a line: one, those of a batch, or none if it is something else.
fn messages(line: &Bytes) -> Vec<Message> {
    let line = line.slice(..line.len() - usize::from(line.ends_with(b"\n")));
    let line = line.slice(..line.len() - usize::from(line.ends_with(b"\r")));
    match Message::parse(line.clone()) {
        Ok(message) => vec![message],
        Err(BadMessage::Batch) => {
            let members: Vec<&RawValue> = serde_json::from_slice(&line).unwrap_or_default();
            let parse = |member: &RawValue| Message::parse(line.slice_ref(member.get().as_bytes()));
            members.into_iter().filter_map(|member| parse(member).ok()).collect()
        }
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = r#"{"jsonrpc":"2.0","id":"h","method":"initialize","params":{}}"#;

    fn line(text: &str) -> Bytes {
        format!("{text}\n").into()
    }

    fn request(id: &str) -> Bytes {
        line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{}}}}"#))
    }

    fn answer(id: &str) -> Bytes {
        line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#))
    }

    fn texts(lines: &Bytes) -> Vec<String> {
        std::str::from_utf8(lines).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_waits_gets_one_error_each_and_the_session_is_opened_again() {
        let mut talk = Talk::default();
        talk.client_says(&line(HELLO));
        talk.gateway_says(&answer(r#""h""#));
        talk.client_says(&line(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#));
        let two = format!("[{},{}]", texts(&request("4"))[0], texts(&request("5"))[0]);
        for said in [request("1"), request(r#""1""#), request("3"), line(&two)] {
            talk.client_says(&said);
        }
        talk.gateway_says(&answer("1"));
        let cancelled =
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#;
        talk.client_says(&line(cancelled));
        talk.gateway_says(&line(&format!("[{}]", texts(&answer("5"))[0])));
        let errors = texts(&talk.lose(true));
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].starts_with(r#"{"jsonrpc":"2.0","id":4,"error":{"code":-31003,"#));
        assert!(errors[1].contains(r#""id":"1""#), "{errors:?}");
        assert!(talk.lose(true).is_empty(), "one each");
        let (hello, initialized) = talk.opening().unwrap();
        assert_eq!(hello, line(HELLO));
        assert!(initialized.ends_with(b"initialized\"}\n"));
        assert_eq!(talk.opens(&answer("9")), Heard::Other);
        assert_eq!(talk.opens(&answer(r#""h""#)), Heard::Again);
        assert_eq!(texts(&talk.news()).len(), 3);
    }

    #[test]
    fn a_tool_call_is_told_so_that_a_model_can_read_it() {
        let call = |params: &str| {
            line(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#))
        };
        let stateless = format!(r#"{{"_meta":{{"{}":"2026-07-28"}}}}"#, modern::PROTOCOL_VERSION);
        let lost = |params: &str, as_results| {
            let mut talk = Talk::default();
            talk.client_says(&call(params));
            let lines = texts(&talk.lose(as_results));
            serde_json::from_str::<serde_json::Value>(&lines[0]).unwrap()
        };
        for (params, whole) in [("{}", json!(null)), (&*stateless, json!("complete"))] {
            let result = lost(params, true)["result"].take();
            assert_eq!(result["isError"], true, "{result}");
            assert_eq!(result["content"][0]["text"], GONE);
            assert_eq!(result["_meta"][UNAVAILABLE_META]["code"], UPSTREAM_DIED);
            assert_eq!(result["resultType"], whole);
            assert_eq!(lost(params, false)["error"]["code"], UPSTREAM_DIED);
        }
    }

    #[test]
    fn a_hello_that_nobody_has_answered_is_said_again_and_answered_once() {
        let mut talk = Talk::default();
        assert_eq!(talk.opening(), None);
        talk.client_says(&line(HELLO));
        assert!(talk.lose(true).is_empty());
        assert_eq!(talk.opening(), Some((line(HELLO), Bytes::new())));
        assert_eq!(talk.opens(&answer(r#""h""#)), Heard::First);
        assert!(talk.news().is_empty(), "nothing was read yet");
        assert!(talk.lose(true).is_empty());
        assert_eq!(talk.opens(&answer(r#""h""#)), Heard::Again);
    }
}
