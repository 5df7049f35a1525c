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
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The register of children; held over every start, so that a child is never seen unregistered.
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
/// The caller holds the register, so no other start of this crate sees them; a start elsewhere in
/// this process might, so nobody may wait for all copies to be closed.
pub(crate) fn inherited<T>(
    fds: &[BorrowedFd<'_>],
    held: &mut Trees,
    start: impl FnOnce(&mut Trees) -> std::io::Result<T>,
) -> std::io::Result<T> {
    let set = |flags| fds.iter().try_for_each(|fd| fcntl_setfd(fd, flags));
    set(FdFlags::empty())?;
    let started = start(held);
    set(FdFlags::CLOEXEC)?;
    started
}
