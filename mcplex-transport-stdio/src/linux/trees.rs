//! Which children of this process this crate has started, and what it may call its own.

use super::cookie::{Cookie, Gateway};
use crate::guard::number;
use rustix::{
    fd::BorrowedFd,
    io::{FdFlags, fcntl_setfd},
    process::Pid,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
};

/// The turn of one start, which others wait for: no child is there that is not in the register yet,
/// and no other start inherits what is meant for this one.
///
/// A start may take milliseconds and runs beside the thread of the gateway, so nothing on the way of
/// a message waits for this, and whoever looks for strange children there comes back later.
#[derive(Debug)]
pub(crate) struct Turn {
    _held: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

impl Turn {
    pub(crate) fn wait() -> Self {
        // Nothing is behind it that a panic could make wrong.
        Self { _held: TURN.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Nothing while something is started.
    pub(crate) fn now() -> Option<Self> {
        match TURN.try_lock() {
            Ok(held) => Some(Self { _held: held }),
            Err(TryLockError::Poisoned(held)) => Some(Self { _held: held.into_inner() }),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// The register of children, held for a moment only.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    /// By the number of the child, until it was waited for.
    children: BTreeMap<u32, u64>,
    last: u64,
    /// Whether any tree was ever started without a guard.
    has_free: bool,
}

impl Trees {
    pub(crate) fn lock() -> MutexGuard<'static, Self> {
        static TREES: Mutex<Trees> =
            Mutex::new(Trees { children: BTreeMap::new(), last: 0, has_free: false });
        // A panic elsewhere does not make the register wrong.
        TREES.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cookie of the next tree; nothing where there is no `/proc`.
    pub(crate) fn next(&mut self, upstream: &str, is_guarded: bool) -> (u64, Option<Cookie>) {
        self.last += 1;
        self.has_free |= !is_guarded;
        let cookie = Gateway::own().map(|gateway| Cookie {
            gateway,
            tree: self.last,
            is_guarded,
            upstream: upstream.to_owned(),
        });
        (self.last, cookie)
    }

    pub(crate) fn add(&mut self, child: Pid, tree: u64) {
        self.children.insert(number(child), tree);
    }

    /// The child was waited for.
    pub(crate) fn remove(&mut self, child: Pid) {
        self.children.remove(&number(child));
    }

    pub(crate) fn has(&self, child: Pid) -> bool {
        self.children.contains_key(&number(child))
    }

    pub(crate) fn has_free(&self) -> bool {
        self.has_free
    }
}

/// Lets the next program inherit these descriptors while `start` runs.
///
/// It is this start's turn, so no other one of this crate sees them; a start elsewhere in this
/// process might, so nobody may wait for all copies to be closed.
pub(crate) fn inherited<T>(
    fds: &[BorrowedFd<'_>],
    turn: &Turn,
    start: impl FnOnce(&Turn) -> std::io::Result<T>,
) -> std::io::Result<T> {
    let set = |flags| fds.iter().try_for_each(|fd| fcntl_setfd(fd, flags));
    set(FdFlags::empty())?;
    let started = start(turn);
    set(FdFlags::CLOEXEC)?;
    started
}
