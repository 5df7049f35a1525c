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

mod name;
mod status;

pub use name::{BadName, UpstreamName};
pub use status::{Health, Incarnation, LastDeath, Status};

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
        /// The span of the death that it has not got over.
        cause: Option<TraceContext>,
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
        /// The life that had the call; nothing when it waited for one all the time.
        from: Option<Incarnation>,
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
    /// Somebody stopped or disabled it, or it ended and is not to be started again; nothing was sent.
    #[error("upstream {upstream} is stopped{}", Because(.reason))]
    Stopped {
        /// Whose call it was.
        upstream: UpstreamName,
        /// How it ended, if nobody has stopped it.
        reason: Option<Arc<str>>,
    },
}

struct Because<'a>(&'a Option<Arc<str>>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
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
            Health::Stopped => {
                Self::Stopped { upstream, reason: Some(reason).filter(|_| status.has_left) }
            }
            Health::Ready | Health::Degraded | Health::Idle | Health::Recovering => {
                let retry_after = retry_after.or(Some(Duration::ZERO));
                Self::Unavailable { upstream, reason, retry_after, cause: status.death.clone() }
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
            Self::Unavailable { cause, .. }
            | Self::Tripped { cause, .. }
            | Self::Died { cause, .. } => cause.as_ref(),
            Self::Timeout { .. }
            | Self::QueueFull { .. }
            | Self::SessionsFull { .. }
            | Self::OtherEra { .. }
            | Self::Stopped { .. } => None,
        }
    }

    /// The life that had the call and gave no answer.
    #[must_use]
    pub fn from(&self) -> Option<Incarnation> {
        match self {
            Self::Died { from, .. } | Self::Timeout { from, .. } => *from,
            Self::Unavailable { .. }
            | Self::Tripped { .. }
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
            Self::Unavailable { upstream, reason, retry_after, .. } => (
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
            Self::Timeout { upstream, timeout, .. } => (
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
            Self::Stopped { upstream, reason } => {
                let mut data =
                    json!({ "server": upstream.as_str(), "state": "stopped", "sent": false });
                if let Some(reason) = reason {
                    data["reason"] = json!(&**reason);
                }
                (error::UPSTREAM_DISABLED, data)
            }
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
    /// A request or notification arrived, or an answer that nobody waits for any more; `about` is the
    /// call it is certainly about, where the transport can tell.
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
