//! Gives the router tokio's time.

use mcplex_router::Clock;
use std::{future::Future, pin::Pin, time::Duration};

pub(crate) struct TokioClock;

impl Clock for TokioClock {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(time))
    }
}
