//! The client at the other end, and what was agreed with it.

use crate::{behavior::Behavior, era};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

/// How long it waits for the answer to a request of its own.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) behavior: Behavior,
    /// Tools that `grow` added.
    pub(crate) grown: AtomicU64,
    /// Resources the client wants to hear of.
    pub(crate) subscribed: Mutex<BTreeSet<String>>,
    /// What a modern client listens to: ids and filters, by the id as text.
    pub(crate) listens: Mutex<BTreeMap<String, (Value, Value)>>,
    /// Ids, as text, of calls the client gave up.
    cancelled: Mutex<BTreeSet<String>>,
    /// Requests of its own that wait for an answer.
    asked: Mutex<BTreeMap<u64, mpsc::Sender<Value>>>,
    next_id: AtomicU64,
    /// Whether anything was written.
    has_begun: AtomicBool,
    /// Whether what waits for the first call was done.
    pub(crate) has_begun_ill: AtomicBool,
    /// Whether `initialize` was answered and taken, or `server/discover` answered.
    pub(crate) is_open: AtomicBool,
    /// Whether its first request was a modern one.
    pub(crate) pinned: Mutex<Option<bool>>,
    /// Whether it answers as a modern server.
    pub(crate) is_modern: AtomicBool,
}

impl Peer {
    pub(crate) fn new(behavior: Behavior) -> Self {
        Self {
            behavior,
            grown: AtomicU64::new(0),
            subscribed: Mutex::default(),
            listens: Mutex::default(),
            cancelled: Mutex::default(),
            asked: Mutex::default(),
            next_id: AtomicU64::new(1),
            has_begun: AtomicBool::new(false),
            has_begun_ill: AtomicBool::new(false),
            is_open: AtomicBool::new(false),
            pinned: Mutex::default(),
            is_modern: AtomicBool::new(false),
        }
    }

    pub(crate) fn result(&self, id: &Value, result: &Value) {
        let is_modern = self.is_modern.load(Ordering::Relaxed);
        let result = if is_modern { &era::finish(result) } else { result };
        self.answer(id, &json!({ "jsonrpc": "2.0", "id": id, "result": result }));
    }

    pub(crate) fn error(&self, id: &Value, code: i64, why: &str) {
        self.error_with(id, code, why, None);
    }

    pub(crate) fn error_with(&self, id: &Value, code: i64, why: &str, data: Option<Value>) {
        let mut error = json!({ "code": code, "message": why });
        if let Some(data) = data {
            error["data"] = data;
        }
        self.answer(id, &json!({ "jsonrpc": "2.0", "id": id, "error": error }));
    }

    pub(crate) fn notify(&self, method: &str, params: &Value) {
        if let Some(all) = era::listeners(self, method, params) {
            for params in all {
                self.write(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
            }
            return;
        }
        self.write(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Asks the client something and waits for the answer; never on the thread that reads.
    pub(crate) fn ask(&self, method: &str, params: &Value) -> Value {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel();
        self.asked.lock().expect("no panic").insert(id, sender);
        self.write(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| json!({ "error": "no answer came" }))
    }

    /// Takes the answer to a request of its own.
    pub(crate) fn resolve(&self, id: &Value, answer: &Value) {
        let asked = id.as_u64().and_then(|id| self.asked.lock().expect("no panic").remove(&id));
        if let Some(asked) = asked {
            // Whoever asked has lost patience if this fails.
            let _sent: Result<(), _> = asked.send(answer.clone());
        }
    }

    pub(crate) fn cancel(&self, id: &Value) {
        self.listens.lock().expect("no panic").remove(&id.to_string());
        self.cancelled.lock().expect("no panic").insert(id.to_string());
    }

    /// Writes nothing from now on, and lets nobody else write.
    pub(crate) fn deadlock(&self) -> ! {
        let _held = io::stdout().lock();
        crate::linger()
    }

    fn answer(&self, id: &Value, message: &Value) {
        let is_cancelled = self.cancelled.lock().expect("no panic").remove(&id.to_string());
        if is_cancelled && self.behavior.mute_after_cancel {
            return;
        }
        if self.behavior.answer_twice {
            self.write(&json!({ "jsonrpc": "2.0", "id": 4_000_000_000_u64, "result": {} }));
            self.write(message);
        }
        self.write(message);
    }

    fn write(&self, message: &Value) {
        let mut line = Vec::new();
        if self.behavior.garbage {
            line.extend_from_slice(b"starting up, please wait ...\n\xff\xfe{\"\n");
        }
        if self.behavior.windows_lines {
            if !self.has_begun.swap(true, Ordering::Relaxed) {
                line.extend_from_slice(b"\xef\xbb\xbf");
            }
            line.extend_from_slice(self.text(message).as_bytes());
            line.extend_from_slice(b"\r\n\r\n  \t\r\n");
        } else {
            line.extend_from_slice(self.text(message).as_bytes());
            line.push(b'\n');
        }
        self.write_bytes(&line);
    }

    fn text(&self, message: &Value) -> String {
        match message.get("result").filter(|_| self.behavior.id_last) {
            Some(result) => {
                format!(r#"{{"result":{result},"jsonrpc":"2.0","id":{}}}"#, message["id"])
            }
            None => message.to_string(),
        }
    }

    /// Writes bytes as they are.
    pub(crate) fn write_bytes(&self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
            // Nobody listens any more.
            crate::leave(&self.behavior);
        }
    }
}
