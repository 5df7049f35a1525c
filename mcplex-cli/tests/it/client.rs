//! A small MCP client over HTTP that blocks, and keeps the bytes it got.

use crate::gateway::PATIENCE;
use mcplex_testkit::wire::{Head, Wire};
use serde_json::{Value, json};
use std::{
    net::{Shutdown, TcpStream},
    sync::mpsc,
    thread,
};

/// The revision it speaks.
pub(crate) const VERSION: &str = "2025-11-25";

/// A session.
#[derive(Debug)]
pub(crate) struct Client {
    place: Place,
    /// Kept alive from one request to the next.
    wire: Wire,
    next_id: u64,
}

/// Where the endpoint is, and which session this is.
#[derive(Clone, Debug)]
struct Place {
    address: String,
    path: String,
    session: String,
}

impl Client {
    /// Connects as a client that can do nothing for a server.
    pub(crate) fn connect(url: &str) -> Self {
        Self::connect_with(url, &json!({}))
    }

    pub(crate) fn connect_with(url: &str, capabilities: &Value) -> Self {
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let place =
            Place { address: address.to_owned(), path: format!("/{path}"), session: String::new() };
        let wire = place.open();
        let mut client = Self { place, wire, next_id: 0 };
        let answer = client.request("initialize", &initialize(capabilities));
        assert_eq!(answer["result"]["protocolVersion"], VERSION, "{answer}");
        client.notify("notifications/initialized", &json!({}));
        client
    }

    /// Sends a request and gives its answer, without what came before it.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        serde_json::from_str(&self.request_raw(method, &params.to_string())).unwrap()
    }

    /// The same, in the bytes that came.
    pub(crate) fn request_raw(&mut self, method: &str, params: &str) -> String {
        let (_, body) = self.message(method, params);
        let (head, mut messages) = self.post(&body);
        assert_eq!(head.status, 200, "{method}: {messages:?}");
        messages.pop().unwrap_or_else(|| panic!("{method} was not answered"))
    }

    /// Calls a tool and gives the result.
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        let mut answer = self.request("tools/call", &params);
        assert!(answer["error"].is_null(), "{tool}: {answer}");
        answer["result"].take()
    }

    /// The names of the tools.
    pub(crate) fn tools(&mut self) -> Vec<String> {
        let answer = self.request("tools/list", &json!({}));
        let tools = answer["result"]["tools"].as_array().unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until all these tools are listed: a gateway is there before its servers are.
    pub(crate) fn wait_for_tools(&mut self, tools: &[&str]) {
        let stream = self.listen();
        for _ in 0..100 {
            let listed = self.tools();
            if tools.iter().all(|tool| listed.iter().any(|one| one == tool)) {
                return stream.vanish();
            }
            stream.next_of("notifications/tools/list_changed");
        }
        panic!("{tools:?} are never listed");
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.tell(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Answers a request of the server.
    pub(crate) fn respond(&mut self, id: &Value, result: &Value) {
        self.tell(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
    }

    fn tell(&mut self, message: &Value) {
        let (head, _) = self.post(&message.to_string());
        assert_eq!(head.status, 202, "{message}");
    }

    /// Sends a request on a connection of its own, and does not wait.
    pub(crate) fn begin(&mut self, method: &str, params: &Value) -> Pending {
        let (id, body) = self.message(method, &params.to_string());
        self.place.begin(id, self.place.request("POST", &body))
    }

    pub(crate) fn begin_call(&mut self, tool: &str, arguments: &Value) -> Pending {
        self.begin("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// Opens the stream for what belongs to no request, and waits until it is open.
    pub(crate) fn listen(&self) -> Pending {
        let pending = self.place.begin(0, self.place.request("GET", ""));
        let head = pending.heads.recv_timeout(PATIENCE).expect("the stream opens");
        assert_eq!(head.status, 200);
        pending
    }

    /// Ends the session.
    pub(crate) fn delete(mut self) {
        let request = self.place.request("DELETE", "");
        let head = self.wire.exchange(request.as_bytes(), |_| {}, |_| {}).unwrap();
        assert!((200..300).contains(&head.status), "{head:?}");
    }

    fn message(&mut self, method: &str, params: &str) -> (u64, String) {
        self.next_id += 1;
        let id = self.next_id;
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        (id, body)
    }

    fn post(&mut self, body: &str) -> (Head, Vec<String>) {
        let request = self.place.request("POST", body);
        let mut messages = Vec::new();
        let head = self
            .wire
            .exchange(request.as_bytes(), |_| {}, |message| messages.push(message))
            .unwrap_or_else(|error| panic!("{body}: {error}"));
        if let Some(session) = &head.session {
            self.place.session.clone_from(session);
        }
        (head, messages)
    }
}

/// What `initialize` says for a test.
pub(crate) fn initialize(capabilities: &Value) -> Value {
    json!({
        "protocolVersion": VERSION,
        "capabilities": capabilities,
        "clientInfo": { "name": "test", "version": "0" },
    })
}

/// The text of a tool's result.
pub(crate) fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {result}"))
}

/// A new connection.
pub(crate) fn connect(address: &str) -> Wire {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Wire::new(stream)
}

impl Place {
    fn open(&self) -> Wire {
        connect(&self.address)
    }

    fn request(&self, method: &str, body: &str) -> String {
        let Self { address, path, session } = self;
        let session = match session.as_str() {
            "" => String::new(),
            session => {
                format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: {VERSION}\r\n")
            }
        };
        let accept = match method {
            "GET" => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: {accept}\r\n{session}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn begin(&self, id: u64, request: String) -> Pending {
        Pending::begin(&self.address, id, request)
    }
}

impl Pending {
    /// Sends a request on a connection of its own, and does not wait.
    pub(crate) fn begin(address: &str, id: u64, request: String) -> Self {
        let mut wire = connect(address);
        let socket = wire.socket().try_clone().unwrap();
        let (on_head, heads) = mpsc::channel();
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            // Whoever waits sees that nothing comes any more; nobody may wait.
            drop(wire.exchange(
                request.as_bytes(),
                |head| drop(on_head.send(head.clone())),
                |message| drop(sender.send(message)),
            ));
        });
        Self { id, heads, messages, socket }
    }
}

/// A request on its way, or an open stream.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The id of the request.
    pub(crate) id: u64,
    heads: mpsc::Receiver<Head>,
    messages: mpsc::Receiver<String>,
    socket: TcpStream,
}

impl Pending {
    /// What the answer begins with.
    #[track_caller]
    pub(crate) fn head(&self) -> Head {
        self.heads.recv_timeout(PATIENCE).expect("an answer begins")
    }

    /// The next message.
    #[track_caller]
    pub(crate) fn next(&self) -> Value {
        serde_json::from_str(&self.next_text()).unwrap()
    }

    /// The next message, or what else an event carries.
    #[track_caller]
    pub(crate) fn next_text(&self) -> String {
        self.messages.recv_timeout(PATIENCE).expect("a message comes")
    }

    /// The next message of a method; others are passed over.
    #[track_caller]
    pub(crate) fn next_of(&self, method: &str) -> Value {
        (0..1_000).map(|_| self.next()).find(|message| message["method"] == method).unwrap()
    }

    /// The answer to the request; what comes before it is passed over.
    #[track_caller]
    pub(crate) fn answer(&self) -> Value {
        (0..1_000)
            .map(|_| self.next())
            .find(|message| message["id"] == self.id && message["method"].is_null())
            .unwrap()
    }

    /// What came so far and was not looked at.
    pub(crate) fn rest(&self) -> Vec<Value> {
        self.messages.try_iter().map(|text| serde_json::from_str(&text).unwrap()).collect()
    }

    /// Waits for the end of the stream, and gives what came before it.
    pub(crate) fn ended(&self) -> Vec<Value> {
        let mut rest = Vec::new();
        loop {
            match self.messages.recv_timeout(PATIENCE) {
                Ok(text) => rest.push(serde_json::from_str(&text).unwrap()),
                Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the stream does not end"),
            }
        }
    }

    /// Vanishes without a word.
    pub(crate) fn vanish(self) {
        drop(self.socket.shutdown(Shutdown::Both));
    }
}
