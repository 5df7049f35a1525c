//! One keep-alive connection to an MCP endpoint, with as little work as HTTP/1.1 allows.

use super::client::{Answer, Caller, PATIENCE};
use anyhow::{Context as _, bail};
use memchr::memmem;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// How much one read may bring.
const READ_MAX: usize = 256 << 10;
/// A head longer than this is no answer of ours.
const HEAD_MAX: usize = 64 << 10;

/// A connection of one worker.
#[derive(Debug)]
pub(crate) struct Http {
    stream: TcpStream,
    address: String,
    session: Option<String>,
    /// What was read and not used yet.
    buffer: Vec<u8>,
    /// Where a read puts its bytes.
    fresh: Box<[u8]>,
}

impl Http {
    /// Connects to `IP:PORT`.
    pub(crate) fn open(address: &str, session: Option<String>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let fresh = vec![0; READ_MAX].into_boxed_slice();
        Ok(Self { stream, address: address.to_owned(), session, buffer: Vec::new(), fresh })
    }

    /// Waits no longer than this for the parts of an answer from now on.
    pub(crate) fn give_up_after(&self, wait: Duration) -> anyhow::Result<()> {
        self.stream.set_read_timeout(Some(wait))?;
        Ok(self.stream.set_write_timeout(Some(wait))?)
    }

    /// The session that the server named.
    pub(crate) fn session(&self) -> Option<String> {
        self.session.clone()
    }

    fn post(&mut self, body: &[u8]) -> anyhow::Result<(Head, Vec<u8>)> {
        let session = self.session.as_ref().map_or_else(String::new, |session| {
            format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n")
        });
        let mut request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{session}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        let head = self.head()?;
        if !(200..300).contains(&head.status) {
            bail!("the gateway answered with status {}", head.status);
        }
        let body = match head.length {
            Length::Known(length) => self.take(length)?,
            Length::Chunked => self.chunks()?,
        };
        if let Some(session) = &head.session {
            self.session = Some(session.clone());
        }
        Ok((head, body))
    }

    fn head(&mut self) -> anyhow::Result<Head> {
        loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = Head::read(std::str::from_utf8(&self.buffer[..end])?)?;
                self.buffer.drain(..end + 4);
                return Ok(head);
            }
            if self.buffer.len() > HEAD_MAX {
                bail!("the head of an answer is too long");
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read(&mut self.fresh).context("an answer is missing")?;
        if read == 0 {
            bail!("the gateway closed a connection");
        }
        self.buffer.extend_from_slice(&self.fresh[..read]);
        Ok(())
    }

    fn take(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        self.buffer.reserve(length.saturating_sub(self.buffer.len()));
        while self.buffer.len() < length {
            self.fill()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match memmem::find(&self.buffer, b"\r\n") {
                    Some(end) => break end,
                    None => self.fill()?,
                }
            };
            let line = self.take(end + 2)?;
            let size = std::str::from_utf8(&line)?.trim().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).context("a chunk has no size")?;
            let chunk = self.take(size + 2)?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

impl Caller for Http {
    fn call(&mut self, id: u64, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (head, body) = self.post(request)?;
        if !head.events {
            return Ok(body);
        }
        let text = std::str::from_utf8(&body)?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
        let is_ours =
            |line: &&str| serde_json::from_str(line).is_ok_and(|answer: Answer<'_>| answer.is(id));
        Ok(lines.find(is_ours).context("no event is the answer")?.as_bytes().to_vec())
    }

    fn notify(&mut self, notification: &[u8]) -> anyhow::Result<()> {
        self.post(notification).map(drop)
    }
}

/// What a client must know from the head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Length,
    /// The body is a stream of server-sent events.
    events: bool,
    session: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
}

impl Head {
    fn read(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let mut head = Self {
            status: status.context("an answer has no status")?,
            length: Length::Known(0),
            events: false,
            session: None,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = Length::Known(value.parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.length = Length::Chunked;
            } else if name.eq_ignore_ascii_case("content-type") {
                head.events = value.starts_with("text/event-stream");
            } else if name.eq_ignore_ascii_case("mcp-session-id") {
                head.session = Some(value.to_owned());
            }
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read() {
        let head =
            Head::read("HTTP/1.1 200 OK\r\ncontent-length: 12\r\nMcp-Session-Id: s1").unwrap();
        let session = Some("s1".to_owned());
        let expect = Head { status: 200, length: Length::Known(12), events: false, session };
        assert_eq!(head, expect);
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked";
        let head = Head::read(head).unwrap();
        assert!(head.events);
        assert_eq!(head.length, Length::Chunked);
        assert!(Head::read("nonsense").is_err());
    }
}
