//! How long a call takes for spans that nobody wants: nanoseconds for each, one line per round.
//!
//! The subscriber is the one of `mcplex serve` with neither an endpoint nor numbers, so that what is
//! measured is what a call of such a mcplex pays. `cargo xtask bench --only telemetry` runs it.

use futures_util::future::BoxFuture;
use mcplex_router::{Clock, Options, Router, cost::Traced};
use std::{
    io::{self, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

/// Rounds; of them the bench takes the median.
const ROUNDS: usize = 15;
/// Calls in a round: long enough for a clock that is off by some microseconds.
const CALLS: u32 = 1_000_000;

/// A time in which nothing happens.
struct Never;

impl Clock for Never {
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn wall(&self) -> std::time::SystemTime {
        std::time::SystemTime::UNIX_EPOCH
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let telemetry = mcplex_telemetry::install(mcplex_telemetry::Options::default())?;
    let router = Router::new(Options::default(), Arc::new(Never));
    let call = Traced::new(&router);
    // Caches are warm in a gateway that is asked so often that this matters.
    call.run(CALLS / 10);
    for _ in 0..ROUNDS {
        let took = timed(|| call.run(CALLS));
        writeln!(io::stdout(), "{:.2}", took.as_secs_f64() * 1e9 / f64::from(CALLS))?;
    }
    drop(telemetry);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "this measures time")]
fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}
