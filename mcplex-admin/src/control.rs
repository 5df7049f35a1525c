//! Requests of operators in, answers out: JSON over HTTP/1.1, on any stream.
//!
//! What can be asked is the table in `routes.rs`, which docs/reference/admin-api.md and
//! `/api/v1/openapi.json` are made from; the control socket has it without `/api`. What goes wrong is
//! a [`Problem`] under `error`, with a fitting status.

use self::http::{
    accept_all, connection, event_stream, json_answer, metrics_answer, problem_answer, streamed,
    text_answer,
};
use crate::{
    act::{ActError, Acts},
    calls::Calls,
    crashes::Crashes,
    events::Events,
    logs::Logs,
    operator::{Operator, Refused, Verb},
    socket::Listener,
    status::Snapshot,
};
use hyper::{
    Request, Response, StatusCode,
    header::{self, HeaderValue},
};
use mcplex_proto::trace::{self, TraceContext};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::io::{AsyncRead, AsyncWrite};

mod dashboard;
mod describe;
pub(crate) mod http;
pub(crate) mod patient;
pub(crate) mod routes;
mod spans;

pub use self::http::Body;

/// Answers operators.
#[derive(Debug)]
pub struct Control {
    operator: Arc<dyn Operator>,
    acts: Acts,
    kept: Kept,
    /// Writes the metrics, where there are any.
    metrics: Option<Metrics>,
    /// The way to the dashboard, with its token.
    dashboard: Option<String>,
    /// Whether the first starts were over once: what starts later, by a reload or for a client, is no
    /// reason to send clients away.
    is_ready: AtomicBool,
}

/// What is remembered for operators.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Reports of deaths.
    pub crashes: Crashes,
    /// What upstreams wrote.
    pub logs: Logs,
    /// What happened to them.
    pub events: Events,
    /// What was called.
    pub calls: Calls,
}

/// What a listener says whose stream of events was cut off: the id of the last one it had.
const LAST_EVENT: &str = "last-event-id";

/// Writes all metrics as they are now.
pub type Metrics = fn() -> String;

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
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Self {
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
    pub fn new(operator: Arc<dyn Operator>, kept: Kept) -> Self {
        Self {
            operator,
            acts: Acts::default(),
            kept,
            metrics: None,
            dashboard: None,
            is_ready: AtomicBool::new(false),
        }
    }

    /// The same with metrics.
    #[must_use]
    pub fn with_metrics(self, metrics: Option<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// The same with a link to the dashboard, which only the control socket tells.
    #[must_use]
    pub fn with_dashboard(self, link: Option<String>) -> Self {
        Self { dashboard: link, ..self }
    }

    /// Serves everybody who connects until `stop` resolves; who is connected then is cut off.
    pub async fn serve(self: Arc<Self>, listener: Listener, stop: impl Future<Output = ()>) {
        accept_all(&listener, |stream| Arc::clone(&self).connection(stream), stop).await;
    }

    /// Serves one connection of the control socket until it ends.
    pub async fn connection<S>(self: Arc<Self>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        connection(stream, move |request| {
            let control = Arc::clone(&self);
            async move {
                let dashboard = control.dashboard.as_deref();
                control.answer(&request, dashboard).await
            }
        })
        .await;
    }

    /// Answers one request; no request has a body that matters.
    pub(crate) async fn answer<B>(
        &self,
        request: &Request<B>,
        dashboard: Option<&str>,
    ) -> Response<Body> {
        let (method, uri) = (request.method(), request.uri());
        let span = spans::of(request);
        let followed = match routes::Route::of(method, uri) {
            Ok(route) => {
                let last = request.headers().get(LAST_EVENT);
                self.follow(route, dashboard, trace::context_of(&span), last).await
            }
            Err(wrong) => Err(wrong),
        };
        let mut answer = followed.unwrap_or_else(|wrong| problem_answer(&wrong));
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            let methods = HeaderValue::from_static(routes::Route::methods_of(uri));
            answer.headers_mut().insert(header::ALLOW, methods);
        }
        spans::answered(&span, answer.status());
        answer
    }

    async fn follow(
        &self,
        route: routes::Route,
        dashboard: Option<&str>,
        request: Option<TraceContext>,
        last: Option<&HeaderValue>,
    ) -> Result<Response<Body>, (StatusCode, Problem)> {
        use routes::Route;
        let value = match route {
            Route::Page => return dashboard::page(),
            Route::Calls { upstream } => to_value(&self.kept.calls.last(upstream.as_deref())),
            Route::Tools { by_upstream: false } => to_value(&self.kept.calls.figures()),
            Route::Tools { by_upstream: true } => to_value(&self.kept.calls.figures_of_upstreams()),
            Route::Health => return Ok(text_answer("ok\n".to_owned())),
            Route::Readiness => return Ok(self.readiness()),
            Route::Metrics => return self.metrics(),
            Route::Events => return self.events(last),
            Route::Description => describe::openapi(),
            Route::Status => to_value(&self.snapshot(dashboard)),
            Route::Upstreams => to_value(&self.operator.upstreams()),
            Route::Upstream { upstream } => {
                let found = crate::act::find_child(&*self.operator, &upstream);
                to_value(&found.map_err(|error| Problem::of(&error))?)
            }
            Route::Configuration => to_value(&self.operator.configuration()),
            Route::Timeline { upstream } => {
                if let Some(name) = &upstream {
                    self.known(name)?;
                }
                let past = self.kept.events.past(upstream.as_deref());
                to_value(&past.iter().map(|event| &**event).collect::<Vec<_>>())
            }
            Route::Act { upstream, verb, waits } => {
                let acting = self.acts.act(&*self.operator, &upstream, (verb, waits), request);
                to_value(&acting.await.map_err(|error| Problem::of(&error))?)
            }
            Route::ActOnAll { verb, waits } => self.act_on_all((verb, waits), request).await,
            Route::Reload => match self.operator.reload().await {
                Ok(reloaded) => to_value(&reloaded),
                Err(Refused { message, hint }) => {
                    let problem = Problem { hint, ..Problem::new(BAD_CONFIGURATION, message) };
                    return Err((StatusCode::UNPROCESSABLE_ENTITY, problem));
                }
            },
            Route::Why { upstream } => self.why(&upstream).await?,
            Route::Logs { upstream, lines, follow } => {
                let upstream = self.known(&upstream)?;
                return Ok(self.tail(&upstream.name, lines, follow).await);
            }
            Route::Crashes { upstream } => {
                let list = self.kept.crashes.list(upstream.as_deref()).await;
                // One that the configuration no longer has may have died before.
                if let (Some(name), true) = (&upstream, list.is_empty()) {
                    self.known(name)?;
                }
                to_value(&list)
            }
            Route::Crash { upstream, number } => {
                match self.kept.crashes.get(&upstream, number).await {
                    Some(report) => to_value(&*report),
                    None => return Err(self.no_report(&upstream).await),
                }
            }
        };
        Ok(json_answer(StatusCode::OK, &value))
    }

    async fn why(&self, name: &str) -> Result<Value, (StatusCode, Problem)> {
        let found = crate::act::find_child(&*self.operator, name);
        let upstream = found.map_err(|error| Problem::of(&error))?;
        let last = self.kept.crashes.newest_of(&upstream).await;
        Ok(json!({ "text": crate::why::why(&upstream, last.as_deref()) }))
    }

    fn snapshot(&self, dashboard: Option<&str>) -> Snapshot {
        let mut instance = self.operator.instance();
        instance.lost_lines = self.kept.logs.lost();
        instance.lost_reports = self.kept.crashes.lost();
        instance.dashboard = dashboard.map(str::to_owned);
        instance.calls_since_ms = Some(self.kept.calls.since_ms());
        Snapshot { instance, upstreams: self.operator.upstreams() }
    }

    /// Whether the first starts are over. Whoever can ask this finds all listeners bound, since that
    /// comes before.
    fn readiness(&self) -> Response<Body> {
        let all = self.operator.upstreams();
        let mut starting = all.iter().filter(|one| one.is_in_first_start()).count();
        if starting == 0 || self.is_ready.load(Ordering::Relaxed) {
            self.is_ready.store(true, Ordering::Relaxed);
            starting = 0;
        }
        let code = if starting == 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json_answer(code, &json!({ "ready": starting == 0, "starting": starting }))
    }

    fn metrics(&self) -> Result<Response<Body>, (StatusCode, Problem)> {
        match self.metrics {
            Some(metrics) => Ok(metrics_answer(metrics())),
            None => {
                let problem = Problem::new("no-metrics", "this mcplex keeps no metrics");
                Err((StatusCode::NOT_FOUND, problem))
            }
        }
    }

    /// Events from now on, or from the one after which a listener was cut off.
    fn events(&self, last: Option<&HeaderValue>) -> Result<Response<Body>, (StatusCode, Problem)> {
        let listener = match last.and_then(|last| last.to_str().ok()) {
            Some(last) => self.kept.events.listen_after(last),
            None => self.kept.events.listen(),
        };
        match listener {
            Some(listener) => Ok(event_stream(listener)),
            None => {
                let problem = Problem::new(BUSY, "as many listen to events as may");
                let hint = Some("close another window".to_owned());
                Err((StatusCode::SERVICE_UNAVAILABLE, Problem { hint, ..problem }))
            }
        }
    }

    fn known(&self, name: &str) -> Result<crate::status::UpstreamStatus, (StatusCode, Problem)> {
        crate::act::find(&*self.operator, name, Verb::Start).map_err(|error| Problem::of(&error))
    }

    async fn no_report(&self, upstream: &str) -> (StatusCode, Problem) {
        let count = self.kept.crashes.list(Some(upstream)).await.len();
        match self.known(upstream) {
            Err(unknown) if count == 0 => unknown,
            Ok(_) | Err(_) => (StatusCode::NOT_FOUND, Problem::no_report(upstream, count)),
        }
    }

    /// All upstreams side by side; those a verb makes no sense for are left out.
    async fn act_on_all(
        &self,
        (verb, waits): (Verb, bool),
        request: Option<TraceContext>,
    ) -> Value {
        let mut names: Vec<String> = Vec::new();
        for one in self.operator.upstreams() {
            if routes::is_meant(verb, &one) && !names.contains(&one.name) {
                names.push(one.name);
            }
        }
        let act = |name| self.acts.act(&*self.operator, name, (verb, waits), request.clone());
        let acting = names.iter().map(|name| act(name));
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
        let tail = self.kept.logs.tail(upstream, lines).await;
        let mut text = String::new();
        for line in &tail.lines {
            text.push_str(line);
            text.push('\n');
        }
        if !follow {
            return text_answer(text);
        }
        let first = futures_util::stream::once(async move { text });
        let rest = futures_util::stream::unfold(tail.more, |mut more| async move {
            let line = more.next().await?;
            Some((format!("{line}\n"), more))
        });
        streamed("text/plain; charset=utf-8", futures_util::StreamExt::chain(first, rest))
    }
}

fn to_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("plain data are JSON")
}
