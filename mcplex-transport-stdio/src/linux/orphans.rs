//! What is left of a tree whose guard was killed: found, and ended.

use super::{
    cookie::{Cookie, Gateway},
    sys,
    trees::{Trees, Turn},
};
use crate::guard::{number, own_children, pids_in_proc, stat_of};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, pidfd_send_signal,
    set_child_subreaper,
};
use std::{collections::BTreeSet, io, sync::OnceLock, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{self, Instant},
};

/// What was there before us, if orphans come to us.
static INHERITED: OnceLock<BTreeSet<u32>> = OnceLock::new();

/// How many rounds of a sweep run without a pause: a process that forks and ends in a loop must
/// not gain a step on us, and a hundred rounds take some milliseconds.
const ROUNDS: usize = 128;

/// The pause after them.
const PAUSE: Duration = Duration::from_millis(2);

/// Makes this process the new parent of what its children leave behind.
///
/// A guard that is killed cannot sweep; then its server dies with it, and what the server had
/// started comes to this process, which ends it. It works without this as well, but what was
/// started with a cleared environment is then not found.
///
/// Only a program whose children are all started by this crate should do so: while the rest of a
/// tree is swept, a child of this process that nobody here has started counts as one of the tree,
/// unless it was there before [`Orphans::adopt`]. Once any server ran without a guard, only what
/// still has the variable of a tree with a guard does.
#[derive(Debug)]
#[must_use = "somebody has to wait for the orphans"]
pub struct Orphans(());

impl Orphans {
    /// Begins to adopt; to be called once, before the first server is started.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn adopt() -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        let _first = INHERITED.set(own_children().into_iter().map(number).collect());
        Ok(Self(()))
    }

    /// Waits for adopted processes that have ended, for ever, so that none stays as a zombie.
    ///
    /// # Errors
    /// When the end of children cannot be listened for.
    pub async fn reap(self) -> io::Result<()> {
        let mut ends = signal(SignalKind::child())?;
        loop {
            // What ended before it was listened for counts too.
            while !reap_unknown() {
                time::sleep(PAUSE).await;
            }
            if ends.recv().await.is_none() {
                return Ok(());
            }
        }
    }
}

/// Waits for dead children that nobody here has started; whether it could be done now.
///
/// Mostly the end that it is told of is that of a known child, which was waited for already; then
/// one question to the system tells that there is nothing to do.
fn reap_unknown() -> bool {
    if !matches!(sys::dead_child(), Ok(Some(_))) {
        return true;
    }
    // While something is started, its new child would look like a stranger.
    let Some(_turn) = Turn::now() else { return false };
    for child in strangers() {
        // Most are alive.
        let _status = sys::reap(child);
    }
    true
}

/// Children that nobody here has started; only known while nothing is being started.
fn strangers() -> Vec<Pid> {
    let children = own_children();
    let trees = Trees::lock();
    children.into_iter().filter(|child| !trees.has(*child)).collect()
}

/// Ends what is left of a tree whose guard has ended; whether nothing is left.
pub(crate) async fn sweep(tree: u64, limit: Duration) -> bool {
    let until = now() + limit;
    loop {
        if Turn::now().is_some_and(|turn| sweep_in(&turn, tree)) {
            return true;
        }
        if now() >= until {
            return false;
        }
        time::sleep(PAUSE).await;
    }
}

/// As much of it as can be done at once.
pub(crate) fn sweep_once(tree: u64) -> bool {
    sweep_in(&Turn::wait(), tree)
}

fn sweep_in(turn: &Turn, tree: u64) -> bool {
    if INHERITED.get().is_none() {
        return sweep_strangers(tree);
    }
    (0..ROUNDS).any(|_| kill_adopted(turn) == 0)
}

/// Kills the processes that have come to us from trees with guards; how many there were.
///
/// Those of a tree whose guard lives go to that guard, so they cannot be among them. Where every
/// tree has a guard nothing is read about a process before it is killed: one that forks and ends
/// in a loop would have moved on.
fn kill_adopted(_turn: &Turn) -> usize {
    let has_free = Trees::lock().has_free();
    let mut found = 0;
    for child in strangers() {
        let is_inherited = INHERITED.get().is_some_and(|before| before.contains(&number(child)));
        if is_inherited || (has_free && !is_guarded(child)) {
            continue;
        }
        found += 1;
        // It is our child and we have not waited for it, so its number is its own.
        let _is_there = kill_process(child, Signal::KILL);
        let _status = sys::reap(child);
    }
    found
}

/// Whether an adopted process comes from a tree that had a guard, or is dead.
///
/// It is stopped while it is looked at, or it might have moved on when the answer comes.
fn is_guarded(child: Pid) -> bool {
    let _is_there = kill_process(child, Signal::STOP);
    let is_ours = |cookie: Cookie| cookie.is_guarded && Some(cookie.gateway) == Gateway::own();
    let is_guarded =
        Cookie::of(child).is_some_and(is_ours) || stat_of(child).is_none_or(|stat| stat.is_dead);
    if !is_guarded {
        let _is_there = kill_process(child, Signal::CONT);
    }
    is_guarded
}

/// The same where orphans go elsewhere: looks at every process there is.
fn sweep_strangers(tree: u64) -> bool {
    let Some(own) = Gateway::own() else { return true };
    let is_its = |_: Pid, cookie: &Cookie| cookie.gateway == own && cookie.tree == tree;
    (0..ROUNDS).any(|_| kill_marked(is_its).is_empty())
}

/// Kills every living process whose cookie is meant, and gives those that it killed.
///
/// Each is held by a descriptor while it is looked at, so that a number that comes back cannot
/// name somebody else.
pub(crate) fn kill_marked(mut is_meant: impl FnMut(Pid, &Cookie) -> bool) -> Vec<(Pid, Cookie)> {
    let mut killed = Vec::new();
    for pid in pids_in_proc() {
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        // A dead one has no environment.
        let Some(cookie) = Cookie::of(pid).filter(|cookie| is_meant(pid, cookie)) else { continue };
        if pidfd_send_signal(&process, Signal::KILL).is_ok() {
            killed.push((pid, cookie));
        }
    }
    killed
}

#[expect(
    clippy::disallowed_methods,
    reason = "it bounds a wait for the kernel; nothing is decided"
)]
fn now() -> Instant {
    Instant::now()
}
