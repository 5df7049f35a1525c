//! A stateless request, from its arrival to the last byte of its answer.
//!
//! It stands for itself: a session of the gateway is opened for it and closed with it, and nothing
//! of it can be resumed. Whoever stops reading wants it no longer. Its call is run by the task of
//! the connection, so that a client that leaves takes everything with it.

use crate::{
    accept::Accept,
    alarm::Alarms,
    endpoint::Endpoint,
    line::{Line, Reader},
    reply,
    reply::{Refusal, Reply},
    sse::Pieces,
};
use bytes::Bytes;
use hyper::StatusCode;
use mcplex_proto::{
    downstream::{Arrival, Client, Principal, Session, Stay},
    edit, error,
    message::{Outcome, Request, Response},
    method,
    peer::Origin,
};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

type Call = Pin<Box<dyn Future<Output = Option<Response>> + Send>>;

/// Serves a stateless request whose headers were found good.
pub(crate) async fn serve(
    endpoint: &Arc<Endpoint>,
    (request, origin): (Request, Origin),
    principal: Principal,
    accept: Accept,
) -> Result<Reply, Refusal> {
    // Its answer comes in the end, and what matters comes before.
    let is_listening = request.method == method::LISTEN;
    if is_listening && !accept.sse {
        let why = "Accept must allow text/event-stream";
        return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, &why));
    }
    let patience = if is_listening { Some(Duration::ZERO) } else { endpoint.patience(accept) };
    let mut exchange =
        Exchange::begin(endpoint, (request, origin), principal, accept, is_listening)?;
    if let Some(answer) = exchange.wait(patience, &endpoint.alarms).await {
        let Some(answer) = answer else { return Ok(reply::empty(StatusCode::ACCEPTED)) };
        let status = status_of(&answer.outcome);
        // What is no success has a body in JSON, whatever the client would rather read.
        if patience != Some(Duration::ZERO) || status != StatusCode::OK {
            let mut reply = reply::json(&answer.into());
            *reply.status_mut() = status;
            return Ok(reply);
        }
        exchange.line_up(Some(answer));
    }
    Ok(reply::events_of(exchange.into_stream(endpoint.options.keepalive)))
}

/// The status that the specification gives to an answer.
fn status_of(outcome: &Outcome) -> StatusCode {
    let Outcome::Error(raw) = outcome else { return StatusCode::OK };
    let code = edit::member(raw.as_str(), "code").and_then(|code| code.get().parse::<i64>().ok());
    match code {
        Some(error::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        Some(
            error::HEADER_MISMATCH | error::MISSING_CLIENT_CAPABILITY | error::UNSUPPORTED_VERSION,
        ) => StatusCode::BAD_REQUEST,
        Some(_) | None => StatusCode::OK,
    }
}

/// A request on its way through the gateway.
struct Exchange {
    /// Closed before the call is dropped, so that the gateway knows of it when it is told.
    _open: Open,
    call: Option<Call>,
    line: Arc<Line>,
}

/// A session that is closed with its exchange.
struct Open {
    session: Arc<dyn Session>,
    /// What the endpoint knows it by, if it must be told of a stop.
    listen: Option<(Arc<Endpoint>, u64)>,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some((endpoint, number)) = &self.listen {
            endpoint.unlist(*number);
        }
        self.session.close();
    }
}

impl Exchange {
    fn begin(
        endpoint: &Arc<Endpoint>,
        (request, origin): (Request, Origin),
        principal: Principal,
        accept: Accept,
        is_listening: bool,
    ) -> Result<Self, Refusal> {
        let line = Line::about(request.id.clone(), accept.sse, &endpoint.options).from(origin);
        let line = Arc::new(line);
        let client: Arc<dyn Client> = Arc::<Line>::clone(&line);
        let arrival = Arrival { principal, stay: Stay::Request };
        let session = endpoint.gateway().open(client, arrival);
        let mut open = Open { session, listen: None };
        if is_listening {
            let number = endpoint.list(&open.session)?;
            open.listen = Some((Arc::clone(endpoint), number));
        }
        let session = Arc::clone(&open.session);
        let call: Call = Box::pin(async move { session.request(request).await });
        Ok(Self { _open: open, call: Some(call), line })
    }

    /// The answer, if it comes within `patience` and nothing is said before it.
    ///
    /// `None` as patience has no end.
    async fn wait(
        &mut self,
        patience: Option<Duration>,
        alarms: &Alarms,
    ) -> Option<Option<Response>> {
        let mut alarm = None;
        poll_fn(|cx| {
            let answer = self.poll_call(cx);
            if self.line.has_events(cx.waker()) {
                if let Poll::Ready(answer) = answer {
                    self.line_up(answer);
                }
                return Poll::Ready(None);
            }
            if let Poll::Ready(answer) = answer {
                return Poll::Ready(Some(answer));
            }
            let Some(patience) = patience else { return Poll::Pending };
            if patience.is_zero() {
                return Poll::Ready(None);
            }
            alarm.get_or_insert_with(|| alarms.set(patience)).poll(cx).map(|()| None)
        })
        .await
    }

    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<Option<Response>> {
        let Some(call) = &mut self.call else { return Poll::Pending };
        let answer = std::task::ready!(call.as_mut().poll(cx));
        self.call = None;
        Poll::Ready(answer)
    }

    /// Puts the answer behind what was said before it.
    fn line_up(&self, answer: Option<Response>) {
        if let Some(answer) = answer {
            self.line.answer(&answer.into());
        }
        self.line.end();
    }

    fn into_stream(self, keepalive: Duration) -> AnswerStream {
        let reader = Reader::new(Arc::clone(&self.line), Pieces::default(), keepalive);
        AnswerStream { exchange: self, reader }
    }
}

/// What is said of a request, and then its answer.
pub(crate) struct AnswerStream {
    exchange: Exchange,
    reader: Reader,
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reader.fmt(f)
    }
}

impl AnswerStream {
    /// The next bytes, or `None` at the end.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(piece) = self.reader.rest() {
            return Poll::Ready(Some(piece));
        }
        if let Poll::Ready(answer) = self.exchange.poll_call(cx) {
            self.exchange.line_up(answer);
        }
        self.reader.poll_bytes(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_proto::{error::ErrorObject, raw::Raw};

    #[test]
    fn four_errors_have_a_status_of_their_own() {
        let check = |code: i64, expect: u16| {
            let error = Outcome::Error(Raw::of(&ErrorObject::new(code, "no")));
            assert_eq!(status_of(&error).as_u16(), expect, "{code}");
        };
        check(-32601, 404);
        check(-32020, 400);
        check(-32021, 400);
        check(-32022, 400);
        check(-32602, 200);
        check(-32603, 200);
        check(-31001, 200);
        assert_eq!(status_of(&Outcome::Result(Raw::of(&-32601))), StatusCode::OK);
        assert_eq!(status_of(&Outcome::Error(Raw::of("odd"))), StatusCode::OK);
    }
}
