//! A client that starts `mcplex stdio` and speaks over its pipes.

use crate::{
    client,
    gateway::{Gateway, PATIENCE, Setup},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{ChildStdin, Stdio},
    sync::mpsc,
    thread,
};

/// A client, and the gateway it started.
#[derive(Debug)]
pub(crate) struct StdioClient {
    pub(crate) gateway: Gateway,
    stdin: Option<ChildStdin>,
    messages: mpsc::Receiver<String>,
    next_id: u64,
}

impl StdioClient {
    /// Starts `mcplex stdio` with more arguments, and opens the session.
    pub(crate) fn start(setup: &Setup, args: &[&str]) -> Self {
        let mut client = Self::open(setup, args);
        let answer = client.request("initialize", &client::initialize(&json!({})));
        assert_eq!(answer["result"]["protocolVersion"], client::VERSION, "{answer}");
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    /// The same without a session, which a client of 2026-07-28 has not.
    pub(crate) fn open(setup: &Setup, args: &[&str]) -> Self {
        let mut gateway = setup.start(&[&["stdio"], args].concat(), Stdio::piped());
        let stdin = gateway.child.stdin.take();
        let stdout = gateway.child.stdout.take().unwrap();
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        Self { gateway, stdin, messages, next_id: 0 }
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.stdin.as_ref().unwrap(), "{message}").unwrap();
    }

    /// Sends a request and gives its id.
    pub(crate) fn begin(&mut self, method: &str, params: &Value) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// The answer to a request; what comes before it is passed over.
    #[track_caller]
    pub(crate) fn answer(&self, id: u64) -> Value {
        (0..1_000)
            .map(|_| {
                let line = self.messages.recv_timeout(PATIENCE).expect("an answer comes");
                serde_json::from_str::<Value>(&line).unwrap()
            })
            .find(|message| message["id"] == id && message["method"].is_null())
            .unwrap()
    }

    /// The next message, whatever it is.
    #[track_caller]
    pub(crate) fn next(&self) -> Value {
        let line = self.messages.recv_timeout(PATIENCE).expect("a message comes");
        serde_json::from_str(&line).unwrap()
    }

    /// The next notification; answers before it are passed over.
    #[track_caller]
    pub(crate) fn notification(&self) -> Value {
        (0..1_000)
            .map(|_| {
                let line = self.messages.recv_timeout(PATIENCE).expect("a notification comes");
                serde_json::from_str::<Value>(&line).unwrap()
            })
            .find(|message| message["id"].is_null())
            .unwrap()
    }

    #[track_caller]
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        let id = self.begin(method, params);
        self.answer(id)
    }

    #[track_caller]
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        let mut answer = self.request("tools/call", &params);
        assert!(answer["error"].is_null(), "{tool}: {answer}");
        answer["result"].take()
    }

    /// The next answers, by the ids of their requests; what comes between is passed over.
    #[track_caller]
    pub(crate) fn answers(&self, count: usize) -> BTreeMap<u64, Value> {
        let next = |_| {
            let answer = self.wait(|message| message["method"].is_null());
            (answer["id"].as_u64().unwrap(), answer)
        };
        (0..count).map(next).collect()
    }

    /// The next such message; what comes before it is passed over.
    #[track_caller]
    pub(crate) fn wait(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        (0..1_000)
            .map(|_| {
                let line = self.messages.recv_timeout(PATIENCE).expect("a message comes");
                serde_json::from_str::<Value>(&line).unwrap()
            })
            .find(is_it)
            .unwrap()
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Closes its end, as a client that leaves.
    pub(crate) fn leave(&mut self) {
        self.stdin = None;
    }
}
