//! What the system says of itself.

use mcplex_proto::transport::Usage;
use std::{fmt, time::Duration};

#[cfg(target_os = "linux")]
mod living;

/// What a [`Host`](super::Host) asks the system; another implementation tells stories in tests.
pub trait HostFacts: fmt::Debug + Send + Sync + 'static {
    /// How many more descriptors this process may open; `None` where nobody can say.
    fn free_descriptors(&self) -> Option<usize>;

    /// Whether a processor has nothing to do; nobody can say is no.
    fn has_idle_processor(&self) -> bool {
        false
    }

    /// What a process that still runs, and what it has started, have used until now; nobody can say
    /// is `None`.
    fn usage_of(&self, pid: u32) -> Option<Usage> {
        let _nobody_can_say = pid;
        None
    }

    /// How long the host has slept since it was started, as a sum that only ever grows.
    ///
    /// The clock that deadlines are measured by stands still meanwhile.
    fn time_asleep(&self) -> Duration;
}

/// The system this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisHost;

impl HostFacts for ThisHost {
    #[cfg(unix)]
    fn free_descriptors(&self) -> Option<usize> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
        // One entry per open descriptor, on Linux and on macOS.
        let open = std::fs::read_dir("/dev/fd").ok()?.count();
        Some(usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(open))
    }

    /// Windows bounds handles by memory alone.
    #[cfg(not(unix))]
    fn free_descriptors(&self) -> Option<usize> {
        None
    }

    #[cfg(target_os = "linux")]
    fn has_idle_processor(&self) -> bool {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        // We are one of those that run, and about to wait.
        running(&load).is_some_and(|running| running <= processors)
    }

    #[cfg(target_os = "linux")]
    fn usage_of(&self, pid: u32) -> Option<Usage> {
        living::usage(pid)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn time_asleep(&self) -> Duration {
        use rustix::time::{ClockId, clock_gettime};
        let read = |clock| {
            let time = clock_gettime(clock);
            let secs = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
            secs + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
        };
        // In this order a pause between the two looks like less sleep, never like more.
        let with_sleep = read(ClockId::Boottime);
        with_sleep.saturating_sub(read(ClockId::Monotonic))
    }

    /// Nobody can say: the clock there may or may not count sleep, and a late timer tells.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn time_asleep(&self) -> Duration {
        Duration::ZERO
    }
}

/// How many threads want a processor at this moment: the fourth field, before its slash.
#[cfg(target_os = "linux")]
fn running(load: &str) -> Option<usize> {
    load.split_whitespace().nth(3)?.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn those_that_run_are_found() {
        assert_eq!(running("0.52 0.58 0.59 3/467 12345\n"), Some(3));
        assert_eq!(running(""), None);
        assert!(running(&std::fs::read_to_string("/proc/loadavg").unwrap()).is_some());
    }

    #[cfg(unix)]
    #[test]
    fn this_host_counts_its_descriptors() {
        let before = ThisHost.free_descriptors().unwrap();
        let held: Vec<_> = (0..5).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let after = ThisHost.free_descriptors().unwrap();
        // Other tests open and close theirs at the same time.
        assert!(after < before + 5 && before < after + 100, "{before} {after}");
        assert_eq!(held.len(), 5);
        let asleep = ThisHost.time_asleep();
        assert!(ThisHost.time_asleep().abs_diff(asleep) < Duration::from_secs(1));
    }
}
