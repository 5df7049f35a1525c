//! A client of the stateless revision over HTTP.

use crate::client::{Pending, connect};
use mcplex_testkit::wire::Wire;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The revision it speaks.
pub(crate) const VERSION: &str = "2026-07-28";

/// Whoever asks without a session.
#[derive(Debug)]
pub(crate) struct Stateless {
    address: String,
    path: String,
    wire: Wire,
    capabilities: Value,
    /// More headers, each with its line break.
    pub(crate) headers: String,
    next_id: u64,
}

impl Stateless {
    pub(crate) fn new(url: &str) -> Self {
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let (address, path) = (address.to_owned(), format!("/{path}"));
        let wire = connect(&address);
        Self { address, path, wire, capabilities: json!({}), headers: String::new(), next_id: 0 }
    }

    /// One that says it can do this.
    pub(crate) fn able(url: &str, capabilities: Value) -> Self {
        Self { capabilities, ..Self::new(url) }
    }

    /// Sends a request and gives status and answer, without what came before it.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> (u16, Value) {
        let (_, request) = self.message(method, params);
        let mut messages = Vec::new();
        let head = self.wire.exchange(request.as_bytes(), |_| {}, |message| messages.push(message));
        let head = head.unwrap_or_else(|error| panic!("{method}: {error}"));
        assert_eq!(head.session, None, "{method}");
        let answer = messages.pop().unwrap_or_else(|| panic!("{method} was not answered"));
        (head.status, serde_json::from_str(&answer).unwrap())
    }

    /// Sends a request that succeeds, and gives its result.
    #[track_caller]
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        let (status, mut answer) = self.ask(method, params);
        assert_eq!((status, &answer["error"]), (200, &Value::Null), "{method}: {answer}");
        answer["result"].take()
    }

    /// Calls a tool and gives the result.
    #[track_caller]
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.request("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// Sends a request on a connection of its own, and does not wait.
    pub(crate) fn begin(&mut self, method: &str, params: &Value) -> Pending {
        let (id, request) = self.message(method, params);
        Pending::begin(&self.address, id, request)
    }

    fn message(&mut self, method: &str, params: &Value) -> (u64, String) {
        self.next_id += 1;
        let id = self.next_id;
        let params = with_envelope(params, &self.capabilities);
        let name = ["name", "uri", "taskId"].iter().find_map(|member| params[member].as_str());
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let body = body.to_string();
        let mut request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {VERSION}\r\n\
             Mcp-Method: {method}\r\nContent-Length: {}\r\n{}",
            self.path,
            self.address,
            body.len(),
            self.headers
        );
        if let Some(name) = name {
            write!(request, "Mcp-Name: {name}\r\n").unwrap();
        }
        write!(request, "\r\n{body}").unwrap();
        (id, request)
    }
}

/// Parameters with what a stateless request says of itself.
pub(crate) fn with_envelope(params: &Value, capabilities: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(VERSION);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
    params["_meta"]["io.modelcontextprotocol/clientInfo"] =
        json!({ "name": "test", "version": "0" });
    params
}

/// Which subscription a message says it belongs to.
pub(crate) fn subscription(message: &Value) -> &Value {
    let meta = if message["method"].is_null() { &message["result"] } else { &message["params"] };
    &meta["_meta"]["io.modelcontextprotocol/subscriptionId"]
}
