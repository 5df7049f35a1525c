//! Just enough HTTP/1.1 for an exporter: one POST after the other on a connection.

use std::io;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

/// The longest line of a head or of a chunk, in bytes.
const MAX_LINE: u64 = 16 * 1024;
/// The most header lines of a request.
const MAX_HEADERS: usize = 100;
/// The largest body, in bytes; what the exporter itself allows.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// The path OTLP gives to spans.
const PATH: &str = "/v1/traces";

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// The spans are kept.
    Ok,
    /// The body is not what the protocol says.
    BadRequest,
    /// Nothing but spans is taken here.
    NotFound,
    /// The encoding of the body is not understood.
    UnsupportedMediaType,
    /// There are too many spans already.
    Unavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::UnsupportedMediaType => "415 Unsupported Media Type",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

/// Answers the requests of one connection until it ends.
pub(super) fn serve(
    connection: &TcpStream,
    mut answer: impl FnMut(&[u8]) -> Status,
) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    while let Some(head) = Head::read(&mut reader)? {
        if head.expects_continue {
            (&mut &*connection).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = head.read_body(&mut reader)?;
        let status = head.refusal().unwrap_or_else(|| answer(&body));
        // An empty body is an `ExportTraceServiceResponse` with nothing to complain about.
        let response = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
            status.line()
        );
        (&mut &*connection).write_all(response.as_bytes())?;
        if head.closes {
            break;
        }
    }
    Ok(())
}

/// What matters of the head of a request.
#[derive(Debug, Default)]
struct Head {
    is_for_spans: bool,
    is_encoded: bool,
    expects_continue: bool,
    closes: bool,
    chunked: bool,
    length: usize,
}

impl Head {
    /// Reads the head; none if the peer ended the connection before it.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let first = read_line(reader)?;
        if first.is_empty() {
            return Ok(None);
        }
        let mut words = first.split_whitespace();
        let is_for_spans = words.next() == Some("POST") && words.next() == Some(PATH);
        let mut head = Self { is_for_spans, ..Self::default() };
        for _ in 0..MAX_HEADERS {
            let line = read_line(reader)?;
            if line.trim_end().is_empty() {
                return Ok(Some(head));
            }
            let (name, value) = line.split_once(':').ok_or(ErrorKind::InvalidData)?;
            head.take(&name.to_ascii_lowercase(), value.trim())?;
        }
        Err(ErrorKind::InvalidData.into())
    }

    fn take(&mut self, name: &str, value: &str) -> io::Result<()> {
        match name {
            "content-length" => self.length = value.parse().map_err(Error::other)?,
            "transfer-encoding" => self.chunked = value.eq_ignore_ascii_case("chunked"),
            "content-encoding" => self.is_encoded = !value.eq_ignore_ascii_case("identity"),
            "connection" => self.closes = value.eq_ignore_ascii_case("close"),
            "expect" => self.expects_continue = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
        Ok(())
    }

    fn refusal(&self) -> Option<Status> {
        match (self.is_for_spans, self.is_encoded) {
            (false, _) => Some(Status::NotFound),
            (true, true) => Some(Status::UnsupportedMediaType),
            (true, false) => None,
        }
    }

    fn read_body(&self, reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if !self.chunked {
            read_exactly(reader, self.length, &mut body)?;
            return Ok(body);
        }
        loop {
            let line = read_line(reader)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).map_err(Error::other)?;
            read_exactly(reader, size, &mut body)?;
            if size == 0 {
                break;
            }
            read_line(reader)?;
        }
        // Trailers, up to the empty line.
        for _ in 0..MAX_HEADERS {
            if read_line(reader)?.trim_end().is_empty() {
                return Ok(body);
            }
        }
        Err(ErrorKind::InvalidData.into())
    }
}

/// Reads a line with its end; empty only at the end of the stream.
fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(MAX_LINE).read_line(&mut line)?;
    Ok(line)
}

/// Appends the next bytes to the body.
fn read_exactly(reader: &mut impl BufRead, size: usize, body: &mut Vec<u8>) -> io::Result<()> {
    let start = body.len();
    if size > MAX_BODY - start {
        return Err(ErrorKind::InvalidData.into());
    }
    body.resize(start + size, 0);
    reader.read_exact(&mut body[start..])
}
