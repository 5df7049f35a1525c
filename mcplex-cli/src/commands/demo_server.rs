//! `mcplex demo-server NAME`: the two servers of the built-in demo.
//!
//! `notes` keeps notes in memory and shows them as resources; `fragile` crashes when it is asked
//! to, so that a newcomer can watch a respawn and a trip.

use crate::{args::Demo, exit::Failure};
use mcplex_proto::{
    error::ErrorObject,
    message::{Message, Notification, Request, Response},
    method,
    raw::Raw,
    version::Version,
};
use serde_json::{Value, json};
use std::io::{BufRead as _, Write as _};

/// What `crash` exits with, to be told from real failures.
const CRASH_CODE: i32 = 42;

/// Notes that are kept; a demo need not grow.
const MAX_NOTES: usize = 100;

/// Serves until stdin ends.
pub(crate) fn run(demo: Demo) -> Result<(), Failure> {
    let mut server = Server { demo, notes: Vec::new(), calls: 0 };
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let answers = match Message::parse(line.into_bytes().into()) {
            Ok(Message::Request(request)) => server.serve(&request),
            Ok(Message::Notification(_) | Message::Response(_)) => Vec::new(),
            Err(bad) => vec![bad.to_response().into()],
        };
        for answer in answers {
            let mut bytes = answer.to_bytes().to_vec();
            bytes.push(b'\n');
            let mut out = std::io::stdout().lock();
            if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

struct Server {
    demo: Demo,
    notes: Vec<String>,
    calls: u64,
}

impl Server {
    fn serve(&mut self, request: &Request) -> Vec<Message> {
        let params: Value = request.params.as_ref().and_then(Raw::get).unwrap_or_else(|| json!({}));
        let before = self.notes.len();
        let result = match &*request.method {
            method::INITIALIZE => Ok(self.greet(&params)),
            method::PING => Ok(json!({})),
            method::TOOLS_LIST => Ok(json!({ "tools": self.tools() })),
            method::TOOLS_CALL => self.call(&params),
            method::RESOURCES_LIST if self.demo == Demo::Notes => Ok(self.resources()),
            method::RESOURCES_READ if self.demo == Demo::Notes => self.read(&params),
            method::PROMPTS_LIST if self.demo == Demo::Notes => Ok(prompts()),
            method::PROMPTS_GET if self.demo == Demo::Notes => Ok(self.prompt()),
            other => Err(ErrorObject::method_not_found(other)),
        };
        let response = match result {
            Ok(result) => Response::result(request.id.clone(), Raw::of(&result)),
            Err(error) => Response::error(Some(request.id.clone()), &error),
        };
        let mut messages = vec![response.into()];
        if self.notes.len() != before {
            messages.push(Notification::new(method::RESOURCES_CHANGED, None).into());
        }
        messages
    }

    fn greet(&self, params: &Value) -> Value {
        let version = Version::answer(params["protocolVersion"].as_str().unwrap_or_default());
        let capabilities = match self.demo {
            Demo::Notes => {
                json!({ "tools": {}, "prompts": {}, "resources": { "listChanged": true } })
            }
            Demo::Fragile => json!({ "tools": {} }),
        };
        json!({
            "protocolVersion": version.as_str(),
            "capabilities": capabilities,
            "serverInfo": {
                "name": format!("mcplex-demo-{}", if self.demo == Demo::Notes { "notes" } else { "fragile" }),
                "version": env!("CARGO_PKG_VERSION"),
            },
        })
    }

    fn tools(&self) -> Value {
        let nothing = json!({ "type": "object" });
        match self.demo {
            Demo::Notes => json!([
                { "name": "add_note", "description": "Keeps a note until mcplex ends",
                  "inputSchema": { "type": "object", "required": ["text"],
                    "properties": { "text": { "type": "string" } } } },
                { "name": "list_notes", "description": "Shows all notes", "inputSchema": nothing,
                  "annotations": { "readOnlyHint": true } },
            ]),
            Demo::Fragile => json!([
                { "name": "crash", "description": "Ends this demo server with an error, on purpose",
                  "inputSchema": nothing },
                { "name": "count", "description": "Counts its own calls since the server started",
                  "inputSchema": nothing },
            ]),
        }
    }

    fn call(&mut self, params: &Value) -> Result<Value, ErrorObject> {
        self.calls += 1;
        let text = match (self.demo, params["name"].as_str().unwrap_or_default()) {
            (Demo::Notes, "add_note") => {
                let text = params["arguments"]["text"].as_str().ok_or_else(|| {
                    ErrorObject::invalid_params("`text` must be there and be a string")
                })?;
                if self.notes.len() >= MAX_NOTES {
                    self.notes.remove(0);
                }
                self.notes.push(text.to_owned());
                format!("Note {} is kept.", self.notes.len())
            }
            (Demo::Notes, "list_notes") if self.notes.is_empty() => "There is no note.".to_owned(),
            (Demo::Notes, "list_notes") => self.notes.join("\n"),
            (Demo::Fragile, "count") => format!("{} calls since the start.", self.calls),
            (Demo::Fragile, "crash") => crash(),
            (_, other) => {
                return Err(ErrorObject::invalid_params(format_args!("unknown tool {other:?}")));
            }
        };
        Ok(json!({ "content": [{ "type": "text", "text": text }] }))
    }

    fn resources(&self) -> Value {
        let list: Vec<_> = (1..=self.notes.len())
            .map(|n| json!({ "uri": format!("note://{n}"), "name": format!("Note {n}"), "mimeType": "text/plain" }))
            .collect();
        json!({ "resources": list })
    }

    fn read(&self, params: &Value) -> Result<Value, ErrorObject> {
        let uri = params["uri"].as_str().unwrap_or_default();
        let number = uri.strip_prefix("note://").and_then(|n| n.parse::<usize>().ok());
        let note = number.and_then(|n| self.notes.get(n.checked_sub(1)?));
        let note = note.ok_or_else(|| {
            ErrorObject::new(mcplex_proto::error::RESOURCE_NOT_FOUND, "There is no such note")
        })?;
        Ok(json!({ "contents": [{ "uri": uri, "mimeType": "text/plain", "text": note }] }))
    }

    fn prompt(&self) -> Value {
        let text = format!("Summarize these notes:\n{}", self.notes.join("\n"));
        json!({ "messages": [{ "role": "user", "content": { "type": "text", "text": text } }] })
    }
}

fn prompts() -> Value {
    json!({ "prompts": [{ "name": "summarize", "description": "Summarizes the notes" }] })
}

/// Ends as a broken server does: without an answer.
#[expect(clippy::exit, reason = "a crash is what the tool is for")]
fn crash() -> ! {
    let _is_read = std::io::stderr().write_all(b"crash was called, so this demo server ends now\n");
    std::process::exit(CRASH_CODE)
}
