//! One event stream of a server, as events.

use super::connector::innermost;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{HeaderMap, Response, body::Incoming, header};
use mcplex_proto::sse::{Event, EventDecoder, EventTooLong};
use std::{io, time::Duration};

/// How long to wait before a stream is opened anew, where the server does not say; 1 s, as the
/// official SDKs wait.
const RETRY: Duration = Duration::from_secs(1);

/// The longest wait that a server can ask for: past it the answer is of no use to anybody.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// A stream that is being read.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    decoder: EventDecoder,
    place: Place,
}

/// Where to go on when a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) last_id: Option<String>,
    pub(crate) retry: Duration,
}

impl Default for Place {
    fn default() -> Self {
        Self { last_id: None, retry: RETRY }
    }
}

/// Why a stream ended.
#[derive(Debug)]
pub(crate) enum Cut {
    /// It ended, or broke.
    End,
    /// What follows cannot be trusted.
    TooLong(EventTooLong),
}

impl Events {
    /// The events in a body; `place` is where the stream before it ended.
    pub(crate) fn new(body: Incoming, max: usize, place: Place) -> Self {
        Self { body, decoder: EventDecoder::new(max), place }
    }

    /// The next event with data; cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Event, Cut> {
        loop {
            let event = self.decoder.next_event().map_err(Cut::TooLong)?;
            self.note();
            if let Some(event) = event {
                return Ok(event);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.decoder.push(bytes);
                    }
                }
                Some(Err(_)) | None => return Err(Cut::End),
            }
        }
    }

    /// Where to go on.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn note(&mut self) {
        if let Some(id) = self.decoder.last_id()
            && self.place.last_id.as_deref() != Some(id)
        {
            self.place.last_id = Some(id.to_owned());
        }
        if let Some(retry) = self.decoder.retry() {
            self.place.retry = retry.min(MAX_RETRY);
        }
    }
}

/// Whether a response is a stream of events.
pub(crate) fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/event-stream")
}

/// Reads a body as a whole, up to `max` bytes.
pub(crate) async fn whole(response: Response<Incoming>, max: usize) -> io::Result<Bytes> {
    match Limited::new(response.into_body(), max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let what = format!("it is longer than {max} bytes");
            Err(io::Error::new(io::ErrorKind::FileTooLarge, what))
        }
        Err(error) => Err(innermost(&*error)),
    }
}
