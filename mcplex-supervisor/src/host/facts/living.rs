//! What processes that still run have used, as `/proc` tells it.

use mcplex_proto::transport::Usage;
use std::{collections::VecDeque, fs, time::Duration};

/// How many processes of one family are looked at; it takes some 50 µs for each.
const FAMILY: usize = 64;

/// What a process and its descendants have used until now; `None` if it is not there any more.
///
/// A server is often the child of a wrapper (`npx`, `uvx`, a shell), so the process alone would
/// tell of the wrapper. What has left the family, because its parent is gone, is not counted.
pub(super) fn usage(pid: u32) -> Option<Usage> {
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let mut sum = Part::of(pid)?;
    let mut family: VecDeque<u32> = children(pid).into();
    for _ in 1..FAMILY {
        let Some(next) = family.pop_front() else { break };
        // One that ends meanwhile is counted by its parent from then on.
        let Some(part) = Part::of(next) else { continue };
        sum.peak_memory = sum.peak_memory.max(part.peak_memory);
        sum.ticks = sum.ticks.saturating_add(part.ticks);
        family.extend(children(next).into_iter().take(FAMILY));
    }
    let cpu = Duration::from_millis(sum.ticks.saturating_mul(1000) / ticks);
    Some(Usage { peak_memory: sum.peak_memory, cpu, out_of_memory: false })
}

/// What one process has used, with what it has waited for.
struct Part {
    peak_memory: u64,
    ticks: u64,
}

impl Part {
    fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { peak_memory: peak(&status)?, ticks: ticks(&stat)? })
    }
}

/// The most memory that it held at once, in bytes; a zombie has no such line any more.
fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Fields 14 to 17: its processor time and that of what it has waited for, in the kernel's ticks.
fn ticks(stat: &str) -> Option<u64> {
    // The second field is a name in brackets and may contain anything.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    let numbers = fields.map(|field| field.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
    (numbers.len() == 4).then(|| numbers.iter().sum())
}

/// The children of its first thread, which is where programs start others; none is also what a
/// kernel says that cannot tell.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_kernel_are_understood() {
        let status = "Name:\tx\nVmPeak:\t   9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(peak(status), Some(1234 * 1024));
        assert_eq!(peak("Name:\tx\nState:\tZ (zombie)\n"), None);
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 90 0 0 0 250 30 4 6 20 0 1 0 12345 1 2";
        assert_eq!(ticks(stat), Some(290));
        assert_eq!(ticks("7 (a) R 1"), None);
    }

    #[test]
    fn this_process_is_read_while_it_runs() {
        let used = usage(std::process::id()).unwrap();
        assert!((1 << 20..4 << 30).contains(&used.peak_memory), "{used:?}");
        assert!(!used.out_of_memory);
        // No process has this number: the kernel gives none that large.
        assert_eq!(usage(u32::MAX), None);
    }
}
