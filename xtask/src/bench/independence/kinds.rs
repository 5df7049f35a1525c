//! Every fault that an upstream can be in by itself, and those of the catalogue that are none.

/// A kind of fault, and how the neighbour comes to be in it again and again.
#[derive(Debug)]
pub(super) struct Kind {
    /// The name of its figure.
    pub(super) name: &'static str,
    /// What the neighbour does.
    pub(super) what: &'static str,
    /// The faults of the catalogue that come to this.
    pub(super) covers: &'static [u8],
    pub(super) start: Start,
    /// Flags of the misbehaving server.
    pub(super) flags: &'static [&'static str],
    /// Lines of its `[servers.supervise]`.
    pub(super) supervise: &'static str,
    pub(super) call: Call,
    /// How often it must have been started at least for the figure to be one of this fault.
    pub(super) starts: usize,
}

/// What is started.
#[derive(Debug)]
pub(super) enum Start {
    /// The misbehaving server.
    Server,
    /// A shell with this script, in which `{server}` stands for the server.
    Shell(&'static str),
    /// A program that is not there.
    Nothing,
}

/// What the neighbour is asked all the while; the good one beside it is asked to echo as often.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    /// Nothing: one that waits for an answer is busy, and not asked whether it hangs.
    Nothing,
    Echo,
    /// With an argument of so many bytes.
    Long(usize),
    /// For an answer of so many bytes.
    Big(usize),
    /// For so many steps of progress.
    Progress(usize),
    /// For an answer after so many milliseconds.
    Sleep(usize),
}

/// Keeps a crash loop going for as long as is measured, as fast as a first respawn comes: the
/// backoff would slow it, and the breaker would end it after six. The steps of an end are short, so
/// that each of them is taken often.
const FOR_EVER: &str = "max_deaths = 100000\nmax_run = 100000\n\
                        backoff_first = \"250ms\"\nbackoff_max = \"250ms\"\n\
                        grace_eof = \"100ms\"\ngrace_term = \"100ms\"\n";

/// Each death trips, and each trial comes soon.
const TRIALS: &str = "max_deaths = 0\nwindow = \"250ms\"\ncooldown_first = \"250ms\"\n\
                      cooldown_factor = 1\ncooldown_max = \"250ms\"\ncooldown_jitter = 0\n\
                      cooldown_permanent = \"250ms\"\nauto_trials = 100000\n";

/// A hang is found at once, and the next life hangs as well.
const PROBED: &str = "max_deaths = 100000\nmax_run = 100000\n\
                      backoff_first = \"250ms\"\nbackoff_max = \"250ms\"\n\
                      grace_eof = \"100ms\"\ngrace_term = \"100ms\"\n\
                      probe_every = \"100ms\"\nprobe_timeout = \"100ms\"\nprobe_misses = 1\n\
                      write_stall = \"200ms\"\n";

/// It is ended whenever nobody has called it for a moment, and started by the next call.
const RESTS: &str =
    "lazy = true\nidle_stop = \"10ms\"\ngrace_eof = \"50ms\"\ngrace_term = \"50ms\"\n";

/// More bytes than any round can carry.
const ENDLESS: &str = "1000000000000";

/// A plain kind, to be changed by the methods below.
const fn kind(name: &'static str, what: &'static str, covers: &'static [u8]) -> Kind {
    let (flags, supervise): (&[&str], _) = (&[], "");
    Kind { name, what, covers, start: Start::Server, flags, supervise, call: Call::Echo, starts: 1 }
}

impl Kind {
    const fn with(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }

    const fn by(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    const fn asked(mut self, call: Call) -> Self {
        self.call = call;
        self
    }

    /// It is started again and again.
    const fn under(mut self, supervise: &'static str) -> Self {
        self.supervise = supervise;
        self.starts = 3;
        self
    }

    const fn started(mut self, starts: usize) -> Self {
        self.starts = starts;
        self
    }
}

/// A neighbour that is well.
pub(super) const GOOD: Kind = kind("twin-calm", "is well", &[]);

pub(super) static KINDS: [Kind; 32] = [
    kind("twin-absent", "cannot be started, at each trial", &[1, 2, 3, 4, 5, 6, 72])
        .by(Start::Nothing)
        .under(TRIALS)
        .started(0),
    kind("twin-crash-loop", "dies at once, as often as it is started", &[9, 10, 11])
        .with(&["--die-before-handshake", "0"])
        .under(FOR_EVER),
    kind("twin-mute", "never answers initialize", &[12]).with(&["--never-answer-initialize"]),
    kind("twin-installing", "writes to its stderr for a minute before it starts", &[16]).with(&[
        "--never-answer-initialize",
        "--stderr-rate",
        "100000",
    ]),
    kind("twin-slow-start", "takes 200 ms to start, then dies", &[13])
        .with(&["--init-delay", "200", "--die-after", "0"])
        .under(FOR_EVER),
    kind("twin-refuses", "answers initialize with an error, at each trial", &[15])
        .with(&["--initialize-error"])
        .under(TRIALS),
    kind("twin-dies", "dies 100 ms after each start", &[18, 19, 20, 21, 27, 29])
        .with(&["--die-after", "100"])
        .under(FOR_EVER),
    kind("twin-killed", "is killed by a signal again and again", &[22])
        .by(Start::Shell("sleep 0.1; kill -KILL $$"))
        .under(FOR_EVER),
    kind("twin-die-on-call", "dies of each call", &[23, 24])
        .with(&["--die-on-call"])
        .under(FOR_EVER),
    kind("twin-trials", "dies in each trial", &[25, 26]).with(&["--die-after", "50"]).under(TRIALS),
    kind("twin-wrapper", "is two processes, and the first dies", &[31, 32, 33])
        .by(Start::Shell("{server}; true"))
        .with(&["--die-after", "100"])
        .under(FOR_EVER),
    kind("twin-helper", "leaves a helper that holds its pipes", &[34, 35])
        .with(&["--grandchild", "--die-after", "100"])
        .under(FOR_EVER),
    kind("twin-escapes", "leaves a daemon and a child in a session of its own", &[36, 37, 38])
        .with(&["--setsid-child", "--daemon", "--die-after", "100"])
        .under(FOR_EVER),
    kind("twin-runner", "leaves a process that forks and ends all the time", &[39])
        .with(&["--runner", "100000", "--die-after", "500"])
        .under(FOR_EVER),
    kind("twin-bomb", "forks 400 processes and dies", &[40])
        .with(&["--bomb", "400", "--die-after", "500"])
        .under(FOR_EVER)
        .started(2),
    kind("twin-guard", "kills its guard", &[43])
        .by(Start::Shell("sleep 0.1; kill -KILL $PPID; sleep 1"))
        .under(FOR_EVER),
    kind("twin-closed", "closes its output and ignores every polite end", &[47, 48, 64])
        .with(&["--close-stdout", "--ignore-sigterm"])
        .under(FOR_EVER),
    kind("twin-stopped", "is stopped by SIGSTOP, and found by probes", &[49])
        .with(&["--stop-itself"])
        .under(PROBED),
    kind("twin-flushes", "writes 1 MiB whenever it is ended", &[50])
        .with(&["--flush-on-eof", "1048576"])
        .under(RESTS),
    kind("twin-stderr", "floods its stderr", &[53]).with(&["--flood-stderr", ENDLESS]),
    kind("twin-line", "writes a line without end in a loop", &[54])
        .with(&["--no-newline-flood", ENDLESS])
        .under(FOR_EVER),
    kind("twin-long", "gives answers of 20 MiB, which is too long", &[55])
        .asked(Call::Big(20 << 20)),
    kind("twin-untidy", "writes lines that are none, and every answer twice", &[14, 56, 57, 59])
        .with(&["--banner", "hello", "--garbage", "--bad-utf8", "--answer-twice"]),
    kind("twin-deep", "writes JSON of 100 000 levels and dies", &[60])
        .with(&["--deep", "100000", "--die-after", "50"])
        .under(FOR_EVER),
    kind("twin-garbage", "floods its stdout with garbage", &[58])
        .with(&["--garbage-flood", ENDLESS])
        .under(FOR_EVER)
        .started(1),
    kind("twin-notify", "floods with notifications", &[61]).with(&["--notify-flood", ENDLESS]),
    kind("twin-progress", "tells 100 000 steps of each call", &[61]).asked(Call::Progress(100_000)),
    kind("twin-deaf", "reads nothing of calls of 300 KB", &[51, 62])
        .with(&["--stop-reading"])
        .asked(Call::Long(300_000))
        .under(PROBED),
    kind("twin-closed-input", "closes its input at the first call", &[65])
        .with(&["--close-stdin", "--on-call"])
        .under(FOR_EVER)
        .started(2),
    kind("twin-slow-reader", "reads 4 KiB each 5 ms of calls of 300 KB", &[63, 66])
        .with(&["--read-slowly", "5", "--tiny-pipes"])
        .asked(Call::Long(300_000)),
    kind("twin-busy", "does one thing at a time, for longer than anybody waits", &[70])
        .with(&["--single"])
        .asked(Call::Sleep(5_000)),
    kind("twin-hangs", "hangs while it is idle, and is found by probes", &[71])
        .with(&["--deadlock-after", "100"])
        .asked(Call::Nothing)
        .under(PROBED),
];

/// Faults of the catalogue that no upstream is in by itself, and why.
pub(super) const OF_NO_UPSTREAM: &[(&[u8], &str)] = &[
    (&[7, 8], "the host is out of descriptors or processes, which meets every start alike"),
    (&[17], "fifty good servers start at once"),
    (&[28, 30], "two events in an order that no process can bring about"),
    (&[41, 42], "mcplex itself is ended"),
    (&[44, 45], "what mcplex is in its pid namespace"),
    (&[46], "a broken disk or driver keeps a process for ever; nothing runs for it meanwhile"),
    (&[52], "a hundred servers are stopped at once"),
    (&[67, 68, 69], "the clock of mcplex itself jumps or stands still"),
    (&[73, 74], "the limits and the configuration of mcplex itself"),
    (&[75, 76], "the disk or the collector that mcplex writes to"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_catalogue_is_measured_or_told_why_not() {
        let measured = KINDS.iter().flat_map(|kind| kind.covers);
        let others = OF_NO_UPSTREAM.iter().flat_map(|(faults, _)| *faults);
        let mut all: Vec<u8> = measured.chain(others).copied().collect();
        all.sort_unstable();
        // One is measured in two ways.
        all.dedup();
        assert_eq!(all, (1..=76).collect::<Vec<_>>());
    }

    #[test]
    fn no_fault_is_both() {
        let measured: Vec<_> = KINDS.iter().flat_map(|kind| kind.covers).collect();
        let mut others = OF_NO_UPSTREAM.iter().flat_map(|(faults, _)| *faults);
        assert!(others.all(|fault| !measured.contains(&fault)));
    }
}
