//! What carries requests and answers: connections, and bodies of each kind.

use super::Problem;
use crate::events::{Heard, Listener};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::{convert::Infallible, future::Future, io, pin::pin, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// How many operators may be connected at once; a person has a handful of windows, and one more
/// only waits.
const MAX_CONNECTIONS: usize = 32;

/// How long a head may take. Our own commands send theirs at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when the system has no descriptor for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often a stream of events says that it is still there: often enough for a proxy that closes
/// what is silent for half a minute.
const STILL_HERE: Duration = Duration::from_secs(15);

/// What an answer consists of.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Where connections come from.
pub(crate) trait Accepts {
    type Stream;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accepts for crate::socket::Listener {
    type Stream = crate::socket::Stream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        Self::accept(self).await
    }
}

impl Accepts for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

/// Serves everybody who connects until `stop` resolves; who is connected then is cut off.
pub(crate) async fn accept_all<A, F>(
    listener: &A,
    serve: impl Fn(A::Stream) -> F,
    stop: impl Future<Output = ()>,
) where
    A: Accepts,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let may_accept = connections.len() < MAX_CONNECTIONS;
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept(), if may_accept => match accepted {
                Ok(stream) => drop(connections.spawn(serve(stream))),
                Err(error) => {
                    tracing::warn!(%error, "no operator's connection accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

/// Serves one connection until it ends.
pub(crate) async fn connection<S, F>(stream: S, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    F: Future<Output = Response<Body>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        // Commands are interrupted as people like.
        tracing::debug!(%error, "an operator's connection ended early");
    }
}

fn answer(code: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

pub(crate) fn json_answer(code: StatusCode, value: &Value) -> Response<Body> {
    answer(code, "application/json", Full::new(Bytes::from(value.to_string())).boxed_unsync())
}

pub(crate) fn problem_answer((code, problem): &(StatusCode, Problem)) -> Response<Body> {
    json_answer(*code, &json!({ "error": problem }))
}

pub(crate) fn text_answer(text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).boxed_unsync();
    answer(StatusCode::OK, "text/plain; charset=utf-8", body)
}

/// Metrics, in the form that every scraper reads.
pub(crate) fn metrics_answer(text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).boxed_unsync();
    answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body)
}

pub(crate) fn page_answer(text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).boxed_unsync();
    answer(StatusCode::OK, "text/html; charset=utf-8", body)
}

/// Texts as they come.
pub(crate) fn streamed(
    kind: &'static str,
    texts: impl Stream<Item = String> + Send + 'static,
) -> Response<Body> {
    let frames = texts.map(|text| Ok::<_, Infallible>(Frame::data(Bytes::from(text))));
    answer(StatusCode::OK, kind, StreamBody::new(frames).boxed_unsync())
}

/// Events as a browser reads them, with a sign of life where nothing happens.
pub(crate) fn event_stream(listener: Listener) -> Response<Body> {
    // The first words come at once, so that whoever asks knows that it listens.
    let first = futures_util::stream::once(async { ": listening\n\n".to_owned() });
    let rest = futures_util::stream::unfold(listener, |mut listener| async move {
        let text = match timeout(STILL_HERE, listener.next()).await {
            Ok(Some(heard)) => written(&listener, &heard),
            Ok(None) => return None,
            Err(_) => ": still here\n\n".to_owned(),
        };
        Some((text, listener))
    });
    streamed("text/event-stream", first.chain(rest))
}

/// One event; JSON has no line breaks that are not escaped.
fn written(listener: &Listener, heard: &Heard) -> String {
    match heard {
        Heard::Event(event) => {
            let data = super::to_value(&**event);
            let id = listener.id_of(event);
            format!("id: {id}\nevent: {}\ndata: {data}\n\n", event.kind.as_str())
        }
        Heard::Missed(count) => {
            format!("event: missed\ndata: {}\n\n", json!({ "count": count }))
        }
    }
}
