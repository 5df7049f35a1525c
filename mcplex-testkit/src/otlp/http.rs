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
const TRACES: &str = "/v1/traces";
/// The path OTLP gives to metrics.
const METRICS: &str = "/v1/metrics";

/// What an export is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// The export is kept.
    Ok,
    /// The body is not what the protocol says.
    BadRequest,
    /// Nothing but spans and metrics is taken here.
    NotFound,
    /// The encoding of the body is not understood.
    UnsupportedMediaType,
    /// There is too much already.
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
    mut answer: impl FnMut(Signal, &[u8]) -> Status,
) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    while let Some(head) = Head::read(&mut reader)? {
        if head.expects_continue {
            (&mut &*connection).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = head.read_body(&mut reader)?;
        let status = match head.signal() {
            Ok(signal) => answer(signal, &body),
            Err(refusal) => refusal,
        };
        // An empty body is a response of either service with nothing to complain about.
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
    signal: Option<Signal>,
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
        let signal = match (words.next(), words.next()) {
            (Some("POST"), Some(TRACES)) => Some(Signal::Traces),
            (Some("POST"), Some(METRICS)) => Some(Signal::Metrics),
            _ => None,
        };
        let mut head = Self { signal, ..Self::default() };
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

    fn signal(&self) -> Result<Signal, Status> {
        match (self.signal, self.is_encoded) {
            (None, _) => Err(Status::NotFound),
            (Some(_), true) => Err(Status::UnsupportedMediaType),
            (Some(signal), false) => Ok(signal),
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
