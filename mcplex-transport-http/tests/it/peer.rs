//! A client that speaks HTTP by hand, so that every byte is in sight of the test.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// The latest revision.
pub(crate) const LATEST: &str = "2025-11-25";

/// Fails a test that waits for what never comes.
pub(crate) async fn within<F: Future>(wait: F) -> F::Output {
    timeout(Duration::from_secs(10), wait).await.expect("it comes in time")
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
}

impl Head {
    /// A header, or an empty text.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// One event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) data: String,
    pub(crate) comment: String,
    pub(crate) retry: String,
    pub(crate) kind: String,
}

/// One connection, and the session it speaks for.
pub(crate) struct Peer {
    socket: BufReader<TcpStream>,
    pub(crate) session: String,
    /// What was read of the stream and belongs to no whole event yet.
    text: String,
}

impl Peer {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let socket = BufReader::new(within(TcpStream::connect(addr)).await.unwrap());
        Self { socket, session: String::new(), text: String::new() }
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        within(self.socket.write_all(bytes)).await.unwrap();
    }

    /// Sends a request; `headers` are whole lines without their ends.
    pub(crate) async fn request(&mut self, method: &str, headers: &[&str], body: &str) {
        self.request_to("/mcp", method, headers, body).await;
    }

    async fn request_to(&mut self, uri: &str, method: &str, headers: &[&str], body: &str) {
        let mut text = format!("{method} {uri} HTTP/1.1\r\n");
        let mut line = |line: &str| {
            text.push_str(line);
            text.push_str("\r\n");
        };
        let has = |name: &str| headers.iter().any(|header| header.starts_with(name));
        headers.iter().for_each(|header| line(header));
        if !has("Host") {
            line("Host: localhost");
        }
        if !has("Accept") {
            line("Accept: application/json, text/event-stream");
        }
        if !has("Content-Type") {
            line("Content-Type: application/json");
        }
        if !self.session.is_empty() && !has("Mcp-Session-Id") {
            line(&format!("Mcp-Session-Id: {}", self.session));
        }
        if method == "POST" && !has("Content-Length") {
            line(&format!("Content-Length: {}", body.len()));
        }
        line("");
        text.push_str(body);
        self.write(text.as_bytes()).await;
    }

    /// Reads the head of a response.
    pub(crate) async fn head(&mut self) -> Head {
        let first = self.line().await;
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = BTreeMap::new();
        for _ in 0..50 {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Head { status, headers }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        within(self.socket.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    /// Reads a response that is not a stream.
    pub(crate) async fn response(&mut self) -> (Head, String) {
        let head = self.head().await;
        let length = head.get("content-length").parse().unwrap_or(0);
        let mut body = vec![0; length];
        within(self.socket.read_exact(&mut body)).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// The same, or `None` when the connection ends before it.
    pub(crate) async fn try_response(&mut self) -> Option<()> {
        let mut length = 0;
        for at in 0..50 {
            let mut line = String::new();
            let read = within(self.socket.read_line(&mut line)).await.ok()?;
            match line.trim_end() {
                "" if at == 0 || read == 0 => return None,
                "" => break,
                line => {
                    if let Some(("content-length", value)) = line.split_once(": ") {
                        length = value.parse().ok()?;
                    }
                }
            }
        }
        within(self.socket.read_exact(&mut vec![0; length])).await.ok().map(drop)
    }

    /// Sends a request and reads its response, which is not a stream.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        headers: &[&str],
        body: &str,
    ) -> (Head, String) {
        self.request(method, headers, body).await;
        self.response().await
    }

    /// Posts and reads a response that is not a stream.
    pub(crate) async fn post(&mut self, body: &str) -> (Head, String) {
        self.ask("POST", &[], body).await
    }

    /// Reads what is under this URI.
    pub(crate) async fn get(&mut self, uri: &str) -> (Head, String) {
        self.request_to(uri, "GET", &[], "").await;
        self.response().await
    }

    /// Opens the stream under this URI.
    pub(crate) async fn get_stream(&mut self, uri: &str) -> Head {
        self.request_to(uri, "GET", &["Accept: text/event-stream"], "").await;
        let head = self.head().await;
        assert_eq!((head.status, head.get("content-type")), (200, "text/event-stream"));
        head
    }

    /// Posts to this URI.
    pub(crate) async fn post_to(&mut self, uri: &str, body: &str) -> (Head, String) {
        self.request_to(uri, "POST", &["Accept: */*"], body).await;
        self.response().await
    }

    /// Sends a request that is answered by a stream.
    pub(crate) async fn stream(&mut self, method: &str, headers: &[&str], body: &str) -> Head {
        self.request(method, headers, body).await;
        let head = self.head().await;
        assert_eq!((head.status, head.get("content-type")), (200, "text/event-stream"));
        head
    }

    /// Sends a stateless request, with the headers that repeat it.
    pub(crate) async fn send_stateless(&mut self, id: &str, method: &str, rest: &str) {
        let told = format!("Mcp-Method: {method}");
        self.request("POST", &[VERSION_HEADER, &told], &stateless(id, method, rest)).await;
    }

    /// Sends a stateless request and reads a response that is not a stream.
    pub(crate) async fn ask_stateless(
        &mut self,
        id: &str,
        method: &str,
        rest: &str,
    ) -> (Head, String) {
        self.send_stateless(id, method, rest).await;
        self.response().await
    }

    /// Sends a stateless request that is answered by a stream.
    pub(crate) async fn stream_stateless(&mut self, id: &str, method: &str, rest: &str) -> Head {
        self.send_stateless(id, method, rest).await;
        let head = self.head().await;
        assert_eq!((head.status, head.get("content-type")), (200, "text/event-stream"));
        head
    }

    /// Reads the next event of a stream; `None` at its end.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        for _ in 0..10_000 {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let parsed = parse_event(event);
                self.text = rest.to_owned();
                return Some(parsed);
            }
            let size = self.line().await;
            let size = usize::from_str_radix(&size, 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            within(self.socket.read_exact(&mut chunk)).await.ok()?;
            if size == 0 {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&chunk[..size]).unwrap());
        }
        panic!("no event in very many chunks")
    }

    /// The data of the next event; empty at the end of the stream.
    pub(crate) async fn data(&mut self) -> String {
        self.event().await.map(|event| event.data).unwrap_or_default()
    }

    /// Whether the other side has closed the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        within(self.socket.read_to_end(&mut rest)).await.is_ok()
    }

    /// Opens a session of this revision.
    pub(crate) async fn initialize(&mut self, version: &str) {
        let (head, body) = self.post(&initialize(version)).await;
        assert_eq!(head.status, 200, "{body}");
        self.session = head.get("mcp-session-id").to_owned();
        assert_eq!(self.session.len(), 32);
    }
}

fn parse_event(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap();
        let slot = match name {
            "id" => &mut event.id,
            "data" => &mut event.data,
            "retry" => &mut event.retry,
            "" => &mut event.comment,
            "event" => &mut event.kind,
            other => panic!("no such field: {other}"),
        };
        value.trim_start().clone_into(slot);
    }
    event
}

/// A request that opens a session.
pub(crate) fn initialize(version: &str) -> String {
    call("0", "initialize", &format!(r#"{{"protocolVersion":"{version}"}}"#))
}

/// A request.
pub(crate) fn call(id: &str, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

/// Names the stateless revision.
pub(crate) const VERSION_HEADER: &str = "MCP-Protocol-Version: 2026-07-28";

/// A request of the stateless revision; `rest` are more members of its parameters.
pub(crate) fn stateless(id: &str, method: &str, rest: &str) -> String {
    let comma = if rest.is_empty() { "" } else { "," };
    let params = format!(
        r#"{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}{comma}{rest}}}"#
    );
    call(id, method, &params)
}

/// The answer to a request.
pub(crate) fn result(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}
