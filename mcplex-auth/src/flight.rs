//! One attempt for all who want the same at the same time.

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// Lets many wait for one future instead of starting one each.
///
/// Whoever waits drives it; when all of them leave, it is dropped and nothing of it goes on.
pub(crate) struct Flight<T: Clone> {
    current: Mutex<Option<WeakShared<BoxFuture<'static, T>>>>,
}

impl<T: Clone> Flight<T> {
    pub(crate) fn new() -> Self {
        Self { current: Mutex::new(None) }
    }

    /// Joins the one that is under way, or begins it.
    pub(crate) fn join(
        &self,
        begin: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> Shared<BoxFuture<'static, T>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flying) = current.as_ref().and_then(WeakShared::upgrade)
            && flying.peek().is_none()
        {
            return flying;
        }
        let begun = begin().shared();
        *current = begun.downgrade();
        begun
    }
}

impl<T: Clone> fmt::Debug for Flight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[tokio::test]
    async fn many_wait_for_one() {
        let flight = Flight::new();
        let begun = Arc::new(AtomicUsize::new(0));
        let begin = || {
            let begun = Arc::clone(&begun);
            async move {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                number
            }
            .boxed()
        };
        let both = futures_util::future::join(flight.join(begin), flight.join(begin)).await;
        assert_eq!(both, (0, 0));
        assert_eq!(flight.join(begin).await, 1, "the next one begins anew");
    }

    #[tokio::test]
    async fn nothing_is_kept_of_one_that_nobody_waits_for() {
        let flight = Flight::new();
        drop(flight.join(|| std::future::pending::<u8>().boxed()));
        assert_eq!(flight.join(|| std::future::ready(7).boxed()).await, 7);
    }
}
