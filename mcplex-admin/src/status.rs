//! What is told of a running mcplex and its upstreams, as JSON has it.

use mcplex_proto::upstream::Health;
use serde::{Deserialize, Serialize};

/// A running mcplex at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// The process.
    pub instance: Instance,
    /// Its upstreams, in the order of the configuration.
    pub upstreams: Vec<UpstreamStatus>,
}

/// A running mcplex.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// The configuration file; `None` for the built-in demo.
    pub configuration: Option<String>,
    /// When it started, in milliseconds of Unix time.
    pub started_ms: u64,
    /// Where HTTP clients connect, if they can.
    pub endpoint: Option<String>,
    /// Where operators connect over a network, if they can.
    pub admin: Option<String>,
    /// The dashboard with its token; told by the control socket only.
    pub dashboard: Option<String>,
    /// Where traces can be looked at.
    pub traces: Option<String>,
    /// How many clients are attached through the socket.
    pub attached: usize,
    /// Where it keeps logs and crash reports; `None` when only in memory.
    pub state: Option<String>,
    /// Lines of logs that were lost, because they came faster than they could be kept.
    pub lost_lines: u64,
    /// Crash reports that could not be written to disk.
    pub lost_reports: u64,
    /// Spans that no collector took, though one was to.
    pub lost_spans: u64,
    /// Log records that no collector took, though one was to.
    pub lost_records: u64,
    /// Since when calls are counted, in milliseconds of Unix time.
    pub calls_since_ms: Option<u64>,
    /// Lines of the audit log that were lost, because the disk was full or too slow.
    pub lost_audit: u64,
    /// The same of the log file.
    pub lost_log: u64,
    /// What two gateways of the same configuration have in common; tells whether a file is what runs.
    pub fingerprint: String,
    /// Settings of the file that only a restart can apply.
    pub needs_restart: Vec<String>,
}

/// An upstream, or one member of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Which of its children, where it has several, as `mail/2`; nothing for the first.
    pub member: Option<String>,
    /// Whether the configuration wants it.
    pub is_enabled: bool,
    /// Whether the configuration lets its first call start it.
    pub is_lazy: bool,
    /// How it is, in one word.
    #[serde(with = "health")]
    pub health: Health,
    /// What its breaker lets through.
    pub breaker: Breaker,
    /// Why it is not ready, in one plain sentence without a final stop.
    pub reason: Option<String>,
    /// Whether its last life ended by itself, and its settings let none follow before somebody asks.
    pub has_left: bool,
    /// The process, while there is one.
    pub pid: Option<u32>,
    /// Where it is, if it is no process of ours; without secrets.
    pub url: Option<String>,
    /// The current life, or the last one.
    pub incarnation: u64,
    /// Since when its health is what it is, in milliseconds of Unix time.
    pub since_ms: u64,
    /// Since when it has had trouble, in milliseconds of Unix time: from the first death or start
    /// after which it was not well until it is ready and no death counts any more.
    pub trouble_since_ms: Option<u64>,
    /// How long the current life has been ready.
    pub uptime_ms: Option<u64>,
    /// The revision of the protocol that the current life speaks, once it is ready.
    pub protocol: Option<String>,
    /// How it is spoken to: `legacy` (a session) or `modern` (each request by itself).
    pub era: Option<String>,
    /// Deaths in the breaker's window.
    pub deaths: u32,
    /// How many are borne.
    pub max_deaths: u32,
    /// How long the window is.
    pub window_ms: u64,
    /// Times the breaker tripped since the last reset or stable life.
    pub trips: u32,
    /// When it will be tried again, if that is known.
    pub retry_after_ms: Option<u64>,
    /// How long a verb that waits for its effect may take.
    pub patience_ms: u64,
    /// How many tools it offers.
    pub tools: usize,
    /// Calls that were sent and not answered.
    pub in_flight: usize,
    /// How the last life that died ended, without a final stop.
    pub last_error: Option<String>,
}

impl Default for UpstreamStatus {
    /// An upstream without a name that never ran.
    fn default() -> Self {
        Self {
            name: String::new(),
            member: None,
            is_enabled: true,
            is_lazy: false,
            health: Health::Stopped,
            breaker: Breaker::Closed,
            reason: None,
            has_left: false,
            pid: None,
            url: None,
            incarnation: 0,
            since_ms: 0,
            trouble_since_ms: None,
            uptime_ms: None,
            protocol: None,
            era: None,
            deaths: 0,
            max_deaths: 0,
            window_ms: 0,
            trips: 0,
            retry_after_ms: None,
            patience_ms: 0,
            tools: 0,
            in_flight: 0,
            last_error: None,
        }
    }
}

impl UpstreamStatus {
    /// Whether calls pass.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.health, Health::Ready | Health::Degraded)
    }

    /// Whether it is to be there from the start and has neither come up nor failed yet.
    #[must_use]
    pub fn is_in_first_start(&self) -> bool {
        let is_first = self.incarnation <= 1 && self.last_error.is_none();
        // Children beside the first come and go with clients.
        let is_wanted = self.is_enabled && !self.is_lazy && self.member.is_none();
        is_wanted && is_first && self.health == Health::Recovering
    }

    /// Whether it has died and waits for its next life.
    #[must_use]
    pub fn is_backing_off(&self) -> bool {
        self.health == Health::Recovering && self.retry_after_ms.is_some()
    }
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// Every respawn.
    #[default]
    Closed,
    /// One trial, which is under way.
    HalfOpen,
    /// Nothing until the cool-down is over.
    Open,
}

impl Breaker {
    /// The word as it stands in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// A health as its word.
mod health {
    use mcplex_proto::upstream::Health;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    const ALL: [Health; 6] = [
        Health::Ready,
        Health::Degraded,
        Health::Idle,
        Health::Recovering,
        Health::Tripped,
        Health::Stopped,
    ];

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(health: &Health, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(health.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Health, D::Error> {
        let word = String::deserialize(from)?;
        let found = ALL.into_iter().find(|health| health.as_str() == word);
        found.ok_or_else(|| D::Error::custom(format_args!("{word:?} is no health")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_was_written() {
        let status = UpstreamStatus {
            name: "files".to_owned(),
            health: Health::Tripped,
            breaker: Breaker::Open,
            retry_after_ms: Some(7),
            ..UpstreamStatus::default()
        };
        let text = serde_json::to_string(&status).unwrap();
        assert!(text.contains(r#""health":"tripped","breaker":"open""#), "{text}");
        assert_eq!(serde_json::from_str::<UpstreamStatus>(&text).unwrap(), status);
        assert!(serde_json::from_str::<UpstreamStatus>(r#"{"health":"well"}"#).is_err());
    }
}
