//! What an earlier run has left behind: found by its cookie, and ended.

use super::{
    cookie::{Cookie, Gateway},
    orphans::kill_marked,
};
use crate::guard::{NAME, number, pids_in_proc, stat_of};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, getpid, pidfd_open, pidfd_send_signal};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    thread,
    time::Duration,
};

/// How often it is looked for guards that were told to end, and how long between.
///
/// Two hundred times a millisecond and the time it takes to look: a guard needs one or two to end
/// a tree.
const LOOKS: (usize, Duration) = (200, Duration::from_millis(1));

/// How many rounds of killing there are at most; each takes what the one before has left.
const ROUNDS: usize = 64;

/// The deepest line of parents that is followed to find our own.
const DEPTH: usize = 256;

/// What was left of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Whose processes they were.
    pub upstream: String,
    /// How many were ended.
    pub processes: usize,
}

/// Ends the processes of this user's gateways that have died, and says what there was.
///
/// A process is one of them if it was started with the cookie of a gateway in our own namespace
/// that runs no longer. This process and its ancestors are spared, whoever started them. Guards
/// that are still at their work are told to make haste, as they alone find processes that have
/// cleared their environment. It takes some milliseconds where nothing is found, and blocks.
#[must_use]
pub fn sweep_leftovers() -> Vec<LeftBehind> {
    let Some(own) = Gateway::own() else { return Vec::new() };
    let spared = line();
    let mut found = BTreeMap::new();
    let mut dead = BTreeMap::new();
    let mut is_meant = |pid: Pid, cookie: &Cookie| {
        cookie.gateway.namespace == own.namespace
            && !spared.contains(&number(pid))
            && is_ours(pid)
            && !*dead
                .entry((cookie.gateway.pid, cookie.gateway.began))
                .or_insert_with(|| cookie.gateway.lives())
    };
    hurry_guards(&mut is_meant, &mut found);
    for _ in 0..ROUNDS {
        let killed = kill_marked(&mut is_meant);
        if killed.is_empty() {
            break;
        }
        found.extend(killed.into_iter().map(|(pid, cookie)| (number(pid), cookie.upstream)));
    }
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for upstream in found.into_values() {
        *left.entry(upstream).or_default() += 1;
    }
    left.into_iter().map(|(upstream, processes)| LeftBehind { upstream, processes }).collect()
}

/// Tells the guards to end their trees now, and waits for it for a while.
fn hurry_guards(
    is_meant: &mut impl FnMut(Pid, &Cookie) -> bool,
    found: &mut BTreeMap<u32, String>,
) {
    let mut guards = Vec::new();
    for pid in pids_in_proc() {
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        let Some(cookie) = Cookie::of(pid).filter(|cookie| is_meant(pid, cookie)) else { continue };
        found.insert(number(pid), cookie.upstream);
        let name = fs::read(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap_or_default();
        if name.trim_ascii_end() == NAME.to_bytes() {
            // Refused means that it has just ended.
            let _is_there = pidfd_send_signal(&process, Signal::INT);
            guards.push(pid);
        }
    }
    for _ in 0..LOOKS.0 {
        guards.retain(|pid| stat_of(*pid).is_some_and(|stat| !stat.is_dead));
        if guards.is_empty() {
            return;
        }
        thread::sleep(LOOKS.1);
    }
}

/// This process and all its ancestors.
fn line() -> BTreeSet<u32> {
    let mut line = BTreeSet::from([number(getpid())]);
    let mut next = getpid();
    for _ in 0..DEPTH {
        let parent = stat_of(next).and_then(|stat| Pid::from_raw(stat.parent.cast_signed()));
        match parent {
            Some(parent) if line.insert(number(parent)) => next = parent,
            Some(_) | None => break,
        }
    }
    line
}

/// Whether a process is this user's.
fn is_ours(pid: Pid) -> bool {
    fs::metadata(format!("/proc/{}", pid.as_raw_nonzero()))
        .is_ok_and(|process| process.uid() == geteuid().as_raw())
}
