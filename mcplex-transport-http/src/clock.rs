//! The only reader of a clock in this crate.

use std::time::Duration;
use tokio::time::Instant;

/// Counts from the moment the listener began to serve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(now())
    }

    /// Milliseconds since the start.
    pub(crate) fn millis(self) -> u64 {
        u64::try_from(now().duration_since(self.0).as_millis()).unwrap_or(u64::MAX)
    }
}

/// The instant that is `wait` away.
pub(crate) fn after(wait: Duration) -> Instant {
    now() + wait
}

#[expect(clippy::disallowed_methods, reason = "this module is where the listener reads a clock")]
fn now() -> Instant {
    Instant::now()
}
