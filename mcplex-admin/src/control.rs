//! Requests of operators in, answers out: JSON over HTTP/1.1, on any stream.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/status` | a [`Snapshot`] |
//! | `POST /v1/upstreams/NAME/VERB[?wait=0]` | a [`Done`](crate::act::Done) |
//! | `POST /v1/VERB[?wait=0]` | one outcome per upstream the verb makes sense for |
//! | `POST /v1/reload` | a [`Reloaded`](crate::operator::Reloaded) |
//! | `GET /v1/upstreams/NAME/why` | one paragraph, as `text` |
//! | `GET /v1/upstreams/NAME/logs[?lines=N&follow=1]` | lines, as plain text |
//! | `GET /v1/crashes[?upstream=NAME]` | a list of [`Summary`](crate::crashes::Summary) |
//! | `GET /v1/crashes/NAME/N` | the `N`th newest report |
//!
//! What goes wrong is a [`Problem`] under `error`, with a fitting status.

use crate::{
    act::{ActError, Acts},
    crashes::Crashes,
    logs::Logs,
    operator::{Operator, Refused, Verb},
    socket::Listener,
    status::Snapshot,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode, Uri, body::Frame, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{convert::Infallible, future::Future, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

mod routes;

/// How many operators may be connected at once; a person has a handful of windows, and one more
/// only waits.
const MAX_CONNECTIONS: usize = 32;

/// How long a head may take. Our own commands send theirs at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when the system has no descriptor for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an answer consists of.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers operators.
#[derive(Debug)]
pub struct Control {
    operator: Arc<dyn Operator>,
    acts: Acts,
    crashes: Crashes,
    logs: Logs,
}

/// What went wrong, as an operator is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// A word for programs, such as `unknown-upstream`.
    pub kind: String,
    /// A sentence without a final stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How the upstream is, where that matters.
    pub status: Option<Value>,
}

/// The kind of [`Problem`] of a name that no upstream has.
pub const UNKNOWN_UPSTREAM: &str = "unknown-upstream";

/// The kind of [`Problem`] of a verb that another one is in the way of.
pub const BUSY: &str = "busy";

/// The kind of [`Problem`] of a reload that changed nothing.
pub const BAD_CONFIGURATION: &str = "bad-configuration";

impl Problem {
    fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), message: message.into(), ..Self::default() }
    }

    /// That none of these names is this one, with the one that was probably meant.
    #[must_use]
    pub fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(&ActError::unknown(name, known)).1
    }

    /// That an upstream has no more crash reports than these.
    #[must_use]
    pub fn no_report(upstream: &str, count: usize) -> Self {
        let message = match count {
            0 => format!("there is no crash report of {upstream}"),
            1 => format!("{upstream} has only 1 crash report"),
            _ => format!("{upstream} has only {count} crash reports"),
        };
        let hint = Some("`mcplex crashes` lists them".to_owned());
        Self { hint, ..Self::new("unknown-report", message) }
    }

    fn of(error: &ActError) -> (StatusCode, Self) {
        let (code, kind, status) = match error {
            ActError::Unknown { .. } => (StatusCode::NOT_FOUND, UNKNOWN_UPSTREAM, None),
            ActError::Busy { .. } => (StatusCode::CONFLICT, BUSY, None),
            ActError::Refused { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "refused", None),
            ActError::Failed { status, .. } => (StatusCode::BAD_GATEWAY, "failed", Some(status)),
            ActError::Late { status, .. } => (StatusCode::GATEWAY_TIMEOUT, "late", Some(status)),
        };
        let status = status.and_then(|status| serde_json::to_value(status).ok());
        let problem = Self { hint: error.hint(), status, ..Self::new(kind, error.to_string()) };
        (code, problem)
    }
}

impl Control {
    /// A control for these upstreams and what is kept of them.
    #[must_use]
    pub fn new(operator: Arc<dyn Operator>, crashes: Crashes, logs: Logs) -> Self {
        Self { operator, acts: Acts::default(), crashes, logs }
    }

    /// Serves everybody who connects until `stop` resolves; who is connected then is cut off.
    pub async fn serve(self: Arc<Self>, listener: Listener, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let may_accept = connections.len() < MAX_CONNECTIONS;
            tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept(), if may_accept => match accepted {
                    Ok(stream) => drop(connections.spawn(Arc::clone(&self).connection(stream))),
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
    pub async fn connection<S>(self: Arc<Self>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let control = Arc::clone(&self);
            async move { Ok::<_, Infallible>(control.answer(request.method(), request.uri()).await) }
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

    /// Answers one request; no request has a body that matters.
    pub async fn answer(&self, method: &Method, uri: &Uri) -> Response<Body> {
        match routes::Route::of(method, uri) {
            Ok(route) => self
                .follow(route)
                .await
                .unwrap_or_else(|(code, problem)| json_answer(code, &json!({ "error": problem }))),
            Err((code, problem)) => json_answer(code, &json!({ "error": problem })),
        }
    }

    async fn follow(&self, route: routes::Route) -> Result<Response<Body>, (StatusCode, Problem)> {
        use routes::Route;
        let value = match route {
            Route::Status => to_value(&self.snapshot()),
            Route::Act { upstream, verb, waits } => {
                let acted = self.acts.act(&*self.operator, &upstream, verb, waits).await;
                to_value(&acted.map_err(|error| Problem::of(&error))?)
            }
            Route::ActOnAll { verb, waits } => self.act_on_all(verb, waits).await,
            Route::Reload => match self.operator.reload().await {
                Ok(reloaded) => to_value(&reloaded),
                Err(Refused { message, hint }) => {
                    let problem = Problem { hint, ..Problem::new(BAD_CONFIGURATION, message) };
                    return Err((StatusCode::UNPROCESSABLE_ENTITY, problem));
                }
            },
            Route::Why { upstream } => {
                let found = crate::act::find_child(&*self.operator, &upstream);
                let upstream = found.map_err(|error| Problem::of(&error))?;
                let last = self.crashes.newest_of(&upstream).await;
                json!({ "text": crate::why::why(&upstream, last.as_deref()) })
            }
            Route::Logs { upstream, lines, follow } => {
                let upstream = self.known(&upstream)?;
                return Ok(self.tail(&upstream.name, lines, follow).await);
            }
            Route::Crashes { upstream } => {
                let list = self.crashes.list(upstream.as_deref()).await;
                // One that the configuration no longer has may have died before.
                if let (Some(name), true) = (&upstream, list.is_empty()) {
                    self.known(name)?;
                }
                to_value(&list)
            }
            Route::Crash { upstream, number } => match self.crashes.get(&upstream, number).await {
                Some(report) => to_value(&*report),
                None => return Err(self.no_report(&upstream).await),
            },
        };
        Ok(json_answer(StatusCode::OK, &value))
    }

    fn snapshot(&self) -> Snapshot {
        let mut instance = self.operator.instance();
        instance.lost_lines = self.logs.lost();
        instance.lost_reports = self.crashes.lost();
        Snapshot { instance, upstreams: self.operator.upstreams() }
    }

    fn known(&self, name: &str) -> Result<crate::status::UpstreamStatus, (StatusCode, Problem)> {
        crate::act::find(&*self.operator, name, Verb::Start).map_err(|error| Problem::of(&error))
    }

    async fn no_report(&self, upstream: &str) -> (StatusCode, Problem) {
        let count = self.crashes.list(Some(upstream)).await.len();
        match self.known(upstream) {
            Err(unknown) if count == 0 => unknown,
            Ok(_) | Err(_) => (StatusCode::NOT_FOUND, Problem::no_report(upstream, count)),
        }
    }

    /// All upstreams side by side; those a verb makes no sense for are left out.
    async fn act_on_all(&self, verb: Verb, waits: bool) -> Value {
        let mut names: Vec<String> = Vec::new();
        for one in self.operator.upstreams() {
            if routes::is_meant(verb, &one) && !names.contains(&one.name) {
                names.push(one.name);
            }
        }
        let acting = names.iter().map(|name| self.acts.act(&*self.operator, name, verb, waits));
        let outcomes: Vec<_> = futures_util::future::join_all(acting)
            .await
            .into_iter()
            .zip(&names)
            .map(|(outcome, name)| match outcome {
                Ok(done) => to_value(&done),
                Err(error) => json!({ "upstream": name, "error": Problem::of(&error).1 }),
            })
            .collect();
        json!({ "outcomes": outcomes })
    }

    async fn tail(&self, upstream: &str, lines: usize, follow: bool) -> Response<Body> {
        let tail = self.logs.tail(upstream, lines).await;
        let mut text = String::new();
        for line in &tail.lines {
            text.push_str(line);
            text.push('\n');
        }
        let body = if follow {
            let first = futures_util::stream::once(async move { text });
            let rest = futures_util::stream::unfold(tail.more, |mut more| async move {
                let line = more.next().await?;
                Some((format!("{line}\n"), more))
            });
            let frames = futures_util::StreamExt::chain(first, rest);
            let frames = futures_util::StreamExt::map(frames, |text| {
                Ok::<_, Infallible>(Frame::data(Bytes::from(text)))
            });
            StreamBody::new(frames).boxed_unsync()
        } else {
            Full::new(Bytes::from(text)).boxed_unsync()
        };
        let mut response = Response::new(body);
        let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn to_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("plain data are JSON")
}

fn json_answer(code: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *response.status_mut() = code;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
