//! Boundary: the time, which tests make up.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

/// What time it is.
///
/// Two clocks, because they answer two questions: a token says in calendar time when it ends, and
/// how long something was ago must not jump when somebody sets the calendar.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Seconds since 1970.
    fn unix(&self) -> u64;

    /// How long this clock has been running.
    fn uptime(&self) -> Duration;
}

/// The clocks of the system.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that has just begun to run.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one clock of this crate; it is an argument of everything else"
    )]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "`exp` and `nbf` of a token are calendar time, whoever issued it decides so"
    )]
    fn unix(&self) -> u64 {
        // Before 1970 every token has ended long from now, which refuses none that is good.
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}
