//! What guards say at their end about their servers' use of the host.

use super::sys::Reaped;
use crate::guard::{USED, Used};
use mcplex_proto::transport::Usage;
use rustix::pipe::{PipeFlags, pipe_with};
use std::{
    collections::BTreeMap,
    fs,
    os::fd::OwnedFd,
    sync::{Mutex, OnceLock, PoisonError},
};

/// How many reports are kept that nobody has asked for, as of guards that were dropped.
const KEPT: usize = 64;

/// One pipe from all guards, so that no upstream costs a descriptor more.
#[derive(Debug)]
pub(crate) struct Reports {
    write: OwnedFd,
    read: OwnedFd,
    read_so_far: Mutex<BTreeMap<u32, Used>>,
}

impl Reports {
    /// The pipe of this process; nothing if it could not be made, which costs exactness only.
    pub(crate) fn of_this_process() -> Option<&'static Self> {
        static REPORTS: OnceLock<Option<Reports>> = OnceLock::new();
        REPORTS
            .get_or_init(|| {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
                Some(Self { write, read, read_so_far: Mutex::default() })
            })
            .as_ref()
    }

    /// The end that guards write to; it never blocks.
    pub(crate) fn write_end(&self) -> &OwnedFd {
        &self.write
    }

    /// What this guard has said; it must have ended.
    fn take(&self, guard: u32) -> Option<Used> {
        let mut reports = self.read_so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = [0; USED];
        // A report is written at once, and so it is read.
        while let Ok(USED) = rustix::io::read(&self.read, &mut bytes) {
            if let Some(used) = Used::from_bytes(&bytes) {
                reports.insert(used.guard, used);
            }
        }
        let used = reports.remove(&guard);
        while reports.len() > KEPT {
            reports.pop_first();
        }
        used
    }
}

/// How often the kernel has ended a process for lack of memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfMemory(Option<u64>);

impl OutOfMemory {
    /// As often as until now.
    ///
    /// Our own control group counts only what runs in it, as our servers do unless they are moved
    /// away; without one the count is that of the host.
    pub(crate) fn so_far() -> Self {
        let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|groups| {
            let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
            let events = format!("/sys/fs/cgroup{}/memory.events", path.trim_end_matches('/'));
            count(&fs::read_to_string(events).ok()?)
        });
        let host = || count(&fs::read_to_string("/proc/vmstat").ok()?);
        Self(group.or_else(host))
    }

    /// Whether it has done so since.
    fn has_grown(self) -> bool {
        matches!((self.0, Self::so_far().0), (Some(before), Some(now)) if now > before)
    }
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// What a child of ours has used, in the best words there are.
///
/// A guard says it exactly, or was killed and says nothing. Without one the figure for memory is
/// never below what this process itself had held when it started the child.
pub(crate) fn usage(
    child: u32,
    is_guard: bool,
    reaped: &Reaped,
    before: OutOfMemory,
) -> Option<Usage> {
    let said = Reports::of_this_process().and_then(|reports| reports.take(child));
    let (peak_memory, cpu) = match said {
        Some(used) => (used.peak_memory, used.cpu),
        None if is_guard => return None,
        None => (reaped.peak_memory, reaped.cpu),
    };
    let is_killed =
        libc::WIFSIGNALED(reaped.status) && libc::WTERMSIG(reaped.status) == libc::SIGKILL;
    Some(Usage { peak_memory, cpu, out_of_memory: is_killed && before.has_grown() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_the_kernel_writes() {
        assert_eq!(count("nr_free_pages 7\noom_kill 12\nnuma_hit 1\n"), Some(12));
        assert_eq!(count("low 0\noom 5\noom_kill 2\noom_group_kill 9\n"), Some(2));
        assert_eq!(count("low 0\n"), None);
        assert!(!OutOfMemory::so_far().has_grown());
    }
}
