//! Every limit of a supervised upstream, with its reason.

use mcplex_proto::{handshake::EraChoice, transport::Grace};
use std::time::Duration;

/// How an upstream is kept alive and when it is given up.
///
/// Two limits hold whatever is set: a cool-down is never shorter than `window`, because two trials
/// in one window would break the bound on starts; `close_recheck` is at least 1 ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What follows when a life ended by itself.
    pub restart: Restart,
    /// What an exit with code 0 means that nobody asked for.
    pub on_exit_0: OnExitZero,
    /// How long nobody must have used it before it is ended until the next call; `None` is never.
    pub idle_stop: Option<Duration>,
    /// How long a start may wait to be let through; past it the host counts as overloaded.
    pub start_wait: Duration,
    /// How long a connect with its handshake may take; past it the life counts as dead.
    pub handshake_timeout: Duration,
    /// The same for its very first start, if that may install it and so take longer.
    pub first_handshake_timeout: Option<Duration>,
    /// Which eras of the protocol are tried, and in which order.
    pub era: EraChoice,
    /// How long a process may take to say which era it belongs to, until it is taken for a legacy
    /// one; half of the handshake's time at most.
    pub era_wait: Duration,
    /// How long a call waits for its answer when it names no limit of its own.
    pub call_timeout: Duration,
    /// How many calls of clients may be in flight at once; more wait in order. 0 is no limit.
    pub max_concurrency: usize,
    /// How many calls may wait for the next life, or for others to end.
    pub queue_limit: usize,
    /// How long a call may wait for the next life.
    pub queue_wait: Duration,
    /// How many deaths within `window` are borne; one more trips the breaker.
    pub max_deaths: u32,
    /// How long a death is remembered by the breaker.
    pub window: Duration,
    /// How many lives in a row may end before they were stable; one more trips the breaker.
    pub max_run: u32,
    /// How long a life must be ready before its past is forgiven.
    pub stable_after: Duration,
    /// The longest wait before the first respawn; the real one is between its half and itself.
    pub backoff_first: Duration,
    /// By what the wait grows from one respawn to the next.
    pub backoff_factor: u32,
    /// The longest wait before any respawn.
    pub backoff_max: Duration,
    /// How long the breaker stays open after the first trip.
    pub cooldown_first: Duration,
    /// By what the cool-down grows from one trip to the next.
    pub cooldown_factor: u32,
    /// The longest cool-down, before its jitter.
    pub cooldown_max: Duration,
    /// The cool-down after a failure that only a person can repair.
    pub cooldown_permanent: Duration,
    /// By how many percent at most a cool-down is lengthened at random.
    pub cooldown_jitter: u32,
    /// Whether an open breaker waits for a reset for ever, instead of for a cool-down.
    pub cooldown_never: bool,
    /// How long a trial must be ready before it closes the breaker.
    pub probation: Duration,
    /// How many trials start by themselves; later ones wait for a caller or a reset.
    pub auto_trials: u32,
    /// How long each polite step of an end may take.
    pub grace: Grace,
    /// How often an upstream that could not be ended is looked at again.
    pub close_recheck: Duration,
    /// How an idle upstream is asked whether it still answers; `None` never asks.
    pub probe: Option<ProbeOptions>,
    /// How long a write may be stuck before the upstream counts as hung, busy or not.
    pub write_stall: Duration,
    /// Whether it is told where its handshake belongs in a trace.
    pub tells_trace: bool,
    /// Whether the span of its death has what it wrote last.
    pub stderr_tail: bool,
}

/// What follows when a life ended by itself.
///
/// The breaker comes first: when it opens, that is what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The next life, however it ended.
    Always,
    /// The next life, but nothing after an exit with code 0.
    OnFailure,
    /// Nothing, except that a failure of the host is tried again; an open breaker waits for a
    /// person.
    Never,
}

/// What an exit with code 0 means that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExitZero {
    /// A death like any other: a server has no reason to leave while its input is open.
    Restart,
    /// It is done and waits for its next caller; still a death if it was ready for less than 10 s.
    ///
    /// Wins over [`Restart::OnFailure`], and loses to [`Restart::Never`].
    Idle,
}

/// How an idle upstream is asked whether it still answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeOptions {
    /// How long nothing must have been heard before it is asked.
    pub every: Duration,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// How many misses in a row mean that it hangs.
    pub misses: u32,
}

impl Default for Options {
    /// The values every number in the documentation was measured or computed with.
    fn default() -> Self {
        Self {
            // What systemd's `Restart=always` and s6 do for services: a server that is configured
            // is meant to be there.
            restart: Restart::Always,
            on_exit_0: OnExitZero::Restart,
            // Only a person knows whether a server can be started again without harm.
            idle_stop: None,
            // Longer than any wave of starts: 100 servers, 4 at a time at 2 s each, are 50 s.
            start_wait: secs(60),
            // The original mcplex's. A warm `npx` needs 2 s and 24 servers started at once took
            // 5 s each; a cold cache may need more and has to be configured.
            handshake_timeout: secs(30),
            // Only who knows the program knows whether its first start downloads it.
            first_handshake_timeout: None,
            // Modern servers get what they can do, and legacy ones lose one round trip once.
            era: EraChoice::Auto,
            // What the client of the Rust SDK waits. A cold Python server took 3.3 s to answer.
            era_wait: secs(10),
            // Longer than any client waits by default (60 s in the official SDKs), because the
            // client's own limit is the one that is meant; a call may wait for a person.
            call_timeout: secs(15 * 60),
            // Servers take what they can and let the rest wait in their pipe; only a person knows
            // of one that does not.
            max_concurrency: 0,
            // Enough for a burst of one client; more would only time out together.
            queue_limit: 64,
            // Covers the first five backoffs, which sum to less than 8 s and usually to less than
            // 6 s; a person waits that long without a sign, a model's client does too.
            queue_wait: secs(5),
            // "More than 5 in 60 s" is the rule users of the original asked for: the 6th trips.
            max_deaths: 5,
            window: secs(60),
            // Lives longer than 6 s never fill the window above; 8 of them is the least number
            // that an upgrade or a network outage of some minutes does not reach.
            max_run: 8,
            // Not shorter than the window, so that nothing is forgiven that the window still knows.
            stable_after: secs(60),
            // Docker starts at 100 ms, Kubernetes at 1 s or 10 s: a single crash should cost a
            // caller less than a blink, a loop should cost the host nothing.
            backoff_first: Duration::from_millis(250),
            backoff_factor: 2,
            backoff_max: secs(30),
            // The window, so that a trial never shares one with the deaths before the trip.
            cooldown_first: secs(60),
            cooldown_factor: 2,
            // At most five starts an hour of an upstream that stays broken.
            cooldown_max: secs(15 * 60),
            cooldown_permanent: secs(15 * 60),
            // Upstreams that tripped together should not be tried together. Only ever longer.
            cooldown_jitter: 20,
            cooldown_never: false,
            // Longer than the crashes right after a handshake, shorter than a person's patience.
            probation: secs(10),
            // With the cool-downs above about half an hour of trying without anybody asking.
            auto_trials: 5,
            grace: Grace::default(),
            // Uninterruptible sleep ends in minutes if at all; looking is cheap.
            close_recheck: secs(5),
            probe: Some(ProbeOptions::default()),
            // A working server empties its pipe between two tool calls.
            write_stall: secs(30),
            // The conventions for MCP want it, and it says nothing but numbers.
            tells_trace: true,
            // Whatever a server writes may be private.
            stderr_tail: false,
        }
    }
}

impl Default for ProbeOptions {
    /// A hang is found within a minute, by one small message per idle half minute.
    fn default() -> Self {
        Self { every: secs(30), timeout: secs(10), misses: 3 }
    }
}

impl Options {
    /// How long a close may take before it counts as not reached.
    pub(crate) fn close_limit(&self) -> Duration {
        let Grace { eof, term, kill } = self.grace;
        eof.saturating_add(term).saturating_add(kill).saturating_add(self.recheck())
    }

    /// How long until an unkillable upstream is looked at again.
    pub(crate) fn recheck(&self) -> Duration {
        self.close_recheck.max(Duration::from_millis(1))
    }
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
