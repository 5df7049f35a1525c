//! Where a [`Life`](crate::Life) can be.

use crate::time::Time;
use std::time::Duration;

/// Where a life is; a variant holds exactly what exists there.
///
/// A process can exist only in `Starting`, `Ready` and `Stopping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody wants it to run.
    Stopped,
    /// It waits for its first caller.
    Idle,
    /// A connect with its handshake is under way, or waits to be let through.
    Starting {
        /// When it counts as failed.
        deadline: Time,
        /// Whether the breaker is open and this is its trial.
        trial: bool,
        /// Whether it was let through; before that there is no process.
        is_granted: bool,
    },
    /// Calls pass.
    Ready {
        /// When the handshake was done.
        since: Time,
        /// How much it is trusted.
        standing: Standing,
        /// Whether it may hang: it was idle and missed a probe.
        is_degraded: bool,
    },
    /// Its remains are being ended.
    Stopping {
        /// What follows when nothing is left.
        next: Next,
        /// When to look again.
        check: Time,
    },
    /// It waits for its next life.
    Backoff {
        /// When that begins.
        until: Time,
    },
    /// The breaker is open.
    Open {
        /// When it will be tried again.
        trial: NextTrial,
    },
}

/// How much a ready life is trusted, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It is a trial; its death opens the breaker again.
    Probation,
    /// Its death counts as one more in the run.
    New,
    /// All before it is forgiven.
    Stable,
}

/// What follows when nothing of a life is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Nothing.
    Stopped,
    /// The wait for a caller.
    Idle,
    /// The next life, at once.
    Start,
    /// The next life, after a wait.
    Backoff {
        /// How long.
        delay: Duration,
    },
    /// An open breaker.
    Open {
        /// How long until a trial may start; `None` is never.
        cooldown: Option<Duration>,
    },
}

/// When an open breaker lets a trial start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextTrial {
    /// By itself.
    At(Time),
    /// When a caller is there.
    OnDemand {
        /// But not before.
        from: Time,
    },
    /// Only after a reset.
    Never,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The connect was not let through for too long.
    Grant,
    /// The handshake took too long.
    Handshake,
    /// The trial is over and went well.
    Probation,
    /// The life was ready long enough to be stable.
    Stable,
    /// An end is overdue, or an unkillable one is looked at again.
    Close,
    /// The backoff is over.
    Respawn,
    /// The cool-down is over.
    Trial,
}
