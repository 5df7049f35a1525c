//! What runs on this machine, as `/proc` tells it.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};
use std::{collections::BTreeSet, fs, time::Duration};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) name: String,
}

/// Every process there is.
fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name is in brackets and may contain anything.
            let (head, tail) = stat.rsplit_once(") ")?;
            let mut fields = tail.split(' ').skip(1);
            let parent = fields.next()?.parse().ok()?;
            let group = fields.next()?.parse().ok()?;
            Some(Process { pid, parent, group, name: head.split_once('(')?.1.to_owned() })
        })
        .collect()
}

/// Everything that a process started, and what that started, zombies included.
pub(crate) fn descendants(pid: u32) -> Vec<Process> {
    let all = all();
    let mut family = BTreeSet::from([pid]);
    // A generation per round.
    for _ in 0..all.len() {
        let before = family.len();
        family.extend(
            all.iter()
                .filter(|one| family.contains(&one.parent))
                .map(|one| one.pid)
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            break;
        }
    }
    all.into_iter().filter(|one| one.pid != pid && family.contains(&one.pid)).collect()
}

/// The name of a guard, which is a group of its own.
pub(crate) const GUARD: &str = "mcplex-guard";

/// The same without the guards.
///
/// One that has only just begun has not got its name yet.
pub(crate) fn servers(pid: u32) -> Vec<Process> {
    let family = descendants(pid).into_iter();
    family.filter(|one| one.name != GUARD && one.name != "exe").collect()
}

/// The process groups of all servers of a gateway.
pub(crate) fn groups(pid: u32) -> BTreeSet<u32> {
    servers(pid).into_iter().map(|process| process.group).collect()
}

/// How many descriptors a process holds.
pub(crate) fn fds(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(to_pid(pid), signal).unwrap();
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// Waits for ends of processes that are nobody's children here.
#[derive(Debug)]
pub(crate) struct Watch(Vec<(u32, OwnedFd)>);

impl Watch {
    /// Begins to watch; those that are gone already are not watched.
    pub(crate) fn of(pids: impl IntoIterator<Item = u32>) -> Self {
        let open = |pid| match pidfd_open(to_pid(pid), PidfdFlags::empty()) {
            Ok(fd) => Some((pid, fd)),
            Err(Errno::SRCH | Errno::NOENT) => None,
            Err(error) => panic!("process {pid} cannot be watched: {error}"),
        };
        Self(pids.into_iter().filter_map(open).collect())
    }

    /// Ends those that are left.
    pub(crate) fn kill(&self) {
        for (_, fd) in &self.0 {
            // Most have ended by themselves.
            let _is_there = pidfd_send_signal(fd, Signal::KILL);
        }
    }

    /// Those that have not ended within the time.
    pub(crate) fn left_after(&self, time: Duration) -> Vec<u32> {
        let left = |(pid, fd): &(u32, OwnedFd)| (!has_ended(fd, time)).then_some(*pid);
        self.0.iter().filter_map(left).collect()
    }
}

fn has_ended(fd: &OwnedFd, time: Duration) -> bool {
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap(),
        tv_nsec: time.subsec_nanos().into(),
    };
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&time)).unwrap() > 0
}
