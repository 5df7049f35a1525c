//! Who is whose child, as `/proc` tells it.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;

/// How many descendants are asked politely at most; a fork bomb is killed and not asked.
const ASKED: usize = 1024;

/// The children of this process, dead ones that were not waited for included.
pub(crate) fn own_children() -> Vec<Pid> {
    children("self")
}

/// The children of a process; none if there is no such process.
///
/// Every thread has a list of its own. One who dies is taken from it only when its parent waits
/// for it, so a process that waits for no child meanwhile sees each of its children.
pub(crate) fn children(process: &str) -> Vec<Pid> {
    let mut found = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return found };
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => found.extend(list.split_whitespace().filter_map(to_pid)),
            Err(_) if thread.path().exists() => return children_by_parent(process),
            // A thread that has just ended gave its children to another one.
            Err(_) => {}
        }
    }
    found
}

/// The same for a kernel that keeps no lists.
fn children_by_parent(process: &str) -> Vec<Pid> {
    let parent = match process {
        "self" => Some(std::process::id()),
        other => other.parse().ok(),
    };
    pids_in_proc()
        .filter(|pid| stat_of(*pid).is_some_and(|stat| Some(stat.parent) == parent))
        .collect()
}

/// The number of a process, as `/proc` and the rest of the world write it.
pub(crate) fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().cast_unsigned()
}

/// Every process there is.
pub(crate) fn pids_in_proc() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| to_pid(entry.file_name().to_str()?))
}

fn to_pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

/// What is known of a process from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    /// Its parent.
    pub(crate) parent: u32,
    /// Whether it is dead and was not waited for.
    pub(crate) is_dead: bool,
    /// When it began, in ticks since the boot: with its number it is unique.
    pub(crate) began: u64,
}

pub(crate) fn stat_of(pid: Pid) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // Behind the name, which may hold anything: state, parent, and 17 more before the time.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { parent, is_dead, began: fields.nth(17)?.parse().ok()? })
}

/// Asks every descendant of this process to end, and wakes those that are stopped.
pub(super) fn ask_descendants() {
    let mut parents = vec![std::process::id()];
    let mut asked = 0;
    while let Some(parent) = parents.pop() {
        for pid in children(&parent.to_string()) {
            asked += 1;
            if asked > ASKED {
                return;
            }
            parents.push(number(pid));
            ask(pid, parent);
        }
    }
}

/// Asks one process, unless its number has come to somebody else meanwhile.
fn ask(pid: Pid, parent: u32) {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if stat_of(pid).is_some_and(|stat| stat.parent == parent) {
        for signal in [Signal::TERM, Signal::CONT] {
            // Refused means that it is gone or has become another user's.
            let _is_there = pidfd_send_signal(&process, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let own = rustix::process::getpid();
        let stat = stat_of(own).unwrap();
        assert!(!stat.is_dead && stat.began > 0);
        let parent = Pid::from_raw(stat.parent.cast_signed()).unwrap();
        assert!(children(&parent.as_raw_nonzero().to_string()).contains(&own));
        assert!(children_by_parent(&parent.as_raw_nonzero().to_string()).contains(&own));
        assert!(pids_in_proc().any(|pid| pid == own));
    }
}
