//! Gives the router tokio's time.

use mcplex_router::Clock;
use std::{
    future::Future,
    pin::Pin,
    time::{Duration, SystemTime},
};

pub(crate) struct TokioClock;

impl Clock for TokioClock {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(time))
    }

    #[expect(clippy::disallowed_methods, reason = "only told to clients, in words")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
