//! Boundary: what a supervised upstream offers. Implemented by the supervisor, called by the
//! router.

use crate::{
    attr,
    error::{self, ErrorObject},
    handshake::ServerInfo,
    message::{Extra, Message, Outcome},
    peer::Peer,
    raw::Raw,
    report::CrashReport,
    trace::TraceContext,
    version::Era,
};
use async_trait::async_trait;
use serde_json::json;
use std::{borrow::Cow, fmt, sync::Arc, time::Duration};
use tracing::Span;

/// The name a person gave an upstream in the configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamName(Arc<str>);

/// A name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream name {0:?} must be 1 to 64 of A-Z a-z 0-9 _ -")]
pub struct BadName(pub String);

impl UpstreamName {
    /// Checks a name.
    ///
    /// Names become part of tool names, and many model APIs accept only these characters and
    /// 64 of them.
    ///
    /// # Errors
    /// When it is empty, longer than 64 characters, or has other characters.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_allowed) {
            return Err(BadName(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One life of an upstream, numbered from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How an upstream is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Connected; calls pass.
    Ready,
    /// Connected, but idle and silent when it was asked whether it lives; calls still pass.
    Degraded,
    /// Not running, and started by the first call.
    Idle,
    /// Starting, stopping, or waiting for its next life; calls wait a little.
    Recovering,
    /// Its breaker is open; calls fail at once.
    Tripped,
    /// Stopped or disabled by somebody; calls fail at once.
    Stopped,
}

impl Health {
    /// The word as it stands in JSON and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Idle => "idle",
            Self::Recovering => "recovering",
            Self::Tripped => "tripped",
            Self::Stopped => "stopped",
        }
    }
}

/// What an observer is told of an upstream.
#[derive(Clone, Debug)]
pub struct Status {
    /// How it is.
    pub health: Health,
    /// The current life, or the last one.
    pub incarnation: Incarnation,
    /// Deaths in the breaker's window.
    pub deaths: u32,
    /// Times the breaker tripped since the last reset or stable life.
    pub trips: u32,
    /// Why it is not ready, in one plain sentence without a final stop.
    pub reason: Option<Arc<str>>,
    /// When it will be tried again, if it will.
    pub retry_after: Option<Duration>,
    /// The process, while there is one.
    pub pid: Option<u32>,
    /// How long the current life has been ready.
    pub uptime: Option<Duration>,
    /// Calls that were sent and not answered.
    pub in_flight: usize,
    /// How the last life that died ended, in one plain sentence without a final stop.
    pub last_error: Option<Arc<str>>,
    /// The same in parts.
    pub last: Option<Arc<LastDeath>>,
    /// The span of the trip, while it is tripped.
    pub trip: Option<TraceContext>,
}

impl Status {
    /// A status that says no more than this.
    #[must_use]
    pub fn new(health: Health, incarnation: Incarnation) -> Self {
        Self {
            health,
            incarnation,
            deaths: 0,
            trips: 0,
            reason: None,
            retry_after: None,
            pid: None,
            uptime: None,
            in_flight: 0,
            last_error: None,
            last: None,
            trip: None,
        }
    }
}

/// How the last life of an upstream ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastDeath {
    /// One plain sentence.
    pub exit: String,
    /// What it wrote to its log at last, oldest line first.
    pub stderr_tail: Vec<String>,
}

/// Why a call has no answer from its upstream.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// It is between two lives and the wait was over before the next one; nothing was sent.
    #[error("upstream {upstream} is not available: {reason}")]
    Unavailable {
        /// Whose call it was.
        upstream: UpstreamName,
        /// One plain sentence.
        reason: Arc<str>,
        /// When it will be tried again.
        retry_after: Option<Duration>,
    },
    /// Its breaker is open; nothing was sent.
    #[error("upstream {upstream} is tripped: {reason}")]
    Tripped {
        /// Whose call it was.
        upstream: UpstreamName,
        /// One plain sentence.
        reason: Arc<str>,
        /// When a trial is due.
        retry_after: Option<Duration>,
        /// Trips so far.
        trips: u32,
        /// How its last life ended.
        last: Option<Arc<LastDeath>>,
        /// The span of the trip.
        cause: Option<TraceContext>,
    },
    /// It died after the call was sent; whether the call ran is unknown.
    #[error("upstream {upstream} died during the call: {reason}")]
    Died {
        /// Whose call it was.
        upstream: UpstreamName,
        /// How it died.
        reason: Arc<str>,
        /// Whether sending the call again can do no harm.
        safe_to_retry: bool,
        /// Whether the same call was in flight at an earlier death too, and so may be what kills it.
        is_suspect: bool,
        /// The span of the death.
        cause: Option<TraceContext>,
        /// The life that had the call, as far as that is known.
        from: Option<Incarnation>,
    },
    /// It did not answer in time; whether the call ran is unknown.
    #[error("upstream {upstream} did not answer within {}", Seconds(*.timeout))]
    Timeout {
        /// Whose call it was.
        upstream: UpstreamName,
        /// How long was waited.
        timeout: Duration,
    },
    /// Too many calls wait already; nothing was sent.
    #[error("upstream {upstream} has {limit} calls waiting already")]
    QueueFull {
        /// Whose call it was.
        upstream: UpstreamName,
        /// How many may wait.
        limit: usize,
        /// When its next life is due, if that is known.
        retry_after: Option<Duration>,
    },
    /// Every client has a child of its own, and there may be no more of them; nothing was sent.
    #[error("upstream {upstream} has a process for each of {limit} clients already")]
    SessionsFull {
        /// Whose call it was.
        upstream: UpstreamName,
        /// How many there may be.
        limit: usize,
    },
    /// Its new life belongs to another era than the call was written for; nothing was sent, and it
    /// can be written again.
    #[error("upstream {upstream} is {now} now")]
    OtherEra {
        /// Whose call it was.
        upstream: UpstreamName,
        /// The era it belongs to now.
        now: Era,
    },
    /// Somebody stopped or disabled it; nothing was sent.
    #[error("upstream {upstream} is stopped")]
    Stopped {
        /// Whose call it was.
        upstream: UpstreamName,
    },
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", (self.0.as_secs_f64() * 10.0).round() / 10.0)
    }
}

impl UpstreamError {
    /// The error of a call that cannot even be sent, by how the upstream is.
    #[must_use]
    pub fn of_status(upstream: &UpstreamName, status: &Status) -> Self {
        let upstream = upstream.clone();
        let reason = status.reason.clone().unwrap_or_else(|| "it is starting".into());
        let retry_after = status.retry_after;
        let last = status.last.clone();
        match status.health {
            Health::Tripped => Self::Tripped {
                upstream,
                reason,
                retry_after,
                trips: status.trips,
                last,
                cause: status.trip.clone(),
            },
            Health::Stopped => Self::Stopped { upstream },
            Health::Ready | Health::Degraded | Health::Idle | Health::Recovering => {
                let retry_after = retry_after.or(Some(Duration::ZERO));
                Self::Unavailable { upstream, reason, retry_after }
            }
        }
    }

    /// The JSON-RPC error for a client, with the reason as data.
    #[must_use]
    pub fn to_client(&self) -> ErrorObject {
        let (code, data) = self.reason();
        ErrorObject { code, message: self.sentence(), data: Some(data) }
    }

    /// The result of a `tools/call` for a client: `isError` with a sentence a model can read,
    /// because many clients show the model results but no protocol errors.
    #[must_use]
    pub fn to_tool_result(&self) -> Raw {
        let (code, mut data) = self.reason();
        data["code"] = json!(code);
        Raw::of(&json!({
            "content": [{ "type": "text", "text": self.sentence() }],
            "isError": true,
            "_meta": { UNAVAILABLE_META: data },
        }))
    }

    /// The span of the event that caused the failure.
    #[must_use]
    pub fn cause(&self) -> Option<&TraceContext> {
        match self {
            Self::Tripped { cause, .. } | Self::Died { cause, .. } => cause.as_ref(),
            Self::Unavailable { .. }
            | Self::Timeout { .. }
            | Self::QueueFull { .. }
            | Self::SessionsFull { .. }
            | Self::OtherEra { .. }
            | Self::Stopped { .. } => None,
        }
    }

    /// Whether the call never left, so that it cannot have taken effect.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        !matches!(self, Self::Died { .. } | Self::Timeout { .. })
    }

    /// The `error.type` of the call's span.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable { .. }
            | Self::QueueFull { .. }
            | Self::SessionsFull { .. }
            | Self::OtherEra { .. }
            | Self::Stopped { .. } => attr::ERROR_UPSTREAM_UNAVAILABLE,
            Self::Tripped { .. } => attr::ERROR_UPSTREAM_TRIPPED,
            Self::Died { .. } => attr::ERROR_UPSTREAM_DIED,
            Self::Timeout { .. } => attr::ERROR_TIMEOUT,
        }
    }

    /// What a code of ours says: whether the call was not sent, and the `error.type`; `None` for
    /// codes of others.
    #[must_use]
    pub fn of_code(code: i64) -> Option<(bool, &'static str)> {
        match code {
            error::UPSTREAM_UNAVAILABLE
            | error::QUEUE_FULL
            | error::UPSTREAM_DISABLED
            | error::SESSIONS_FULL => Some((true, attr::ERROR_UPSTREAM_UNAVAILABLE)),
            error::UPSTREAM_TRIPPED => Some((true, attr::ERROR_UPSTREAM_TRIPPED)),
            error::UPSTREAM_DIED => Some((false, attr::ERROR_UPSTREAM_DIED)),
            error::UPSTREAM_TIMEOUT => Some((false, attr::ERROR_TIMEOUT)),
            _ => None,
        }
    }

    /// What happened, whether the call ran, and what to do.
    fn sentence(&self) -> String {
        let advice = match self {
            Self::Unavailable { retry_after, .. } | Self::Tripped { retry_after, .. } => {
                match retry_after {
                    Some(wait) => {
                        format!("The call was not sent; it is tried again in {}", Seconds(*wait))
                    }
                    None => "The call was not sent; an operator has to reset it".to_owned(),
                }
            }
            Self::Died { is_suspect: true, .. } => {
                "The same call was in flight when it died before, so it is probably what ends it; do \
                 not send it again"
                    .to_owned()
            }
            Self::Died { .. } | Self::Timeout { .. } => {
                "It is unknown whether the call took effect; check before repeating it".to_owned()
            }
            Self::QueueFull { .. } | Self::OtherEra { .. } => {
                "The call was not sent; try again later".to_owned()
            }
            Self::SessionsFull { .. } => {
                "The call was not sent; try again when another call or session has ended, or raise \
                 `session_limit`"
                    .to_owned()
            }
            Self::Stopped { .. } => "The call was not sent; an operator has to start it".to_owned(),
        };
        format!("{}. {advice}.", capitalized(&self.to_string()))
    }

    /// The code and the structured reason.
    fn reason(&self) -> (i64, serde_json::Value) {
        let ms =
            |wait: &Option<Duration>| wait.map(|wait| wait.as_millis().min(u64::MAX.into()) as u64);
        match self {
            Self::OtherEra { upstream, now } => (
                error::UPSTREAM_UNAVAILABLE,
                json!({ "server": upstream.as_str(), "state": "ready", "era": now.as_str(),
                        "retryAfterMs": 0, "sent": false }),
            ),
            Self::Unavailable { upstream, reason, retry_after } => (
                error::UPSTREAM_UNAVAILABLE,
                json!({ "server": upstream.as_str(), "state": "recovering", "reason": &**reason,
                        "retryAfterMs": ms(retry_after), "sent": false }),
            ),
            Self::Tripped { upstream, reason, retry_after, trips, last, .. } => (
                error::UPSTREAM_TRIPPED,
                json!({ "server": upstream.as_str(), "state": "tripped", "reason": &**reason,
                        "trips": trips, "retryAfterMs": ms(retry_after), "sent": false,
                        "lastExit": last.as_ref().map(|last| &last.exit),
                        "stderrTail": last.as_ref().map(|last| &last.stderr_tail) }),
            ),
            Self::Died { upstream, reason, safe_to_retry, is_suspect, .. } => (
                error::UPSTREAM_DIED,
                json!({ "server": upstream.as_str(), "exit": &**reason, "sent": true,
                        "outcome": "unknown", "safeToRetry": safe_to_retry,
                        "suspect": is_suspect }),
            ),
            Self::Timeout { upstream, timeout } => (
                error::UPSTREAM_TIMEOUT,
                json!({ "server": upstream.as_str(), "timeoutMs": ms(&Some(*timeout)),
                        "sent": true, "outcome": "unknown" }),
            ),
            Self::QueueFull { upstream, limit, retry_after } => (
                error::QUEUE_FULL,
                json!({ "server": upstream.as_str(), "limit": limit, "sent": false,
                        "retryAfterMs": ms(retry_after) }),
            ),
            Self::SessionsFull { upstream, limit } => (
                error::SESSIONS_FULL,
                json!({ "server": upstream.as_str(), "limit": limit, "sent": false }),
            ),
            Self::Stopped { upstream } => (
                error::UPSTREAM_DISABLED,
                json!({ "server": upstream.as_str(), "state": "stopped", "sent": false }),
            ),
        }
    }
}

/// The `_meta` key under which a tool result says why its upstream is not available.
pub const UNAVAILABLE_META: &str = "dev.mcplex/unavailable";

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// One request on its way to an upstream.
#[derive(Clone, Debug)]
pub struct Call {
    /// The id it has there; from [`Upstream::mint`].
    pub id: u64,
    /// The method's name.
    pub method: Cow<'static, str>,
    /// Its parameters, already in the upstream's words.
    pub params: Option<Raw>,
    /// Unknown members of its envelope.
    pub extra: Extra,
    /// How long to wait for the answer; `None` takes the upstream's own limit.
    pub timeout: Option<Duration>,
    /// The spans of the call, where they are exported.
    pub trace: Option<Traced>,
    /// Whether the gateway asks for itself; such a call is no excuse for an upstream's silence.
    pub is_upkeep: bool,
    /// The era it is written for; a life of the other one does not get it.
    pub era: Era,
}

/// The spans of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// That of the request to the upstream, for the span of a death that takes it along.
    pub sent: TraceContext,
    /// That of the request it is for, for the span of a connect that it waits for.
    pub asked: Option<TraceContext>,
}

/// What an upstream answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// A result or an error of the upstream's own.
    pub outcome: Outcome,
    /// Unknown members of its envelope.
    pub extra: Extra,
    /// The life that answered.
    pub from: Incarnation,
}

/// A supervised upstream, as others hold it.
#[async_trait]
pub trait Upstream: fmt::Debug + Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &UpstreamName;

    /// A request id that was never used before with this upstream.
    fn mint(&self) -> u64;

    /// How it is now.
    fn status(&self) -> Status;

    /// What it said of itself when it was last connected.
    fn server_info(&self) -> Option<Arc<ServerInfo>>;

    /// The life that is open, or was last, for spans; nothing before the first, and where no spans
    /// are exported.
    fn peer(&self) -> Option<Arc<Peer>> {
        None
    }

    /// Sends a request and waits for its answer; while the upstream is between two lives the
    /// call waits a little.
    ///
    /// Dropping the future forgets the call without telling the upstream.
    ///
    /// # Errors
    /// When there will be no answer; the variant says whether the call may have run.
    async fn call(&self, call: Call) -> Result<Reply, UpstreamError>;

    /// The time that a call may take begins anew, and is at least this long.
    ///
    /// Its upstream has asked something, or was answered: what a person needs for an answer is not the
    /// upstream's time. Where calls have no limit there is nothing to do.
    fn renew(&self, _id: u64, _at_least: Duration) {}

    /// Sends a notification or a response to the current life, or nothing when there is none.
    ///
    /// Never waits. A response must name the life that asked.
    fn send(&self, to: Option<Incarnation>, message: Message);
}

/// Who wants to hear what an upstream says by itself.
///
/// Called in the order of arrival from the task that owns the upstream: it must not block.
pub trait UpstreamEvents: Send + Sync + 'static {
    /// A request or notification arrived; `about` is the call it is certainly about, where the
    /// transport can tell.
    fn message(&self, from: Incarnation, message: Message, about: Option<u64>);

    /// The status changed.
    fn changed(&self, status: Status);

    /// A life was opened; told before the status that follows from it. The span of its connect ends
    /// when this is dropped, which should not take long.
    fn connected(&self, from: Incarnation, connect: Span) {
        // Most who listen do not belong to the connect.
        drop((from, connect));
    }

    /// A life ended that nobody asked to end; told before the status that follows from it.
    fn died(&self, report: Arc<CrashReport>) {
        // Most who listen need no more than the status.
        drop(report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_break_a_tool_name_are_refused() {
        for good in ["a", "my-server_2", "X"] {
            assert!(UpstreamName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a.b", "ä", &"x".repeat(65)] {
            assert!(UpstreamName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_reads_what_happened_and_whether_the_call_ran() {
        let upstream = UpstreamName::new("mail").unwrap();
        let tripped = UpstreamError::Tripped {
            upstream: upstream.clone(),
            reason: "6 deaths in 60 s; it exited with code 1".into(),
            retry_after: Some(Duration::from_millis(61_500)),
            trips: 1,
            last: None,
            cause: None,
        };
        let error = tripped.to_client();
        assert_eq!(error.code, -31002);
        assert_eq!(
            error.message,
            "Upstream mail is tripped: 6 deaths in 60 s; it exited with code 1. \
             The call was not sent; it is tried again in 61.5 s."
        );
        let died = UpstreamError::Died {
            upstream,
            reason: "it exited with code 3".into(),
            safe_to_retry: false,
            is_suspect: false,
            cause: None,
            from: None,
        };
        let result: serde_json::Value = died.to_tool_result().get().unwrap();
        assert_eq!(result["isError"], true);
        assert_eq!(result["_meta"][UNAVAILABLE_META]["sent"], true);
        assert_eq!(result["_meta"][UNAVAILABLE_META]["code"], -31003);
        assert_eq!(
            result["content"][0]["text"],
            "Upstream mail died during the call: it exited with code 3. It is unknown whether \
             the call took effect; check before repeating it."
        );
    }
}
