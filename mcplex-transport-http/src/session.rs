//! One client: its session at the gateway, its mailbox, and the calls nobody waits for in line.

use crate::{outlet::Outlet, work::Work};
use futures_util::StreamExt as _;
use mcplex_proto::downstream::{Principal, Session};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};
use tokio::{runtime::Handle, task::JoinSet};

/// A session that clients can name.
pub(crate) struct Live {
    pub(crate) id: Box<str>,
    /// Who opened it; nobody else gets anything of it.
    pub(crate) principal: Principal,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) outlet: Arc<Outlet>,
    /// Calls that go on without a POST that waits for them; ended with the session.
    tasks: Mutex<JoinSet<()>>,
    /// When it was last used, in milliseconds of the listener's clock.
    seen: AtomicU64,
}

impl Live {
    pub(crate) fn new(
        id: Box<str>,
        principal: Principal,
        session: Arc<dyn Session>,
        outlet: Arc<Outlet>,
        now: u64,
    ) -> Self {
        let tasks = Mutex::new(JoinSet::new());
        Self { id, principal, session, outlet, tasks, seen: AtomicU64::new(now) }
    }

    /// Remembers that the session is in use.
    pub(crate) fn touch(&self, now: u64) {
        self.seen.store(now, Ordering::Relaxed);
    }

    /// How many milliseconds it has not been used.
    pub(crate) fn idle(&self, now: u64) -> u64 {
        now.saturating_sub(self.seen.load(Ordering::Relaxed))
    }

    /// Goes on with calls without anybody waiting in line; at most one task per call in flight.
    pub(crate) fn adopt(&self, track: u64, mut work: Work, runtime: &Handle) {
        let finish = Finish { outlet: Arc::clone(&self.outlet), track };
        let mut tasks = self.tasks.lock().expect("nothing panics while it holds the tasks");
        while tasks.try_join_next().is_some() {}
        let task = async move {
            while let Some((id, answer)) = work.next().await {
                finish.outlet.answer(&id, answer.map(Into::into).as_ref());
            }
        };
        tasks.spawn_on(task, runtime);
    }

    /// Ends the session: streams end, calls are forgotten.
    pub(crate) fn close(&self) {
        self.outlet.close();
        self.session.close();
        self.tasks.lock().expect("nothing panics while it holds the tasks").abort_all();
        tracing::debug!("session closed");
    }
}

/// Ends a track even when its task ends early.
struct Finish {
    outlet: Arc<Outlet>,
    track: u64,
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.outlet.finish(self.track);
    }
}

/// A new session id: 128 bits of the operating system's generator, in visible ASCII.
pub(crate) fn mint_id() -> Result<Box<str>, getrandom::Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_long_visible_and_never_the_same() {
        let (one, other) = (mint_id().unwrap(), mint_id().unwrap());
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }
}
