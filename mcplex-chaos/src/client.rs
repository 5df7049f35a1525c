//! A small MCP client over Streamable HTTP that blocks, and keeps a ledger of its calls.

use crate::{
    ledger::{Ledger, MARK},
    patience::LONG,
};
use anyhow::{Context as _, bail, ensure};
use mcplex_proto::upstream::UNAVAILABLE_META;
use mcplex_testkit::wire::{Head, Wire};
use serde_json::{Value, json};
use std::{
    io::{self, Write as _},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// The revision it speaks.
const VERSION: &str = "2025-11-25";

/// Tells clients of one run apart.
static CLIENTS: AtomicU64 = AtomicU64::new(1);

/// A session.
#[derive(Debug)]
pub(crate) struct Client {
    place: Place,
    /// Kept alive from one request to the next.
    wire: Wire,
    number: u64,
    next_id: u64,
    ledger: Arc<Ledger>,
}

/// Where the endpoint is, and which session this is.
#[derive(Clone, Debug)]
struct Place {
    address: String,
    path: String,
    session: String,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// The tool ran; the text it gave.
    Ran(String),
    /// mcplex or the server refused it, with this code and these words.
    Refused(i64, String),
}

impl Answer {
    fn of(message: &Value) -> Self {
        let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
        if let Some(code) = message["error"]["code"].as_i64() {
            return Self::Refused(code, text(&message["error"]["message"]));
        }
        let result = &message["result"];
        let words = text(&result["content"][0]["text"]);
        match result["_meta"][UNAVAILABLE_META]["code"].as_i64() {
            Some(code) => Self::Refused(code, words),
            None => Self::Ran(words),
        }
    }

    /// The text of a call that ran.
    pub(crate) fn good(&self) -> anyhow::Result<&str> {
        match self {
            Self::Ran(text) => Ok(text),
            Self::Refused(code, why) => bail!("refused with {code}: {why}"),
        }
    }

    /// The code of a call that was refused; 0 if it ran.
    pub(crate) fn code(&self) -> i64 {
        match self {
            Self::Ran(_) => 0,
            Self::Refused(code, _) => *code,
        }
    }
}

impl Client {
    pub(crate) fn connect(url: &str, ledger: Arc<Ledger>) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").context("it is no HTTP endpoint")?;
        let (address, path) = rest.split_once('/').context("it has no path")?;
        let place =
            Place { address: address.to_owned(), path: format!("/{path}"), session: String::new() };
        let wire = place.open().context("failed to connect")?;
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        let mut client = Self { place, wire, number, next_id: 0, ledger };
        let info = json!({ "name": "chaos", "version": "0" });
        let hello = json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": info });
        let answer = client.request("initialize", &hello)?;
        ensure!(answer["result"]["protocolVersion"] == VERSION, "no session: {answer}");
        client.notify("notifications/initialized")?;
        Ok(client)
    }

    /// Sends a request and gives its answer, without what came before it.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let mut answers = self.answers(method, params)?;
        ensure!(answers.len() == 1, "{method} got {} answers", answers.len());
        Ok(answers.swap_remove(0))
    }

    /// Sends a request and gives every answer it gets, which should be one.
    fn answers(&mut self, method: &str, params: &Value) -> anyhow::Result<Vec<Value>> {
        let (id, body) = self.message(method, params);
        let (head, messages) = self.post(&body)?;
        ensure!(head.status == 200, "{method} got HTTP {}: {messages:?}", head.status);
        let mut answers = Vec::new();
        for text in messages {
            let message: Value = serde_json::from_str(&text).context("an answer is no JSON")?;
            if message["id"] == id && message["method"].is_null() {
                answers.push(message);
            }
        }
        Ok(answers)
    }

    /// Calls a tool.
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<Answer> {
        let (mark, params) = self.marked(tool, arguments);
        let answers = self.answers("tools/call", &params)?;
        let mut answers: Vec<_> = answers.iter().map(Answer::of).collect();
        for answer in &answers {
            self.ledger.answer(&mark, answer.code() == 0);
        }
        answers.pop().with_context(|| format!("{tool} was not answered"))
    }

    /// Calls a tool with these arguments and no mark, so that two calls can be the same.
    pub(crate) fn call_as_is(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<Answer> {
        let params = json!({ "name": tool, "arguments": arguments });
        Ok(Answer::of(&self.request("tools/call", &params)?))
    }

    /// The names of the tools.
    pub(crate) fn tools(&mut self) -> anyhow::Result<Vec<String>> {
        let answer = self.request("tools/list", &json!({}))?;
        let tools = answer["result"]["tools"].as_array().context("no list of tools")?;
        Ok(tools.iter().filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect())
    }

    /// Waits until all these tools are listed: a gateway is there before its servers are.
    pub(crate) fn wait_for_tools(&mut self, tools: &[&str]) -> anyhow::Result<()> {
        let deadline = Instant::now() + LONG;
        loop {
            let listed = self.tools()?;
            if tools.iter().all(|tool| listed.iter().any(|one| one == tool)) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{tools:?} are never listed, but {listed:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn notify(&mut self, method: &str) -> anyhow::Result<()> {
        let (head, _) = self.post(&json!({ "jsonrpc": "2.0", "method": method }).to_string())?;
        ensure!(head.status == 202, "{method} got HTTP {}", head.status);
        Ok(())
    }

    /// Begins a call on a connection of its own, and does not wait.
    pub(crate) fn begin(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<Pending> {
        let (mark, params) = self.marked(tool, arguments);
        let (id, body) = self.message("tools/call", &params);
        self.place.begin(id, &self.place.request("POST", &body), mark, Arc::clone(&self.ledger))
    }

    /// Opens the stream for what belongs to no request.
    pub(crate) fn listen(&self) -> anyhow::Result<Pending> {
        let request = self.place.request("GET", "");
        self.place.begin(0, &request, String::new(), Arc::clone(&self.ledger))
    }

    /// Begins a call that wants to hear of its progress, and reads nothing of what comes.
    pub(crate) fn begin_unread(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<Unread> {
        let (mark, mut params) = self.marked(tool, arguments);
        params["_meta"] = json!({ "progressToken": mark });
        let (id, body) = self.message("tools/call", &params);
        let wire = self.place.open()?;
        wire.socket().write_all(self.place.request("POST", &body).as_bytes())?;
        Ok(Unread { id, mark, wire, ledger: Arc::clone(&self.ledger) })
    }

    /// The socket of its session, to be cut or left unread.
    pub(crate) fn raw(
        &mut self,
        tool: &str,
        arguments: &Value,
    ) -> anyhow::Result<(TcpStream, String)> {
        let (mark, params) = self.marked(tool, arguments);
        self.ledger.abandon(&mark);
        let (_, body) = self.message("tools/call", &params);
        let wire = self.place.open()?;
        Ok((wire.socket().try_clone()?, self.place.request("POST", &body)))
    }

    fn marked(&mut self, tool: &str, arguments: &Value) -> (String, Value) {
        let mark = format!("{}-{}", self.number, self.next_id);
        let mut arguments = arguments.clone();
        arguments[MARK] = json!(mark);
        self.ledger.begin(&mark);
        (mark, json!({ "name": tool, "arguments": arguments }))
    }

    fn message(&mut self, method: &str, params: &Value) -> (u64, String) {
        self.next_id += 1;
        let id = self.next_id;
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        (id, message.to_string())
    }

    fn post(&mut self, body: &str) -> anyhow::Result<(Head, Vec<String>)> {
        let request = self.place.request("POST", body);
        let mut messages = Vec::new();
        let head =
            self.wire.exchange(request.as_bytes(), |_| {}, |message| messages.push(message))?;
        if let Some(session) = &head.session {
            self.place.session.clone_from(session);
        }
        Ok((head, messages))
    }
}

impl Place {
    fn open(&self) -> io::Result<Wire> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(2 * LONG))?;
        stream.set_write_timeout(Some(LONG))?;
        Ok(Wire::new(stream))
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

    fn begin(
        &self,
        id: u64,
        request: &str,
        mark: String,
        ledger: Arc<Ledger>,
    ) -> anyhow::Result<Pending> {
        let mut wire = self.open()?;
        let socket = wire.socket().try_clone()?;
        let (sender, messages) = mpsc::channel();
        let request = request.to_owned();
        thread::spawn(move || {
            // Whoever began it has what came, and sees that nothing more does.
            let _end = wire.exchange(
                request.as_bytes(),
                |_| {},
                // Whoever began it may have gone.
                |message| drop(sender.send(message)),
            );
        });
        Ok(Pending { id, mark, messages, socket, ledger })
    }
}

/// A call whose answer, and what comes before it, nobody has read yet.
#[derive(Debug)]
pub(crate) struct Unread {
    id: u64,
    mark: String,
    wire: Wire,
    ledger: Arc<Ledger>,
}

impl Unread {
    /// Reads all of it: the steps that its progress came to, and the answer.
    pub(crate) fn read(mut self) -> anyhow::Result<(Vec<u64>, Answer)> {
        let (mut steps, mut answer) = (Vec::new(), None);
        self.wire.exchange(
            &[],
            |_| {},
            |text| {
                let message: Value = serde_json::from_str(&text).unwrap_or_default();
                steps.extend(message["params"]["progress"].as_u64());
                if message["id"] == self.id && message["method"].is_null() {
                    answer = Some(Answer::of(&message));
                }
            },
        )?;
        let answer = answer.context("a call is not answered")?;
        self.ledger.answer(&self.mark, answer.code() == 0);
        Ok((steps, answer))
    }
}

/// A request on its way, or an open stream.
#[derive(Debug)]
pub(crate) struct Pending {
    id: u64,
    mark: String,
    messages: mpsc::Receiver<String>,
    socket: TcpStream,
    ledger: Arc<Ledger>,
}

impl Pending {
    /// The answer; what comes before it is passed over.
    pub(crate) fn answer(&self) -> anyhow::Result<Answer> {
        self.answer_within(2 * LONG)
    }

    pub(crate) fn answer_within(&self, limit: Duration) -> anyhow::Result<Answer> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let text = self.messages.recv_timeout(left).context("a call is not answered")?;
            let message: Value = serde_json::from_str(&text).context("an answer is no JSON")?;
            if message["id"] == self.id && message["method"].is_null() {
                let answer = Answer::of(&message);
                self.ledger.answer(&self.mark, answer.code() == 0);
                return Ok(answer);
            }
        }
    }

    /// What came so far and was not looked at.
    pub(crate) fn rest(&self) -> Vec<Value> {
        self.messages.try_iter().filter_map(|text| serde_json::from_str(&text).ok()).collect()
    }

    /// Vanishes without a word.
    pub(crate) fn vanish(self) {
        self.ledger.abandon(&self.mark);
        // It may have been closed from the other side.
        drop(self.socket.shutdown(Shutdown::Both));
    }
}
