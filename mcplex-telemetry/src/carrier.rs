//! The one thread that telemetry leaves from.
//!
//! Everything that waits, for company, for a collector or for the end of a retry, waits here, as a
//! task; no other thread of the process ever does. It has a runtime of its own, so the one that
//! serves calls may be blocked in [`shutdown`](crate::Telemetry::shutdown) while the last spans
//! leave, and it is left behind if a collector hangs.

pub(crate) mod batch;
mod connect;
mod grpc;
mod http;
mod outlet;
mod send;
mod trust;

use std::future::Future;
use std::sync::Arc;
use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub(crate) use batch::{Accepted, Batch};
pub(crate) use outlet::Outlet;
pub(crate) use send::SendError;

/// Threads that look up names, the only thing that blocks; two, so that a name that hangs does not
/// hold up another one.
const LOOKUPS: usize = 2;

/// Where the tasks of telemetry run; its thread ends with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct Carrier {
    handle: Handle,
    _stop: Arc<oneshot::Sender<()>>,
}

impl Carrier {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUPS)
            .thread_name("telemetry-names")
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            // It only ever ends because the sender is gone.
            drop(runtime.block_on(stopped));
            runtime.shutdown_background();
        };
        thread::Builder::new().name("telemetry".into()).spawn(run)?;
        Ok(Self { handle, _stop: Arc::new(stop) })
    }

    /// Runs a task until it ends or the carrier does.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(task));
    }
}

#[cfg(test)]
mod tests;
