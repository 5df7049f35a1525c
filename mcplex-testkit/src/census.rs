//! What runs on this machine, as `/proc` tells it: processes, their ends, their descriptors.
//!
//! Processes are found by whose children they are, or by a variable in their environment, which
//! whatever they start inherits, also when it leaves its group, session and parent.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    time::Duration,
};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Whose child it is now.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// What it does, as one letter: `R` runs, `S` sleeps, `T` is stopped, `Z` has ended.
    pub state: char,
    /// The name of its program, cut to 15 bytes.
    pub name: String,
}

impl Process {
    /// Whether it has ended, and nobody has asked how.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }
}

/// Every process there is.
///
/// # Errors
/// When there is no `/proc`.
pub fn all() -> io::Result<Vec<Process>> {
    let pids = fs::read_dir("/proc")?.flatten();
    Ok(pids.filter_map(|entry| one(entry.file_name().to_str()?.parse().ok()?)).collect())
}

/// One process, unless it is gone.
#[must_use]
pub fn one(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may contain anything.
    let (head, tail) = stat.rsplit_once(") ")?;
    let mut fields = tail.split(' ');
    let state = fields.next()?.chars().next()?;
    let mut number = || fields.next()?.parse().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    let name = head.split_once('(')?.1.to_owned();
    Some(Process { pid, parent, group, session, state, name })
}

/// Everything that a process started, and what that started, zombies included.
///
/// # Errors
/// When there is no `/proc`.
pub fn descendants(pid: u32) -> io::Result<Vec<Process>> {
    let all = all()?;
    let mut family = BTreeSet::from([pid]);
    // A generation per round.
    for _ in 0..all.len() {
        let before = family.len();
        let born = all.iter().filter(|one| family.contains(&one.parent)).map(|one| one.pid);
        let born: Vec<_> = born.collect();
        family.extend(born);
        if family.len() == before {
            break;
        }
    }
    Ok(all.into_iter().filter(|one| one.pid != pid && family.contains(&one.pid)).collect())
}

/// Every process that was started with this variable, or by one that was; zombies have none.
///
/// # Errors
/// When there is no `/proc`.
pub fn with_variable(name: &str, value: &str) -> io::Result<Vec<Process>> {
    let wanted = format!("{name}={value}");
    let has_it = |one: &Process| {
        let variables = fs::read(format!("/proc/{}/environ", one.pid)).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    Ok(all()?.into_iter().filter(has_it).collect())
}

/// How many descriptors of each kind a process holds: `pipe`, `socket`, `pidfd` or another path.
///
/// # Errors
/// When it is gone, or somebody else's.
pub fn descriptors(pid: u32) -> io::Result<BTreeMap<String, usize>> {
    let mut kinds = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        let kind = match target.split_once(':') {
            Some(("anon_inode", name)) => name.trim_matches(['[', ']']).to_owned(),
            Some((kind @ ("pipe" | "socket"), _)) => kind.to_owned(),
            _ => target,
        };
        *kinds.entry(kind).or_default() += 1;
    }
    Ok(kinds)
}

/// The resident memory of a process, in bytes.
///
/// # Errors
/// When it is gone.
pub fn resident(pid: u32) -> io::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("{path} has no VmRSS")))
}

/// Sends a signal to one process.
///
/// # Errors
/// When it is gone, or somebody else's.
pub fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    Ok(kill_process(to_pid(pid)?, signal)?)
}

fn to_pid(pid: u32) -> io::Result<Pid> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    Pid::from_raw(pid).ok_or_else(|| io::Error::other("0 is no process"))
}

/// Waits for ends of processes that are nobody's children here.
///
/// It holds each of them by a descriptor, so a number that is used again cannot fool it.
#[derive(Debug)]
pub struct Watch(Vec<(u32, OwnedFd)>);

impl Watch {
    /// Begins to watch; those that are gone already are not watched.
    ///
    /// # Errors
    /// When a process cannot be watched.
    pub fn of(pids: impl IntoIterator<Item = u32>) -> io::Result<Self> {
        let mut watched = Vec::new();
        for pid in pids {
            match pidfd_open(to_pid(pid)?, PidfdFlags::empty()) {
                Ok(fd) => watched.push((pid, fd)),
                Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self(watched))
    }

    /// How many are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends those that are left.
    pub fn kill(&self) {
        for (_, fd) in &self.0 {
            // Most have ended by themselves.
            let _is_there = pidfd_send_signal(fd, Signal::KILL);
        }
    }

    /// Those that have not ended within the time, which is counted for each of them.
    ///
    /// # Errors
    /// When the system cannot wait.
    pub fn left_after(&self, time: Duration) -> io::Result<Vec<u32>> {
        let mut left = Vec::new();
        for (pid, fd) in &self.0 {
            // Once one of them has used up the time, the others have had it too.
            let time = if left.is_empty() { time } else { Duration::ZERO };
            if !has_ended(fd, time)? {
                left.push(*pid);
            }
        }
        Ok(left)
    }
}

fn has_ended(fd: &OwnedFd, time: Duration) -> io::Result<bool> {
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).map_err(io::Error::other)?,
        tv_nsec: time.subsec_nanos().into(),
    };
    Ok(poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&time))? > 0)
}
