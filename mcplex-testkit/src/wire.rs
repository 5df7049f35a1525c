//! HTTP/1.1 as a client of Streamable HTTP needs it, on one socket, blocking.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

/// What an HTTP answer begins with, as far as it matters to a client of MCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The session the server opened.
    pub session: Option<String>,
    length: Option<usize>,
    is_chunked: bool,
    is_stream: bool,
}

/// One connection, kept alive from one request to the next.
#[derive(Debug)]
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Takes a connected socket; its timeouts are those of every wait.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self(BufReader::new(stream))
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        self.0.get_ref()
    }

    /// Sends a request and hands over each message of the answer as it comes.
    ///
    /// # Errors
    /// When the connection breaks, is silent for too long, or does not speak HTTP.
    pub fn exchange(
        &mut self,
        request: &[u8],
        on_head: impl FnOnce(&Head),
        mut on_message: impl FnMut(String),
    ) -> io::Result<Head> {
        self.0.get_mut().write_all(request)?;
        let head = self.head()?;
        on_head(&head);
        let mut body = Vec::new();
        let mut events = Events::default();
        loop {
            let part = self.part(&head)?;
            let is_last = part.is_empty() || !head.is_chunked;
            if head.is_stream {
                events.take(&part, &mut on_message)?;
            } else {
                body.extend_from_slice(&part);
            }
            if is_last {
                break;
            }
        }
        if !body.is_empty() {
            on_message(String::from_utf8(body).map_err(io::Error::other)?);
        }
        Ok(head)
    }

    fn head(&mut self) -> io::Result<Head> {
        let mut head = Head::default();
        let status = self.line()?;
        head.status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Ok(head) };
            let value = value.trim();
            match &*name.to_ascii_lowercase() {
                "mcp-session-id" => head.session = Some(value.to_owned()),
                "content-length" => head.length = value.parse().ok(),
                "transfer-encoding" => head.is_chunked = value == "chunked",
                "content-type" => head.is_stream = value.starts_with("text/event-stream"),
                _ => {}
            }
        }
    }

    /// The next chunk, the whole body, or nothing at the end.
    fn part(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        let length = if head.is_chunked {
            usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?
        } else {
            head.length.unwrap_or(0)
        };
        let mut part = vec![0; length];
        self.0.read_exact(&mut part)?;
        if head.is_chunked {
            self.line()?;
        }
        Ok(part)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// Cuts server-sent events into messages.
#[derive(Debug, Default)]
struct Events {
    line: Vec<u8>,
    data: String,
}

impl Events {
    fn take(&mut self, part: &[u8], on_message: &mut impl FnMut(String)) -> io::Result<()> {
        for byte in part {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8(std::mem::take(&mut self.line));
            let line = line.map_err(io::Error::other)?;
            let line = line.trim_end_matches('\r');
            if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            } else if line.is_empty() {
                let data = std::mem::take(&mut self.data);
                // The first event of a resumable stream carries an id alone.
                if !data.is_empty() {
                    on_message(data);
                }
            }
        }
        Ok(())
    }
}
