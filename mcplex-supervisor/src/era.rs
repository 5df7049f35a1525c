//! Boundary: what is known of an upstream's era from one life to the next.

use mcplex_proto::version::Era;
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Remembers which era an upstream belongs to, so that only its first start has to ask.
///
/// Belongs to one configuration of one upstream: what is started in another way may be of another
/// era. All members of an upstream share one. Called from the task that owns the upstream: it must
/// not block.
pub trait EraMemory: fmt::Debug + Send + Sync + 'static {
    /// The era, if it is known and not too long ago.
    fn recall(&self) -> Option<Era>;

    /// It was found out now.
    fn remember(&self, era: Era);

    /// What was remembered does not hold any more.
    fn forget(&self);
}

/// Remembers for as long as this process runs.
#[derive(Debug, Default)]
pub struct ProcessMemory(Mutex<Option<Era>>);

impl EraMemory for ProcessMemory {
    fn recall(&self) -> Option<Era> {
        *self.lock()
    }

    fn remember(&self, era: Era) {
        *self.lock() = Some(era);
    }

    fn forget(&self) {
        *self.lock() = None;
    }
}

impl ProcessMemory {
    /// Locks for a moment; a panic elsewhere leaves a whole value behind.
    fn lock(&self) -> MutexGuard<'_, Option<Era>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
