//! How upstreams are kept alive; the numbers and their origins are in `default.toml`.

use crate::unit;
use serde::Deserialize;
use std::time::Duration;

/// The section `[supervise]`, and `[servers.supervise]` over it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervise {
    /// What follows when an upstream ended by itself.
    pub restart: Restart,
    /// What an exit with code 0 means that nobody asked for.
    pub on_exit_0: OnExitZero,
    /// How long nobody must have used it before it is ended until the next call; zero is never.
    #[serde(deserialize_with = "unit::duration")]
    pub idle_stop: Duration,
    /// Who shares a process of it with whom.
    pub isolation: Isolation,
    /// How many processes a pool has.
    #[serde(deserialize_with = "unit::positive_count")]
    pub pool_size: usize,
    /// How many sessions may have a process of their own at once.
    #[serde(deserialize_with = "unit::positive_count")]
    pub session_limit: usize,
    /// How long a start may wait to be let through.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub start_wait: Duration,
    /// How long a start with its handshake may take.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub handshake_timeout: Duration,
    /// The same for the first start of a program that downloads what it runs.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub first_handshake_timeout: Duration,
    /// Which eras of the protocol are tried, and in which order.
    pub era: Era,
    /// How long a process may take to say which era it belongs to.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub era_wait: Duration,
    /// How long a call waits for its answer.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub call_timeout: Duration,
    /// Whether it is started by its first call, and not with mcplex.
    pub lazy: bool,
    /// How many calls may be in flight at once; 0 is no limit.
    pub max_concurrency: usize,
    /// How many calls may wait for an upstream that is starting.
    pub queue_limit: usize,
    /// How long a call may wait for an upstream that is starting.
    #[serde(deserialize_with = "unit::duration")]
    pub queue_wait: Duration,
    /// How many deaths within `window` are borne; one more trips.
    pub max_deaths: u32,
    /// How long the breaker remembers a death.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub window: Duration,
    /// How many lives in a row may end before they were stable; one more trips.
    pub max_run: u32,
    /// How long a life must be ready before its past is forgiven.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub stable_after: Duration,
    /// The longest wait before the first respawn.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub backoff_first: Duration,
    /// By what the wait grows; at least 1.
    #[serde(deserialize_with = "unit::factor")]
    pub backoff_factor: u32,
    /// The longest wait before any respawn; not below `backoff_first`.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub backoff_max: Duration,
    /// How long the breaker stays open after the first trip.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub cooldown_first: Duration,
    /// By what the cool-down grows; at least 1.
    #[serde(deserialize_with = "unit::factor")]
    pub cooldown_factor: u32,
    /// The longest cool-down; not below `cooldown_first`.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub cooldown_max: Duration,
    /// The cool-down after a failure that only a person can repair.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub cooldown_permanent: Duration,
    /// By what share at most a cool-down is lengthened; 0 to 1.
    #[serde(deserialize_with = "unit::share")]
    pub cooldown_jitter: f64,
    /// Whether an open breaker waits for a reset for ever.
    pub cooldown_never: bool,
    /// How long a trial must be ready before it closes the breaker.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub probation: Duration,
    /// How many trials start by themselves.
    pub auto_trials: u32,
    /// Whether an idle upstream is asked if it still answers.
    pub probe: bool,
    /// How long nothing must have been heard before it is asked.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub probe_every: Duration,
    /// How long it may take to answer.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub probe_timeout: Duration,
    /// How many misses in a row mean that it hangs; at least 1.
    #[serde(deserialize_with = "unit::positive_number")]
    pub probe_misses: u32,
    /// How long a write may be stuck before the upstream counts as hung.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub write_stall: Duration,
    /// How long it may take to leave after its stdin was closed.
    #[serde(deserialize_with = "unit::duration")]
    pub grace_eof: Duration,
    /// How long it may take after SIGTERM.
    #[serde(deserialize_with = "unit::duration")]
    pub grace_term: Duration,
    /// How long the kernel may take after SIGKILL before an alarm.
    #[serde(deserialize_with = "unit::duration")]
    pub grace_kill: Duration,
    /// How often an upstream that could not be ended is looked at again.
    #[serde(deserialize_with = "unit::positive_duration")]
    pub close_recheck: Duration,
    /// Whether a process of ours holds an upstream's processes together.
    pub guard: Guard,
    /// The longest line an upstream may write, in bytes.
    #[serde(deserialize_with = "unit::size")]
    pub max_line: usize,
    /// How many of the last lines of its stderr are kept.
    pub stderr_lines: usize,
}

/// Which eras of the protocol are tried, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Era {
    /// Both; `server/discover` first, unless it is known to need a session.
    Auto,
    /// Only `initialize`.
    Legacy,
    /// Only `server/discover`.
    Modern,
    /// Both; `initialize` first.
    LegacyFirst,
}

/// What follows when an upstream ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// It is started again.
    Always,
    /// It is started again, except after an exit with code 0.
    OnFailure,
    /// Nothing.
    Never,
}

/// What an exit with code 0 means that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnExitZero {
    /// A death like any other.
    Restart,
    /// It is started again by the next call.
    Idle,
}

/// Whether a process of ours stands between mcplex and an upstream's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// Where the platform has guards, which is Linux.
    Auto,
    /// Never.
    Off,
}

/// Who shares a process of an upstream with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// All clients have one.
    Shared,
    /// Every client session has its own.
    Session,
    /// All clients have several.
    Pool,
}
