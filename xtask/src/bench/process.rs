//! Processes: their ends, their processor time and their memory.

use anyhow::{Context as _, bail};
use rustix::{
    param::clock_ticks_per_second,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use std::{
    fs,
    process::Child,
    thread,
    time::{Duration, Instant},
};

/// Whether a child ends by itself in time.
pub(crate) fn ended(child: &mut Child, patience: Duration) -> anyhow::Result<bool> {
    let deadline = Instant::now() + patience;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// Ends a child that has not ended by itself.
pub(crate) fn kill(child: &mut Child) {
    // A child that is gone already is what is wanted.
    drop(child.kill());
    drop(child.wait());
}

/// Processor time of a process so far, all its threads together.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let ticks = ticks(&stat).with_context(|| format!("failed to understand {path}"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64))
}

/// User and system ticks of a `/proc/PID/stat`; the name in it may hold spaces and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Resident memory of a process now, in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmRSS")
}

/// The children of a process, whichever of its threads has started them.
pub(crate) fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).with_context(|| format!("failed to read {path}"))?;
    // A thread may end meanwhile; its children go to another one.
    let lists =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let pids = |list: String| -> Vec<u32> {
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    };
    Ok(lists.flat_map(pids).collect())
}

/// Memory that a process shares with nobody, in KiB.
pub(crate) fn private_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let part = |key| kibibytes(&text, key).with_context(|| format!("{path} has no {key}"));
    Ok(part("Private_Clean")? + part("Private_Dirty")?)
}

/// The most resident memory since the start or the last [`forget_peak`], in bytes.
pub(crate) fn peak(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmHWM")
}

/// Lets the peak begin anew at what is resident now.
pub(crate) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("failed to write {path}"))
}

fn status(pid: u32, key: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let Some(bytes) = kibibytes(&text, key).map(|kib| kib * 1024) else {
        bail!("{path} has no {key}");
    };
    Ok(bytes)
}

fn kibibytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Keeps this thread, and whatever it starts from now on, on one of its processors; gives those it
/// had.
pub(crate) fn stay_on_one_processor() -> anyhow::Result<CpuSet> {
    let before = sched_getaffinity(None).context("the processors cannot be read")?;
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| before.is_set(cpu)).context("no processor")?;
    let mut one = CpuSet::new();
    one.set(first);
    run_on(&one)?;
    Ok(before)
}

/// Lets this thread, and whatever it starts from now on, run on these processors.
pub(crate) fn run_on(processors: &CpuSet) -> anyhow::Result<()> {
    sched_setaffinity(None, processors).context("the processors cannot be chosen")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn memory_is_read_by_its_key() {
        let status = "VmPeak:\t  900 kB\nVmHWM:\t  120 kB\nVmRSS:\t   77 kB\n";
        assert_eq!(kibibytes(status, "VmRSS"), Some(77));
        assert_eq!(kibibytes(status, "VmSwap"), None);
    }
}
